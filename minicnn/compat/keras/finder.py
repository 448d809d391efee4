"""Importing modules that are not there: `keras`, `tensorflow` and a few more, answered from a table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from minicnn.errors import nearest_names

#: Names of a module: an object, or "module:attribute", which is imported when it is asked for.
Names = Mapping[str, Any]


class Answered(ModuleType):
    """A module whose names come from a table."""

    def __init__(self, name: str, names: Names, submodules: list[str]) -> None:
        super().__init__(name, f"{name}, as far as minicnn answers it.")
        self.__path__: list[str] = []
        self.__all__ = sorted({name for name in names if not name.startswith("_")} | set(submodules))
        self._names = names
        self._submodules = submodules

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            value = self._names[name]
            if isinstance(value, str) and ":" in value:
                module, attribute = value.split(":")
                value = getattr(importlib.import_module(module), attribute)
            setattr(self, name, value)
            return value
        if name in self._submodules:
            return importlib.import_module(f"{self.__name__}.{name}")
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(missing(self.__name__, name, self.__all__))

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self.__all__])


def missing(module: str, name: str, known: list[str]) -> str:
    """Say that a module has no such name here, and what is nearest to it."""
    nearest = nearest_names(name, known)
    hint = f"; the nearest there is: {', '.join(nearest)}" if nearest else f"; there are: {', '.join(known)}"
    return f"minicnn answers {module} without {name!r}{hint}"


class Finder(MetaPathFinder, Loader):
    """Finds the modules of a table, and says what is near to those below them that it does not have.

    Args:
        table: names of each module, by the module's full name; every parent must be there too.
    """

    def __init__(self, table: Mapping[str, Names]) -> None:
        self.table = table
        self.roots = {name.partition(".")[0] for name in table}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Answer for all that lies below the table's roots."""
        root, _, below = fullname.partition(".")
        if root not in self.roots:
            return None
        if fullname in self.table:
            return ModuleSpec(fullname, self, is_package=True)
        parent, _, name = fullname.rpartition(".")
        # Without a name of its own, or `from keras.layers import X` would swallow the message.
        known = [*self.table.get(parent, {}), *self._submodules(parent)]
        raise ModuleNotFoundError(missing(parent, name, sorted(known)))

    def _submodules(self, fullname: str) -> list[str]:
        return [name.rpartition(".")[2] for name in self.table if name.rpartition(".")[0] == fullname]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module."""
        return Answered(spec.name, self.table[spec.name], self._submodules(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs: names are looked up when they are asked for."""


@contextmanager
def answering(finder: Finder) -> Iterator[None]:
    """Ask this finder first for a while; what was imported of its roots before is put aside and comes back after."""
    aside = _take_out(finder.roots)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _take_out(finder.roots)
        sys.modules.update(aside)


def _take_out(roots: set[str]) -> dict[str, ModuleType]:
    taken = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}
    for name in taken:
        del sys.modules[name]
    return taken
