"""Activations of fused blocks, on rows that have just been computed and still lie in the cache.

Each derivative is a function of the activation's output y, so that backward needs nothing but y.
"""

from __future__ import annotations

import numpy as np

from ..composition import ACTIVATIONS
from . import memory
from .arrays import flat
from .cache import compiled, inlined
from .exponentials import elu, sigmoid, tanh
from .threads import share, take, threads_for

# In the order of ACTIVATIONS, as the numbers below are.
NAMES = tuple(ACTIVATIONS)
LINEAR, RELU, LEAKY_RELU, ELU, SIGMOID, TANH = range(len(NAMES))
# Elements to a tile of a gradient that is computed on its own.
BLOCK = 16 * 1024


@inlined
def activate(values, kind, alpha):
    """The activation of each value of a vector, in place."""
    scale = values.dtype.type(alpha)
    if kind == RELU:
        for i in range(values.size):
            values[i] = 0 if values[i] <= 0 else values[i]  # keeps NaN
    elif kind == LEAKY_RELU:
        for i in range(values.size):
            values[i] = values[i] if values[i] >= 0 else scale * values[i]
    elif kind == ELU:
        for i in range(values.size):
            values[i] = elu(values[i], scale)
    elif kind == SIGMOID:
        for i in range(values.size):
            values[i] = sigmoid(values[i])
    elif kind == TANH:
        for i in range(values.size):
            values[i] = tanh(values[i])


@inlined
def activation_gradient(gy, y, kind, alpha, target):
    """target = gy times the derivative where the output was y, for vectors.

    Where the slope is zero nothing passes, not even a NaN.
    """
    scale, one = y.dtype.type(alpha), y.dtype.type(1)
    if kind == LINEAR:
        for i in range(target.size):
            target[i] = gy[i]
    elif kind == RELU:
        for i in range(target.size):
            target[i] = gy[i] if y[i] > 0 else 0
    elif kind == LEAKY_RELU:
        for i in range(target.size):
            target[i] = gy[i] if y[i] >= 0 else scale * gy[i]
    elif kind == ELU:
        for i in range(target.size):
            slope = one if y[i] > 0 else y[i] + scale
            target[i] = gy[i] * slope if slope != 0 else 0
    else:
        for i in range(target.size):
            slope = y[i] * (one - y[i]) if kind == SIGMOID else one - y[i] * y[i]
            target[i] = gy[i] * slope if slope != 0 else 0


@compiled
def _activate_tiles(ticket, tiles, y, kind, alpha):
    tile = take(ticket)
    while tile < tiles:
        activate(y[tile * BLOCK : (tile + 1) * BLOCK], kind, alpha)
        tile = take(ticket)


def activated(y: np.ndarray, activation: str, alpha: float) -> np.ndarray:
    """A contiguous array that nobody else has, with the activation applied in place."""
    if activation != "linear":
        kind, threads = NAMES.index(activation), threads_for(4 * y.nbytes)
        share(_activate_tiles, -(-y.size // BLOCK), threads, y.reshape(-1), kind, float(alpha))
    return y


@compiled
def _gradient_tiles(ticket, tiles, gy, y, kind, alpha, target):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        activation_gradient(gy[block], y[block], kind, alpha, target[block])
        tile = take(ticket)


def gradient(gy: np.ndarray, y: np.ndarray, activation: str, alpha: float) -> np.ndarray:
    """gy times the derivative, which is worked out from the activation's output y; both of one shape."""
    if activation == "linear":
        return gy
    target = memory.empty(y.shape, y.dtype)
    share(
        _gradient_tiles, -(-y.size // BLOCK), threads_for(y.nbytes), flat(gy, y.dtype), flat(y, y.dtype),
        NAMES.index(activation), float(alpha), target.reshape(-1),
    )  # fmt: skip
    return target
