"""Activations inside fused blocks: on a few rows that have just been computed and still lie in the cache.

Each derivative is a function of the activation's output y, so that backward needs nothing but y.
"""

from __future__ import annotations

import numpy as np

from .cache import inlined

NAMES = ("linear", "relu", "leaky_relu", "elu", "sigmoid", "tanh")
LINEAR, RELU, LEAKY_RELU, ELU, SIGMOID, TANH = range(len(NAMES))


@inlined
def activate(values, kind, alpha):
    """The activation of each value of a vector, in place."""
    scale, one = values.dtype.type(alpha), values.dtype.type(1)
    if kind == RELU:
        for i in range(values.size):
            values[i] = 0 if values[i] <= 0 else values[i]  # keeps NaN
    elif kind == LEAKY_RELU:
        for i in range(values.size):
            values[i] = values[i] if values[i] >= 0 else scale * values[i]
    elif kind == ELU:
        for i in range(values.size):
            values[i] = values[i] if values[i] > 0 else scale * np.expm1(values[i])
    elif kind == SIGMOID:
        for i in range(values.size):
            values[i] = one / (one + np.exp(-values[i]))
    elif kind == TANH:
        for i in range(values.size):
            values[i] = np.tanh(values[i])


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
