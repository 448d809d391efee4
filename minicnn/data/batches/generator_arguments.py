"""Checking what `ImageDataGenerator` is given; each function raises ValueError for what it does not take."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(name: str, value: Any) -> Any:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise ValueError(f"ImageDataGenerator: {name}: expected a finite number, got {value!r}")
    return value


def pair(name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers."""
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
        raise ValueError(f"ImageDataGenerator: {name}: expected two numbers, got {value!r}")
    return number(name, value[0]), number(name, value[1])


def zooms(value: Any) -> list[float]:
    """A range of zooms, from a pair or from a distance from 1."""
    if isinstance(value, (tuple, list, np.ndarray)):
        return list(pair("zoom_range", value))
    return [1 - number("zoom_range", value), 1 + value]


def shifts(name: str, value: Any) -> Any:
    """A float, an int of at least 0, or an array of amounts (N,), at least one."""
    if np.ndim(value) == 0:
        pixels = number(name, value)
        if isinstance(pixels, (int, np.integer)) and pixels < 0:
            raise ValueError(f"ImageDataGenerator: {name}: expected whole pixels of at least 0, got {value!r}")
        return int(pixels) if isinstance(pixels, (int, np.integer)) else float(pixels)
    amounts = np.asarray(value)
    if amounts.ndim != 1 or not amounts.size or amounts.dtype.kind not in "iuf" or not np.isfinite(amounts).all():
        raise ValueError(f"ImageDataGenerator: {name}: expected a number or a list of numbers, got {value!r}")
    return amounts


def share(value: Any) -> float:
    """A share, from 0 and below 1."""
    if not 0 <= number("validation_split", value) < 1:
        raise ValueError(f"ImageDataGenerator: validation_split: expected 0 <= share < 1, got {value!r}")
    return float(value)


def order(value: Any) -> int:
    """An order of interpolation that the kernels have."""
    if value not in (0, 1):
        raise ValueError(f"ImageDataGenerator: interpolation_order: expected 0 (nearest) or 1 (linear), got {value!r}")
    return int(value)


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype of batches; float32 where None."""
    wanted = np.dtype("float32" if dtype is None else dtype)
    if wanted not in (np.dtype("float32"), np.dtype("float64")):
        raise ValueError(f"ImageDataGenerator: dtype: expected float32 or float64, got {wanted}")
    return wanted
