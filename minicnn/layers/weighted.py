"""What layers with a kernel, a bias and an activation share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn import constraints, initializers, regularizers
from minicnn.autograd import Tensor
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.parameter import Parameter


class WeightedLayer(Layer):
    """activation(linear map of x + bias): a subclass gives the map as `pre_activation`."""

    one_input = True
    #: The kernel's word in argument names: kernel_initializer, depthwise_initializer, ...
    kernel_word = "kernel"

    def __init__(
        self,
        *,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        **options: Any,
    ):
        super().__init__(**options)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Parameter
        self.bias: Parameter | None = None

    def add_kernel_and_bias(self, kernel_shape: Sequence[int], outputs: int) -> None:
        """Make the weights."""
        self.kernel = self.add_weight(
            kernel_shape,
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (outputs,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute what the activation is applied to."""
        raise NotImplementedError

    def call(self, x: Tensor) -> Tensor:
        """Compute activation(pre_activation(x))."""
        return self.activation(self.pre_activation(x))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            f"{self.kernel_word}_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            f"{self.kernel_word}_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            f"{self.kernel_word}_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
