"""Freezing as Keras 2 has it: what a model trains is settled when it is compiled.

So scripts of generators and discriminators freeze the discriminator after they have compiled it, and before they
compile the model that it is a part of: by itself it goes on learning, and within the other it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from minicnn.layers import Layer
from minicnn.models import Model
from minicnn.parameter import Parameter
from minicnn.saving.weights import walk_layers

# For each model, by its layers' and weights' ids, whether they were trainable.
_SETTLED: WeakKeyDictionary[Model, dict[int, bool]] = WeakKeyDictionary()


def _parts(model: Model) -> list[Layer | Parameter]:
    """A model, its layers and its weights."""
    return [*(layer for _, layer in walk_layers(model)), *model.weights]


def settling(original: Callable[..., None]) -> Callable[..., None]:
    """`Model.compile`, which notes what is trainable."""

    def compile(self: Model, *args: Any, **arguments: Any) -> None:
        original(self, *args, **arguments)
        _SETTLED[self] = {id(part): part.trainable for part in _parts(self)}

    return compile


def as_settled(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that trains, with what was trainable when the model was compiled."""

    def method(self: Model, *args: Any, **arguments: Any) -> Any:
        with _settled(self):
            return original(self, *args, **arguments)

    return method


@contextmanager
def _settled(model: Model) -> Iterator[None]:
    settled = _SETTLED.get(model, {})
    changed = [part for part in _parts(model) if settled.get(id(part), part.trainable) != part.trainable]
    _turn(changed)
    try:
        yield
    finally:
        _turn(changed)


def _turn(parts: list[Layer | Parameter]) -> None:
    """Freeze what is trainable, and the other way round."""
    for part in parts:
        if isinstance(part, Layer):
            # Not `trainable`, which would set everything below it, too.
            part._trainable = not part._trainable
        else:
            part.trainable = not part.trainable
