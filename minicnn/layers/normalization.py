"""Normalisation: over the batch, and over neighbouring channels."""

from __future__ import annotations

from typing import Any

import minicnn.functional as F
from minicnn import constraints, initializers, regularizers
from minicnn.autograd import Tensor
from minicnn.kernels.moving_average import move_average
from minicnn.layers.arguments import number, whole_axis
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape
from minicnn.layers.spatial import SpatialLayer
from minicnn.parameter import Parameter


@registry.register("BatchNorm")
class BatchNormalization(Layer):
    """Each channel with mean 0 and variance 1 over the batch, then scaled and shifted.

    ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta`` (Ioffe & Szegedy 2015, Batch normalization:
    accelerating deep network training by reducing internal covariate shift). In training, mean and variance
    (biased) are those of the batch over all axes but one, and move the moving ones:
    ``moving = momentum moving + (1 - momentum) batch``. In inference the moving ones are used; so they are
    in training where ``trainable=False``.

    Input and output of one shape. Weights, all (C,): gamma, beta, moving_mean, moving_variance.

    Args:
        axis: the channels: -1 for channels last, 1 for channels first.
        momentum: of the moving statistics, from 0 to 1.
        epsilon: keeps the root from 0; not negative.
        center, scale: whether there is a beta, a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: as the names say.
    """

    one_input = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.axis = whole_axis(axis, self)
        self.momentum = number(momentum, "momentum", self, least=0, most=1)
        self.epsilon = number(epsilon, "epsilon", self, least=0)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Parameter | None = None
        self.beta: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        shape = (self._channels(input_shape),)
        if self.scale:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def _channels(self, input_shape: Any) -> int:
        rank = len(input_shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ValueError(
                f"{self.describe()}: axis must be one of the axes of x other than the batch, but axis={self.axis} "
                f"came for shape {input_shape}"
            )
        if input_shape[self.axis] is None:
            raise ValueError(
                f"{self.describe()}: the size of axis {self.axis} must be known, but x has shape {input_shape}"
            )
        return input_shape[self.axis]

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where rank or channels are not those that the layer was built for."""
        channels = self._channels(input_shape)
        if self._build_shape is None:
            return
        expected = self._build_shape[self.axis]
        if len(input_shape) != len(self._build_shape) or channels != expected:
            raise ValueError(
                f"{self.describe()}: x must have {len(self._build_shape)} axes with {expected} channels at axis "
                f"{self.axis}, as the layer was built for, but shape {input_shape} came"
                f"{'; for channels first pass axis=1' if expected in input_shape[1:2] else ''}"
            )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Normalise, and in training move the moving statistics."""
        if not (training and self.trainable):
            return F.batch_norm(
                x,
                self.gamma,
                self.beta,
                self.moving_mean,
                self.moving_variance,
                epsilon=self.epsilon,
                axis=self.axis,
            )
        y, mean, variance = F.batch_norm_training(x, self.gamma, self.beta, epsilon=self.epsilon, axis=self.axis)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return y

    def _move(self, moving: Parameter, batch: Any) -> None:
        move_average(moving.data, batch.data if isinstance(batch, Tensor) else batch, self.momentum)
        moving.bump_version()

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the same shape."""
        self.check_input(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


@registry.register("LRN")
class LocalResponseNormalization(SpatialLayer):
    """Each value divided by what its neighbouring channels say at the same pixel.

    ``y[n, i, j, c] = x[n, i, j, c] / (bias + alpha sum over |k - c| <= depth_radius of x[n, i, j, k]^2)^beta``
    (Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep convolutional neural networks,
    section 3.3, which has depth_radius 2, bias 2, alpha 1e-4 and beta 0.75). Arguments and defaults are those
    of tf.nn.local_response_normalization; PyTorch's alpha is divided by the number of channels summed.

    Input and output (N, H, W, C).

    Args:
        depth_radius: channels on either side.
        bias, alpha, beta: as in the formula.
        data_format: "channels_last" (default) or "channels_first".
    """

    takes_half = False  # squares

    def __init__(
        self,
        depth_radius: int = 5,
        bias: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        data_format: str | None = None,
        **options: Any,
    ):
        super().__init__(data_format=data_format, **options)
        if depth_radius < 0:
            raise ValueError(f"{self.describe()}: depth_radius must be at least 0, but {depth_radius!r} came")
        self.depth_radius = int(depth_radius)
        self.bias = float(bias)
        self.alpha = float(alpha)
        self.beta = float(beta)

    def call(self, x: Tensor) -> Tensor:
        """Normalise."""
        y = F.local_response_normalization(
            self.to_nhwc(x), depth_radius=self.depth_radius, bias=self.bias, alpha=self.alpha, beta=self.beta
        )
        return self.from_nhwc(y)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the same shape."""
        self.check_input(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
