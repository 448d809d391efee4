"""Batch normalisation: each array is read as few times as the sums allow, and nothing of its size is stored between.

Channels are the columns of a matrix. Where there are few, several rows stand side by side as one long row, so that
vectors are full; their sums are merged at the end. Blocks of rows are small enough for the second look at them to come
from the cache, which makes the variance exact (no difference of large squares) although x is read from memory once.
"""

from __future__ import annotations

import numpy as np

from . import memory
from .arrays import flat, floating
from .cache import compiled
from .threads import share, take, threads_for

LANES = 64  # columns that a row should have at least
BLOCK_ROWS = 64  # of LANES numbers: fits the first-level cache twice


def _side_by_side(channels: int) -> int:
    """How many rows are taken as one."""
    return max(1, LANES // channels)


def _merge(sums: np.ndarray, channels: int) -> np.ndarray:
    """Sums (blocks, rows side by side * C) to (C,), in float64."""
    total: np.ndarray = sums.reshape(-1, channels).sum(axis=0, dtype=np.float64)
    return total


@compiled
def _block_moments(ticket, tiles, x, means, squares, counts, rows):
    """For each block and column: how many numbers there are, their mean, and their squared distances from it."""
    columns = means.shape[1]
    zero = x.dtype.type(0)
    tile = take(ticket)
    while tile < tiles:
        mean, square, count = means[tile], squares[tile], counts[tile]
        first, last = tile * BLOCK_ROWS, min((tile + 1) * BLOCK_ROWS, rows)
        for c in range(columns):
            mean[c], square[c] = zero, zero
            count[c] = (min(x.size, last * columns) - first * columns - c + columns - 1) // columns
        for i in range(first, last):
            row = x[i * columns : min((i + 1) * columns, x.size)]
            for c in range(row.size):
                mean[c] += row[c]
        for c in range(columns):
            mean[c] /= max(count[c], 1)
        for i in range(first, last):
            row = x[i * columns : min((i + 1) * columns, x.size)]
            for c in range(row.size):
                distance = row[c] - mean[c]
                square[c] += distance * distance
        tile = take(ticket)


def batch_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each column of x (M, C); blocks are merged as Chan, Golub and LeVeque (1983) do."""
    dtype = floating("batch_moments", x)
    M, C = x.shape
    columns = _side_by_side(C) * C
    rows = -(-x.size // columns)
    tiles = -(-rows // BLOCK_ROWS)
    means, squares = memory.empty((tiles, columns), dtype), memory.empty((tiles, columns), dtype)
    counts = np.empty((tiles, columns), np.int64)
    share(_block_moments, tiles, threads_for(2 * x.nbytes), flat(x, dtype), means, squares, counts, rows)
    mean = _merge(means * counts, C) / M
    away = means.reshape(-1, C) - mean
    variance = (_merge(squares, C) + (counts.reshape(-1, C) * away * away).sum(axis=0)) / M
    return mean.astype(dtype), variance.astype(dtype)


@compiled
def _normalize(ticket, tiles, x, mean, scale, shift, y):
    columns = mean.size
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * BLOCK_ROWS, (tile + 1) * BLOCK_ROWS):
            source, target = x[i * columns : (i + 1) * columns], y[i * columns : (i + 1) * columns]
            for c in range(target.size):
                target[c] = (source[c] - mean[c]) * scale[c] + shift[c]
        tile = take(ticket)


def batch_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray, *, epsilon: float
) -> np.ndarray:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, column by column of x (M, C)."""
    dtype = floating("batch_norm", x)
    together = _side_by_side(x.shape[1])
    scale = gamma / np.sqrt(variance.astype(np.float64) + epsilon)
    vectors = (np.tile(vector.astype(dtype), together) for vector in (mean, scale, beta))
    y = memory.empty(x.shape, dtype)
    tiles = -(-x.size // (together * x.shape[1] * BLOCK_ROWS))
    share(_normalize, tiles, threads_for(2 * x.nbytes), flat(x, dtype), *vectors, y.reshape(-1))
    return y


@compiled
def _block_products(ticket, tiles, gy, x, mean, sums, products, rows):
    """For each block and column: the sums of gy and of gy * (x - mean)."""
    columns = mean.size
    tile = take(ticket)
    while tile < tiles:
        total, product = sums[tile], products[tile]
        for c in range(columns):
            total[c], product[c] = 0, 0
        for i in range(tile * BLOCK_ROWS, min((tile + 1) * BLOCK_ROWS, rows)):
            gradient, row = gy[i * columns : (i + 1) * columns], x[i * columns : (i + 1) * columns]
            for c in range(row.size):
                total[c] += gradient[c]
                product[c] += gradient[c] * (row[c] - mean[c])
        tile = take(ticket)


@compiled
def _combine(ticket, tiles, gy, x, mean, by_gy, by_x, constant, gx):
    columns = mean.size
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * BLOCK_ROWS, (tile + 1) * BLOCK_ROWS):
            gradient, row = gy[i * columns : (i + 1) * columns], x[i * columns : (i + 1) * columns]
            target = gx[i * columns : (i + 1) * columns]
            for c in range(target.size):
                target[c] = gradient[c] * by_gy[c] + ((row[c] - mean[c]) * by_x[c] + constant[c])
        tile = take(ticket)


def batch_norm_gradients(
    gy: np.ndarray, x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, *, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients by x, gamma and beta where mean and variance are those of x (M, C)."""
    dtype = floating("batch_norm_gradients", gy)
    M, C = x.shape
    together = _side_by_side(C)
    columns = together * C
    rows = -(-x.size // columns)
    tiles = -(-rows // BLOCK_ROWS)
    gy, x = flat(gy, dtype), flat(x, dtype)
    centre = np.tile(mean.astype(dtype), together)
    sums, products = memory.empty((tiles, columns), dtype), memory.empty((tiles, columns), dtype)
    share(_block_products, tiles, threads_for(2 * x.nbytes), gy, x, centre, sums, products, rows)
    total, product = _merge(sums, C), _merge(products, C)
    root = np.sqrt(variance.astype(np.float64) + epsilon)
    by_gy = gamma / root
    factors = (by_gy, -by_gy * product / (M * root * root), -by_gy * total / M)
    gx = memory.empty((M, C), dtype)
    vectors = (np.tile(factor.astype(dtype), together) for factor in factors)
    share(_combine, tiles, threads_for(3 * x.nbytes), gy, x, centre, *vectors, gx.reshape(-1))
    return gx, (product / root).astype(dtype), total.astype(dtype)
