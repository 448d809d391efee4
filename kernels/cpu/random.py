"""Dropout masks from Philox 4x32-10, a counter-based generator.

There is no state to carry along: block i of four random words is a function of (key, i) alone, ten rounds of
multiplying, swapping and mixing in the key. Any thread can make any part of a mask, and the mask is always the same.
(Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011, section 3.3.)
"""

from __future__ import annotations

import numpy as np

from ..varying import vary
from . import memory
from .arrays import floating
from .cache import compiled
from .threads import share, take, threads_for

BLOCKS = 1024  # of four words, to a tile

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@compiled
def _draw_mask(ticket, tiles, mask, key, step, threshold, kept):
    """Words are kept in 64-bit integers, whose upper half is what a product of two words carries over."""
    zero = mask.dtype.type(0)
    words = np.empty(4, np.uint64)
    tile = take(ticket)
    while tile < tiles:
        for block in range(tile * BLOCKS, min((tile + 1) * BLOCKS, (mask.size + 3) // 4)):
            counter = np.uint64(block)
            c0, c1, c2, c3 = counter & LOW, counter >> HALF, step & LOW, step >> HALF
            k0, k1 = key & LOW, key >> HALF
            for _ in range(10):
                left, right = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
                c0, c2 = (right >> HALF) ^ c1 ^ k0, (left >> HALF) ^ c3 ^ k1
                c1, c3 = right & LOW, left & LOW
                k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
            words[0], words[1], words[2], words[3] = c0, c1, c2, c3
            for lane in range(min(4, mask.size - 4 * block)):
                mask[4 * block + lane] = kept if words[lane] >= threshold else zero
        tile = take(ticket)


def dropout_mask(like: np.ndarray, rate: float, *, key: int, step: int) -> np.ndarray:
    """0 with probability `rate`, else 1 / (1 - rate), in the shape and dtype of `like`; see `minicnn.kernels`."""
    dtype = floating("dropout_mask", like)
    mask = memory.empty(like.shape, dtype)
    threshold, kept = np.uint64(round(rate * 2**32)), dtype.type(1) / dtype.type(1 - rate)
    tiles = -(-mask.size // (4 * BLOCKS))
    threads = threads_for(8 * mask.size)
    share(_draw_mask, tiles, threads, mask.reshape(-1), np.uint64(key), vary(np.uint64, step), threshold, kept)
    return mask
