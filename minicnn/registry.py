"""From names to classes: what lets `compile("adam")` and a model file find what they mean.

Each kind of thing (layers, losses, optimizers, ...) has one registry, on the floor where its classes live. It
is also the allow-list for files: loading a model can make only what is registered, and so never runs code of
the file.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from minicnn.errors import fold, unknown_name

Entry = TypeVar("Entry", bound=Callable[..., Any])
Self = TypeVar("Self", bound="Configurable")


def snake_case(name: str) -> str:
    """Turn a class name into the name that Keras gives its objects.

    >>> snake_case("MeanSquaredError"), snake_case("KLDivergence"), snake_case("VGG16"), snake_case("Conv2DTranspose")
    ('mean_squared_error', 'kl_divergence', 'vgg16', 'conv2d_transpose')
    """
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


@functools.cache
def arguments_of(entry: Any) -> frozenset[str]:
    """Give the names of the arguments that a class, or one that it passes further options to, takes."""
    found: set[str] = set()
    for base in inspect.getmro(entry) if inspect.isclass(entry) else ():
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        found |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return frozenset(found - {"self"})


class Configurable:
    """Something whose attributes are called as the arguments of its constructor, so that files can carry it.

    A class that keeps an argument under another name, or not as JSON has it, overrides `get_config`.
    """

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make an equal object."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        named = (p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self")
        return {name: getattr(self, name) for name in named}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` gave."""
        return cls(**config)


class Registry:
    """Classes and functions of one kind under their names.

    Spelling is forgiving: ``"MeanSquaredError"``, ``"mean_squared_error"`` and ``"mean-squared-error"`` are
    one name.

    Args:
        kind: what messages call the things in it, such as "layer".

    >>> shapes = Registry("shape")
    >>> @shapes.register("box")
    ... class Square:
    ...     def __init__(self, side=1):
    ...         self.side = side
    ...     def get_config(self):
    ...         return {"side": self.side}
    >>> shapes.get("square").side, shapes.get("box").side
    (1, 1)
    >>> shapes.serialize(Square(3))
    {'class_name': 'Square', 'config': {'side': 3}}
    >>> shapes.get({"class_name": "Square", "config": {"side": 3}}).side
    3
    >>> shapes.get("sqare")
    Traceback (most recent call last):
    ValueError: unknown shape 'sqare'; did you mean 'Square'?
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def register(self, *aliases: str) -> Callable[[Entry], Entry]:
        """Make a decorator that registers a class or function under its own name and `aliases`.

        Raises:
            ValueError: what it decorates has a name that another object has already.
        """

        def decorate(entry: Entry) -> Entry:
            self.add(entry, *aliases)
            return entry

        return decorate

    def add(self, entry: Callable[..., Any], *aliases: str) -> None:
        """Register `entry` under its own name and `aliases`; the first is the name that files carry.

        Raises:
            ValueError: another object has one of the names already.
        """
        for name in (entry.__name__, *aliases):
            taken = self._entries.setdefault(fold(name), entry)
            if taken is not entry:
                raise ValueError(f"{self.kind} {name!r} is already registered, for {taken!r}")
            self._names.setdefault(fold(name), name)

    def names(self) -> list[str]:
        """Give every name and alias, sorted."""
        return sorted(self._names.values())

    def __contains__(self, name: str) -> bool:
        return fold(name) in self._entries

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Give the class or function called `name`.

        Raises:
            ValueError: there is none; the message has the nearest names.
        """
        if custom_objects and name in custom_objects:
            return custom_objects[name]
        try:
            return self._entries[fold(name)]
        except KeyError:
            known = [*self.names(), *(custom_objects or ())]
            raise ValueError(unknown_name(self.kind, name, known)) from None

    def get(self, identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Turn an identifier into an object. A class, given or named, is instantiated without arguments.

        Args:
            identifier: None (stays None), a name, a class, a dictionary from `serialize`, or the object itself.
            custom_objects: further names, as they are spelled, for this call only.

        Raises:
            TypeError: the identifier is something else, or the class takes other arguments.
            ValueError: an unknown name, or a dictionary that `serialize` cannot have given.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str):
            return self._make(identifier, self.find(identifier, custom_objects), {})
        if isinstance(identifier, Mapping):
            return self._deserialize(identifier, custom_objects)
        if inspect.isclass(identifier):
            return self._make(identifier.__name__, identifier, {})
        if callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise TypeError(
            f"{self.kind}: expected a name, an object, a class or a dictionary with class_name and config, "
            f"got {identifier!r} of type {type(identifier).__name__}"
        )

    def serialize(self, item: Any) -> Any:
        """Turn an object into what `get` accepts and JSON can carry.

        A function becomes its registered name, an object ``{"class_name": ..., "config": ...}``. A function of the
        user's own becomes its own name, by which loading finds it among the custom objects.

        Raises:
            ValueError: an object that is not registered, or a function that is not and has no name of its own.
        """
        if item is None:
            return None
        if inspect.isfunction(item) and item.__name__ != "<lambda>" and item.__name__ not in self:
            return item.__name__
        entry = item if inspect.isfunction(item) or inspect.isclass(item) else type(item)
        name = self.name_of(entry)
        return name if entry is item else {"class_name": name, "config": item.get_config()}

    def name_of(self, entry: Any) -> str:
        """Give the name under which a class or function was registered first.

        Raises:
            ValueError: it is not registered.
        """
        for key, registered in self._entries.items():
            if registered is entry:
                return self._names[key]
        name = getattr(entry, "__name__", repr(entry))
        raise ValueError(
            f"{self.kind} {name!r} is not registered, so no file can name it; "
            f"decorate it with the register() of its kind's registry"
        )

    def _deserialize(self, description: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
        name, config = description.get("class_name"), description.get("config", {})
        if not isinstance(name, str) or not isinstance(config, Mapping):
            raise ValueError(
                f"{self.kind}: expected a dictionary with class_name (a string) and config (a dictionary), "
                f"got {dict(description)!r}"
            )
        return self._make(name, self.find(name, custom_objects), config)

    def _make(self, name: str, entry: Any, config: Mapping[str, Any]) -> Any:
        if not inspect.isclass(entry):
            if config:
                raise ValueError(f"{self.kind} {name!r} is a function and takes no config, got {dict(config)!r}")
            return entry
        try:
            return entry.from_config(dict(config)) if hasattr(entry, "from_config") else entry(**config)
        except TypeError as error:
            raise TypeError(f"{self.kind} {name!r}: {error}") from error


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to what a list or a dictionary by output name holds; serialized objects count as one thing."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [map_leaves(item, function) for item in value]
    if isinstance(value, Mapping) and "class_name" not in value:
        return {key: map_leaves(item, function) for key, item in value.items()}
    return function(value)
