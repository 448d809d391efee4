"""Keras' functions that merge tensors: today's `add([a, b])` and its like, and Keras 1's `merge([a, b], mode=)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn import layers

from .notes import note

#: The layers that merge, and the function of each.
LAYERS = {
    "Add": "add",
    "Average": "average",
    "Concatenate": "concatenate",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Multiply": "multiply",
    "Subtract": "subtract",
}
_MODES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}


def _function(layer: str) -> Callable[..., Any]:
    def merged(inputs: Sequence[Any], **options: Any) -> Any:
        """Merge the tensors with the layer of that name."""
        return getattr(layers, layer)(**options)(list(inputs))

    return merged


def merge(inputs: Sequence[Any], mode: str = "sum", concat_axis: int = -1, name: str | None = None) -> Any:
    """Merge tensors as Keras 1 did; ValueError for a mode that is not answered."""
    note("merge(mode=)", f"{_MODES.get(mode, 'Add').lower()}()")
    if mode not in _MODES:
        raise ValueError(f"merge: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    options: dict[str, Any] = {"axis": concat_axis} if mode == "concat" else {}
    return getattr(layers, _MODES[mode])(name=name, **options)(list(inputs))


def names() -> dict[str, Any]:
    """The functions."""
    return {**{function: _function(layer) for layer, function in LAYERS.items()}, "merge": merge}
