"""Element by element, row by row: ReLU, erf, softmax and its cross-entropy, sums over rows.

These move memory rather than compute. Arrays are walked in the order they lie in memory, whatever their axes, so that
the transposed views of channels-first layers are neither copied nor change layout.
"""

from __future__ import annotations

import math

import numpy as np

from . import memory
from .arrays import flat, floating
from .cache import compiled
from .threads import share, take, threads_for

BLOCK = 16 * 1024  # elements to a tile
SUM_ROWS = 128  # rows of sums added one after another; more would let float32 rounding grow


def _memory_order(array: np.ndarray) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def _map(kernel: object, *arrays: np.ndarray) -> np.ndarray:
    """Run an elementwise kernel over arrays of one shape; the result has the first one's layout."""
    dtype = arrays[0].dtype
    order = _memory_order(arrays[0])
    y = memory.empty([arrays[0].shape[axis] for axis in order], dtype)
    operands = (flat(array.transpose(order), dtype) for array in arrays)
    share(kernel, -(-y.size // BLOCK), threads_for(y.nbytes), *operands, y.reshape(-1))  # type: ignore[arg-type]
    return y.transpose(np.argsort(order)) if order != tuple(range(y.ndim)) else y


@compiled
def _relu(ticket, tiles, x, y):
    tile = take(ticket)
    while tile < tiles:
        source, target = x[tile * BLOCK : (tile + 1) * BLOCK], y[tile * BLOCK : (tile + 1) * BLOCK]
        for i in range(target.size):
            target[i] = 0 if source[i] <= 0 else source[i]  # keeps NaN
        tile = take(ticket)


@compiled
def _relu_gradient(ticket, tiles, gy, y, gx):
    tile = take(ticket)
    while tile < tiles:
        gradient, value = gy[tile * BLOCK : (tile + 1) * BLOCK], y[tile * BLOCK : (tile + 1) * BLOCK]
        target = gx[tile * BLOCK : (tile + 1) * BLOCK]
        for i in range(target.size):
            target[i] = gradient[i] if value[i] > 0 else 0
        tile = take(ticket)


@compiled
def _erf(ticket, tiles, x, y):
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * BLOCK, min((tile + 1) * BLOCK, y.size)):
            y[i] = math.erf(x[i])
        tile = take(ticket)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), NaN kept; any shape."""
    floating("relu", x)
    return _map(_relu, x)


def relu_gradient(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """gy where y > 0, else 0; any shape, both the same."""
    floating("relu_gradient", gy)
    return _map(_relu_gradient, gy, y)


def erf(x: np.ndarray) -> np.ndarray:
    """2/sqrt(pi) times the integral of exp(-t*t) from 0 to x; any shape."""
    floating("erf", x)
    return _map(_erf, x)


@compiled
def _softmax(ticket, tiles, x, y):
    K = x.shape[1]
    n = take(ticket)
    while n < tiles:
        largest = x[n, 0]
        for k in range(1, K):
            largest = x[n, k] if x[n, k] > largest else largest
        total = y.dtype.type(0)
        for k in range(K):
            y[n, k] = np.exp(x[n, k] - largest)
            total += y[n, k]
        for k in range(K):
            y[n, k] /= total
        n = take(ticket)


@compiled
def _softmax_cross_entropy(ticket, tiles, logits, targets, losses, probabilities):
    K = logits.shape[1]
    n = take(ticket)
    while n < tiles:
        largest = logits[n, 0]
        for k in range(1, K):
            largest = logits[n, k] if logits[n, k] > largest else largest
        total = losses.dtype.type(0)
        for k in range(K):
            probabilities[n, k] = np.exp(logits[n, k] - largest)
            total += probabilities[n, k]
        log_total = np.log(total)
        loss = losses.dtype.type(0)
        for k in range(K):
            if targets[n, k] != 0:
                loss += targets[n, k] * (log_total - (logits[n, k] - largest))
        for k in range(K):
            probabilities[n, k] /= total
        losses[n] = loss
        n = take(ticket)


def _matrix(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return flat(array, dtype).reshape(array.shape)


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x - max) / sum of the same along each row of x (N, K)."""
    dtype = floating("softmax", x)
    y = memory.empty(x.shape, dtype)
    if y.size:
        share(_softmax, len(x), threads_for(8 * x.size), _matrix(x, dtype), y)
    return y


def softmax_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses (N,), -sum over k of targets*log softmax(logits), and the probabilities (N, K), from (N, K) both."""
    dtype = floating("softmax_cross_entropy", logits)
    losses, probabilities = memory.empty(logits.shape[:1], dtype), memory.empty(logits.shape, dtype)
    if logits.size:
        share(
            _softmax_cross_entropy, len(logits), threads_for(8 * logits.size),
            _matrix(logits, dtype), _matrix(targets, dtype), losses, probabilities,
        )  # fmt: skip
    return losses, probabilities


@compiled
def _softmax_cross_entropy_gradient(ticket, tiles, gy, probabilities, targets, gradient):
    K = gradient.shape[1]
    n = take(ticket)
    while n < tiles:
        total = gradient.dtype.type(0)
        for k in range(K):
            total += targets[n, k]
        for k in range(K):
            gradient[n, k] = gy[n] * (probabilities[n, k] * total - targets[n, k])
        n = take(ticket)


def softmax_cross_entropy_gradient(gy: np.ndarray, probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """gy (N,) times (p * sum of targets - targets), (N, K), where p and targets are (N, K)."""
    dtype = floating("softmax_cross_entropy_gradient", probabilities)
    gradient = memory.empty(probabilities.shape, dtype)
    if gradient.size:
        share(
            _softmax_cross_entropy_gradient, len(gradient), threads_for(4 * gradient.size), flat(gy, dtype),
            _matrix(probabilities, dtype), _matrix(targets, dtype), gradient,
        )  # fmt: skip
    return gradient


@compiled
def _sum_blocks(ticket, tiles, x, sums, rows):
    columns = sums.shape[1]
    tile = take(ticket)
    while tile < tiles:
        total = sums[tile]
        for n in range(columns):
            total[n] = 0
        for i in range(tile * SUM_ROWS, min((tile + 1) * SUM_ROWS, rows)):
            row = x[i * columns : min((i + 1) * columns, x.size)]
            for n in range(row.size):
                total[n] += row[n]
        tile = take(ticket)


@compiled
def _add_in_pairs(ticket, tiles, sums, total):
    """The sum of all rows: each of the second half to one of the first, again and again, which keeps rounding small."""
    if take(ticket) < tiles:
        left = len(sums)
        while left > 1:
            half = (left + 1) // 2
            for i in range(left - half):
                row, other = sums[i], sums[half + i]
                for n in range(row.size):
                    row[n] += other[n]
            left = half
        total[:] = sums[0]


def sum_rows(x: np.ndarray) -> np.ndarray:
    """The sum of x (M, N) over its rows, (N,), in parts so that float32 rounding does not grow with M.

    Narrow rows are taken several at a time, to fill vectors.
    """
    dtype = floating("sum_rows", x)
    M, N = x.shape
    if not x.size:
        return np.zeros(N, dtype)
    together = max(1, 64 // N)
    rows = -(-M // together)
    tiles = -(-rows // SUM_ROWS)
    sums = memory.empty((tiles, together * N), dtype)
    share(_sum_blocks, tiles, threads_for(x.nbytes), flat(x, dtype), sums, rows)
    total = np.empty(N, dtype)
    share(_add_in_pairs, 1, 1, sums.reshape(-1, N), total)
    return total
