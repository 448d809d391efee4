"""Python loops: the definition of every kernel, one line for each symbol of the formula.

Far too slow for anything but tiny arrays, and the oracle of all other implementations: where one of them disagrees
with these loops, these loops are right. The letters are listed in `geometry`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import product

import numpy as np

from .composition import blocks, dense_blocks
from .geometry import Padding, Pair, output_sizes, winner_dtype

Array = np.ndarray


# --- convolution -----------------------------------------------------------------------------------------------------


def _terms(
    input_size: Pair, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, p, q, row, column) of the trilinear form whose cell (row, column) lies inside the picture."""
    (H, W), (KH, KW), (SH, SW), (DH, DW) = input_size, kernel_size, strides, dilation
    (top, _), (left, _) = padding
    OH, OW = output_sizes(input_size, kernel_size, strides, padding, dilation)
    for i, j, p, q in product(range(OH), range(OW), range(KH), range(KW)):
        row, column = i * SH + p * DH - top, j * SW + q * DW - left
        if 0 <= row < H and 0 <= column < W:
            yield i, j, p, q, row, column


def conv2d(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d`."""
    (N, H, W, _), (KH, KW, CG, F) = x.shape, w.shape
    OH, OW = output_sizes((H, W), (KH, KW), strides, padding, dilation)
    y = np.zeros((N, OH, OW, F), dtype=x.dtype)
    for i, j, p, q, row, column in _terms((H, W), (KH, KW), strides, padding, dilation):
        for n, c, f in product(range(N), range(CG), range(F)):
            y[n, i, j, f] += w[p, q, c, f] * x[n, row, column, _channel(c, f, CG, F, groups)]
    if b is not None:
        for n, i, j, f in product(range(N), range(OH), range(OW), range(F)):
            y[n, i, j, f] += b[f]
    return y


def conv2d_input_gradient(
    gy: Array, w: Array, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d_input_gradient`."""
    N, (KH, KW, CG, F) = len(gy), w.shape
    gx = np.zeros((N, *input_size, CG * groups), dtype=gy.dtype)
    for i, j, p, q, row, column in _terms(input_size, (KH, KW), strides, padding, dilation):
        for n, c, f in product(range(N), range(CG), range(F)):
            gx[n, row, column, _channel(c, f, CG, F, groups)] += w[p, q, c, f] * gy[n, i, j, f]
    return gx


def conv2d_kernel_gradient(
    x: Array, gy: Array, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d_kernel_gradient`."""
    (N, H, W, C), F = x.shape, gy.shape[3]
    CG = C // groups
    gw = np.zeros((*kernel_size, CG, F), dtype=x.dtype)
    for i, j, p, q, row, column in _terms((H, W), kernel_size, strides, padding, dilation):
        for n, c, f in product(range(N), range(CG), range(F)):
            gw[p, q, c, f] += gy[n, i, j, f] * x[n, row, column, _channel(c, f, CG, F, groups)]
    return gw


def _channel(c: int, f: int, CG: int, F: int, groups: int) -> int:
    """Channel c of the group that filter f belongs to, counted among all channels."""
    return f // (F // groups) * CG + c


# --- pooling ---------------------------------------------------------------------------------------------------------


def max_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Array, Array]:
    """See `minicnn.kernels.max_pool2d`."""
    N, H, W, C = x.shape
    OH, OW = output_sizes((H, W), pool_size, strides, padding)
    y = np.full((N, OH, OW, C), -np.inf, dtype=x.dtype)
    winners = np.zeros((N, OH, OW, C), dtype=winner_dtype(pool_size))
    for i, j, p, q, row, column in _terms((H, W), pool_size, strides, padding, (1, 1)):
        for n, c in product(range(N), range(C)):
            value, best = x[n, row, column, c], y[n, i, j, c]
            if value > best or (np.isnan(value) and not np.isnan(best)):
                y[n, i, j, c] = value
                winners[n, i, j, c] = p * pool_size[1] + q
    return y, winners


def max_pool2d_gradient(
    gy: Array, winners: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gradient`."""
    N, C = len(gy), gy.shape[3]
    gx = np.zeros((N, *input_size, C), dtype=gy.dtype)
    for i, j, p, q, row, column in _terms(input_size, pool_size, strides, padding, (1, 1)):
        for n, c in product(range(N), range(C)):
            if winners[n, i, j, c] == p * pool_size[1] + q:
                gx[n, row, column, c] += gy[n, i, j, c]
    return gx


def max_pool2d_gather(
    x: Array, winners: Array, *, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gather`."""
    N, H, W, C = x.shape
    y = np.zeros(winners.shape, dtype=x.dtype)
    for i, j, p, q, row, column in _terms((H, W), pool_size, strides, padding, (1, 1)):
        for n, c in product(range(N), range(C)):
            if winners[n, i, j, c] == p * pool_size[1] + q:
                y[n, i, j, c] = x[n, row, column, c]
    return y


def avg_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> Array:
    """See `minicnn.kernels.avg_pool2d`."""
    N, H, W, C = x.shape
    OH, OW = output_sizes((H, W), pool_size, strides, padding)
    y, cells = np.zeros((N, OH, OW, C), dtype=x.dtype), np.zeros((OH, OW), dtype=int)
    for i, j, _, _, row, column in _terms((H, W), pool_size, strides, padding, (1, 1)):
        cells[i, j] += 1
        for n, c in product(range(N), range(C)):
            y[n, i, j, c] += x[n, row, column, c]
    for n, i, j, c in product(range(N), range(OH), range(OW), range(C)):
        y[n, i, j, c] /= cells[i, j]
    return y


def avg_pool2d_gradient(
    gy: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.avg_pool2d_gradient`."""
    N, OH, OW, C = gy.shape
    gx, cells = np.zeros((N, *input_size, C), dtype=gy.dtype), np.zeros((OH, OW), dtype=int)
    for i, j, _, _, _, _ in _terms(input_size, pool_size, strides, padding, (1, 1)):
        cells[i, j] += 1
    for i, j, _, _, row, column in _terms(input_size, pool_size, strides, padding, (1, 1)):
        for n, c in product(range(N), range(C)):
            gx[n, row, column, c] += gy[n, i, j, c] / cells[i, j]
    return gx


# --- fused blocks ----------------------------------------------------------------------------------------------------


conv2d_block, conv2d_block_gradients = blocks(lambda: sys.modules[__name__])
dense_block, dense_block_gradients = dense_blocks(lambda: sys.modules[__name__])


# --- matrices and elementwise ----------------------------------------------------------------------------------------


def matmul(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """See `minicnn.kernels.matmul`."""
    M, N, K = len(a), b.shape[1], len(b)
    y = np.empty((M, N), dtype=a.dtype) if out is None else out
    for m, n in product(range(M), range(N)):
        y[m, n] = 0
        for k in range(K):
            y[m, n] += a[m, k] * b[k, n]
        if bias is not None:
            y[m, n] += bias[n]
    return y


def sum_rows(x: Array) -> Array:
    """See `minicnn.kernels.sum_rows`."""
    # math.fsum rounds once, at the end: the exact sum.
    return np.array([math.fsum(column) for column in x.T], dtype=x.dtype)


def batch_moments(x: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.batch_moments`."""
    M, C = x.shape
    mean, variance = np.zeros(C, dtype=x.dtype), np.zeros(C, dtype=x.dtype)
    for c in range(C):
        exact = math.fsum(x[:, c]) / M
        mean[c], variance[c] = exact, math.fsum((float(value) - exact) ** 2 for value in x[:, c]) / M
    return mean, variance


def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array:
    """See `minicnn.kernels.batch_norm`."""
    y = np.zeros(x.shape, dtype=x.dtype)
    for m, c in np.ndindex(x.shape):
        y[m, c] = gamma[c] * (x[m, c] - mean[c]) / math.sqrt(variance[c] + epsilon) + beta[c]
    return y


def batch_norm_gradients(
    gy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """See `minicnn.kernels.batch_norm_gradients`."""
    M, C = x.shape
    gx, ggamma, gbeta = np.zeros(x.shape, x.dtype), np.zeros(C, x.dtype), np.zeros(C, x.dtype)
    for c in range(C):
        root = math.sqrt(variance[c] + epsilon)
        z = [(float(x[m, c]) - float(mean[c])) / root for m in range(M)]
        ggamma[c] = math.fsum(float(gy[m, c]) * z[m] for m in range(M))
        gbeta[c] = math.fsum(gy[:, c])
        for m in range(M):
            gx[m, c] = gamma[c] / root * (gy[m, c] - gbeta[c] / M - z[m] * ggamma[c] / M)
    return gx, ggamma, gbeta


def erf(x: Array) -> Array:
    """See `minicnn.kernels.erf`."""
    y = np.zeros(x.shape, dtype=x.dtype)
    for index in np.ndindex(x.shape):
        y[index] = math.erf(x[index])
    return y


def relu(x: Array) -> Array:
    """See `minicnn.kernels.relu`."""
    y = np.zeros(x.shape, dtype=x.dtype)
    for index in np.ndindex(x.shape):
        y[index] = 0 if x[index] <= 0 else x[index]
    return y


def relu_gradient(gy: Array, y: Array) -> Array:
    """See `minicnn.kernels.relu_gradient`."""
    gx = np.zeros(gy.shape, dtype=gy.dtype)
    for index in np.ndindex(gy.shape):
        gx[index] = gy[index] if y[index] > 0 else 0
    return gx


def softmax(x: Array) -> Array:
    """See `minicnn.kernels.softmax`."""
    y = np.zeros(x.shape, dtype=x.dtype)
    for n, row in enumerate(x):
        top = max(row)
        total = sum(np.exp(value - top) for value in row)
        for k, value in enumerate(row):
            y[n, k] = np.exp(value - top) / total
    return y


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.softmax_cross_entropy`."""
    losses = np.zeros(len(logits), dtype=logits.dtype)
    for n, row in enumerate(logits):
        top = max(row)
        log_total = np.log(sum(np.exp(value - top) for value in row))
        for k, value in enumerate(row):
            if targets[n, k] != 0:
                losses[n] -= targets[n, k] * (value - top - log_total)
    return losses, softmax(logits)


def softmax_cross_entropy_gradient(gy: Array, probabilities: Array, targets: Array) -> Array:
    """See `minicnn.kernels.softmax_cross_entropy_gradient`."""
    gradient = np.zeros_like(probabilities)
    for n, k in product(range(len(probabilities)), range(probabilities.shape[1])):
        gradient[n, k] = gy[n] * (probabilities[n, k] * sum(targets[n]) - targets[n, k])
    return gradient


# --- dropout ---------------------------------------------------------------------------------------------------------


def dropout_mask(like: Array, rate: float, *, key: int, step: int) -> Array:
    """See `minicnn.kernels.dropout_mask`."""
    mask, kind = np.zeros(like.size, dtype=like.dtype), like.dtype.type
    for i in range(like.size):
        words = _philox((*_halves(i // 4), *_halves(step)), _halves(key))
        mask[i] = 0 if words[i % 4] < round(rate * 2**32) else kind(1) / kind(1 - rate)
    return mask.reshape(like.shape)


def _halves(number: int) -> Pair:
    return number & 0xFFFFFFFF, number >> 32


def _philox(counter: tuple[int, int, int, int], key: Pair) -> tuple[int, int, int, int]:
    """Ten rounds, each two products of 32 by 32 bits whose halves change places (Salmon et al. 2011)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        (low0, high0), (low1, high1) = _halves(c0 * 0xD2511F53), _halves(c2 * 0xCD9E8D57)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


# --- warping ---------------------------------------------------------------------------------------------------------


def affine_warp(
    pictures: Array, matrices: Array, offsets: Array, *, order: int, fill_mode: str, cval: float
) -> Array:
    """See `minicnn.kernels.affine_warp`."""
    y = np.full_like(pictures, cval)
    N, H, W, C = pictures.shape
    for n, i, j in product(range(N), range(H), range(W)):
        (a, b), (p, q) = matrices[n].tolist()
        r = _brought_in((float(offsets[n, 0]) + a * i) + b * j, H, fill_mode)
        s = _brought_in((float(offsets[n, 1]) + p * i) + q * j, W, fill_mode)
        if r is not None and s is not None:
            for c in range(C):
                y[n, i, j, c] = _read(pictures[n, :, :, c], r, s, order)
    return y


def _brought_in(r: float, size: int, fill_mode: str) -> float | None:
    """A coordinate within 0..size-1; None where "constant" says that there is none."""
    last = size - 1
    if 0 <= r <= last:
        return r
    if fill_mode == "constant":
        return None
    if fill_mode == "reflect":
        r = (-1 - r if r < 0 else r) % (2 * size)
        r = 2 * size - 1 - r if r >= size else r
    if fill_mode == "wrap" and size > 1:
        r += last * (int(-r / last) + 1) if r < 0 else -last * int(r / last)
    return min(max(r, 0.0), float(last))


def _read(picture: Array, r: float, s: float, order: int) -> float:
    """The value at (r, s), which lies between the centres of the first and the last cell."""
    bottom, right = picture.shape[0] - 1, picture.shape[1] - 1
    if order == 0:
        return float(picture[min(math.floor(r + 0.5), bottom), min(math.floor(s + 0.5), right)])
    i, j = math.floor(r), math.floor(s)
    return sum(
        float(picture[min(i + di, bottom), min(j + dj, right)]) * abs(1 - di - (r - i)) * abs(1 - dj - (s - j))
        for di, dj in product((0, 1), (0, 1))
    )


# --- optimiser steps -------------------------------------------------------------------------------------------------


def sgd_step(
    p: Array, g: Array, velocity: Array | None, *, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """See `minicnn.kernels.sgd_step`."""
    for i in range(len(p)):
        if velocity is None:
            p[i] -= learning_rate * g[i]
            continue
        velocity[i] = momentum * velocity[i] - learning_rate * g[i]
        p[i] += momentum * velocity[i] - learning_rate * g[i] if nesterov else velocity[i]


def adam_step(
    p: Array, g: Array, m: Array, v: Array, *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
    weight_decay: float, step: int,
) -> None:  # fmt: skip
    """See `minicnn.kernels.adam_step`."""
    alpha = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    for i in range(len(p)):
        p[i] -= learning_rate * weight_decay * p[i]
        m[i] += (1 - beta_1) * (g[i] - m[i])
        v[i] += (1 - beta_2) * (g[i] * g[i] - v[i])
        p[i] -= alpha * m[i] / (np.sqrt(v[i]) + epsilon)


def rmsprop_step(
    p: Array, g: Array, v: Array, velocity: Array | None, mean_gradient: Array | None, *, learning_rate: float,
    rho: float, momentum: float, epsilon: float,
) -> None:  # fmt: skip
    """See `minicnn.kernels.rmsprop_step`."""
    for i in range(len(p)):
        v[i] = rho * v[i] + (1 - rho) * g[i] * g[i]
        denominator = v[i] + epsilon
        if mean_gradient is not None:
            mean_gradient[i] = rho * mean_gradient[i] + (1 - rho) * g[i]
            denominator -= mean_gradient[i] * mean_gradient[i]
        update = learning_rate * g[i] / np.sqrt(denominator)
        if velocity is not None:
            velocity[i] = momentum * velocity[i] + update
            update = velocity[i]
        p[i] -= update


def adagrad_step(p: Array, g: Array, accumulator: Array, *, learning_rate: float, epsilon: float) -> None:
    """See `minicnn.kernels.adagrad_step`."""
    for i in range(len(p)):
        accumulator[i] += g[i] * g[i]
        p[i] -= learning_rate * g[i] / np.sqrt(accumulator[i] + epsilon)
