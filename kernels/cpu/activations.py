"""Activations of fused blocks: the cheap ones on rows that have just been computed and still lie in the cache.

Those made of exponentials wait until the block is done: NumPy computes them with vectors, which a compiled loop over
the C library's function does not, and that is worth more than the cache.

Each derivative is a function of the activation's output y, so that backward needs nothing but y.
"""

from __future__ import annotations

import numpy as np

from .. import composition
from . import memory
from .arrays import flat
from .cache import compiled, inlined
from .threads import share, take, threads_for

NAMES = ("linear", "relu", "leaky_relu", "elu", "sigmoid", "tanh")
LINEAR, RELU, LEAKY_RELU, ELU, SIGMOID, TANH = range(len(NAMES))
# Elements to a tile of a gradient that is computed on its own.
BLOCK = 16 * 1024


def kind_in_block(activation: str) -> int:
    """The number of the activation that the block applies itself; LINEAR where `finish` does it."""
    kind = NAMES.index(activation)
    return kind if kind <= LEAKY_RELU else LINEAR


def slope_below(activation: str, alpha: float) -> float:
    """The slope below zero of the activations that `kind_in_block` names; of the others 1, which changes nothing."""
    return {RELU: 0.0, LEAKY_RELU: float(alpha)}.get(kind_in_block(activation), 1.0)


def finish(y: np.ndarray, activation: str, alpha: float) -> None:
    """Apply in place what `kind_in_block` left out."""
    if activation == "tanh":
        np.tanh(y, out=y)
    elif activation in ("sigmoid", "elu"):
        y[...] = composition.activate(y, activation, alpha)


@inlined
def activate(values, kind, alpha):
    """One of the cheap activations of each value of a vector, in place."""
    scale = values.dtype.type(alpha)
    if kind == RELU:
        for i in range(values.size):
            values[i] = 0 if values[i] <= 0 else values[i]  # keeps NaN
    elif kind == LEAKY_RELU:
        for i in range(values.size):
            values[i] = values[i] if values[i] >= 0 else scale * values[i]


@inlined
def activation_gradient(gy, y, kind, alpha, target):
    """target = gy times the derivative where the output was y, for vectors."""
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
            target[i] = gy[i] if y[i] > 0 else gy[i] * (y[i] + scale)
    else:
        for i in range(target.size):
            slope = y[i] * (one - y[i]) if kind == SIGMOID else one - y[i] * y[i]
            target[i] = gy[i] * slope if slope != 0 else 0


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
