"""Dense layers, layers that only change the shape, and layers that apply a function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor, as_array
from minicnn.layers import activations
from minicnn.layers.base import Layer, is_shape_list, registry
from minicnn.layers.spatial import data_format_of, product
from minicnn.layers.symbolic import Shape
from minicnn.layers.weighted import WeightedLayer


@registry.register()
class Dense(WeightedLayer):
    """Every output is a weighted sum of all inputs: y = activation(x w + b), along the last axis.

    Input (N, ..., C), output (N, ..., units). Weights: kernel (C, units), bias (units,). (Rosenblatt 1958;
    trained in layers: Rumelhart, Hinton & Williams 1986.)

    Args:
        units: number of outputs.
        activation: name or function; None is linear.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as the names say.

    Raises:
        ValueError: at a call whose last axis is not what the layer was built for.

    >>> import numpy as np
    >>> from minicnn.layers import Dense
    >>> Dense(10, activation="softmax")(np.zeros((2, 784))).shape
    (2, 10)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ):
        super().__init__(
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.units = self.positive(units, "units")

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        self.add_kernel_and_bias((input_shape[-1], self.units), self.units)

    def check_rank(self, input_shape: Any) -> None:
        """Raise ValueError unless there is one input with at least a batch axis and one of known size."""
        super().check_rank(input_shape)
        if len(input_shape) < 2:
            raise ValueError(
                f"{self.describe()}: x must have at least 2 axes (N, ..., C), but {len(input_shape)} came: "
                f"shape {input_shape}"
            )
        if input_shape[-1] is None:
            raise ValueError(
                f"{self.describe()}: the size of the last axis must be known, but x has shape {input_shape}"
            )

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where rank or last axis do not fit."""
        self.check_rank(input_shape)
        if self._build_shape is None or input_shape[-1] == self._build_shape[-1]:
            return
        expected = self._build_shape[-1]
        hint = ""
        if len(input_shape) > 2 and product(input_shape[1:]) == expected:
            hint = "; put a Flatten layer before it"
        raise ValueError(
            f"{self.describe()}: x must have {expected} values along its last axis, as the layer was built for, "
            f"but {input_shape[-1]} came: shape {input_shape}{hint}"
        )

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute x w + b."""
        return F.dense(x, self.kernel, self.bias)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, ..., units)."""
        self.check_input(input_shape)
        return (*input_shape[:-1], self.units)

    def multiply_adds(self, input_shape: Any) -> int:
        """C times units, for each position of the axes between."""
        return product(input_shape[1:]) * self.units

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units}


@registry.register()
class Flatten(Layer):
    """All axes but the batch in one: (N, ...) becomes (N, product).

    Args:
        data_format: with "channels_first", (N, C, H, W) is put into (N, H, W, C) order first, so that the
            weights after it mean the same as in a channels-last network. Without it the order stays as it is.
    """

    one_input = True

    def __init__(self, data_format: str | None = None, **options: Any):
        super().__init__(**options)
        self.data_format = data_format_of(data_format, self)

    def call(self, x: Tensor) -> Tensor:
        """Reshape."""
        if self.data_format == "channels_first" and x.ndim > 2:
            x = F.transpose(x, (0, *range(2, x.ndim), 1))
        return F.reshape(x, (x.shape[0], product(x.shape[1:])))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, product of the other axes)."""
        return (input_shape[0], None if None in input_shape[1:] else product(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "data_format": self.data_format}


@registry.register()
class Reshape(Layer):
    """Another shape for the same values, in C order: (N, ...) becomes (N, *target_shape).

    Args:
        target_shape: without the batch axis; one -1 takes what is left.

    Raises:
        ValueError: where the number of values differs.
    """

    one_input = True

    def __init__(self, target_shape: Sequence[int], **options: Any):
        super().__init__(**options)
        self.target_shape = tuple(int(size) for size in target_shape)
        if self.target_shape.count(-1) > 1 or any(size < -1 for size in self.target_shape):
            raise ValueError(
                f"{self.describe()}: target_shape must hold sizes and at most one -1, but {target_shape!r} came"
            )

    def call(self, x: Tensor) -> Tensor:
        """Reshape."""
        return F.reshape(x, (x.shape[0], *self._sizes(x.shape)[1:]))

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where the number of values does not fit."""
        self._sizes(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, *target_shape)."""
        return self._sizes(input_shape)

    def _sizes(self, input_shape: Any) -> Shape:
        known = product([size for size in self.target_shape if size != -1])
        if None in input_shape[1:]:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        count = product(input_shape[1:])
        fits = known and count % known == 0 if -1 in self.target_shape else count == known
        if not fits:
            raise ValueError(
                f"{self.describe()}: {count} values a sample, of shape {tuple(input_shape[1:])}, "
                f"do not fit target_shape {self.target_shape}"
            )
        return (input_shape[0], *(count // known if size == -1 else size for size in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


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
        self.axis = int(axis)

    @property
    def activation(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """`functional.softmax` itself where the axis is the last, so that it can be joined with the loss."""
        return F.softmax if self.axis == -1 else functools.partial(F.softmax, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "axis": self.axis}


@registry.register()
class Lambda(Layer):
    """A function as a layer.

    Args:
        function: ``function(x)`` on tensors, or the name of one in `minicnn.functional`.
        output_shape: of one sample, where it cannot be found by trying the function on zeros.
        arguments: further keyword arguments of the function.

    A model file cannot hold code, so only a function of `minicnn.functional`, given itself or by its name, can
    be saved.
    """

    #: Functions whose value is never larger than x. A file that names another has to give the output's shape, so that
    #: loading it does not try what may take any amount of memory.
    _never_larger = frozenset(
        {
            "abs", "clip", "elu", "erf", "exp", "flatten", "gelu", "global_avg_pool2d", "global_max_pool2d",
            "leaky_relu", "log", "log_softmax", "logsumexp", "max", "mean", "min", "negative", "relu", "reshape",
            "sigmoid", "sign", "softmax", "softplus", "sqrt", "square", "sum", "tanh", "transpose",
        }
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any] | str,
        output_shape: Sequence[int | None] | None = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.function = _functional(function, self) if isinstance(function, str) else function
        if not callable(self.function):
            raise TypeError(f"{self.describe()}: function must be callable, but {function!r} came")
        self.given_output_shape = None if output_shape is None else tuple(output_shape)
        self.arguments = dict(arguments or {})

    def call(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x, **self.arguments)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the declared shape, or that of the function's value on zeros."""
        if self.given_output_shape is None:
            return super().compute_output_shape(input_shape)
        batch = (input_shape[0] if is_shape_list(input_shape) else input_shape)[0]
        return (batch, *self.given_output_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments.

        Raises:
            ValueError: for a function that is not in `minicnn.functional`.
        """
        name = getattr(self.function, "__name__", "")
        if getattr(F, name, None) is not self.function:
            raise ValueError(
                f"{self.describe()}: a file can name only functions of minicnn.functional, but {self.function!r} "
                "came; write a Layer subclass and register it with minicnn.layers.registry instead"
            )
        return {
            **super().get_config(),
            "function": name,
            "output_shape": self._known_output_shape(),
            "arguments": self.arguments,
        }

    def _known_output_shape(self) -> Shape | None:
        if self.given_output_shape is not None or self._build_shape is None:
            return self.given_output_shape
        shapes = self._build_shape if is_shape_list(self._build_shape) else [self._build_shape]
        if any(None in shape[1:] for shape in shapes):
            return None
        found = self.compute_output_shape(self._build_shape)
        return None if is_shape_list(found) else found[1:]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Make a layer from `get_config`'s dictionary."""
        name = config.get("function")
        if isinstance(name, str) and name not in cls._never_larger and config.get("output_shape") is None:
            raise ValueError(f"Lambda '{config.get('name')}': a file that names {name!r} has to give its output_shape")
        return super().from_config(config)


def _functional(name: str, layer: Layer) -> Callable[..., Any]:
    function = getattr(F, name, None) if name in F.__all__ else None
    if function is None:
        raise ValueError(f"{layer.describe()}: minicnn.functional has no function {name!r}")
    return function
