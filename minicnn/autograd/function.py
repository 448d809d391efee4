"""`Function`: one differentiable operation, and its node in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from minicnn.device import array_module
from minicnn.kernels import room_for
from minicnn.kernels.floats import is_floating
from minicnn.kernels.noting import expect_noted, note, noted_so_far

from .modes import mode
from .tensor import Array, Tensor, TensorLike, Version, as_array

# Where a gradient goes: to a leaf, to a node as the gradient of one of its outputs, or nowhere.
Edge: TypeAlias = "Tensor | tuple[Function, int] | None"


class Function:
    """One differentiable operation, and, once called on tensors, its node in the graph: each call needs a new one.

    A subclass takes its attributes in the constructor and has two methods::

        class Exp(Function):
            def forward(self, x):               # arrays in, array (or a tuple of arrays) out
                y = np.exp(x)
                self.save_outputs(0)
                return y

            def backward(self, gy):             # tensors in, tensors out: so that it can be differentiated again
                (y,) = self.saved_outputs
                return gy * y

    What backward needs of the inputs or outputs is named in `forward` with `save_inputs` and `save_outputs`; nothing
    else is kept alive. `backward` receives None for an output that nothing was derived from, returns one gradient for
    each input (None where there is none), and may skip those that `self.needs_input_gradient` marks False.
    """

    needs_input_gradient: tuple[bool, ...] = ()
    _save_inputs: tuple[int, ...] = ()
    _save_outputs: tuple[int, ...] = ()
    edges: tuple[Edge, ...] = ()
    # Array, where it comes from (an input's edge, or the number of one's own output), version and its count then.
    _saved: list[tuple[Array, Edge | int, Version, int]] | None = None

    def forward(self, *arrays: Array) -> Array | tuple[Array, ...]:
        """The operation itself, on arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *gradients: Any) -> Any:
        """The gradients of the inputs, given those of the outputs, all as tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no backward: it cannot be differentiated")

    def save_inputs(self, *indices: int) -> None:
        """Keep these inputs for backward (called in forward)."""
        self._save_inputs = indices

    def save_outputs(self, *indices: int) -> None:
        """Keep these outputs for backward (called in forward)."""
        self._save_outputs = indices

    @property
    def saved_inputs(self) -> list[Tensor]:
        """What `save_inputs` kept, in that order, connected to the graph."""
        return self._restore(0, len(self._save_inputs))

    @property
    def saved_outputs(self) -> list[Tensor]:
        """What `save_outputs` kept, in that order, connected to the graph."""
        return self._restore(len(self._save_inputs), len(self._save_inputs) + len(self._save_outputs))

    def gradient_buffer(self, index: int) -> Array | None:
        """Where an input's gradient may be written at once, in backward: a leaf's own buffer that is still empty."""
        leaf = self.edges[index]
        if not mode.filling_leaves or not isinstance(leaf, Tensor) or leaf.grad is not None:
            return None
        alone = sum([edge is leaf for edge in self.edges]) == 1
        return leaf.gradient_buffer if alone else None

    def __call__(self, *inputs: TensorLike) -> Any:
        """Run `forward`; tape it where an input is a tensor that requires a gradient.

        Plain arrays in give plain arrays out; a tensor among the inputs gives tensors.

        Raises:
            RuntimeError: this function is a node of a graph already.
        """
        if self.edges:
            # What this call keeps would take the place of what the other one's gradient is made of.
            raise RuntimeError(f"{type(self).__name__} is a node of a graph already; make a new one for each call")
        arrays = [value.data if isinstance(value, Tensor) else value for value in inputs]
        on_tensors = any([isinstance(value, Tensor) for value in inputs])
        if not all([type(array) is np.ndarray for array in arrays]):
            arrays = _operands(arrays, on_tensors)
            array_module(*arrays)  # refuses arrays on different devices
        if not on_tensors:
            return self._forward(arrays)
        needs = tuple([isinstance(value, Tensor) and value.requires_grad for value in inputs])
        self.needs_input_gradient = needs
        outputs = self._forward(arrays)
        taped = mode.taping and True in needs
        if isinstance(outputs, tuple):
            tensors = [self._output(array, inputs, taped) for array in outputs]
            if taped:
                self._tape(inputs, arrays, tensors)
            return tuple(tensors)
        if not isinstance(outputs, np.ndarray) and all(isinstance(array, (int, float)) for array in arrays):
            # Plain numbers that backward computes with stay plain, so that they take the arrays' dtype later on.
            return Tensor.wrap(outputs.item() if isinstance(outputs, np.generic) else outputs, False)
        tensor = self._output(outputs, inputs, taped)
        if taped:
            self._tape(inputs, arrays, [tensor])
        return tensor

    def _forward(self, arrays: Sequence[Array]) -> Any:
        since = noted_so_far()
        outputs = self.forward(*arrays)
        if since is not None:
            expect_noted(since, outputs if isinstance(outputs, tuple) else (outputs,), arrays)
        return outputs

    def _output(self, array: Array, inputs: Sequence[TensorLike], taped: bool) -> Tensor:
        """A tensor for an output; a view of an input's memory shares that input's version."""
        if not isinstance(array, np.ndarray) and np.isscalar(array):
            array = np.asarray(array)
        return Tensor.wrap(array, taped and is_floating(array.dtype), _version_below(array, inputs))

    def _tape(self, inputs: Sequence[TensorLike], arrays: Sequence[Array], outputs: Sequence[Tensor]) -> None:
        self.edges = tuple(edge_of(value) for value in inputs)
        self.output_count = len(outputs)
        for index, tensor in enumerate(outputs):
            tensor.node, tensor.output_index = self, index
        self._saved = []
        for index in self._save_inputs:
            value = inputs[index]
            version = value.version if isinstance(value, Tensor) else Version()
            self._saved.append((arrays[index], self.edges[index], version, version.count))
        for index in self._save_outputs:
            # Not its tensor, which holds this node, nor the node itself: a cycle would delay freeing the memory.
            version = outputs[index].version
            self._saved.append((outputs[index].data, index, version, version.count))

    def _restore(self, start: int, stop: int) -> list[Tensor]:
        if self._saved is None:
            raise RuntimeError(
                f"backward: what {type(self).__name__} saved was freed by an earlier backward; "
                "pass retain_graph=True to the first one to go through the same graph twice"
            )
        tensors = []
        for array, edge, version, count in self._saved[start:stop]:
            if version.count != count:
                raise RuntimeError(
                    f"backward: an array of shape {tuple(np.shape(array))} that {type(self).__name__} saved was "
                    f"changed in place {version.count - count} time(s) since; work on a copy instead"
                )
            tensor = Tensor.wrap(array, edge is not None, version)
            if isinstance(edge, Tensor):
                tensor = edge if edge.data is array else tensor
            elif isinstance(edge, int):
                tensor.node, tensor.output_index = self, edge
            elif edge is not None:
                tensor.node, tensor.output_index = edge
            tensors.append(tensor)
        return tensors

    def free(self) -> None:
        """Let go of what was saved; another backward through this node is then an error."""
        self._saved = None


def _operands(values: Sequence[Array], on_tensors: bool) -> list[Array]:
    """What forward receives. Plain numbers beside a tensor or an array stay plain: they take its dtype."""
    if on_tensors or any(not _is_number(value) for value in values if value is not None):
        # A lone NumPy float64 (say, np.sqrt(2)) would turn float32 arrays into float64 ones.
        return [value.item() if isinstance(value, np.generic) else _operand(value) for value in values]
    if any(isinstance(value, np.generic) for value in values):
        return [np.asarray(value) if isinstance(value, np.generic) else value for value in values]
    return [None if value is None else as_array(value) for value in values]


def _is_number(value: TensorLike) -> bool:
    return isinstance(value, (int, float, np.generic))


def _operand(value: Any) -> Array:
    if value is None or isinstance(value, (int, float, np.ndarray)):
        return value
    return as_array(value)


def edge_of(value: TensorLike) -> Edge:
    """Where an input's gradient goes: to the node that made it, to itself if it is a leaf, or nowhere."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return None
    return value if value.node is None else (value.node, value.output_index)


def _version_below(array: Array, inputs: Sequence[TensorLike]) -> Version | None:
    """The version of the input whose memory this array looks at, if there is one."""
    if array.base is None:
        for value in inputs:
            if isinstance(value, Tensor) and value.data is array:
                return value.version
        return None
    root = _root(array)
    for value in inputs:
        if isinstance(value, Tensor) and _root(value.data) is root:
            return value.version
    return None


def _root(array: Array) -> Array:
    """The array that owns the memory which this one looks at."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


class Accumulate(Function):
    """The sum of two gradients of the same shape that meet at one tensor."""

    def forward(self, a: Array, b: Array) -> Array:
        """a + b."""
        room = room_for(a, b)
        if room is None:
            return a + b
        note(np.add, a, b, room)
        return np.add(a, b, out=room)

    def backward(self, gy: Tensor) -> tuple[Tensor, Tensor]:
        """Both receive gy."""
        return gy, gy
