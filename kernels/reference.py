"""Plain NumPy: a convolution is `im2col(x) @ w`, its input gradient the adjoint `col2im`. Runs on CuPy arrays too.

Meant to be read, and to serve every dtype and any machine. `im2col` lays each window out as a row, so one matrix
product does the whole convolution (Chellapilla, Puri and Simard 2006). The matrix is KH*KW/(SH*SW) times as large as
the picture: `im2col_bytes` tells before anything is allocated, and beyond `TILE_BYTES` the batch goes in tiles.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator

import numpy as np

from .composition import blocks, dense_blocks
from .dispatch import array_module
from .floats import is_half
from .geometry import Padding, Pair, output_sizes, winner_dtype

Array = np.ndarray

# Above this many bytes of windows the batch is worked through in tiles: larger matrices only leave the caches.
TILE_BYTES = 64 * 2**20


# --- windows ---------------------------------------------------------------------------------------------------------


def pad(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """x with a border of `value`: (N, H, W, C) to (N, top+H+bottom, left+W+right, C); x itself without a border."""
    if not any(map(any, padding)):
        return x
    return array_module(x).pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def windows(x: Array, kernel_size: Pair, strides: Pair, dilation: Pair = (1, 1)) -> Array:
    """A view of every window of a padded picture: (N, H, W, C) to (N, OH, OW, KH, KW, C), nothing is copied.

    Window (i, j) starts i*SH rows down and tap (p, q) lies p*DH rows further, so that both pairs of axes step
    through the same memory, only at different paces.
    """
    N, H, W, C = x.shape
    OH, OW = output_sizes((H, W), kernel_size, strides, ((0, 0), (0, 0)), dilation)
    n, h, w, c = x.strides
    shape = (N, OH, OW, *kernel_size, C)
    steps = (n, h * strides[0], w * strides[1], h * dilation[0], w * dilation[1], c)
    return array_module(x).lib.stride_tricks.as_strided(x, shape, steps)


def im2col_bytes(
    shape: tuple[int, ...], kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, itemsize: int
) -> int:
    """Bytes of the matrix that `im2col` would allocate for pictures of this shape (N, H, W, C)."""
    N, H, W, C = shape
    return N * math.prod(output_sizes((H, W), kernel_size, strides, padding, dilation)) * math.prod(
        kernel_size
    ) * C * itemsize


def im2col(x: Array, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Array:
    """Each window as a row: (N, H, W, C) to (N*OH*OW, KH*KW*C).

    Rows run over n, then i, then j; columns over p, then q, then c: the order of `w.reshape(-1, F)`.
    """
    view = windows(pad(x, padding), kernel_size, strides, dilation)
    return view.reshape(math.prod(view.shape[:3]), math.prod(view.shape[3:]))


def col2im(
    columns: Array, shape: tuple[int, ...], kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair
) -> Array:
    """The adjoint of `im2col`: add every row back to where its window lay. (N*OH*OW, KH*KW*C) to `shape`."""
    N, H, W, C = shape
    (top, bottom), (left, right) = padding
    OH, OW = output_sizes((H, W), kernel_size, strides, padding, dilation)
    cells = columns.reshape(N, OH, OW, *kernel_size, C)
    padded = array_module(columns).zeros((N, top + H + bottom, left + W + right, C), dtype=columns.dtype)
    for p in range(kernel_size[0]):
        for q in range(kernel_size[1]):
            padded[_tap(p, OH, strides[0], dilation[0], q, OW, strides[1], dilation[1])] += cells[:, :, :, p, q]
    return padded[:, top : top + H, left : left + W]


def _tap(p: int, OH: int, SH: int, DH: int, q: int, OW: int, SW: int, DW: int) -> tuple[slice, ...]:
    """Where tap (p, q) of all windows lies in the padded picture."""
    rows = slice(p * DH, p * DH + SH * (OH - 1) + 1, SH) if OH else slice(0)
    columns = slice(q * DW, q * DW + SW * (OW - 1) + 1, SW) if OW else slice(0)
    return slice(None), rows, columns


def _tiles(x: Array, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Iterator[slice]:
    """Slices of the batch whose im2col matrices stay within `TILE_BYTES`, at least a picture each."""
    one = im2col_bytes((1, *x.shape[1:]), kernel_size, strides, padding, dilation, x.dtype.itemsize)
    step = max(1, TILE_BYTES // max(one, 1))
    for start in range(0, len(x), step):
        yield slice(start, start + step)


# --- convolution -----------------------------------------------------------------------------------------------------


def conv2d(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d`."""
    KH, KW, _, F = w.shape
    OH, OW = output_sizes(x.shape[1:3], (KH, KW), strides, padding, dilation)
    y = array_module(x).empty((len(x), OH, OW, F), dtype=x.dtype)
    for tile in _tiles(x, (KH, KW), strides, padding, dilation):
        for channels, filters in _groups(x.shape[3], F, groups):
            rows = im2col(x[tile, :, :, channels], (KH, KW), strides, padding, dilation)
            product = rows @ w[:, :, :, filters].reshape(rows.shape[1], -1)
            y[tile, :, :, filters] = product.reshape(-1, OH, OW, product.shape[1])
    return y if b is None else y + b


def conv2d_input_gradient(
    gy: Array, w: Array, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d_input_gradient`."""
    KH, KW, channels_per_group, F = w.shape
    N, C = len(gy), channels_per_group * groups
    gx = array_module(gy).empty((N, *input_size, C), dtype=gy.dtype)
    for tile in _tiles(gx, (KH, KW), strides, padding, dilation):
        for channels, filters in _groups(C, F, groups):
            g = gy[tile, :, :, filters]
            rows = g.reshape(math.prod(g.shape[:3]), g.shape[3]) @ w[:, :, :, filters].reshape(-1, g.shape[3]).T
            shape = (len(g), *input_size, channels_per_group)
            gx[tile, :, :, channels] = col2im(rows, shape, (KH, KW), strides, padding, dilation)
    return gx


def conv2d_kernel_gradient(
    x: Array, gy: Array, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:  # fmt: skip
    """See `minicnn.kernels.conv2d_kernel_gradient`."""
    C, F = x.shape[3], gy.shape[3]
    gw = array_module(x).zeros((*kernel_size, C // groups, F), dtype=x.dtype)
    for tile in _tiles(x, kernel_size, strides, padding, dilation):
        for channels, filters in _groups(C, F, groups):
            rows = im2col(x[tile, :, :, channels], kernel_size, strides, padding, dilation)
            g = gy[tile, :, :, filters]
            product = rows.T @ g.reshape(rows.shape[0], g.shape[3])
            gw[:, :, :, filters] += product.reshape(*kernel_size, C // groups, g.shape[3])
    return gw


def _groups(C: int, F: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the filters of each group."""
    for g in range(groups):
        yield slice(g * C // groups, (g + 1) * C // groups), slice(g * F // groups, (g + 1) * F // groups)


# --- pooling ---------------------------------------------------------------------------------------------------------


def max_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Array, Array]:
    """See `minicnn.kernels.max_pool2d`."""
    xp = array_module(x)
    view = windows(pad(x, padding, -np.inf), pool_size, strides)
    cells = view.reshape(*view.shape[:3], math.prod(pool_size), view.shape[5])
    # argmax returns the first of equal maxima, and the first NaN where there is one: the contract's rules.
    winners = xp.argmax(cells, axis=3) if cells.size else xp.zeros((*cells.shape[:3], cells.shape[4]), dtype=np.int64)
    y = xp.take_along_axis(cells, winners[:, :, :, None], axis=3)[:, :, :, 0]
    return y, winners.astype(winner_dtype(pool_size))


def max_pool2d_gradient(
    gy: Array, winners: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gradient`."""
    xp = array_module(gy)
    cells = xp.arange(math.prod(pool_size), dtype=winners.dtype)[:, None]
    N, OH, OW, C = gy.shape
    spread = xp.where(winners[:, :, :, None] == cells, gy[:, :, :, None], gy.dtype.type(0))
    return col2im(spread, (N, *input_size, C), pool_size, strides, padding, (1, 1))


def max_pool2d_gather(
    x: Array, winners: Array, *, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gather`."""
    view = windows(pad(x, padding), pool_size, strides)
    cells = view.reshape(*view.shape[:3], math.prod(pool_size), view.shape[5])
    return array_module(x).take_along_axis(cells, winners[:, :, :, None].astype(np.int64), axis=3)[:, :, :, 0]


def avg_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> Array:
    """See `minicnn.kernels.avg_pool2d`."""
    view = windows(pad(x, padding), pool_size, strides)
    return view.sum(axis=(3, 4)) / _cells_inside(x, x.shape[1:3], pool_size, strides, padding)


def avg_pool2d_gradient(
    gy: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.avg_pool2d_gradient`."""
    share = gy / _cells_inside(gy, input_size, pool_size, strides, padding)
    N, OH, OW, C = gy.shape
    spread = array_module(gy).broadcast_to(share[:, :, :, None, :], (N, OH, OW, math.prod(pool_size), C))
    return col2im(spread, (N, *input_size, C), pool_size, strides, padding, (1, 1))


def _cells_inside(like: Array, size: Pair, pool_size: Pair, strides: Pair, padding: Padding) -> Array:
    """How many cells of each window lie inside the picture, (1, OH, OW, 1)."""
    ones = array_module(like).ones((1, *size, 1), dtype=like.dtype)
    return windows(pad(ones, padding), pool_size, strides).sum(axis=(3, 4))


# --- fused blocks ----------------------------------------------------------------------------------------------------


conv2d_block, conv2d_block_gradients = blocks(lambda: sys.modules[__name__])
dense_block, dense_block_gradients = dense_blocks(lambda: sys.modules[__name__])


# --- matrices and elementwise ----------------------------------------------------------------------------------------


def matmul(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """See `minicnn.kernels.matmul`."""
    y = array_module(a).matmul(a, b, out=out)
    if bias is not None:
        y += bias
    return y


def sum_rows(x: Array) -> Array:
    """See `minicnn.kernels.sum_rows`."""
    block = 256  # NumPy adds rows one after another; sums of sums round less (as its own pairwise sums do).
    whole = len(x) // block * block
    total = x[whole:].sum(axis=0)
    if whole:
        total += sum_rows(x[:whole].reshape(-1, block, x.shape[1]).sum(axis=1))
    return total


def batch_moments(x: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.batch_moments`."""
    mean = sum_rows(x) / len(x)
    away = x - mean
    return mean, sum_rows(away * away) / len(x)


def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array:
    """See `minicnn.kernels.batch_norm`."""
    return (x - mean) * (gamma / array_module(x).sqrt(variance + epsilon)) + beta


def batch_norm_gradients(
    gy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """See `minicnn.kernels.batch_norm_gradients`."""
    root = array_module(x).sqrt(variance + epsilon)
    z = (x - mean) / root
    gbeta, ggamma = sum_rows(gy), sum_rows(gy * z)
    return gamma / root * (gy - gbeta / len(x) - z * (ggamma / len(x))), ggamma, gbeta


def erf(x: Array) -> Array:
    """See `minicnn.kernels.erf`."""
    xp = array_module(x)
    if xp is not np:
        return importlib.import_module("cupyx.scipy.special").erf(x)
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=x.dtype)


def relu(x: Array) -> Array:
    """See `minicnn.kernels.relu`."""
    return array_module(x).maximum(x, 0)


def relu_gradient(gy: Array, y: Array) -> Array:
    """See `minicnn.kernels.relu_gradient`."""
    return array_module(gy).where(y > 0, gy, gy.dtype.type(0))


def softmax(x: Array) -> Array:
    """See `minicnn.kernels.softmax`."""
    xp = array_module(x)
    # Taking the maximum off changes nothing mathematically and keeps exp from overflowing.
    e = xp.exp(x - x.max(axis=1, keepdims=True)) if x.size else x
    return e / e.sum(axis=1, keepdims=True)


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.softmax_cross_entropy`."""
    xp = array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True) if logits.size else logits
    e = xp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    surprise = xp.where(targets == 0, logits.dtype.type(0), xp.log(total) - shifted)
    return (targets * surprise).sum(axis=1), e / total


def softmax_cross_entropy_gradient(gy: Array, probabilities: Array, targets: Array) -> Array:
    """See `minicnn.kernels.softmax_cross_entropy_gradient`."""
    return gy[:, None] * (probabilities * targets.sum(axis=1, keepdims=True) - targets)


# --- dropout ---------------------------------------------------------------------------------------------------------


def dropout_mask(like: Array, rate: float, *, key: int, step: int) -> Array:
    """See `minicnn.kernels.dropout_mask`."""
    xp = array_module(like)
    blocks = xp.arange(-(-like.size // 4), dtype=np.uint64)
    low, high = 0xFFFFFFFF, 32
    counter = [blocks & low, blocks >> high, xp.full_like(blocks, step & low), xp.full_like(blocks, step >> high)]
    words = xp.stack(philox(counter, (key & low, key >> high)), axis=1).reshape(-1)[: like.size]
    keep = words >= np.uint64(round(rate * 2**32))
    kind = np.float32 if is_half(like.dtype) else like.dtype.type
    return (keep / kind(1 - rate)).astype(like.dtype).reshape(like.shape)


def philox(counter: list[Array], key: tuple[int, int]) -> list[Array]:
    """Philox 4x32-10 on arrays of counter words, each word kept in a uint64 (Salmon et al. 2011, section 3.3)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        left, right = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (right >> high) ^ c1 ^ np.uint64(k0),
            right & low,
            (left >> high) ^ c3 ^ np.uint64(k1),
            left & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


# --- warping ---------------------------------------------------------------------------------------------------------


def affine_warp(
    pictures: Array, matrices: Array, offsets: Array, *, order: int, fill_mode: str, cval: float
) -> Array:
    """See `minicnn.kernels.affine_warp`."""
    xp = array_module(pictures, matrices, offsets)
    N, H, W, _ = pictures.shape
    y = xp.empty_like(pictures, order="C")
    i, j = xp.arange(H, dtype=float)[:, None], xp.arange(W, dtype=float)
    for n in range(N):
        m, o = matrices[n], offsets[n]
        rows, columns = (o[0] + m[0, 0] * i) + m[0, 1] * j, (o[1] + m[1, 0] * i) + m[1, 1] * j
        outside = (rows < 0) | (rows > H - 1) | (columns < 0) | (columns > W - 1)
        rows, columns = bring_in(rows, H, fill_mode), bring_in(columns, W, fill_mode)
        y[n] = sample(pictures[n], rows, columns, order)
        if fill_mode == "constant":
            y[n][outside] = cval
    return y


def bring_in(r: Array, size: int, fill_mode: str) -> Array:
    """Coordinates within 0..size-1, as "nearest" where `fill_mode` says nothing else."""
    xp, last = array_module(r), size - 1
    if fill_mode == "reflect":
        around = xp.where(r < 0, -1 - r, r) % (2 * size)
        r = xp.where((r < 0) | (r > last), xp.where(around >= size, 2 * size - 1 - around, around), r)
    if fill_mode == "wrap" and size > 1:
        below, above = r + last * (xp.trunc(-r / last) + 1), r - last * xp.trunc(r / last)
        r = xp.where(r < 0, below, xp.where(r > last, above, r))
    return r.clip(0, last)


def sample(picture: Array, rows: Array, columns: Array, order: int) -> Array:
    """Read (H, W, C) at coordinates (OH, OW) that lie within it, to (OH, OW, C)."""
    xp = array_module(picture)
    bottom, right = picture.shape[0] - 1, picture.shape[1] - 1
    if order == 0:
        i, j = (xp.floor(r + 0.5).astype(int) for r in (rows, columns))
        return picture[xp.minimum(i, bottom), xp.minimum(j, right)]
    i, j = (xp.floor(r).astype(int) for r in (rows, columns))
    down, along = (rows - i)[..., None], (columns - j)[..., None]
    below, beside = xp.minimum(i + 1, bottom), xp.minimum(j + 1, right)
    upper = (1 - along) * picture[i, j] + along * picture[i, beside]
    lower = (1 - along) * picture[below, j] + along * picture[below, beside]
    return (1 - down) * upper + down * lower


# --- optimiser steps -------------------------------------------------------------------------------------------------


def sgd_step(
    p: Array, g: Array, velocity: Array | None, *, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """See `minicnn.kernels.sgd_step`."""
    step = learning_rate * g
    if velocity is None:
        p -= step
        return
    velocity *= momentum
    velocity -= step
    p += momentum * velocity - step if nesterov else velocity


def adam_step(
    p: Array, g: Array, m: Array, v: Array, *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
    weight_decay: float, step: int,
) -> None:  # fmt: skip
    """See `minicnn.kernels.adam_step`."""
    if weight_decay:
        p -= learning_rate * weight_decay * p
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    alpha = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    p -= alpha * m / (array_module(p).sqrt(v) + epsilon)


def rmsprop_step(
    p: Array, g: Array, v: Array, velocity: Array | None, mean_gradient: Array | None, *, learning_rate: float,
    rho: float, momentum: float, epsilon: float,
) -> None:  # fmt: skip
    """See `minicnn.kernels.rmsprop_step`."""
    v *= rho
    v += (1 - rho) * (g * g)
    denominator = v + epsilon
    if mean_gradient is not None:
        mean_gradient *= rho
        mean_gradient += (1 - rho) * g
        denominator -= mean_gradient * mean_gradient
    update = learning_rate * g / array_module(p).sqrt(denominator)
    if velocity is not None:
        velocity *= momentum
        velocity += update
        update = velocity
    p -= update


def adagrad_step(p: Array, g: Array, accumulator: Array, *, learning_rate: float, epsilon: float) -> None:
    """See `minicnn.kernels.adagrad_step`."""
    accumulator += g * g
    p -= learning_rate * g / array_module(p).sqrt(accumulator + epsilon)
