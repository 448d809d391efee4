"""The three passes of a convolution, and fused blocks.

With few channels or filters to each of several groups, or few numbers to a window, the direct kernels serve, else
products of tiles, on the tensor cores where float32 may be rounded to TF32 on the way there (`use_tf32`) and the device
has them. Which `algorithm` is asked for makes no difference here.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import cupy
import numpy as np

from ..composition import blocks, dense_blocks
from ..geometry import Padding, Pair
from .arrays import Array, aligned, at_once, contiguous, floating, launch, wide
from .elementwise import ACTIVATION_NUMBERS, activation_gradient
from .loading import KEPT, REAL, Kernels
from .matrices import LARGE, NARROW, SMALL, THREADS, Cut, add_parts, arithmetic, cut, multiply
from .pooling import avg_pool2d, max_pool2d
from .windows import NO_POOL, Pool, Shape, direct, gradient_parts, windows

# (type, arithmetic, numbers of either operand copied at once) and the tiles that there are for it, the largest first.
_TILES: dict[tuple[str, str, int, int], tuple[Pair, ...]] = {
    **{(real, "Tensor", 4, 4): (LARGE, NARROW, SMALL) for real in ("float", "Half", "BFloat")},
    **{(real, "Tensor", 1, 1): (SMALL,) for real in ("float", "Half", "BFloat")},
    ("float", "Tensor", 1, 4): (NARROW, SMALL), ("float", "Exact", 4, 4): (LARGE, SMALL),
    ("float", "Exact", 1, 1): (SMALL,), ("double", "Exact", 1, 1): (SMALL,),
}  # fmt: skip
_PRODUCTS = [
    (real, *tile, *vectors, arithmetic) for (real, arithmetic, *vectors), tiles in _TILES.items() for tile in tiles
]
_forward = Kernels("convolution.cu", "forward", combinations=_PRODUCTS)
_input_gradient = Kernels(
    "convolution.cu", "input_gradient", combinations=[how for how in _PRODUCTS if how[3] == how[4]]
)
_kernel_gradient = Kernels("convolution.cu", "kernel_gradient", combinations=_PRODUCTS)
_direct_forward = Kernels("direct.cu", "direct_forward", KEPT, (4, 1))
_direct_input_gradient = Kernels("direct.cu", "direct_input_gradient", KEPT)
_direct_kernel_gradient = Kernels("direct.cu", "direct_kernel_gradient", KEPT)

# So few channels or filters to each of several groups, or numbers to a window: a tile would mostly multiply what is
# not there.
FEW = 4
# A pool must lie in the rows of a tile whole, of whichever size.
POOLED_ROWS = 32
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


def _has_thin_groups(shape: Shape) -> bool:
    return shape.groups > 1 and min(shape.group_channels, shape.group_filters) <= FEW


def _is_direct(shape: Shape) -> bool:
    return _has_thin_groups(shape) or shape.taps <= FEW


class _Plan(NamedTuple):
    """How a product is made: the kernel, and how it is shared among blocks."""

    which: tuple[Any, ...]
    cut: Cut


def _plan(operation: str, dtype: np.dtype, sizes: tuple[int, int, int], groups: int, *lengths: int) -> _Plan:
    """For rows, columns and depth of the product, and the lengths of the fast axes of operands that are `aligned`.

    A depth of 0 is not cut up.
    """
    a, b = map(at_once, lengths)
    real, how = REAL[dtype], arithmetic(operation, dtype)
    if (real, how, a, b) not in _TILES:
        a = b = 1
    found = cut(*sizes, _TILES[real, how, a, b], groups)
    return _Plan((real, *found.tile, a, b, how), found)


def conv2d(
    x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d`."""
    floating("conv2d", x, half=True)
    return _convolve(x, w, b, _shape(x.shape, w.shape, strides, padding, dilation, groups), "linear", 1.0)[0]


def _convolve(
    x: Array, w: Array, b: Array | None, shape: Shape, activation: str, alpha: float, pool: Pool | None = None
) -> tuple[Array, Array | None]:
    """activation(conv2d(x, w, b)), or of a max pooling behind it, without the picture before that, with the winners."""
    dtype, pooled = x.dtype, pool is not None
    pool = pool or NO_POOL
    x, w, b = aligned(x, dtype), aligned(w, dtype), None if b is None else contiguous(b, wide(dtype))
    y = cupy.empty((shape.images, *shape.pooled(pool), shape.filters), dtype)
    winners = cupy.empty(y.shape, np.uint8) if pooled else None
    last = ACTIVATION_NUMBERS[activation], wide(dtype).type(alpha)
    if _is_direct(shape):
        _convolve_directly(x, w, b, y, shape, *last)
    elif y.size:
        place = windows(shape, pool)
        sizes = int(place["windows"]), shape.group_filters, 0
        plan = _plan("conv2d", dtype, sizes, shape.groups, shape.group_channels, shape.group_filters)
        arguments = (x, w, b, y, winners, place, np.int32(shape.group_filters), np.int32(shape.filters), *last)
        _forward[plan.which]((*plan.cut.blocks, shape.groups), THREADS, arguments)
    return y, winners


def _convolve_directly(x: Array, w: Array, b: Array | None, y: Array, shape: Shape, *last: Any) -> None:
    abreast = at_once(shape.group_filters)
    plan = direct(shape, shape.output, shape.filters // abreast, "conv2d")
    launch(_direct_forward[REAL[y.dtype], abreast], int(plan["count"]), x, w, b, y, plan, *last)


def conv2d_input_gradient(
    gy: Array, w: Array, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d_input_gradient`."""
    dtype = floating("conv2d_input_gradient", gy, half=True)
    shape = _shape((len(gy), *input_size, w.shape[2] * groups), w.shape, strides, padding, dilation, groups)
    gy, w = aligned(gy, dtype), aligned(w, dtype)
    gx = cupy.empty((shape.images, *input_size, shape.channels), dtype)
    if _is_direct(shape):
        place = direct(shape, input_size, shape.channels, "conv2d_input_gradient")
        launch(_direct_input_gradient[REAL[dtype]], gx.size, gy, w, gx, place)
    elif gx.size:
        for part in gradient_parts(shape):
            sizes = int(part.windows["windows"]), shape.group_channels, 0
            plan = _plan("conv2d_input_gradient", dtype, sizes, groups, shape.group_filters, shape.group_filters)
            arguments = (gy, w, gx, *part, np.int32(shape.channels))
            _input_gradient[plan.which]((*plan.cut.blocks, groups), THREADS, arguments)
    return gx


def conv2d_kernel_gradient(
    x: Array, gy: Array, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> Array:
    """See `minicnn.kernels.conv2d_kernel_gradient`."""
    dtype = floating("conv2d_kernel_gradient", x, half=True)
    w_shape = (*kernel_size, x.shape[3] // groups, gy.shape[3])
    shape = _shape(x.shape, w_shape, strides, padding, dilation, groups)
    if not gy.size:
        return cupy.zeros(w_shape, wide(dtype))
    x, gy = aligned(x, dtype), aligned(gy, dtype)
    if _has_thin_groups(shape):
        return _direct_weights(x, gy, shape)
    place = windows(shape)
    sizes = shape.taps, shape.group_filters, int(place["windows"])
    plan = _plan("conv2d_kernel_gradient", dtype, sizes, groups, shape.group_channels, shape.group_filters)
    parts = cupy.empty((plan.cut.parts, *w_shape), wide(dtype))
    arguments = (x, gy, parts, place, np.int32(shape.group_filters), np.int32(shape.filters), np.int32(groups))
    _kernel_gradient[plan.which]((*plan.cut.blocks, groups * plan.cut.parts), THREADS, arguments)
    return add_parts(parts)


def _direct_weights(x: Array, gy: Array, shape: Shape) -> Array:
    plan = direct(shape, shape.output, 1, "conv2d_kernel_gradient")
    blocks = -(-shape.filters // FILTERS), shape.taps
    number = max(1, min(int(plan["count"]) // SHORTEST_PART, 1024 // math.prod(blocks)))
    parts = cupy.empty((number, *shape.kernel, shape.group_channels, shape.filters), wide(x.dtype))
    _direct_kernel_gradient[REAL[x.dtype]]((*blocks, number), (FILTERS, LINES), (x, gy, parts, plan))
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
        return _convolve(x, w, b, shape, activation, alpha)
    pool = Pool(pool_size, pool_strides, pool_padding)
    if pooling == "max" and _is_fusible(shape, pool):
        y, winners = _convolve(x, w, b, shape, activation, alpha, pool)
        return y, winners if keep else None
    before, _ = _convolve(x, w, b, shape, activation, alpha)
    if pooling == "avg":
        y = avg_pool2d(before, pool_size=pool_size, strides=pool_strides, padding=pool_padding)
        return y, before if keep else None
    y, winners = max_pool2d(before, pool_size=pool_size, strides=pool_strides, padding=pool_padding)
    return y, winners if keep else None


def _is_fusible(shape: Shape, pool: Pool) -> bool:
    """Whether pools do not overlap and lie in a tile whole."""
    within = POOLED_ROWS % math.prod(pool.size) == 0 and pool.padding == NO_POOL.padding
    return not _is_direct(shape) and pool.strides == pool.size and within


_, conv2d_block_gradients = blocks(lambda: sys.modules[__package__], activation_gradient)


def dense_block(x: Array, w: Array, b: Array | None, *, activation: str, alpha: float) -> Array:
    """See `minicnn.kernels.dense_block`."""
    floating("dense_block", x, half=True)
    return multiply(x, w, b, None, ACTIVATION_NUMBERS[activation], alpha)


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
