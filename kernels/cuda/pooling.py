"""Pooling and its gradients, of four channels at once where their number allows."""

from __future__ import annotations

import math
from functools import lru_cache

import cupy
import numpy as np

from ..geometry import Padding, Pair, output_sizes, winner_dtype
from .arrays import DIVIDER, Array, aligned, at_once, check_count, contiguous, divider, floating, launch
from .loading import KEPT, REAL, Kernels

WINNERS = {np.dtype(np.uint8): "unsigned char", np.dtype(np.int32): "int"}

WIDTHS = (4, 1)  # channels to a thread

_max_pool = Kernels("pooling.cu", "max_pool", KEPT, WINNERS.values(), WIDTHS)
_max_pool_gradient = Kernels("pooling.cu", "max_pool_gradient", KEPT, WINNERS.values(), WIDTHS)
_max_pool_spread = Kernels("pooling.cu", "max_pool_spread", KEPT, WINNERS.values(), WIDTHS)
_max_pool_gather = Kernels("pooling.cu", "max_pool_gather", KEPT, WINNERS.values())
_avg_pool = Kernels("pooling.cu", "avg_pool", KEPT, WIDTHS)
_avg_pool_gradient = Kernels("pooling.cu", "avg_pool_gradient", KEPT, WIDTHS)
_avg_pool_spread = Kernels("pooling.cu", "avg_pool_spread", KEPT, WIDTHS)

# `Pooling` of pooling.cu.
POOLING = np.dtype(
    [(name, DIVIDER) for name in ("channels", "rows", "columns")]
    + [(name, np.int32) for name in ("height", "width", "output_height", "output_width", "window_height",
                                     "window_width", "row_stride", "column_stride", "top", "left", "count")]
)  # fmt: skip


@lru_cache(maxsize=1024)
def _plan(
    operation: str, images: int, channels: int, size: Pair, counted: Pair, pool_size: Pair, strides: Pair,
    padding: Padding,
) -> np.ndarray:  # fmt: skip
    """The kernels' argument; the threads are counted over pictures of the size `counted`, with so many channels."""
    output = output_sizes(size, pool_size, strides, padding)
    count = images * math.prod(counted) * channels
    check_count(operation, count)
    dividers = divider(channels), divider(counted[0]), divider(counted[1])
    plan = np.zeros((), POOLING)
    for name, value in zip(("channels", "rows", "columns"), dividers, strict=True):
        plan[name] = value
    numbers = (*size, *output, *pool_size, *strides, padding[0][0], padding[1][0], count)
    for name, number in zip((POOLING.names or ())[3:], numbers, strict=True):
        plan[name] = number
    return plan


def max_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Array, Array]:
    """See `minicnn.kernels.max_pool2d`."""
    dtype, kind = floating("max_pool2d", x, half=True), winner_dtype(pool_size)
    N, H, W, C = x.shape
    size, width = output_sizes((H, W), pool_size, strides, padding), at_once(C)
    y, winners = cupy.empty((N, *size, C), dtype), cupy.empty((N, *size, C), kind)
    plan = _plan("max_pool2d", N, C // width, (H, W), size, pool_size, strides, padding)
    launch(_max_pool[REAL[dtype], WINNERS[kind], width], y.size // width, aligned(x, dtype), y, winners, plan)
    return y, winners


def _counted(gy: Array, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Pair, bool]:
    """What a gradient's threads are counted over, and whether that is windows: those that lie apart, with their cells.

    The cells behind the last window count as one more. Else, and where there are no windows, it is single cells.
    """
    if not gy.size or any(window > stride for window, stride in zip(pool_size, strides, strict=True)):
        return input_size, False
    high, wide = (-(-(n + pads[0]) // by) for n, pads, by in zip(input_size, padding, strides, strict=True))
    return (high, wide), True


def max_pool2d_gradient(
    gy: Array, winners: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gradient`."""
    dtype = floating("max_pool2d_gradient", gy, half=True)
    N, C = gy.shape[0], gy.shape[3]
    gx, width = cupy.empty((N, *input_size, C), dtype), at_once(C)
    counted, apart = _counted(gy, input_size, pool_size, strides, padding)
    plan = _plan("max_pool2d_gradient", N, C // width, input_size, counted, pool_size, strides, padding)
    kernel = (_max_pool_spread if apart else _max_pool_gradient)[REAL[dtype], WINNERS[winners.dtype], width]
    launch(kernel, int(plan["count"]), aligned(gy, dtype), aligned(winners, winners.dtype), gx, plan)
    return gx


def max_pool2d_gather(
    x: Array, winners: Array, *, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.max_pool2d_gather`."""
    dtype = floating("max_pool2d_gather", x, half=True)
    N, H, W, C = x.shape
    y = cupy.empty(winners.shape, dtype)
    plan = _plan("max_pool2d_gather", N, C, (H, W), winners.shape[1:3], pool_size, strides, padding)
    kernel = _max_pool_gather[REAL[dtype], WINNERS[winners.dtype]]
    launch(kernel, y.size, contiguous(x, dtype), contiguous(winners, winners.dtype), y, plan)
    return y


def avg_pool2d(x: Array, *, pool_size: Pair, strides: Pair, padding: Padding) -> Array:
    """See `minicnn.kernels.avg_pool2d`."""
    dtype = floating("avg_pool2d", x, half=True)
    N, H, W, C = x.shape
    size, width = output_sizes((H, W), pool_size, strides, padding), at_once(C)
    y = cupy.empty((N, *size, C), dtype)
    plan = _plan("avg_pool2d", N, C // width, (H, W), size, pool_size, strides, padding)
    launch(_avg_pool[REAL[dtype], width], y.size // width, aligned(x, dtype), y, plan)
    return y


def avg_pool2d_gradient(
    gy: Array, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Array:
    """See `minicnn.kernels.avg_pool2d_gradient`."""
    dtype = floating("avg_pool2d_gradient", gy, half=True)
    N, C = gy.shape[0], gy.shape[3]
    gx, width = cupy.empty((N, *input_size, C), dtype), at_once(C)
    counted, apart = _counted(gy, input_size, pool_size, strides, padding)
    plan = _plan("avg_pool2d_gradient", N, C // width, input_size, counted, pool_size, strides, padding)
    kernel = (_avg_pool_spread if apart else _avg_pool_gradient)[REAL[dtype], width]
    launch(kernel, int(plan["count"]), aligned(gy, dtype), gx, plan)
    return gx
