"""Where an optimizer keeps its parameters: side by side, so that its step is one sweep over contiguous memory."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np


class Arena:
    """One flat buffer that holds the values of several parameters, and one that holds their gradients.

    An optimizer moves its parameters into an arena so that its step is one sweep over contiguous memory. The
    parameters keep the arena alive; it outlives the optimizer, and a second optimizer finds them there.

    Args:
        sizes: the number of entries of each parameter.
        dtype: of all of them.
        device: "cpu" or "cuda".

    Attributes:
        data, gradient: arrays (n,) of that dtype on that device.
        offsets: where the place of each parameter begins in them.
    """

    # Segments start on cache-line boundaries, which is also the widest vector; the gaps stay zero.
    alignment = 64

    def __init__(self, sizes: Sequence[int], dtype: Any, device: str = "cpu"):
        self.offsets: list[int] = []
        step = self.alignment // np.dtype(dtype).itemsize
        total = 0
        for size in sizes:
            self.offsets.append(total)
            total += -(-size // step) * step
        self.data = aligned_zeros(total, dtype, device)
        self.gradient = aligned_zeros(total, dtype, device)


def aligned_zeros(size: int, dtype: Any, device: str = "cpu") -> Any:
    """Give a 1-D array of `size` zeros that starts on a cache-line boundary."""
    dtype = np.dtype(dtype)
    if device == "cuda":
        # CuPy's memory begins at multiples of 512 bytes.
        return importlib.import_module("cupy").zeros(size, dtype)
    spare = Arena.alignment // dtype.itemsize
    buffer = np.zeros(size + spare, dtype)
    start = (-buffer.ctypes.data % Arena.alignment) // dtype.itemsize
    return buffer[start : start + size]
