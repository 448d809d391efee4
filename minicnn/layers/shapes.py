"""Shapes of what goes into layers and comes out: one tuple, or a list of them where there are several tensors."""

from __future__ import annotations

from typing import Any

Shape = tuple[int | None, ...]


def normal_shapes(shape: Any) -> Any:
    """A shape as a tuple of ints and None; a list or tuple of shapes as a list of them."""
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [tuple(s) for s in shape]
    return tuple(shape)


def is_shape_list(shape: Any) -> bool:
    """Whether this is the list of shapes of several inputs rather than one shape."""
    return isinstance(shape, list)
