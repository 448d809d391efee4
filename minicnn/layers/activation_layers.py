"""Activation functions as layers of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor, as_array
from minicnn.layers import activations
from minicnn.layers.arguments import whole_axis
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape


class _Elementwise(Layer):
    """Output as large as the input; `activation` is the function applied."""

    one_input = True
    activation: Callable[[Any], Any]

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Return x: what the function is applied to."""
        return x

    def call(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the same shape."""
        return input_shape


@registry.register()
class Activation(_Elementwise):
    """An activation function as a layer of its own.

    Args:
        activation: name ("relu", "softmax", ...) or function.
    """

    def __init__(self, activation: Any, **options: Any):
        super().__init__(**options)
        self.activation = activations.get(activation)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


@registry.register()
class ReLU(_Elementwise):
    """Rectified linear unit: max(x, 0) (Nair & Hinton 2010).

    In general y = max_value for x >= max_value, x for threshold <= x < max_value, and
    negative_slope (x - threshold) below.

    Args:
        max_value: upper bound, None for none.
        negative_slope: slope below the threshold.
        threshold: where the linear part begins.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ):
        super().__init__(**options)
        named = {"max_value": max_value or 0.0, "negative_slope": negative_slope, "threshold": threshold}
        for argument, value in named.items():
            if value is None or value < 0:
                raise ValueError(f"{self.describe()}: {argument} must be at least 0, but {value!r} came")
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)

    @property
    def activation(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """`functional.relu` itself in the plain case."""
        plain = self.max_value is None and not self.threshold and not self.negative_slope
        return F.relu if plain else self._general

    def _general(self, x: Tensor) -> Tensor:
        y = F.where(as_array(x) > self.threshold, x, 0.0) if self.threshold else F.relu(x)
        if self.max_value is not None:
            y = F.clip(y, 0.0, self.max_value)
        if self.negative_slope:
            y = y - F.relu(self.threshold - x) * self.negative_slope
        return y

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


@registry.register()
class LeakyReLU(_Elementwise):
    """x where x >= 0, else negative_slope x (Maas et al. 2013, Rectifier nonlinearities improve acoustic models).

    Args:
        negative_slope: slope below 0; Keras 2's name ``alpha`` is understood too.
    """

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **options: Any):
        super().__init__(**options)
        self.negative_slope = float(negative_slope if alpha is None else alpha)

    @property
    def activation(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """The function of x."""
        return functools.partial(F.leaky_relu, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


@registry.register()
class ELU(_Elementwise):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, Exponential linear units).

    Args:
        alpha: bound of the negative side.
    """

    def __init__(self, alpha: float = 1.0, **options: Any):
        super().__init__(**options)
        self.alpha = float(alpha)

    @property
    def activation(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """The function of x."""
        return functools.partial(F.elu, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "alpha": self.alpha}


@registry.register()
class Softmax(_Elementwise):
    """Probabilities from logits: exp(x) / sum of exp(x) along an axis.

    Args:
        axis: along which the outputs sum to 1.
    """

    def __init__(self, axis: int = -1, **options: Any):
        super().__init__(**options)
        self.axis = whole_axis(axis, self)

    @property
    def activation(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """`functional.softmax` itself where the axis is the last, so that it can be joined with the loss."""
        return F.softmax if self.axis == -1 else functools.partial(F.softmax, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "axis": self.axis}
