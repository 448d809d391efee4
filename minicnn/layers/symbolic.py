"""What stands for an array while a model is being drawn: its shape, its dtype and the call it comes from.

Calling a layer on a `SymbolicTensor` computes nothing. It writes down a `Node` (this layer, applied to these
tensors) and returns new symbolic tensors; `Model(inputs, outputs)` later follows the nodes back.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NoReturn

from minicnn.layers.shapes import Shape

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

_node_numbers = itertools.count()


class SymbolicTensor:
    """A tensor to come.

    Attributes:
        shape: tuple of ints, None where the size is open (the batch axis as a rule).
        dtype: name of the dtype, such as ``"float32"``.
        node: the `Node` that makes it.
        index: its place among the outputs of that node.
        name: for messages and for choosing outputs by name.
    """

    __slots__ = ("dtype", "index", "name", "node", "shape")

    def __init__(self, shape: Shape, dtype: str, node: Node, index: int = 0, name: str | None = None):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.node = node
        self.index = index
        self.name = name or node.layer.name

    @property
    def ndim(self) -> int:
        """Number of axes, the batch axis included."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor {self.name} shape={self.shape} dtype={self.dtype}>"

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} stands for values that do not exist yet, so only layers can be applied to it: "
            "use a layer such as Add or Concatenate, or wrap the function in Lambda"
        )

    __array__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __neg__ = __pow__ = __matmul__ = __getitem__ = __len__ = __bool__ = __float__ = _refuse
    # Without this NumPy would try to walk the tensor as a sequence.
    __array_ufunc__ = None
    __iter__ = _refuse


class Node:
    """One application of a layer.

    Attributes:
        layer: the layer applied.
        inputs: list of `SymbolicTensor` it was applied to (empty for an `InputLayer`).
        takes_list: whether the layer was called on a list rather than on one tensor.
        outputs: list of `SymbolicTensor` it gives.
        gives_list: whether the layer returns a list rather than one tensor.
        training: True or False where the caller fixed it, None where the model decides.
        number: grows with every node made, so sorting by it is a topological order.
    """

    __slots__ = ("gives_list", "inputs", "layer", "number", "outputs", "takes_list", "training")

    def __init__(
        self,
        layer: Layer,
        inputs: list[SymbolicTensor],
        output_shapes: list[Shape],
        *,
        takes_list: bool = False,
        gives_list: bool = False,
        training: bool | None = None,
        dtype: str = "float32",
    ):
        self.layer = layer
        self.inputs = inputs
        self.takes_list = takes_list
        self.gives_list = gives_list
        self.training = training
        self.number = next(_node_numbers)
        self.outputs = [SymbolicTensor(s, dtype, self, i) for i, s in enumerate(output_shapes)]
        layer.inbound_nodes.append(self)

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the layer was called on: a tensor, or the list of them."""
        return self.inputs if self.takes_list else self.inputs[0]

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the call returned: a tensor, or the list of them."""
        return self.outputs if self.gives_list else self.outputs[0]

    def __repr__(self) -> str:
        return f"<Node {self.layer.name}: {[t.name for t in self.inputs]} -> {[t.shape for t in self.outputs]}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "number"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        # Layers travel without their nodes (a chain of them would be as deep as the network), so a node
        # that arrives signs in again. Inputs were restored before, hence the order of numbers still holds.
        self.number = next(_node_numbers)
        self.layer.inbound_nodes.append(self)
