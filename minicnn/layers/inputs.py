"""Where a model begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.layers.arguments import positive, sample_shape_of
from minicnn.layers.base import Layer, registry
from minicnn.layers.symbolic import Node, SymbolicTensor


@registry.register("InputLayer")
class InputLayer(Layer):
    """Holds the symbolic tensor that a model is entered by; passes values through.

    Args:
        shape: of one sample, without the batch axis: a size or several, None where one is open.
        batch_size: fixed batch size, None as a rule.
        dtype: what the model's arrays are cast to.
        name: of the layer and of the input.

    Raises:
        ValueError: sizes that are no whole numbers or negative, or a batch size that is not above 0.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | int,
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
        **options: Any,
    ):
        super().__init__(name=name, dtype=dtype or "float32", **options)
        self.shape = sample_shape_of(shape, "shape", self)
        self.batch_size = None if batch_size is None else positive(batch_size, "batch_size", self)
        self.built = True
        self._build_shape = (self.batch_size, *self.shape)
        Node(self, [], [self._build_shape], dtype=self.dtype)

    def call(self, x: Any) -> Any:
        """Return x."""
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the same shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "shape": list(self.shape), "batch_size": self.batch_size}


def Input(  # noqa: N802 - the name under which Keras users know it
    shape: Sequence[int | None] | int,
    batch_size: int | None = None,
    name: str | None = None,
    dtype: Any = None,
) -> SymbolicTensor:
    """Make the symbolic tensor that a functional model starts from.

    Args:
        shape: of one sample, without the batch axis: a size or several, None where one is open.
        batch_size: fixed batch size, None as a rule.
        name: of the input.
        dtype: what the model's arrays are cast to, float32 where None.

    Raises:
        ValueError: sizes that are no whole numbers or negative, or a batch size that is not above 0.

    >>> from minicnn.layers import Dense, Input
    >>> Dense(10)(Input((784,))).shape
    (None, 10)
    """
    return InputLayer(shape, batch_size=batch_size, name=name, dtype=dtype).inbound_nodes[0].outputs[0]
