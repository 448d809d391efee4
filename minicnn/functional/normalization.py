"""Normalisation: across the batch, and across neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array, is_grad_enabled
from minicnn.kernels import array_module
from minicnn.kernels.noting import reshaped

from .arithmetic import add, divide, multiply, power, sqrt, square, subtract
from .geometry import whole
from .reductions import mean as mean_
from .reductions import sum as sum_
from .shaping import cast, index, pad, reshape


class BatchNorm(Function):
    """`batch_norm` with given moments: (x, gamma, beta, mean, variance) to y, channels along `axis`."""

    def __init__(self, epsilon: float, axis: int) -> None:
        self.epsilon, self.axis = epsilon, axis

    def forward(self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
        """Saves all but beta."""
        self.save_inputs(0, 1, 3, 4)
        y = kernels.batch_norm(_as_matrix(x, self.axis), gamma, beta, mean, variance, epsilon=self.epsilon)
        return _from_matrix(y, x.shape, self.axis)

    def backward(self, gy: Tensor) -> tuple[Any, ...]:
        """Differentiable itself; used where a network with frozen statistics is trained."""
        x, gamma, mean, variance = self.saved_inputs
        others = _other_axes(x.ndim, self.axis)
        root = sqrt(add(variance, self.epsilon))
        slope = divide(gamma, root)
        away = subtract(x, _along(mean, x.ndim, self.axis))
        gx = cast(multiply(gy, _along(slope, x.ndim, self.axis)), x.dtype)
        gbeta = sum_(gy, axis=others)
        ggamma = divide(sum_(multiply(gy, away), axis=others), root)
        gvariance = multiply(multiply(ggamma, gamma), divide(-0.5, add(variance, self.epsilon)))
        return gx, ggamma, gbeta, multiply(gbeta, multiply(slope, -1.0)), gvariance


class BatchNormTraining(Function):
    """`batch_norm_training`: (x, gamma, beta) to y and the batch's mean and variance, channels along `axis`."""

    def __init__(self, epsilon: float, axis: int) -> None:
        self.epsilon, self.axis = epsilon, axis

    def forward(self, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        """Saves x and gamma, and keeps the moments."""
        self.save_inputs(0, 1)
        matrix = _as_matrix(x, self.axis)
        self.moments = kernels.batch_moments(matrix)
        y = kernels.batch_norm(matrix, gamma, beta, *self.moments, epsilon=self.epsilon)
        return _from_matrix(y, x.shape, self.axis), *self.moments

    def backward(self, gy: Tensor | None, gmean: Tensor | None, gvariance: Tensor | None) -> tuple[Any, ...]:
        """One call of the kernels; the separate operations if backward is taped or the moments were used further."""
        x, gamma = self.saved_inputs
        if gy is None or gmean is not None or gvariance is not None or is_grad_enabled():
            return self._separately(gy, gmean, gvariance, x, gamma)
        gx, ggamma, gbeta = kernels.batch_norm_gradients(
            _as_matrix(gy.data, self.axis), _as_matrix(x.data, self.axis), gamma.data, *self.moments,
            epsilon=self.epsilon,
        )  # fmt: skip
        return Tensor(_from_matrix(gx, x.shape, self.axis)), Tensor(ggamma), Tensor(gbeta)

    def _separately(
        self, gy: Tensor | None, gmean: Tensor | None, gvariance: Tensor | None, x: Tensor, gamma: Tensor
    ) -> tuple[Any, ...]:
        others = _other_axes(x.ndim, self.axis)
        count = x.size // x.shape[self.axis]

        def spread(values: Any) -> Any:
            return _along(values, x.ndim, self.axis)

        away = subtract(x, mean_(x, axis=others, keepdims=True))
        root = sqrt(add(mean_(square(away), axis=others), self.epsilon))
        gx: Any = multiply(x, 0.0)
        ggamma = gbeta = None
        if gy is not None:
            z = divide(away, spread(root))
            gbeta, ggamma = sum_(gy, axis=others), sum_(multiply(gy, z), axis=others)
            centred = subtract(subtract(gy, spread(divide(gbeta, count))), multiply(z, spread(divide(ggamma, count))))
            gx = multiply(spread(divide(gamma, root)), centred)
        if gmean is not None:
            gx = add(gx, spread(divide(gmean, count)))
        if gvariance is not None:
            gx = add(gx, multiply(away, spread(multiply(gvariance, 2.0 / count))))
        return cast(gx, x.dtype), ggamma, gbeta


def _other_axes(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(rank) if a != axis % rank)


def _along(values: Any, rank: int, axis: int) -> Any:
    """A vector with one value for each channel, shaped to broadcast along `axis`."""
    if axis % rank == rank - 1:
        return values
    return reshape(values, tuple(-1 if a == axis % rank else 1 for a in range(rank)))


def _as_matrix(x: Array, axis: int) -> Array:
    """The channels as columns."""
    return reshaped(array_module(x).moveaxis(x, axis, -1), (-1, x.shape[axis]))


def _from_matrix(y: Array, shape: tuple[int, ...], axis: int) -> Array:
    rest = tuple(shape[a] for a in _other_axes(len(shape), axis))
    return array_module(y).moveaxis(y.reshape(*rest, shape[axis]), -1, axis)


def _channel_vectors(
    operation: str, x: TensorLike, axis: int, gamma: TensorLike | None, beta: TensorLike | None, **others: TensorLike
) -> list[TensorLike]:
    """gamma, beta and the others, checked to be (C,); where there is no gamma or beta, ones or zeros."""
    array = as_array(x)
    if array.ndim < 1 or not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{operation}: axis must be one of x, but axis={axis} came for shape {array.shape}")
    C = array.shape[axis]
    if not C:
        raise ValueError(f"{operation}: x must have channels along axis {axis}, got shape {array.shape}")
    xp = array_module(array)
    for name, values in (("gamma", gamma), ("beta", beta), *others.items()):
        if values is not None and as_array(values).shape != (C,):
            raise ValueError(f"{operation}: {name} must have shape ({C},), got {as_array(values).shape}")
    return [
        xp.ones(C, array.dtype) if gamma is None else gamma,
        xp.zeros(C, array.dtype) if beta is None else beta,
        *others.values(),
    ]


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

    Raises:
        ValueError: for an axis that x does not have, or that has no channels; gamma, beta, mean or variance of
            another shape than (C,).
    """
    vectors = _channel_vectors("batch_norm", x, axis, gamma, beta, mean=mean, variance=variance)
    return BatchNorm(epsilon, axis)(x, *vectors)


def batch_norm_training(
    x: TensorLike, gamma: TensorLike | None, beta: TensorLike | None, *, epsilon: float = 1e-3, axis: int = -1
) -> tuple[Any, Any, Any]:
    """`batch_norm` with the batch's own mean and (biased) variance, which the gradient flows through.

    Returns:
        y of x's shape, and the batch's mean and variance (C,).

    Raises:
        ValueError: as `batch_norm` does, and for an x without a single element.
    """
    gamma, beta = _channel_vectors("batch_norm_training", x, axis, gamma, beta)
    if not as_array(x).size:
        raise ValueError(f"batch_norm_training: an empty x has no mean, but its shape is {as_array(x).shape}")
    y, mean, variance = BatchNormTraining(epsilon, axis)(x, gamma, beta)
    return y, mean, variance


def local_response_normalization(
    x: TensorLike, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
) -> Any:
    """x / (bias + alpha * s)**beta, where s sums the squares of up to `depth_radius` channels on either side.

    Args:
        x: (..., C). The defaults are TensorFlow's. (Krizhevsky, Sutskever and Hinton 2012, section 3.3.)

    Raises:
        TypeError, ValueError: depth_radius is no whole number, or negative.
    """
    radius = whole(depth_radius, "depth_radius", "local_response_normalization", least=0)
    shape = np.shape(as_array(x))
    squares = pad(square(x), [(0, 0)] * (len(shape) - 1) + [(radius, radius)])
    total = index(squares, (..., slice(0, shape[-1])))
    for shift in range(1, 2 * radius + 1):
        total = add(total, index(squares, (..., slice(shift, shift + shape[-1]))))
    return divide(x, power(add(multiply(total, alpha), bias), beta))
