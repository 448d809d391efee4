"""Normalisation: across the batch, and across neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import TensorLike, as_array

from .arithmetic import add, divide, multiply, power, sqrt, square, subtract
from .geometry import whole
from .reductions import mean as mean_
from .shaping import index, pad, reshape


def _per_channel(values: TensorLike | None, rank: int, axis: int) -> Any:
    """A vector with one value for each channel, shaped to broadcast along `axis`."""
    if values is None or axis % rank == rank - 1:
        return values
    return reshape(values, tuple(-1 if a == axis % rank else 1 for a in range(rank)))


def batch_norm(
    x: TensorLike,
    gamma: TensorLike | None,
    beta: TensorLike | None,
    mean: TensorLike,
    variance: TensorLike,
    *,
    epsilon: float = 1e-3,
    axis: int = -1,
) -> Any:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, channel by channel (Ioffe and Szegedy 2015).

    Args:
        x: any shape with C channels along `axis`.
        gamma, beta: scale and shift (C,), or None for 1 and 0.
        mean, variance: of each channel (C,).
        epsilon: keeps the root away from 0.
        axis: where the channels are.
    """
    rank, C = as_array(x).ndim, as_array(x).shape[axis]
    for name, values in (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)):
        if values is not None and as_array(values).shape != (C,):
            raise ValueError(f"batch_norm: {name} must have shape ({C},), got {as_array(values).shape}")
    scale = divide(1.0 if gamma is None else gamma, sqrt(add(variance, epsilon)))
    y = multiply(subtract(x, _per_channel(mean, rank, axis)), _per_channel(scale, rank, axis))
    return y if beta is None else add(y, _per_channel(beta, rank, axis))


def batch_norm_training(
    x: TensorLike, gamma: TensorLike | None, beta: TensorLike | None, *, epsilon: float = 1e-3, axis: int = -1
) -> tuple[Any, Any, Any]:
    """`batch_norm` with the batch's own mean and (biased) variance, which the gradient flows through.

    Returns:
        y of x's shape, and the batch's mean and variance (C,).
    """
    rank = as_array(x).ndim
    others = tuple(a for a in range(rank) if a != axis % rank)
    mean = mean_(x, axis=others)
    variance = mean_(square(subtract(x, _per_channel(mean, rank, axis))), axis=others)
    return batch_norm(x, gamma, beta, mean, variance, epsilon=epsilon, axis=axis), mean, variance


def local_response_normalization(
    x: TensorLike, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
) -> Any:
    """x / (bias + alpha * s)**beta, where s sums the squares of up to `depth_radius` channels on either side.

    Args:
        x: (..., C). The defaults are TensorFlow's. (Krizhevsky, Sutskever and Hinton 2012, section 3.3.)
    """
    radius = whole(depth_radius, "depth_radius", "local_response_normalization", least=0)
    shape = np.shape(as_array(x))
    squares = pad(square(x), [(0, 0)] * (len(shape) - 1) + [(radius, radius)])
    total = index(squares, (..., slice(0, shape[-1])))
    for shift in range(1, 2 * radius + 1):
        total = add(total, index(squares, (..., slice(shift, shift + shape[-1]))))
    return divide(x, power(add(multiply(total, alpha), bias), beta))
