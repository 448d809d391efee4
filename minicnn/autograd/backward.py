"""The walk back from outputs to what they were made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minicnn.device import array_module
from minicnn.kernels.noting import copy, expect_noted, note, noted_so_far

from .function import Accumulate, Edge, Function, edge_of
from .modes import enable_grad, mode, no_grad
from .tensor import Array, Tensor, TensorLike


class Backward:
    """One walk from outputs to leaves, or to the tensors that `grad` was asked for."""

    def __init__(
        self,
        outputs: Sequence[Tensor],
        gradients: Sequence[TensorLike],
        retain_graph: bool,
        create_graph: bool,
        targets: Sequence[Tensor] | None = None,
    ) -> None:
        self.outputs = outputs
        self.start = [_start(tensor, gradient) for tensor, gradient in zip(outputs, gradients, strict=True)]
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        # The keys of the gradients wanted: a leaf's identity, or a node's identity and the number of its output.
        self.targets = None if targets is None else {_key(tensor) for tensor in targets}
        self.found: dict[Any, Tensor] = {}
        self.pending: dict[int, list[Tensor | None]] = {}

    def run(self) -> None:
        """Visit every node that the outputs depend on, last first."""
        before, mode.filling_leaves = mode.filling_leaves, self.targets is None and not self.create_graph
        try:
            with enable_grad() if self.create_graph else no_grad():
                order = self._order()
                for tensor, gradient in zip(self.outputs, self.start, strict=True):
                    self._deliver(edge_of(tensor), gradient)
                for node in order:
                    self._visit(node)
        finally:
            mode.filling_leaves = before

    def _order(self) -> list[Function]:
        """The nodes in an order in which each comes after all that were made of it, without recursion."""
        roots = {id(tensor.node): tensor.node for tensor in self.outputs if tensor.node is not None}
        waiting = dict.fromkeys(roots, 0)
        stack = list(roots.values())
        while stack:
            for edge in stack.pop().edges:
                if isinstance(edge, tuple):
                    node = edge[0]
                    if id(node) not in waiting:
                        waiting[id(node)] = 0
                        stack.append(node)
                    waiting[id(node)] += 1
        order: list[Function] = []
        ready = [node for key, node in roots.items() if not waiting[key]]
        while ready:
            node = ready.pop()
            order.append(node)
            for edge in node.edges:
                if isinstance(edge, tuple):
                    waiting[id(edge[0])] -= 1
                    if not waiting[id(edge[0])]:
                        ready.append(edge[0])
        return self._leading_to_targets(order)

    def _leading_to_targets(self, order: list[Function]) -> list[Function]:
        """Only the nodes on a way to a target, where there are targets."""
        if self.targets is None:
            return order
        useful: set[int] = set()
        for node in reversed(order):
            for edge in node.edges:
                key = _edge_key(edge)
                if key in self.targets or (isinstance(edge, tuple) and id(edge[0]) in useful):
                    useful.add(id(node))
                    break
        return [node for node in order if id(node) in useful]

    def _visit(self, node: Function) -> None:
        gradients = self.pending.pop(id(node), None)
        if gradients is None:
            return
        since = noted_so_far()
        results = node.backward(*gradients)
        if not isinstance(results, (tuple, list)):
            results = (results,)
        if since is not None:
            expect_noted(since, _arrays(results), _arrays(gradients))
        if len(results) != len(node.edges):
            raise RuntimeError(
                f"{type(node).__name__}.backward returned {len(results)} gradients for {len(node.edges)} inputs"
            )
        for edge, gradient in zip(node.edges, results, strict=True):
            if edge is not None and gradient is not None:
                self._deliver(edge, gradient)
        if not self.retain_graph:
            node.free()

    def _deliver(self, edge: Edge, gradient: Tensor) -> None:
        """Add a gradient where it belongs: to a waiting node, to a leaf, to what was asked for."""
        if edge is None:
            return
        key = _edge_key(edge)
        if self.targets is not None and key in self.targets:
            before = self.found.get(key)
            self.found[key] = gradient if before is None else Accumulate()(before, gradient)
        if isinstance(edge, tuple):
            node, index = edge
            slots = self.pending.setdefault(id(node), [None] * node.output_count)
            before = slots[index]
            slots[index] = gradient if before is None else Accumulate()(before, gradient)
        elif self.targets is None:
            _accumulate_in_leaf(edge, gradient, self.create_graph)


def _arrays(tensors: Iterable[Tensor | None]) -> list[Array]:
    return [tensor.data for tensor in tensors if tensor is not None]


def backward(
    self: Tensor, gradient: TensorLike = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add d self / d leaf, weighted by `gradient`, to `.grad` of every leaf that requires a gradient.

    Args:
        gradient: weights of this tensor's elements, of its shape; 1 where this tensor has a single element.
        retain_graph: keep what the nodes saved, so that backward can run once more.
        create_graph: tape the backward itself, so that the gradients can be differentiated in turn.

    Raises:
        RuntimeError: this tensor does not require a gradient, its graph was freed by an earlier backward, or a
            saved array was changed in place since.
        ValueError: no `gradient` for a tensor with several elements, or one of another shape.
    """
    if not self.requires_grad:
        raise RuntimeError(
            "backward: this tensor does not require a gradient: none of its inputs has requires_grad=True, "
            "or it was made under no_grad()"
        )
    Backward([self], [gradient], retain_graph or create_graph, create_graph).run()


Tensor.backward = backward  # type: ignore[method-assign]


def _start(tensor: Tensor, gradient: TensorLike) -> Tensor:
    """The gradient that an output starts with."""
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"backward: a tensor of shape {tensor.shape} has no single derivative; pass gradient= of that "
                "shape, or reduce it first, for instance with .sum()"
            )
        return Tensor.wrap(array_module(tensor.data).ones_like(tensor.data), False)
    start = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
    if start.shape != tensor.shape:
        raise ValueError(f"backward: gradient must have the output's shape {tensor.shape}, got {start.shape}")
    return start if start.dtype == tensor.dtype else Tensor.wrap(start.data.astype(tensor.dtype), False)


def _accumulate_in_leaf(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    if gradient.shape != leaf.shape:
        raise RuntimeError(f"backward: a gradient of shape {gradient.shape} arrived for a leaf of shape {leaf.shape}")
    if gradient.dtype != leaf.dtype and not create_graph:
        gradient = Tensor.wrap(gradient.data.astype(leaf.dtype), False)
    buffer = leaf.gradient_buffer
    if buffer is None or create_graph:
        if leaf.grad is not None:
            leaf.grad = Accumulate()(leaf.grad, gradient)
        elif create_graph:
            leaf.grad = gradient
        else:
            # A sum hands one array to both operands and a broadcast a read-only view: each leaf gets its own.
            leaf.grad = Tensor.wrap(gradient.data.copy(), False)
    elif leaf.grad is None:
        if gradient.data is not buffer:
            copy(buffer, gradient.data)
        leaf.grad = Tensor.wrap(buffer, False)
    elif leaf.grad.data is buffer:
        buffer += gradient.data
        note(np.add, buffer, gradient.data, buffer)
        leaf.grad.bump_version()
    else:
        leaf.grad = Accumulate()(leaf.grad, gradient)


def _key(tensor: Tensor) -> Any:
    return _edge_key(tensor if tensor.node is None else (tensor.node, tensor.output_index))


def _edge_key(edge: Edge) -> Any:
    if isinstance(edge, tuple):
        return id(edge[0]), edge[1]
    return id(edge)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    gradients: TensorLike | Sequence[TensorLike] = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """The gradients of `outputs` by `inputs`, leaving every `.grad` alone.

    Args:
        outputs: a tensor or several; with several, their derivatives add up.
        inputs: the tensors to derive by: leaves, or results on the way.
        gradients: the weights of the outputs' elements, one for each output; 1 for outputs with one element.
        create_graph: tape the backward itself, so that the result can be differentiated in turn.
        retain_graph: keep the graph for another backward; as `create_graph` unless said otherwise.

    Returns:
        A tensor for each input, of its shape; zeros where the outputs do not depend on it.

    Raises:
        RuntimeError: an output or input does not require a gradient.
        ValueError: not one gradient for each output, or one of another shape.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if gradients is None:
        gradients = [None] * len(outputs)
    elif not isinstance(gradients, (list, tuple)):
        gradients = [gradients]
    if len(gradients) != len(outputs):
        raise ValueError(f"grad: expected one gradient for each of {len(outputs)} outputs, got {len(gradients)}")
    for name, tensors in (("outputs", outputs), ("inputs", inputs)):
        for index, tensor in enumerate(tensors):
            if not tensor.requires_grad:
                raise RuntimeError(f"grad: {name}[{index}] does not require a gradient")
    keep = create_graph if retain_graph is None else retain_graph
    walk = Backward(outputs, gradients, keep, create_graph, inputs)
    walk.run()
    found = (walk.found.get(_key(tensor)) for tensor in inputs)
    return [_zeros(tensor) if gradient is None else gradient for tensor, gradient in zip(inputs, found, strict=True)]


def _zeros(tensor: Tensor) -> Tensor:
    return Tensor.wrap(array_module(tensor.data).zeros_like(tensor.data), False)
