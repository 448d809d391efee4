"""Samples on their way into a batch: gathered, looked through for NaN and infinities, labels made one-hot."""

from __future__ import annotations

import numpy as np

from .arrays import contiguous
from .cache import compiled
from .threads import share, take, threads_for

BLOCK = 16 * 1024  # elements to a tile
# The bits of an exponent that only NaN and the infinities have all set (IEEE 754, section 3.4).
_EXPONENT = {np.dtype(np.float32): np.int32(0x7F800000), np.dtype(np.float64): np.int64(0x7FF << 52)}


@compiled
def _take_rows(ticket, tiles, source, indices, target, rows):
    tile = take(ticket)
    while tile < tiles:
        for n in range(tile * rows, min((tile + 1) * rows, len(indices))):
            row, place = source[indices[n]], target[n]
            for i in range(place.size):
                place[i] = row[i]
        tile = take(ticket)


def take_rows(source: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """out[n] = source[indices[n]]; all C-contiguous, the first and the last of one dtype, indices (N,) of int64."""
    rows = max(1, BLOCK * len(out) // out.size)
    if not source.flags.writeable:
        source = contiguous(source, source.dtype)
    source, target = source.reshape(len(source), -1), out.reshape(len(out), -1)
    share(_take_rows, -(-len(out) // rows), threads_for(out.nbytes), source, indices, target, rows)


@compiled
def _find_not_finite(ticket, tiles, bits, exponent, found):
    tile = take(ticket)
    while tile < tiles:
        block = bits[tile * BLOCK : (tile + 1) * BLOCK]
        # Integers, whose sums the compiler may take in any order.
        count = 0
        for i in range(block.size):
            count += (block[i] & exponent) == exponent
        if count:
            found[0] = 1
        tile = take(ticket)


def is_finite(array: np.ndarray) -> bool:
    """Whether no entry of a C-contiguous array, float32 or float64, is NaN or infinite."""
    found = np.zeros(1, np.int64)
    exponent = _EXPONENT[array.dtype]
    if not array.flags.writeable:
        array = contiguous(array, array.dtype)
    bits = array.reshape(-1).view(exponent.dtype)
    share(_find_not_finite, -(-bits.size // BLOCK), threads_for(array.nbytes), bits, exponent, found)
    return not found[0]


@compiled
def _one_hot(ticket, tiles, labels, out, outside):
    if take(ticket) < tiles:
        K = out.shape[1]
        out[:] = 0
        for n in range(labels.size):
            if 0 <= labels[n] < K:
                out[n, labels[n]] = 1
            else:
                outside[0] = 1


def one_hot(labels: np.ndarray, out: np.ndarray, outside: np.ndarray) -> None:
    """out[n, k] = 1 where k = labels[n], else 0; outside[0] = 1 if a label is none of 0..K-1.

    labels: (N,) of int64. out: (N, K). All three C-contiguous.
    """
    share(_one_hot, 1, 1, labels, out, outside)
