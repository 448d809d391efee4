"""Old arguments, put into today's words before today's class or function is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .notes import note

#: From old arguments (in place) to today's; says what it changed as (old, new) pairs.
Rewrite = Callable[[list[Any], dict[str, Any]], list[tuple[str, str]]]


class Renamed:
    """Stands for a class or function of minicnn and takes its old arguments too.

    It is no class itself, but `isinstance` and subclassing see through it to the one that it stands for.

    Args:
        real: what is called in the end.
        old: today's name of each old argument.
        rewrite: for what is more than another name; called before `old` is applied.
        name: how notes call it; the real one's name where None.
    """

    def __init__(
        self, real: Any, old: Mapping[str, str] | None = None, rewrite: Rewrite | None = None, name: str | None = None
    ) -> None:
        self.__wrapped__ = real
        self.__name__ = name or real.__name__
        self.__doc__ = real.__doc__
        self._old = dict(old or {})
        self._rewrite = rewrite

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """Translate the arguments and call the real one."""
        positional = list(args)
        changed = self._rewrite(positional, arguments) if self._rewrite else []
        for old, new in self._old.items():
            if old not in arguments:
                continue
            if new in arguments:
                raise TypeError(f"{self.__name__}: {old} is an old name of {new}; give only one of them")
            arguments[new] = arguments.pop(old)
            changed.append((old, new))
        for old, new in changed:
            note(f"{self.__name__}({old}=)" if old.isidentifier() else f"{self.__name__}({old})", f"{new}")
        return self.__wrapped__(*positional, **arguments)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.__wrapped__,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.__wrapped__)

    def __subclasscheck__(self, subclass: Any) -> bool:
        return issubclass(subclass, self.__wrapped__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return f"<{self.__name__} of minicnn, with the old arguments of Keras>"
