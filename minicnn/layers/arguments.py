"""What arguments of layers may be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minicnn.functional.geometry import is_whole
from minicnn.layers.holding import Holder
from minicnn.layers.shapes import Shape


def positive(value: Any, argument: str, layer: Holder) -> int:
    """The value as an int; ValueError naming the argument unless it is a whole number above 0."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{layer.describe()}: {argument} must be a whole number above 0, but {value!r} came")
    return int(value)


def number(value: Any, argument: str, layer: Holder, *, least: float, most: float = math.inf) -> float:
    """The value as a float; ValueError naming the argument unless it is a number from `least` to `most`."""
    if not isinstance(value, (int, float, np.number)) or not least <= value <= most:
        wanted = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{layer.describe()}: {argument} must be a number {wanted}, but {value!r} came")
    return float(value)


def whole_axis(axis: Any, layer: Holder) -> int:
    """The axis as an int, also from a list of one, as Keras 2 has it; ValueError for anything else."""
    value = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    if not is_whole(value):
        raise ValueError(f"{layer.describe()}: axis must be a whole number, but {axis!r} came")
    return int(value)


def sample_shape_of(shape: Any, argument: str, layer: Holder) -> Shape:
    """A size or a sequence of sizes, None where open, as a tuple; ValueError naming the argument for anything else."""
    sizes = [shape] if is_whole(shape) or not isinstance(shape, Iterable) else list(shape)
    if shape is None or not all(size is None or (is_whole(size) and size >= 0) for size in sizes):
        raise ValueError(
            f"{layer.describe()}: {argument} must hold the sizes of one sample, None where open, but {shape!r} came"
        )
    return tuple(None if size is None else int(size) for size in sizes)
