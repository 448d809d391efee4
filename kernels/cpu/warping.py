"""Affine warps: every cell of the result is read where its coordinates lead to in the source.

A cell costs a few multiplications and four reads that the caches hold, whatever the matrix. Pictures are shared among
threads one by one; a picture alone is read by the thread that asked, which is what loaders want: they work on as many
pictures at once as they have threads.
"""

from __future__ import annotations

import numpy as np

from . import memory
from .arrays import contiguous, floating
from .cache import compiled, inlined
from .threads import share, take, threads_for

CONSTANT, NEAREST, REFLECT, WRAP = range(4)
FILL_MODES = {"constant": CONSTANT, "nearest": NEAREST, "reflect": REFLECT, "wrap": WRAP}
CELL_WORK = 16  # multiply-adds' worth of time to each cell, beside those for its channels


@inlined
def _bring_in(r, size, fill_mode):
    """The coordinate, brought to 0..size-1; nothing else may come out, or reads would leave the picture."""
    last = size - 1.0
    if 0 <= r <= last:
        return r
    if fill_mode == REFLECT:
        r = (-1 - r if r < 0 else r) % (2.0 * size)
        r = 2.0 * size - 1 - r if r >= size else r
    elif fill_mode == WRAP and size > 1:
        if r < 0:
            r += last * (np.trunc(-r / last) + 1)
        else:
            r -= last * np.trunc(r / last)
    r = r if r > 0 else 0.0  # in this form also where r is NaN
    return r if r < last else last


@compiled
def _warp(ticket, tiles, x, matrices, offsets, y, size, order, fill_mode, cval):
    H, W, C = size
    bottom, right = H - 1.0, W - 1.0
    n = take(ticket)
    while n < tiles:
        base, target = n * H * W * C, n * H * W * C
        across_r, across_s = matrices[n, 0, 1], matrices[n, 1, 1]
        for i in range(H):
            row_r, row_s = offsets[n, 0] + matrices[n, 0, 0] * i, offsets[n, 1] + matrices[n, 1, 0] * i
            for j in range(W):
                r, s = row_r + across_r * j, row_s + across_s * j
                if not (0 <= r <= bottom and 0 <= s <= right):
                    if fill_mode == CONSTANT:
                        for c in range(C):
                            y[target + c] = cval
                        target += C
                        continue
                    r, s = _bring_in(r, H, fill_mode), _bring_in(s, W, fill_mode)
                if order == 0:
                    source = base + (min(int(r + 0.5), H - 1) * W + min(int(s + 0.5), W - 1)) * C
                    for c in range(C):
                        y[target + c] = x[source + c]
                else:
                    p, q = int(r), int(s)
                    down, along = r - p, s - q
                    upper = base + (p * W + q) * C
                    lower = upper + W * C if p < H - 1 else upper
                    beside = C if q < W - 1 else 0
                    for c in range(C):
                        above = (1 - along) * x[upper + c] + along * x[upper + beside + c]
                        below = (1 - along) * x[lower + c] + along * x[lower + beside + c]
                        y[target + c] = (1 - down) * above + down * below
                target += C
        n = take(ticket)


def affine_warp(
    pictures: np.ndarray, matrices: np.ndarray, offsets: np.ndarray, *, order: int, fill_mode: str, cval: float
) -> np.ndarray:
    """Read pictures at affinely moved coordinates; see `minicnn.kernels`."""
    dtype = floating("affine_warp", pictures)
    N, H, W, C = pictures.shape
    y = memory.empty(pictures.shape, dtype)
    float64 = np.dtype(np.float64)
    share(
        _warp, N, threads_for(N * H * W * (CELL_WORK + 8 * C)), contiguous(pictures, dtype).reshape(-1),
        contiguous(matrices, float64), contiguous(offsets, float64), y.reshape(-1), (H, W, C), order,
        FILL_MODES[fill_mode], float(cval),
    )  # fmt: skip
    return y
