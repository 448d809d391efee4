"""Batches on their way to a GPU while it still computes with the one before.

A copy from ordinary memory is waited for: the driver brings it piece by piece into memory of its own that the GPU can
reach. So batches are gathered in such memory ("pinned"), and copied from there on a stream of their own. There are two
places for batches, on the host as on the GPU: one is filled while the other is read.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# Where CuPy's arrays begin.
ALIGNMENT = 512


def offsets(arrays: Sequence[Any]) -> tuple[list[int], int]:
    """Where arrays begin that are packed into one, and how many bytes it has.

    >>> offsets([np.zeros(3), np.zeros((2, 100))])
    ([0, 512], 2112)
    """
    begins, end = [], 0
    for array in arrays:
        begins.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = begins[-1] + array.nbytes
    return begins, end


def unpack(memory: Any, arrays: Sequence[Any]) -> list[Any]:
    """Views of packed bytes, shaped like these arrays."""
    begins, _ = offsets(arrays)
    return [
        memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        for begin, array in zip(begins, arrays, strict=True)
    ]


class Uploads:
    """Brings arrays to the current GPU, all of a batch in one copy."""

    def __init__(self) -> None:
        self._slots = [_Slot(), _Slot()]
        self._stream = importlib.import_module("cupy").cuda.Stream(non_blocking=True)

    def send(self, arrays: Sequence[np.ndarray]) -> Any:
        """The arrays packed on the GPU (see `unpack`): to be read by what is asked for before the next but one call."""
        current = _current_stream()
        size = offsets(arrays)[1]
        slot = self._fill(arrays, size, current)
        if not size:
            return slot.device[:0]
        self._stream.wait_event(slot.read)
        slot.device[:size].set(slot.host[:size], stream=self._stream)
        slot.sent.record(self._stream)
        current.wait_event(slot.sent)
        return slot.device[:size]

    def send_small(self, arrays: Sequence[np.ndarray], target: Any) -> None:
        """Pack arrays into memory that the current stream works on: one copy, when what it was asked before is done.

        What is so small that the GPU hardly waits for it, where `send` would need a second copy.
        """
        current = _current_stream()
        slot = self._fill(arrays, target.nbytes, current)
        target.set(slot.host[: target.nbytes], stream=current)
        slot.sent.record(current)

    def _fill(self, arrays: Sequence[np.ndarray], size: int, current: Any) -> _Slot:
        """The next slot, with the arrays in its pinned memory."""
        slot, before = self._slots
        self._slots.reverse()
        # What was asked for since then reads what was sent last.
        before.read.record(current)
        if size:
            # The last copy out of this pinned memory may still be under way.
            slot.sent.synchronize()
            slot.grow(size, current)
        for place, array in zip(unpack(slot.host, arrays), arrays, strict=True):
            np.copyto(place, array)
        return slot


def _current_stream() -> Any:
    return importlib.import_module("cupy").cuda.get_current_stream()


class _Slot:
    """Room for a batch on either side.

    Attributes:
        sent: when it was last copied to the GPU.
        read: when the GPU had last read it.
    """

    def __init__(self) -> None:
        cuda = importlib.import_module("cupy").cuda
        self.sent, self.read = cuda.Event(disable_timing=True), cuda.Event(disable_timing=True)
        self._allocate(ALIGNMENT)

    def _allocate(self, size: int) -> None:
        cupy = importlib.import_module("cupy")
        self.host = np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        self.device = cupy.empty(size, np.uint8)

    def grow(self, size: int, current: Any) -> None:
        """Make room for so many bytes."""
        if size > len(self.host):
            self._allocate(2 ** math.ceil(math.log2(size)))
            # Its memory may have been another array's, which the current stream still works on.
            self.read.record(current)
