"""Dense layers, and layers that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional.geometry import is_whole
from minicnn.layers.arguments import positive
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape
from minicnn.layers.spatial import data_format_of, product
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
        self.units = positive(units, "units", self)

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
        sizes = tuple(target_shape)
        if sizes.count(-1) > 1 or not all(is_whole(size) and size >= -1 for size in sizes):
            raise ValueError(
                f"{self.describe()}: target_shape must hold sizes and at most one -1, but {target_shape!r} came"
            )
        self.target_shape = tuple(int(size) for size in sizes)

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
