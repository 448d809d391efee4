"""Sums over rows and batch normalisation."""

from __future__ import annotations

import cupy
import numpy as np

from .arrays import Array, aligned, at_once, check_count, contiguous, divider, floating, launch, wide
from .loading import KEPT, REAL, Kernels

WIDTHS = (4, 1)  # columns to a thread

_sums = Kernels("columns.cu", "sum_columns", KEPT, ("Itself", "SquaredDistance", "TimesDistance"), WIDTHS)
_normalize = Kernels("columns.cu", "normalize", KEPT, WIDTHS)
_normalize_gradient = Kernels("columns.cu", "normalize_gradient", KEPT, WIDTHS)

# As columns.cu has it.
THREADS = 256
MOST_ACROSS = 32
# Rows of a thread: with fewer a launch of its own for their sums takes longer, with more their sum loses digits.
LEAST_ROWS, MOST_ROWS = 16, 256
# Blocks that fill any device of today.
WANTED_BLOCKS = 256


def _cut(rows: int, pieces: int) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Grid, block, and rows of a block, for so many rows of so many pieces, each a thread's.

    >>> _cut(50176, 8), _cut(128, 10)
    (((1, 98), (8, 32), 512), ((1, 1), (16, 16), 256))
    """
    across = min(1 << (pieces - 1).bit_length(), MOST_ACROSS)
    lines, groups = THREADS // across, -(-pieces // across)
    share = -(-rows * groups // (lines * WANTED_BLOCKS))
    block_rows = lines * min(max(share, LEAST_ROWS), MOST_ROWS)
    # Along the second axis a grid has room for few: of what `check_count` allows, rows never need half as many.
    return (groups, -(-rows // block_rows)), (across, lines), block_rows


def column_sums(x: Array, term: str = "Itself", factor: Array | None = None, mean: Array | None = None) -> Array:
    """The sum of a term of columns.cu over the rows of x (M, N), to (N,) of what kernels compute in.

    All arrays are `aligned`.
    """
    rows, columns = x.shape
    if not x.size:
        return cupy.zeros(columns, wide(x.dtype))
    width = at_once(columns)
    while True:
        grid, block, block_rows = _cut(rows, columns // width)
        sums = cupy.empty((grid[1], columns), wide(x.dtype))
        sizes = np.int32(rows), np.int32(columns // width), np.int32(block_rows)
        _sums[REAL[x.dtype], term, width](grid, block, (x, factor, mean, sums, *sizes))
        if len(sums) == 1:
            return sums[0]
        x, rows, term, factor, mean = sums, len(sums), "Itself", None, None


def sum_rows(x: Array) -> Array:
    """See `minicnn.kernels.sum_rows`."""
    dtype = floating("sum_rows", x, half=True)
    check_count("sum_rows", x.size)
    return column_sums(aligned(x, dtype))


def batch_moments(x: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.batch_moments`."""
    dtype = floating("batch_moments", x, half=True)
    check_count("batch_moments", x.size)
    x = aligned(x, dtype)
    mean = column_sums(x) / len(x)
    return mean, column_sums(x, "SquaredDistance", mean=mean) / len(x)


def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array:
    """See `minicnn.kernels.batch_norm`."""
    dtype = floating("batch_norm", x, half=True)
    check_count("batch_norm", x.size)
    scale = gamma / cupy.sqrt(variance + epsilon)
    vectors = (aligned(vector, wide(dtype)) for vector in (mean, scale, beta))
    y = cupy.empty(x.shape, dtype)
    width = at_once(x.shape[1])
    count, columns = y.size // width, divider(x.shape[1] // width)
    launch(_normalize[REAL[dtype], width], count, aligned(x, dtype), *vectors, y, np.int32(count), columns)
    return y


def batch_norm_gradients(
    gy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """See `minicnn.kernels.batch_norm_gradients`."""
    dtype = floating("batch_norm_gradients", gy, half=True)
    check_count("batch_norm_gradients", x.size)
    gy, x, mean = aligned(gy, dtype), aligned(x, dtype), aligned(mean, wide(dtype))
    gbeta = column_sums(gy)
    root = cupy.sqrt(variance + epsilon)
    ggamma = column_sums(x, "TimesDistance", gy, mean) / root
    by_gy = gamma / root
    factors = (by_gy, -by_gy * ggamma / (len(x) * root), -by_gy * gbeta / len(x))
    vectors = (aligned(factor, wide(dtype)) for factor in (mean, *factors))
    gx = cupy.empty(x.shape, dtype)
    width = at_once(x.shape[1])
    count, columns = gx.size // width, divider(x.shape[1] // width)
    launch(_normalize_gradient[REAL[dtype], width], count, gy, x, *vectors, gx, np.int32(count), columns)
    return gx, contiguous(ggamma, wide(dtype)), gbeta
