"""Bringing arrays into the one form compiled code is made for: contiguous, flat and, for Numba, writable.

Every further form (a layout, a read-only flag) would be a further type, and each type costs seconds of compilation.
"""

from __future__ import annotations

import ctypes

import numpy as np

from ..noting import note

SUPPORTED = (np.dtype(np.float32), np.dtype(np.float64))


def floating(operation: str, array: np.ndarray) -> np.dtype:
    """The array's dtype, which must be float32 or float64."""
    if array.dtype not in SUPPORTED:
        raise TypeError(f"{operation}: the cpu kernels compute in float32 or float64, got {array.dtype}")
    return array.dtype


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array itself if it is C-contiguous, writable and of this dtype, else a copy (or, if read-only, an alias)."""
    given = array
    array = np.ascontiguousarray(given, dtype)
    if array is not given:
        note(np.copyto, array, given)
    if array.flags.writeable or not array.size:
        return array
    # Kernels never write to their inputs, but Numba has a type of its own for read-only arrays.
    memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    alias = np.frombuffer(memoryview(memory), dtype).reshape(array.shape)
    memory.owner = array  # type: ignore[attr-defined]
    return alias


def flat(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`contiguous`, as a vector."""
    return contiguous(array, dtype).reshape(-1)
