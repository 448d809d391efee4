"""Bringing arrays and numbers into the form that kernels take, and threads to elements."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cupy
import numpy as np

from ..dispatch import MIXED
from ..floats import is_half
from ..varying import Number
from .loading import REAL

# CuPy's array.
Array = Any

THREADS = 256
# Enough blocks to fill any device many times over; each thread then walks through several elements.
MOST_BLOCKS = 1 << 16
# What 32-bit indices can count, with room for a step beyond the end.
MOST_ELEMENTS = 1 << 30

# `Number` of common.cuh.
NUMBERS = {
    np.dtype(kind): np.dtype([("value", kind), ("place", np.uint64)], align=True)
    for kind in (np.float32, np.float64, np.uint64)
}
DIVIDER = np.dtype([("divisor", np.uint32), ("magic", np.uint32), ("shift", np.uint32)])


def floating(operation: str, array: Array, half: bool = False) -> np.dtype:
    """The array's dtype, which must be float32 or float64, or of 16 bits where the kernel takes that."""
    kinds = "bfloat16, float16, float32 or float64" if half else "float32 or float64"
    if array.dtype not in REAL or array.dtype.name not in kinds:
        raise TypeError(f"{operation}: the cuda kernels compute in {kinds}, got {array.dtype}")
    return array.dtype


def wide(dtype: np.dtype) -> np.dtype:
    """What kernels compute in, and weights and their gradients are, where activations have this dtype."""
    return np.dtype(np.float32) if is_half(dtype) else dtype


def on_device(array: Array) -> Array:
    """The array, if it is CuPy's: nothing is copied to the device behind the user's back."""
    if not isinstance(array, cupy.ndarray):
        raise TypeError(MIXED)
    return array


def contiguous(array: Array, dtype: Any) -> Array:
    """The array itself if it is C-contiguous and of this dtype, else a copy that is."""
    whole = cupy.ascontiguousarray(on_device(array), dtype)
    return whole if array.ndim else whole.reshape(())  # CuPy gives what has no axes one


def is_aligned(array: Array) -> bool:
    """Whether 16 bytes may be read at once from where the array begins, as from all but some views."""
    return bool(array.data.ptr % 16 == 0)


def aligned(array: Array, dtype: Any) -> Array:
    """As `contiguous`, and a copy too unless the array `is_aligned`."""
    array = contiguous(array, dtype)
    return array if is_aligned(array) else array.copy()


def at_once(count: int) -> int:
    """How many of `count` numbers in a row a thread reads at once.

    The shape alone decides, so that an array and a view with the same numbers give the same bits.
    """
    return 1 if count % 4 else 4


def check_count(operation: str, count: int) -> None:
    """Refuse what 32-bit indices cannot count."""
    if count > MOST_ELEMENTS:
        raise ValueError(
            f"{operation}: an array of {count:,} numbers is too large for the cuda kernels, which take up to "
            f"{MOST_ELEMENTS:,}; use a smaller batch"
        )


def launch(function: Any, count: int, *arguments: Any) -> None:
    """Run an elementwise kernel over `count` elements, of which there may be none."""
    if count:
        function((min(-(-count // THREADS), MOST_BLOCKS),), (THREADS,), arguments)


def number(value: Any, dtype: Any) -> np.ndarray:
    """A `Number` of common.cuh."""
    record = np.zeros((), NUMBERS[np.dtype(dtype)])
    if isinstance(value, Number):
        record["place"] = value.place(dtype)
    else:
        record["value"] = value
    return record


@lru_cache(maxsize=4096)
def divider(number: int) -> np.ndarray:
    """A `Divider` of common.cuh: n // number as (umulhi(n, magic) + n) >> shift, for 0 <= n < 2**31.

    >>> d = divider(7)
    >>> (((100 * int(d["magic"])) >> 32) + 100) >> int(d["shift"])
    14
    """
    number = max(number, 1)  # nothing is divided where an axis is empty
    shift = math.ceil(math.log2(number))
    magic = ((1 << 32) * ((1 << shift) - number)) // number + 1
    return np.array((number, magic, shift), DIVIDER)
