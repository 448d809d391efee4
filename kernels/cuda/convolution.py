"""The three passes of a convolution, and fused blocks.

With few channels or filters to a group the direct kernels serve, else products of tiles, on the tensor cores where
float32 may be rounded to TF32 on the way there (`use_tf32`) and the device has them. Which `algorithm` is asked for
makes no difference here.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import cupy
import numpy as np

from ..composition import dense_blocks
from ..geometry import Padding, Pair
from .arrays import Array, contiguous, floating, launch, wide
from .columns import sum_rows
from .elementwise import ACTIVATION_NUMBERS, activation_gradient
from .loading import KEPT, REAL, Kernels
from .matrices import LARGE, NARROW, SMALL, add_parts, arithmetic, cut, is_aligned, tiled
from .pooling import avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gradient
from .windows import NO_POOL, Pool, Shape, direct, gradient_parts, windows

# (type, numbers copied at once, arithmetic)
_HOW = [("float", 4, "Tensor"), ("float", 1, "Tensor"), ("float", 4, "Exact"), ("float", 1, "Exact"),
        ("double", 1, "Exact"), ("Half", 4, "Tensor"), ("Half", 1, "Tensor"), ("BFloat", 4, "Tensor"),
        ("BFloat", 1, "Tensor")]  # fmt: skip
# With each of the tiles that there is for them: (type, rows, columns, numbers copied at once, arithmetic).
_TILED = [
    (real, *tile, vector, arithmetic) for real, vector, arithmetic in _HOW for tile in (SMALL, NARROW, LARGE)
    if tile == SMALL or (real != "double" and (tile == NARROW or vector == 4))
]  # fmt: skip
_POOLED = [how for how in _TILED if how[1:3] != LARGE]

_forward = Kernels("convolution.cu", "forward", combinations=_TILED)
_forward_pooled = Kernels("convolution.cu", "forward_pooled", combinations=_POOLED)
_input_gradient = Kernels("convolution.cu", "input_gradient", combinations=_TILED)
_kernel_gradient = Kernels("convolution.cu", "kernel_gradient", combinations=_TILED)
_direct_forward = Kernels("direct.cu", "direct_forward", KEPT, (4, 1))
_direct_input_gradient = Kernels("direct.cu", "direct_input_gradient", KEPT)
_direct_kernel_gradient = Kernels("direct.cu", "direct_kernel_gradient", KEPT)

# Up to so many channels or filters to a group, a tile would mostly multiply what is not there.
FEW = 4
# A pool must lie in the rows of a tile whole, of whichever size.
POOLED_ROWS = 64
# As direct.cu has them.
FILTERS, LINES = 32, 8
# Windows that a block of direct_kernel_gradient should have at least.
SHORTEST_PART = 512


def _shape(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], strides: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    N, H, W, C = x_shape
    KH, KW, _, F = w_shape
    return Shape(N, (H, W), C, (KH, KW), F, strides, padding, dilation, groups)


def _is_direct(shape: Shape) -> bool:
    return min(shape.group_channels, shape.group_filters) <= FEW


def _how(operation: str, shape: Shape, dtype: np.dtype, *arrays: Array) -> tuple[str, int, str]:
    """Type, numbers copied at once, and arithmetic."""
    whole = shape.group_channels % 4 == 0 and shape.group_filters % 4 == 0 and is_aligned(*arrays)
    vector = 4 if dtype.itemsize <= 4 and whole else 1
    return REAL[dtype], vector, arithmetic(operation, dtype)


def conv2d(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d`."""
    floating("conv2d", x, half=True)
    return _convolve(x, w, b, _shape(x.shape, w.shape, strides, padding, dilation, groups), "linear", 1.0)


def _convolve(x: Array, w: Array, b: Array | None, shape: Shape, activation: str, alpha: float) -> Array:
    """activation(conv2d(x, w, b))."""
    dtype = x.dtype
    x, w, b = contiguous(x, dtype), contiguous(w, dtype), None if b is None else contiguous(b, wide(dtype))
    y = cupy.empty((shape.images, *shape.output, shape.filters), dtype)
    last = ACTIVATION_NUMBERS[activation], wide(dtype).type(alpha)
    if _is_direct(shape):
        _convolve_directly(x, w, b, y, None, shape, NO_POOL, *last)
    elif y.size:
        plan = windows(shape)
        real, vector, arithmetic = _how("conv2d", shape, dtype, x, w)
        rows, columns = int(plan["windows"]), shape.group_filters
        how = cut(rows, columns, 1, vector, shape.groups, real != "double")
        arguments = (x, w, b, y, plan, np.int32(columns), np.int32(shape.filters), *last)
        which = (real, *how.tile, vector, arithmetic)
        _forward[which]((*how.blocks, shape.groups), how.threads, arguments)
    return y


def _convolve_directly(
    x: Array, w: Array, b: Array | None, y: Array, winners: Array | None, shape: Shape, pool: Pool, *last: Any
) -> None:
    abreast = 4 if shape.group_filters % 4 == 0 and is_aligned(w) else 1
    plan = direct(shape, pool, shape.pooled(pool), shape.filters // abreast, "conv2d")
    launch(_direct_forward[REAL[y.dtype], abreast], int(plan["count"]), x, w, b, y, winners, plan, *last)


def conv2d_input_gradient(
    gy: Array, w: Array, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d_input_gradient`."""
    dtype = floating("conv2d_input_gradient", gy, half=True)
    shape = _shape((len(gy), *input_size, w.shape[2] * groups), w.shape, strides, padding, dilation, groups)
    gy, w = contiguous(gy, dtype), contiguous(w, dtype)
    gx = cupy.empty((shape.images, *input_size, shape.channels), dtype)
    if _is_direct(shape):
        plan = direct(shape, NO_POOL, input_size, shape.channels, "conv2d_input_gradient")
        launch(_direct_input_gradient[REAL[dtype]], gx.size, gy, w, gx, plan)
    elif gx.size:
        real, vector, arithmetic = _how("conv2d_input_gradient", shape, dtype, gy, w)
        for part in gradient_parts(shape):
            rows, columns = int(part.windows["windows"]), shape.group_channels
            how = cut(rows, columns, 1, vector, groups, real != "double")
            arguments = (gy, w, gx, *part, np.int32(shape.channels))
            which = (real, *how.tile, vector, arithmetic)
            _input_gradient[which]((*how.blocks, groups), how.threads, arguments)
    return gx


def conv2d_kernel_gradient(
    x: Array, gy: Array, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d_kernel_gradient`."""
    dtype = floating("conv2d_kernel_gradient", x, half=True)
    w_shape = (*kernel_size, x.shape[3] // groups, gy.shape[3])
    shape = _shape(x.shape, w_shape, strides, padding, dilation, groups)
    if _is_direct(shape):
        return _direct_weights(x, gy, None, shape, NO_POOL)
    if not gy.size:
        return cupy.zeros(w_shape, wide(dtype))
    x, gy, plan = contiguous(x, dtype), contiguous(gy, dtype), windows(shape)
    real, vector, arithmetic = _how("conv2d_kernel_gradient", shape, dtype, x, gy)
    rows, columns = shape.taps, shape.group_filters
    how = cut(rows, columns, int(plan["windows"]), vector, groups, real != "double")
    parts = cupy.empty((how.parts, *w_shape), wide(dtype))
    arguments = (x, gy, parts, plan, np.int32(columns), np.int32(shape.filters), np.int32(groups))
    which = (real, *how.tile, vector, arithmetic)
    _kernel_gradient[which]((*how.blocks, groups * how.parts), how.threads, arguments)
    return add_parts(parts)


def _direct_weights(x: Array, gy: Array, winners: Array | None, shape: Shape, pool: Pool) -> Array:
    """The kernel's gradient from the gradient of y, or of the pooled y and its winners."""
    dtype = x.dtype
    w_shape = (*shape.kernel, shape.group_channels, shape.filters)
    if not gy.size:
        return cupy.zeros(w_shape, wide(dtype))
    x, gy = contiguous(x, dtype), contiguous(gy, dtype)
    winners = None if winners is None else contiguous(winners, winners.dtype)
    plan = direct(shape, pool, gy.shape[1:3], 1, "conv2d_kernel_gradient")
    blocks = -(-shape.filters // FILTERS), shape.taps
    number = max(1, min(int(plan["count"]) // SHORTEST_PART, 1024 // math.prod(blocks)))
    parts = cupy.empty((number, *w_shape), wide(dtype))
    _direct_kernel_gradient[REAL[dtype]]((*blocks, number), (FILTERS, LINES), (x, gy, winners, parts, plan))
    return add_parts(parts)


def conv2d_block(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto", activation: str, alpha: float, pool_size: Pair | None, pool_strides: Pair | None,
    pool_padding: Padding | None, pooling: str = "max", keep: bool = True,
) -> tuple[Array, Array | None]:  # fmt: skip
    """See `minicnn.kernels.conv2d_block`."""
    floating("conv2d_block", x, half=True)
    shape = _shape(x.shape, w.shape, strides, padding, dilation, groups)
    if pool_size is None or pool_strides is None or pool_padding is None:
        return _convolve(x, w, b, shape, activation, alpha), None
    pool = Pool(pool_size, pool_strides, pool_padding)
    if pooling == "max" and _is_fusible(shape, pool):
        y, winners = _fused(x, w, b, shape, pool, activation, alpha)
        return y, winners if keep else None
    before = _convolve(x, w, b, shape, activation, alpha)
    if pooling == "avg":
        y = avg_pool2d(before, pool_size=pool_size, strides=pool_strides, padding=pool_padding)
        return y, before if keep else None
    y, winners = max_pool2d(before, pool_size=pool_size, strides=pool_strides, padding=pool_padding)
    return y, winners if keep else None


def _is_fusible(shape: Shape, pool: Pool) -> bool:
    """Whether no cell is computed twice, and for products also whether pools lie in a tile whole."""
    cells = math.prod(pool.size)
    apart = all(stride >= size for size, stride in zip(pool.size, pool.strides, strict=True))
    if _is_direct(shape):
        return apart and cells <= 256
    return pool.strides == pool.size and POOLED_ROWS % cells == 0 and pool.padding == NO_POOL.padding


def _fused(
    x: Array, w: Array, b: Array | None, shape: Shape, pool: Pool, activation: str, alpha: float
) -> tuple[Array, Array]:
    """max_pool2d(activation(conv2d(x, w, b))) and the winners, without the picture before pooling."""
    dtype = x.dtype
    x, w, b = contiguous(x, dtype), contiguous(w, dtype), None if b is None else contiguous(b, wide(dtype))
    size = shape.pooled(pool)
    y = cupy.empty((shape.images, *size, shape.filters), dtype)
    winners = cupy.empty(y.shape, np.uint8)
    last: Any = ACTIVATION_NUMBERS[activation], wide(dtype).type(alpha)
    if _is_direct(shape):
        _convolve_directly(x, w, b, y, winners, shape, pool, *last)
    elif y.size:
        plan, columns = windows(shape, pool), shape.group_filters
        real, vector, arithmetic = _how("conv2d", shape, dtype, x, w)
        how = tiled(int(plan["windows"]), columns, NARROW if real != "double" and columns <= NARROW[1] else SMALL)
        arguments = (x, w, b, y, winners, plan, np.int32(columns), np.int32(shape.filters), *last)
        which = (real, *how.tile, vector, arithmetic)
        _forward_pooled[which]((*how.blocks, shape.groups), how.threads, arguments)
    return y, winners


def conv2d_block_gradients(
    gy: Array, y: Array, kept: Array | None, x: Array, w: Array, *, needs_x: bool, needs_w: bool, needs_b: bool,
    strides: Pair, padding: Padding, dilation: Pair, groups: int, algorithm: str = "auto", activation: str,
    alpha: float, pool_size: Pair | None, pool_strides: Pair | None, pool_padding: Padding | None,
    pooling: str = "max",
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """See `minicnn.kernels.conv2d_block_gradients`."""
    floating("conv2d_block_gradients", gy, half=True)
    shape = _shape(x.shape, w.shape, strides, padding, dilation, groups)
    geometry: Any = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    average = pool_size is not None and pooling == "avg"
    if average:
        window: Any = {"pool_size": pool_size, "strides": pool_strides, "padding": pool_padding}
        gy, y = avg_pool2d_gradient(gy, input_size=shape.output, **window), kept
    g = activation_gradient(gy, y, activation, alpha)
    gb = sum_rows(g.reshape(-1, shape.filters)) if needs_b else None
    gx = gw = None
    if not average and pool_size is not None and pool_strides is not None and pool_padding is not None:
        pool = Pool(pool_size, pool_strides, pool_padding)
        if needs_w and _is_direct(shape) and kept is not None and kept.dtype == np.uint8:
            # Through the winners alone: one window in so many cells, and no larger array in between.
            gw, needs_w = _direct_weights(x, g, kept, shape, pool), False
        if needs_x or needs_w:
            g = max_pool2d_gradient(
                g, kept, input_size=shape.output, pool_size=pool_size, strides=pool_strides, padding=pool_padding
            )
    if needs_x:
        gx = conv2d_input_gradient(g, w, input_size=shape.size, **geometry)
    if needs_w:
        gw = conv2d_kernel_gradient(x, g, kernel_size=shape.kernel, **geometry)
    return gx, gw, gb


def dense_block(x: Array, w: Array, b: Array | None, *, activation: str, alpha: float) -> Array:
    """See `minicnn.kernels.dense_block`: a convolution of pictures of one cell."""
    floating("dense_block", x, half=True)
    shape = _shape((len(x), 1, 1, x.shape[1]), (1, 1, *w.shape), (1, 1), NO_POOL.padding, (1, 1), 1)
    return _convolve(x[:, None, None], w[None, None], b, shape, activation, alpha)[:, 0, 0]


_, _dense_block_gradients = dense_blocks(lambda: sys.modules[__package__], activation_gradient)


def dense_block_gradients(
    gy: Array, y: Array, x: Array, w: Array, *, needs_x: bool, needs_w: bool, needs_b: bool, activation: str,
    alpha: float, out: Array | None = None,
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """See `minicnn.kernels.dense_block_gradients`."""
    if needs_w and out is None:
        out = cupy.empty(w.shape, wide(gy.dtype))
    return _dense_block_gradients(
        gy, y, x, w, needs_x=needs_x, needs_w=needs_w, needs_b=needs_b, activation=activation, alpha=alpha, out=out
    )
