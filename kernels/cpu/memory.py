"""Arrays from reused memory.

A training step needs the same arrays again and again. Asking the system for megabytes each time is slow: every fresh
page costs a fault at its first touch, which can take longer than the arithmetic. `empty` hands out arrays over buffers
that are kept when an array dies and given to the next array of that size.

When is an array dead? When neither it nor any view of it is left. The array handed out lies directly on the buffer,
which is no array; NumPy then makes every view, and view of a view, hold that first array, so its end (seen through a
weak reference) is the end of them all.

What is recorded to be called again (`minicnn.kernels.recording`) has memory of its own, which nobody else is given
while the recording lasts. Within it, memory goes from array to array as in the step that was recorded: the replay does
the same in the same order.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..noting import under_way

# Smaller arrays come from NumPy: the C library reuses such memory by itself.
SMALLEST = 32 * 1024
ALIGNMENT = 64


class _Buffer(bytearray):
    """Memory, where it lies, where in it the first cache line begins, and whose it is."""

    __slots__ = ("address", "first_line", "owner")
    owner: weakref.ref[Pool]  # which holds the buffer while it is idle: a circle would wait for the garbage collector

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.address = np.frombuffer(self, np.uint8).ctypes.data
        self.first_line = -self.address % ALIGNMENT

    @property
    def nbytes(self) -> int:
        """Its size, as arrays call it."""
        return len(self)


class _Lease(weakref.ref):
    """A weak reference to an array handed out, which knows the buffer below it."""

    __slots__ = ("buffer",)
    buffer: _Buffer


class Pool:
    """Buffers by size; at most `limit` idle bytes are kept, the longest unused size goes first.

    Args:
        limit: in bytes.
        below: the pool that buffers come from, which does not get them back; None makes them.
    """

    def __init__(self, limit: float, below: Pool | None = None) -> None:
        self.limit = limit
        self.below = below
        self.idle_bytes = 0
        self._idle: OrderedDict[int, list[_Buffer]] = OrderedDict()
        self._leases: dict[int, _Lease] = {}  # by identity: weak references compare as their arrays do
        # Reentrant: a garbage collection inside the lock may end an array and come back here.
        self._lock = threading.RLock()

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
        """An uninitialised C-contiguous array, aligned to a cache line."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        buffer = self._take(_rounded(size + ALIGNMENT))
        array: np.ndarray = np.ndarray(shape, dtype, buffer, buffer.first_line)
        lease = _Lease(array, self._give_back)
        lease.buffer = buffer
        self._leases[id(lease)] = lease
        return array

    def _take(self, size: int) -> _Buffer:
        with self._lock:
            buffers = self._idle.get(size)
            if buffers:
                self.idle_bytes -= size
                buffer = buffers.pop()
                if not buffers:
                    del self._idle[size]
                return buffer
        buffer = _Buffer(size) if self.below is None else self.below._take(size)
        buffer.owner = weakref.ref(self)
        return buffer

    def _give_back(self, lease: _Lease) -> None:
        with self._lock:
            del self._leases[id(lease)]
            size = len(lease.buffer)
            self._idle.setdefault(size, []).append(lease.buffer)
            self._idle.move_to_end(size)
            self.idle_bytes += size
            while self.idle_bytes > self.limit:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        size, buffers = next(iter(self._idle.items()))
        buffers.pop(0)
        self.idle_bytes -= size
        if not buffers:
            del self._idle[size]

    def clear(self) -> None:
        """Give all idle memory back to the system."""
        with self._lock:
            self._idle.clear()
            self.idle_bytes = 0

    def untied(self, value: Any) -> Any:
        """For an array of this pool's, one over the same memory that does not keep it from being handed out again.

        Anything else stays what it is.
        """
        root = value
        while isinstance(getattr(root, "base", None), np.ndarray):
            root = root.base
        buffer = getattr(root, "base", None)
        if not isinstance(buffer, _Buffer) or buffer.owner() is not self:
            return value
        return np.ndarray(value.shape, value.dtype, buffer, value.ctypes.data - buffer.address, value.strides)


def _rounded(size: int) -> int:
    """The next size with four leading bits, so that sizes a little apart share buffers (an eighth is lost at most)."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


_pool = Pool(limit=1 << 30)
clear = _pool.clear


def empty(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """An uninitialised C-contiguous array, aligned to a cache line, of the recording's memory while one is made."""
    recording = under_way()
    if recording is None:
        return _pool.empty(shape, dtype)
    if recording.memory is None:
        recording.memory = Pool(math.inf, below=_pool)
    array: np.ndarray = recording.memory.empty(shape, dtype)
    return array
