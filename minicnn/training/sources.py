"""One array of samples, read in pieces.

A piece is gathered into a buffer of its own size, which is cast and used again for the next one, unless somebody still
holds a view of it; or into the memory that whoever reads it has for it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from minicnn.device import array_module, device_of
from minicnn.kernels.samples import Rows, take_rows


class Source:
    """One array, read in pieces, in the dtype wanted; where it lies on a GPU, so do the pieces.

    Attributes:
        stays: whether it lies on a GPU, in C order.
    """

    def __init__(self, array: Any, dtype: np.dtype) -> None:
        self.array = array
        self.dtype = dtype
        self.device = device_of(array)
        self.stays = self.device != "cpu" and array.flags.c_contiguous
        self._plain = _Buffer(array.shape[1:], array.dtype)
        self._cast = _Buffer(array.shape[1:], dtype)

    def take(self, order: Any, begin: int, size: int, room: np.ndarray | None = None) -> Any:
        """So many samples.

        Args:
            order: numbers of samples, where the array lies; None for all as they come.
            begin: the place in that order of the first.
            size: how many.
            room: gathered samples are put there, where that fits.
        """
        if order is None:
            return self._converted(self.array[begin : begin + size])
        if room is not None and (room.shape != (size, *self.array.shape[1:]) or room.dtype != self.dtype):
            room = None
        rows = Rows(self.array, order, begin)
        if not self.array.flags.c_contiguous:
            # Taking rows would copy the whole array into C order first.
            return self._converted(self.array[rows.find(size)], room)
        if self.device != "cpu":
            gathered = array_module(self.array).empty((size, *self.array.shape[1:]), self.dtype)
        elif room is not None and room.dtype == self.array.dtype:
            gathered = room
        else:
            gathered = self._plain.get(size)
        take_rows(rows, gathered)
        return self._converted(gathered, room)

    def _converted(self, piece: Any, room: np.ndarray | None = None) -> Any:
        if piece.dtype == self.dtype:
            return piece
        if self.device != "cpu":
            return piece.astype(self.dtype)
        result = self._cast.get(len(piece)) if room is None else room
        np.copyto(result, piece, casting="unsafe")
        return result


class _Buffer:
    """Memory for a batch, used again for the next one when nobody looks at it any more."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape = shape
        self._dtype = dtype
        self._held: list[np.ndarray] = []

    def get(self, size: int) -> np.ndarray:
        # Views keep the array they look into alive, so a count of two (the list, the argument) means none are left.
        if not self._held or len(self._held[0]) < size or sys.getrefcount(self._held[0]) > 2:
            self._held = [np.empty((size, *self._shape), self._dtype)]
        return self._held[0][:size]
