"""Elementwise kernels, softmax, and dropout masks."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..composition import ACTIVATIONS
from .arrays import THREADS, Array, aligned, at_once, check_count, contiguous, floating, launch, number, wide
from .loading import KEPT, REAL, REALS, Kernels

WIDTHS = (4, 1)  # numbers to a thread

_relu = Kernels("elementwise.cu", "relu", KEPT, WIDTHS)
_times_derivative = Kernels("elementwise.cu", "times_derivative", KEPT, WIDTHS)
_erf = Kernels("elementwise.cu", "error_function_of", REALS)
_dropout = Kernels("elementwise.cu", "dropout_mask", KEPT)
LANES = (4, 16, 32)  # of a warp, to a row
_softmax = Kernels("softmax.cu", "softmax", REALS, LANES)
_cross_entropy_gradient = Kernels("softmax.cu", "cross_entropy_gradient", REALS, LANES)

# Numbers of `Activation` in activation.cuh.
ACTIVATION_NUMBERS = {name: np.int32(number) for number, name in enumerate(ACTIVATIONS)}
# As softmax.cu has it.
EACH = 4


def relu(x: Array) -> Array:
    """See `minicnn.kernels.relu`."""
    dtype = floating("relu", x, half=True)
    x = aligned(x, dtype)
    y, width = cupy.empty(x.shape, dtype), at_once(x.size)
    count = y.size // width
    launch(_relu[REAL[dtype], width], count, x, y, np.int64(count))
    return y


def relu_gradient(gy: Array, y: Array) -> Array:
    """See `minicnn.kernels.relu_gradient`."""
    return activation_gradient(gy, y, "relu", 1.0)


def activation_gradient(gy: Array, y: Array, activation: str, alpha: float) -> Array:
    """gy times the activation's derivative where its output is y; any shape."""
    dtype = floating("activation_gradient", gy, half=True)
    gy, y = aligned(gy, dtype), aligned(y, dtype)
    if activation == "linear":
        return gy
    gx, width = cupy.empty(gy.shape, dtype), at_once(gy.size)
    count, kind = gx.size // width, ACTIVATION_NUMBERS[activation]
    launch(
        _times_derivative[REAL[dtype], width], count, gy, y, gx, np.int64(count), kind, wide(dtype).type(alpha)
    )  # fmt: skip
    return gx


def erf(x: Array) -> Array:
    """See `minicnn.kernels.erf`."""
    dtype = floating("erf", x)
    x = contiguous(x, dtype)
    y = cupy.empty(x.shape, dtype)
    launch(_erf[REAL[dtype]], y.size, x, y, np.int64(y.size))
    return y


def softmax(x: Array) -> Array:
    """See `minicnn.kernels.softmax`."""
    return _rows("softmax", x, None)[1]


def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """See `minicnn.kernels.softmax_cross_entropy`."""
    return _rows("softmax_cross_entropy", logits, targets)


def _rows(operation: str, x: Array, targets: Array | None) -> tuple[Array, Array]:
    """Losses, where there are targets, and probabilities."""
    dtype = floating(operation, x)
    check_count(operation, x.size)
    rows, columns = x.shape
    x = contiguous(x, dtype)
    targets = None if targets is None else contiguous(targets, dtype)
    losses = None if targets is None else (cupy.empty if x.size else cupy.zeros)(rows, dtype)
    probabilities = cupy.empty(x.shape, dtype)
    if x.size:
        arguments = x, targets, probabilities, losses, np.int32(rows), np.int32(columns)
        _over_rows(_softmax, dtype, rows, columns, arguments)
    return losses, probabilities


def _over_rows(kernels: Kernels, dtype: np.dtype, rows: int, columns: int, arguments: tuple[Any, ...]) -> None:
    """Launch a kernel of softmax.cu with the fewest lanes to a row that keep all of it, or with a warp."""
    lanes = next((lanes for lanes in LANES if columns <= lanes * EACH), LANES[-1])
    kernels[REAL[dtype], lanes]((-(-rows * lanes // THREADS),), (THREADS,), arguments)


def softmax_cross_entropy_gradient(gy: Array, probabilities: Array, targets: Array) -> Array:
    """See `minicnn.kernels.softmax_cross_entropy_gradient`."""
    dtype = floating("softmax_cross_entropy_gradient", gy)
    check_count("softmax_cross_entropy_gradient", probabilities.size)
    rows, columns = probabilities.shape
    gx = cupy.empty(probabilities.shape, dtype)
    if gx.size:
        arrays = [contiguous(array, dtype) for array in (gy, probabilities, targets)]
        arguments = (*arrays, gx, np.int32(rows), np.int32(columns))
        _over_rows(_cross_entropy_gradient, dtype, rows, columns, arguments)
    return gx


def dropout_mask(like: Array, rate: float, *, key: int, step: int) -> Array:
    """See `minicnn.kernels.dropout_mask`."""
    dtype = floating("dropout_mask", like, half=True)
    mask, kind = cupy.empty(like.shape, dtype), wide(dtype).type
    launch(
        _dropout[REAL[dtype]], -(-mask.size // 4), mask, np.int64(mask.size), np.uint64(key), number(step, np.uint64),
        np.uint64(round(rate * 2**32)), kind(1) / kind(1 - rate),
    )  # fmt: skip
    return mask
