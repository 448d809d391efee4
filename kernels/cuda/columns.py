"""Sums over rows and batch normalisation."""

from __future__ import annotations

import cupy
import numpy as np

from .arrays import Array, check_count, contiguous, divider, floating, launch, wide
from .loading import KEPT, REAL, Kernels

_sums = Kernels("columns.cu", "sum_columns", KEPT, ("Itself", "SquaredDistance", "TimesDistance"))
_normalize = Kernels("columns.cu", "normalize", KEPT)
_normalize_gradient = Kernels("columns.cu", "normalize_gradient", KEPT)

# As columns.cu has them.
COLUMNS, LINES, BLOCK_ROWS = 32, 8, 256


def column_sums(x: Array, term: str = "Itself", factor: Array | None = None, mean: Array | None = None) -> Array:
    """The sum of a term of columns.cu over the rows of x (M, N), to (N,) of what kernels compute in."""
    rows, columns = x.shape
    if not x.size:
        return cupy.zeros(columns, wide(x.dtype))
    while True:
        blocks = -(-rows // BLOCK_ROWS)
        sums = cupy.empty((blocks, columns), wide(x.dtype))
        grid, block = (blocks, -(-columns // COLUMNS)), (COLUMNS, LINES)
        _sums[REAL[x.dtype], term](grid, block, (x, factor, mean, sums, np.int32(rows), np.int32(columns)))
        if blocks == 1:
            return sums[0]
        x, rows, term, factor, mean = sums, blocks, "Itself", None, None


def sum_rows(x: Array) -> Array:
    """See `minicnn.kernels.sum_rows`."""
    dtype = floating("sum_rows", x, half=True)
    check_count("sum_rows", x.size)
    return column_sums(contiguous(x, dtype))


def batch_moments(x: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.batch_moments`."""
    dtype = floating("batch_moments", x, half=True)
    check_count("batch_moments", x.size)
    x = contiguous(x, dtype)
    mean = column_sums(x) / len(x)
    return mean, column_sums(x, "SquaredDistance", mean=mean) / len(x)


def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array:
    """See `minicnn.kernels.batch_norm`."""
    dtype = floating("batch_norm", x, half=True)
    check_count("batch_norm", x.size)
    scale = gamma / cupy.sqrt(variance + epsilon)
    vectors = (contiguous(vector, wide(dtype)) for vector in (mean, scale, beta))
    y = cupy.empty(x.shape, dtype)
    columns = divider(x.shape[1])
    launch(_normalize[REAL[dtype]], y.size, contiguous(x, dtype), *vectors, y, np.int32(y.size), columns)
    return y


def batch_norm_gradients(
    gy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """See `minicnn.kernels.batch_norm_gradients`."""
    dtype = floating("batch_norm_gradients", gy, half=True)
    check_count("batch_norm_gradients", x.size)
    gy, x, mean = contiguous(gy, dtype), contiguous(x, dtype), contiguous(mean, wide(dtype))
    gbeta = column_sums(gy)
    root = cupy.sqrt(variance + epsilon)
    ggamma = column_sums(x, "TimesDistance", gy, mean) / root
    by_gy = gamma / root
    factors = (by_gy, -by_gy * ggamma / (len(x) * root), -by_gy * gbeta / len(x))
    vectors = (contiguous(factor, wide(dtype)) for factor in (mean, *factors))
    gx = cupy.empty(x.shape, dtype)
    columns = divider(x.shape[1])
    launch(_normalize_gradient[REAL[dtype]], gx.size, gy, x, *vectors, gx, np.int32(gx.size), columns)
    return gx, contiguous(ggamma, wide(dtype)), gbeta
