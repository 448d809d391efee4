"""A graph of ONNX in the making, and values that remember in which order their axes lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import minicnn

# Stable for years and known to every runtime in use; the version of the file format that came with it.
OPERATORS, FORMAT = 17, 8

Shape = tuple[int | None, ...]


class Value(NamedTuple):
    """A tensor in the graph.

    Attributes:
        name: of the ONNX tensor.
        shape: as the model has it; None where open.
        order: how it lies: axis i of the ONNX tensor is axis ``order[i]`` of the model's.
    """

    name: str
    shape: Shape
    order: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.order)

    def place(self, axis: int) -> int:
        """Where an axis of the model's tensor lies in the ONNX tensor."""
        return self.order.index(axis % self.rank)


def in_order(rank: int) -> tuple[int, ...]:
    """The order in which axes lie as the model has them."""
    return tuple(range(rank))


class Builder:
    """Collects nodes and constants, gives them names, and turns values at most once into each order.

    Attributes:
        scope: the layer that nodes are called after.
    """

    def __init__(self) -> None:
        self.scope = ""
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._names: set[str] = set()
        self._weights: dict[tuple[int, str], str] = {}
        self._arranged: dict[tuple[str, tuple[int, ...]], Value] = {}

    def free(self, name: str) -> str:
        """Take a name that is not taken: this one, or one with a number after it."""
        free, count = name, 1
        while free in self._names:
            free = f"{name}_{count}"
            count += 1
        self._names.add(free)
        return free

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output and give that output's name; attributes that are None are left out."""
        name = self.free(self.scope if operator != "Transpose" else f"{self.scope}/transposed")
        kept = {key: value for key, value in attributes.items() if value is not None}
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **kept))
        return name

    def apply(self, operator: str, x: Value, *others: str, **attributes: Any) -> Value:
        """Add a node that works element by element: what comes out lies as x does."""
        return x._replace(name=self.node(operator, [x.name, *others], **attributes))

    def constant(self, value: Any, what: str, dtype: Any = np.float32) -> str:
        """Add a constant and give its name."""
        name = self.free(f"{self.scope}/{what}")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def weight(self, layer: Any, what: str, make: Callable[[], Any]) -> str:
        """Add a layer's weight, once however often the layer is used, and give its name."""
        key = id(layer), what
        if key not in self._weights:
            self._weights[key] = self.constant(make(), what)
        return self._weights[key]

    def arranged(self, x: Value, order: Sequence[int] | None = None) -> Value:
        """Give x with its axes lying in this order; as the model has them where None."""
        wanted = in_order(x.rank) if order is None else tuple(order)
        if wanted == x.order:
            return x
        key = x.name, wanted
        if key not in self._arranged:
            name = self.node("Transpose", [x.name], perm=[x.order.index(axis) for axis in wanted])
            self._arranged[key] = Value(name, x.shape, wanted)
        return self._arranged[key]

    def give(self, name: str, x: Value) -> None:
        """Let x leave the graph under a name taken for it, its axes as the model has them."""
        self._nodes.append(helper.make_node("Identity", [self.arranged(x).name], [name], name=name))

    def finish(self, name: str, inputs: Sequence[tuple[str, Shape]], outputs: Sequence[tuple[str, Shape]]) -> Any:
        """Give the model as ONNX has it."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [_described(*entry) for entry in inputs],
            [_described(*entry) for entry in outputs],
            self._constants,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPERATORS)],
            ir_version=FORMAT,
            producer_name="minicnn",
            producer_version=minicnn.__version__,
        )


def _described(name: str, shape: Shape) -> Any:
    # Open sizes have names there, and equal names mean equal sizes.
    sizes = [
        size if size is not None else "batch" if axis == 0 else f"{name}_{axis}" for axis, size in enumerate(shape)
    ]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
