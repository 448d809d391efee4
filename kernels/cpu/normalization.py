"""Batch normalisation: each array is read as few times as the sums allow, and nothing of its size is stored between.

Channels are the columns of a matrix. Where there are few, several rows stand side by side as one long row, so that
vectors are full; their sums are merged at the end, in float64. Blocks of rows are small enough for the second look at
them to come from the cache, which makes the variance exact (no difference of large squares) although x is read from
memory once.
"""

from __future__ import annotations

import math

import numpy as np

from . import memory
from .arrays import flat, floating
from .cache import compiled, inlined
from .threads import share, take, threads_for

LANES = 64  # columns that a row should have at least
BLOCK_ROWS = 64  # of LANES numbers: fits the first-level cache twice


def _side_by_side(channels: int) -> int:
    """How many rows are taken as one."""
    return max(1, LANES // channels)


@compiled
def _block_moments(ticket, tiles, x, means, squares, rows):
    """For each block and column: the mean of its numbers, and their squared distances from it."""
    columns = means.shape[1]
    zero = x.dtype.type(0)
    tile = take(ticket)
    while tile < tiles:
        mean, square = means[tile], squares[tile]
        first, last = tile * BLOCK_ROWS, min((tile + 1) * BLOCK_ROWS, rows)
        for c in range(columns):
            mean[c], square[c] = zero, zero
        for i in range(first, last):
            row = x[i * columns : min((i + 1) * columns, x.size)]
            for c in range(row.size):
                mean[c] += row[c]
        full, more = _counts(x.size, columns, tile)
        for c in range(columns):
            mean[c] /= max(full + (c < more), 1)
        for i in range(first, last):
            row = x[i * columns : min((i + 1) * columns, x.size)]
            for c in range(row.size):
                distance = row[c] - mean[c]
                square[c] += distance * distance
        tile = take(ticket)


@inlined
def _counts(size, columns, block):
    """How many whole rows a block has, and in how many columns there is one number more."""
    return divmod(min(BLOCK_ROWS * columns, size - block * BLOCK_ROWS * columns), columns)


@compiled
def _merge_moments(ticket, tiles, means, squares, size, totals, mean, variance):
    """Moments of blocks to those of all, each block by its count (Chan, Golub and LeVeque 1983, section 2)."""
    if take(ticket) < tiles:
        blocks, columns = means.shape
        C = mean.size
        M = size // C
        centre, spread = totals[0], totals[1]
        totals[:] = 0
        for block in range(blocks):
            full, more = _counts(size, columns, block)
            for first in range(0, columns, C):
                for c in range(C):
                    centre[c] += np.float64(means[block, first + c]) * (full + (first + c < more))
        for c in range(C):
            centre[c] /= M
        for block in range(blocks):
            full, more = _counts(size, columns, block)
            for first in range(0, columns, C):
                for c in range(C):
                    away = means[block, first + c] - centre[c]
                    spread[c] += squares[block, first + c] + (full + (first + c < more)) * away * away
        for c in range(C):
            mean[c], variance[c] = centre[c], spread[c] / M


def batch_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each column of x (M, C)."""
    dtype = floating("batch_moments", x)
    C = x.shape[1]
    mean, variance = memory.empty((C,), dtype), memory.empty((C,), dtype)
    if not C:
        return mean, variance
    columns = _side_by_side(C) * C
    rows = -(-x.size // columns)
    tiles = -(-rows // BLOCK_ROWS)
    means, squares = memory.empty((tiles, columns), dtype), memory.empty((tiles, columns), dtype)
    share(_block_moments, tiles, threads_for(2 * x.nbytes), flat(x, dtype), means, squares, rows)
    totals = memory.empty((2, C), np.float64)
    share(_merge_moments, 1, 1, means, squares, x.size, totals, mean, variance)
    return mean, variance


@compiled
def _lay_out(ticket, tiles, gamma, beta, mean, variance, epsilon, vectors):
    """What a row, of several rows of x side by side, is normalised with: the means, the slopes, beta."""
    if take(ticket) < tiles:
        for column in range(vectors.shape[1]):
            c = column % mean.size
            vectors[0, column] = mean[c]
            vectors[1, column] = gamma[c] / math.sqrt(np.float64(variance[c]) + epsilon)
            vectors[2, column] = beta[c]


@compiled
def _normalize(ticket, tiles, x, vectors, y):
    columns = vectors.shape[1]
    mean, scale, shift = vectors[0], vectors[1], vectors[2]
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
    C, y = x.shape[1], memory.empty(x.shape, dtype)
    if not C:
        return y
    vectors = memory.empty((3, _side_by_side(C) * C), dtype)
    given = (flat(vector, dtype) for vector in (gamma, beta, mean, variance))
    share(_lay_out, 1, 1, *given, float(epsilon), vectors)
    tiles = -(-x.size // (vectors.shape[1] * BLOCK_ROWS))
    share(_normalize, tiles, threads_for(2 * x.nbytes), flat(x, dtype), vectors, y.reshape(-1))
    return y


@compiled
def _block_products(ticket, tiles, gy, x, vectors, sums, products, rows):
    """For each block and column: the sums of gy and of gy * (x - mean)."""
    columns, mean = vectors.shape[1], vectors[0]
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
def _merge_products(ticket, tiles, sums, products, gamma, variance, epsilon, M, totals, ggamma, gbeta, vectors):
    """The gradients by gamma and beta, and what gx is made of beside the means: factors of gy and x - mean, a sum."""
    if take(ticket) < tiles:
        blocks, columns = sums.shape
        C = gamma.size
        total, product = totals[0], totals[1]
        totals[:] = 0
        for block in range(blocks):
            for first in range(0, columns, C):
                for c in range(C):
                    total[c] += sums[block, first + c]
                    product[c] += products[block, first + c]
        for column in range(columns):
            c = column % C
            square = np.float64(variance[c]) + epsilon
            slope = gamma[c] / math.sqrt(square)
            ggamma[c], gbeta[c] = product[c] / math.sqrt(square), total[c]
            vectors[1, column], vectors[2, column] = slope, -slope * product[c] / (M * square)
            vectors[3, column] = -slope * total[c] / M


@compiled
def _combine(ticket, tiles, gy, x, vectors, gx):
    columns = vectors.shape[1]
    mean, by_gy, by_x, constant = vectors[0], vectors[1], vectors[2], vectors[3]
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
    gx, ggamma, gbeta = memory.empty((M, C), dtype), memory.empty((C,), dtype), memory.empty((C,), dtype)
    if not C:
        return gx, ggamma, gbeta
    columns = _side_by_side(C) * C
    rows = -(-x.size // columns)
    tiles = -(-rows // BLOCK_ROWS)
    gy, x = flat(gy, dtype), flat(x, dtype)
    gamma, mean, variance = (flat(vector, dtype) for vector in (gamma, mean, variance))
    sums, products = memory.empty((tiles, columns), dtype), memory.empty((tiles, columns), dtype)
    vectors, totals = memory.empty((4, columns), dtype), memory.empty((2, C), np.float64)
    share(_lay_out, 1, 1, gamma, gamma, mean, variance, float(epsilon), vectors[:3])
    share(_block_products, tiles, threads_for(2 * x.nbytes), gy, x, vectors, sums, products, rows)
    share(
        _merge_products, 1, 1, sums, products, gamma, variance, float(epsilon), M, totals, ggamma, gbeta, vectors
    )
    share(_combine, tiles, threads_for(3 * x.nbytes), gy, x, vectors, gx.reshape(-1))
    return gx, ggamma, gbeta
