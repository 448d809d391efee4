"""Reverse-mode differentiation: `Tensor`, `Function` and the walk back from an output to what it was made of.

Define by run: every `Function` that is called on a tensor with `requires_grad` leaves a node behind, which knows where
its inputs came from and what it saved. `backward` visits the nodes from last to first, hands each the gradients of its
outputs and passes on what it returns (the chain rule; Linnainmaa 1970, as reverse mode Speelpenning 1980).

::

    x = Tensor([1.0, 2.0], requires_grad=True)
    y = F.sum(x * x)     # nodes: Multiply -> Sum
    y.backward()         # Sum hands ones to Multiply, Multiply hands 2x to x
    x.grad               # Tensor([2., 4.])

Nothing here knows any operation but the addition that accumulates gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .device import array_module

Array: TypeAlias = Any
# What an operation takes: a tensor, an array, or a plain number or nested list of them.
TensorLike: TypeAlias = Any


# --- taping on and off -----------------------------------------------------------------------------------------------


class _Mode(threading.local):
    taping = True


_mode = _Mode()


class _Taping(ContextDecorator):
    """Sets whether operations are taped, for the thread that enters it; also usable as a decorator."""

    taping: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_mode.taping)
        _mode.taping = self.taping

    def __exit__(self, *exception: object) -> None:
        _mode.taping = self._before.pop()

    def _recreate_cm(self) -> _Taping:
        return type(self)()


class no_grad(_Taping):  # noqa: N801 - reads as a function
    """Within this block (or decorated function) nothing is taped: faster, and nothing is kept for backward."""

    taping = False


class enable_grad(_Taping):  # noqa: N801 - reads as a function
    """Within this block operations are taped again, inside a `no_grad`."""

    taping = True


def is_grad_enabled() -> bool:
    """Whether operations are being taped in this thread."""
    return _mode.taping


# --- tensors ---------------------------------------------------------------------------------------------------------


class _Version:
    """How often a piece of memory was changed in place; shared by all tensors that look at this memory."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tensor:
    """An array that remembers how it was made.

    Args:
        data: an array (shared, not copied), another tensor's values, a number or nested lists. Lists of floats
            become float32, the engine's own precision; an array keeps its dtype.
        requires_grad: whether `backward` shall leave a gradient in `.grad`.

    Raises:
        TypeError: `requires_grad` with whole numbers or booleans, which have no gradient.

    Operators (`+ - * / ** @`, comparisons, indexing) and methods such as `sum` are attached by
    `minicnn.functional.operators`; importing `minicnn.functional` is enough.
    """

    __slots__ = ("__weakref__", "_data", "_node", "_output_index", "_version", "grad", "gradient_buffer",
                 "requires_grad")  # fmt: skip
    # NumPy hands `array + tensor` to the tensor instead of looping over its elements.
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, data: TensorLike, requires_grad: bool = False) -> None:
        array = as_array(data)
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad needs floating-point data, got dtype {array.dtype}; "
                "convert it first, for instance with data.astype('float32')"
            )
        self._data: Array | None = array
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        # Where backward shall write the gradient, so that an optimiser finds all of them in one flat buffer.
        self.gradient_buffer: Array | None = None
        self._node: Function | None = None
        self._output_index = 0
        self._version = _Version()

    @classmethod
    def _wrap(cls, array: Array, requires_grad: bool, version: _Version | None = None) -> Tensor:
        """A tensor around an array that is known to be one: the constructor without its checks."""
        tensor = Tensor.__new__(Tensor)
        tensor._data = array
        tensor.requires_grad = requires_grad
        tensor.grad = None
        tensor.gradient_buffer = None
        tensor._node = None
        tensor._output_index = 0
        tensor._version = version or _Version()
        return tensor

    @property
    def data(self) -> Array:
        """The array itself. Assigning replaces it (same shape and dtype); changing it in place is up to you."""
        return self._data

    @data.setter
    def data(self, value: TensorLike) -> None:
        array = as_array(value)
        if array.shape != self.shape:
            raise ValueError(f"Tensor.data: expected shape {self.shape}, got {array.shape}")
        self._data = array.astype(self.dtype, copy=False)
        self._version.count += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor, rather than an operation on tensors that require a gradient."""
        return self._node is None

    def numpy(self) -> Array:
        """The values as an array that shares this tensor's memory."""
        return self.data

    def detach(self) -> Tensor:
        """The same memory without its history."""
        return Tensor._wrap(self.data, False, self._version)

    def item(self) -> float:
        """The only element as a Python number.

        Raises:
            ValueError: there is not exactly one element.
        """
        if self.size != 1:
            raise ValueError(f"item: expected a tensor with one element, got shape {self.shape}")
        return self.data.item()

    def backward(
        self, gradient: TensorLike = None, *, retain_graph: bool = False, create_graph: bool = False
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
        _Backward([self], [gradient], retain_graph or create_graph, create_graph).run()

    def bump_version(self) -> None:
        """Say that the memory was changed in place, so that a stale saved array is noticed in backward."""
        self._version.count += 1

    def __setitem__(self, index: Any, value: TensorLike) -> None:
        if self.requires_grad and _mode.taping:
            raise RuntimeError(
                "in-place assignment to a tensor that requires a gradient cannot be differentiated; "
                "use where() to make a new one, or write under no_grad()"
            )
        self.data[_plain_index(index)] = as_array(value)
        self.bump_version()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaves can be copied deeply; detach() the tensor first")
        clone = Tensor(self.data.copy(), self.requires_grad)
        memo[id(self)] = clone
        return clone

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor, (self.data, self.requires_grad)

    if TYPE_CHECKING:  # what minicnn.functional.operators attaches
        T: Tensor

        def __add__(self, other: TensorLike) -> Tensor: ...
        def __radd__(self, other: TensorLike) -> Tensor: ...
        def __sub__(self, other: TensorLike) -> Tensor: ...
        def __rsub__(self, other: TensorLike) -> Tensor: ...
        def __mul__(self, other: TensorLike) -> Tensor: ...
        def __rmul__(self, other: TensorLike) -> Tensor: ...
        def __truediv__(self, other: TensorLike) -> Tensor: ...
        def __rtruediv__(self, other: TensorLike) -> Tensor: ...
        def __pow__(self, other: TensorLike) -> Tensor: ...
        def __rpow__(self, other: TensorLike) -> Tensor: ...
        def __matmul__(self, other: TensorLike) -> Tensor: ...
        def __rmatmul__(self, other: TensorLike) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __lt__(self, other: TensorLike) -> Array: ...
        def __le__(self, other: TensorLike) -> Array: ...
        def __gt__(self, other: TensorLike) -> Array: ...
        def __ge__(self, other: TensorLike) -> Array: ...
        def abs(self) -> Tensor: ...
        def clip(self, low: float | None, high: float | None) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def flatten(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def matmul(self, other: TensorLike) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def square(self) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def transpose(self, axes: Any = None) -> Tensor: ...

    def __repr__(self) -> str:
        values = np.array2string(np.asarray(self.data), separator=", ", prefix="Tensor(", threshold=100)
        return f"Tensor({values}{', requires_grad=True' if self.requires_grad else ''})"


def as_array(value: TensorLike) -> Array:
    """The array of a tensor, an array itself, or an array made of numbers (floats become float32)."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__"):
        return value
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"expected an array of numbers, got {type(value).__name__}: {value!r:.80}")
    is_typed = isinstance(value, np.generic) or hasattr(value, "__array__")
    return array.astype(np.float32) if array.dtype == np.float64 and not is_typed else array


def _plain_index(index: Any) -> Any:
    """An index whose tensors are replaced by their arrays."""
    if isinstance(index, tuple):
        return tuple(map(_plain_index, index))
    return index.data if isinstance(index, Tensor) else index


# --- functions -------------------------------------------------------------------------------------------------------


class Function:
    """One differentiable operation, and, once called on tensors, its node in the graph.

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
    _edges: tuple[Tensor | tuple[Function, int] | None, ...] = ()
    # Array, where it comes from (an input's edge, or the number of one's own output), version and its count then.
    _saved: list[tuple[Array, Tensor | tuple[Function, int] | int | None, _Version, int]] | None = None

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

    def __call__(self, *inputs: TensorLike) -> Any:
        """Run `forward`; tape it where an input is a tensor that requires a gradient.

        Plain arrays in give plain arrays out; a tensor among the inputs gives tensors.
        """
        arrays = _operands(inputs)
        if not any(isinstance(value, Tensor) for value in inputs):
            return self.forward(*arrays)
        needs = tuple(isinstance(value, Tensor) and value.requires_grad for value in inputs)
        self.needs_input_gradient = needs
        outputs = self.forward(*arrays)
        several = isinstance(outputs, tuple)
        taped = _mode.taping and any(needs)
        if not several and all(isinstance(array, (int, float)) for array in arrays):
            # Plain numbers that backward computes with stay plain, so that they take the arrays' dtype later on.
            outputs = outputs.item() if isinstance(outputs, np.generic) else outputs
            return Tensor._wrap(outputs, False)
        tensors = [self._output(array, inputs, taped) for array in (outputs if several else (outputs,))]
        if taped:
            self._tape(inputs, arrays, tensors)
        return tuple(tensors) if several else tensors[0]

    def _output(self, array: Array, inputs: Sequence[TensorLike], taped: bool) -> Tensor:
        """A tensor for an output; a view of an input's memory shares that input's version."""
        if not isinstance(array, np.ndarray) and np.isscalar(array):
            array = np.asarray(array)
        version = None
        if array.base is not None or any(isinstance(value, Tensor) and value.data is array for value in inputs):
            root = _root(array)
            owners = (value for value in inputs if isinstance(value, Tensor) and _root(value.data) is root)
            version = next((owner._version for owner in owners), None)
        return Tensor._wrap(array, taped and array.dtype.kind == "f", version)

    def _tape(self, inputs: Sequence[TensorLike], arrays: Sequence[Array], outputs: Sequence[Tensor]) -> None:
        self._edges = tuple(_edge(value) for value in inputs)
        self._count = len(outputs)
        for index, tensor in enumerate(outputs):
            tensor._node, tensor._output_index = self, index
        self._saved = []
        for index in self._save_inputs:
            value = inputs[index]
            version = value._version if isinstance(value, Tensor) else _Version()
            self._saved.append((arrays[index], self._edges[index], version, version.count))
        for index in self._save_outputs:
            # Not its tensor, which holds this node, nor the node itself: a cycle would delay freeing the memory.
            version = outputs[index]._version
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
            tensor = Tensor._wrap(array, edge is not None, version)
            if isinstance(edge, Tensor):
                tensor = edge if edge.data is array else tensor
            elif isinstance(edge, int):
                tensor._node, tensor._output_index = self, edge
            elif edge is not None:
                tensor._node, tensor._output_index = edge
            tensors.append(tensor)
        return tensors

    def _free(self) -> None:
        self._saved = None


def _operands(inputs: Sequence[TensorLike]) -> list[Array]:
    """What forward receives. Plain numbers beside an array stay plain numbers: they take its dtype."""
    if any(not _is_number(value) for value in inputs if value is not None):
        # A lone NumPy float64 (say, np.sqrt(2)) would turn float32 arrays into float64 ones.
        return [value.item() if isinstance(value, np.generic) else _operand(value) for value in inputs]
    if any(isinstance(value, np.generic) for value in inputs):
        return [np.asarray(value) if isinstance(value, np.generic) else value for value in inputs]
    return [None if value is None else as_array(value) for value in inputs]


def _is_number(value: TensorLike) -> bool:
    return isinstance(value, (int, float, np.generic))


def _operand(value: TensorLike) -> Array:
    if isinstance(value, Tensor):
        return value.data
    if value is None or isinstance(value, (int, float, np.ndarray)):
        return value
    return as_array(value)


def _edge(value: TensorLike) -> Tensor | tuple[Function, int] | None:
    """Where an input's gradient goes: to the node that made it, to itself if it is a leaf, or nowhere."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return None
    return value if value._node is None else (value._node, value._output_index)


def _root(array: Array) -> Array:
    """The array that owns the memory which this one looks at."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


class Accumulate(Function):
    """The sum of two gradients of the same shape that meet at one tensor."""

    def forward(self, a: Array, b: Array) -> Array:
        """a + b."""
        return a + b

    def backward(self, gy: Tensor) -> tuple[Tensor, Tensor]:
        """Both receive gy."""
        return gy, gy


# --- the walk back ---------------------------------------------------------------------------------------------------


class _Backward:
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
        with enable_grad() if self.create_graph else no_grad():
            order = self._order()
            for tensor, gradient in zip(self.outputs, self.start, strict=True):
                self._deliver(_edge(tensor), gradient)
            for node in order:
                self._visit(node)

    def _order(self) -> list[Function]:
        """The nodes in an order in which each comes after all that were made of it, without recursion."""
        roots = {id(tensor._node): tensor._node for tensor in self.outputs if tensor._node is not None}
        waiting = dict.fromkeys(roots, 0)
        stack = list(roots.values())
        while stack:
            for edge in stack.pop()._edges:
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
            for edge in node._edges:
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
            for edge in node._edges:
                key = _edge_key(edge)
                if key in self.targets or (isinstance(edge, tuple) and id(edge[0]) in useful):
                    useful.add(id(node))
                    break
        return [node for node in order if id(node) in useful]

    def _visit(self, node: Function) -> None:
        gradients = self.pending.pop(id(node), None)
        if gradients is None:
            return
        results = node.backward(*gradients)
        if not isinstance(results, (tuple, list)):
            results = (results,)
        if len(results) != len(node._edges):
            raise RuntimeError(
                f"{type(node).__name__}.backward returned {len(results)} gradients for {len(node._edges)} inputs"
            )
        for edge, gradient in zip(node._edges, results, strict=True):
            if edge is not None and gradient is not None:
                self._deliver(edge, gradient)
        if not self.retain_graph:
            node._free()

    def _deliver(self, edge: Tensor | tuple[Function, int] | None, gradient: Tensor) -> None:
        """Add a gradient where it belongs: to a waiting node, to a leaf, to what was asked for."""
        if edge is None:
            return
        key = _edge_key(edge)
        if self.targets is not None and key in self.targets:
            before = self.found.get(key)
            self.found[key] = gradient if before is None else Accumulate()(before, gradient)
        if isinstance(edge, tuple):
            node, index = edge
            slots = self.pending.setdefault(id(node), [None] * node._count)
            before = slots[index]
            slots[index] = gradient if before is None else Accumulate()(before, gradient)
        elif self.targets is None:
            _accumulate_in_leaf(edge, gradient, self.create_graph)


def _start(tensor: Tensor, gradient: TensorLike) -> Tensor:
    """The gradient that an output starts with."""
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"backward: a tensor of shape {tensor.shape} has no single derivative; pass gradient= of that "
                "shape, or reduce it first, for instance with .sum()"
            )
        return Tensor._wrap(array_module(tensor.data).ones_like(tensor.data), False)
    start = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
    if start.shape != tensor.shape:
        raise ValueError(f"backward: gradient must have the output's shape {tensor.shape}, got {start.shape}")
    return start if start.dtype == tensor.dtype else Tensor._wrap(start.data.astype(tensor.dtype), False)


def _accumulate_in_leaf(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    if gradient.shape != leaf.shape:
        raise RuntimeError(f"backward: a gradient of shape {gradient.shape} arrived for a leaf of shape {leaf.shape}")
    if gradient.dtype != leaf.dtype and not create_graph:
        gradient = Tensor._wrap(gradient.data.astype(leaf.dtype), False)
    buffer = leaf.gradient_buffer
    if buffer is None or create_graph:
        if leaf.grad is not None:
            leaf.grad = Accumulate()(leaf.grad, gradient)
        elif create_graph:
            leaf.grad = gradient
        else:
            # A sum hands one array to both operands and a broadcast a read-only view: each leaf gets its own.
            leaf.grad = Tensor._wrap(gradient.data.copy(), False)
    elif leaf.grad is None:
        if gradient.data is not buffer:
            buffer[...] = gradient.data
        leaf.grad = Tensor._wrap(buffer, False)
    elif leaf.grad.data is buffer:
        buffer += gradient.data
        leaf.grad.bump_version()
    else:
        leaf.grad = Accumulate()(leaf.grad, gradient)


def _key(tensor: Tensor) -> Any:
    return _edge_key(tensor if tensor._node is None else (tensor._node, tensor._output_index))


def _edge_key(edge: Tensor | tuple[Function, int] | None) -> Any:
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
    walk = _Backward(outputs, gradients, keep, create_graph, inputs)
    walk.run()
    found = (walk.found.get(_key(tensor)) for tensor in inputs)
    return [_zeros(tensor) if gradient is None else gradient for tensor, gradient in zip(inputs, found, strict=True)]


def _zeros(tensor: Tensor) -> Tensor:
    return Tensor._wrap(array_module(tensor.data).zeros_like(tensor.data), False)


# --- checking gradients ----------------------------------------------------------------------------------------------


class GradientError(AssertionError):
    """A gradient that does not match the slope of its function."""


def gradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Iterable[TensorLike],
    *,
    order: int = 1,
    step: float = 1e-4,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> bool:
    """Compare the gradients of a function with its slope, in float64.

    The outputs are weighted with random numbers v and the inputs moved along a random direction u: then
    ``<grad(v), u>`` must equal the slope of ``<v, function(x + t*u)>`` at t = 0, which central differences measure
    at two step sizes (Richardson's extrapolation, error of order step**4). Random weights matter: with ones instead,
    a softmax, whose outputs always sum to one, would pass with any gradient at all.

    Args:
        function: takes as many tensors as there are inputs; returns one or several.
        inputs: arrays or tensors, converted to float64. Keep them away from kinks (a ReLU's zero, ties of a maximum).
        order: 1, or 2 to check the gradients of the gradients as well.
        step: the largest distance moved along the unit direction.
        tolerance: the largest difference allowed, as a part of the slope's own scale (at least 1).
        seed: of the random weights and directions; three of each are tried.

    Returns:
        True.

    Raises:
        GradientError: the gradient is wrong; the message gives both numbers.
        ValueError: the function has a kink within a step of the inputs, so that it has no slope to compare with, or
            returns something whose values are not finite.
    """
    arrays = [np.array(as_array(value), dtype=np.float64) for value in inputs]
    generator = np.random.default_rng(seed)
    for _ in range(3):
        _check_once(function, arrays, generator, step, tolerance)
    if order > 1:
        points = [Tensor(array, requires_grad=True) for array in arrays]
        cotangents = [generator.standard_normal(y.shape) for y in _listed(function(*points))]

        def first_gradients(*tensors: Tensor) -> list[Tensor]:
            points, weights = tensors[: len(arrays)], tensors[len(arrays) :]
            outputs = _listed(function(*points))
            kept = [(y, weight) for y, weight in zip(outputs, weights, strict=True) if y.requires_grad]
            return grad([y for y, _ in kept], list(points), [weight for _, weight in kept], create_graph=True)

        gradcheck(
            first_gradients, [*arrays, *cotangents], order=order - 1, step=step, tolerance=10 * tolerance, seed=seed
        )
    return True


def _check_once(
    function: Callable[..., Any], arrays: list[np.ndarray], generator: np.random.Generator, step: float,
    tolerance: float,
) -> None:  # fmt: skip
    directions = [generator.standard_normal(array.shape) for array in arrays]
    norm = np.sqrt(sum(float(np.sum(u * u)) for u in directions)) or 1.0
    directions = [u / norm for u in directions]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    outputs = _listed(function(*tensors))
    weights = [generator.standard_normal(y.shape) for y in outputs]

    def along(t: float) -> float:
        moved = [Tensor(array + t * u, requires_grad=True) for array, u in zip(arrays, directions, strict=True)]
        values = _listed(function(*moved))
        return sum(float(np.sum(v * y.data)) for v, y in zip(weights, values, strict=True))

    slope, kink = _slope(along, step)
    kept = [(y, v) for y, v in zip(outputs, weights, strict=True) if y.requires_grad]
    if kept:
        gradients = grad([y for y, _ in kept], tensors, [v for _, v in kept])
        claimed = sum(float(np.sum(g.data * u)) for g, u in zip(gradients, directions, strict=True))
    else:
        claimed = 0.0
    allowed = tolerance * max(1.0, abs(slope))
    if kink > 100 * allowed:
        raise ValueError(
            f"gradcheck: the function has a kink within {step:g} of these inputs (its slopes differ by {kink:.3g}); "
            "move the inputs away from it"
        )
    if not abs(claimed - slope) <= allowed:
        raise GradientError(
            f"gradcheck: along a random direction the gradient says {claimed:.9g}, the function's slope is "
            f"{slope:.9g}; they differ by {abs(claimed - slope):.3g}, allowed are {allowed:.3g}"
        )


def _slope(along: Callable[[float], float], step: float) -> tuple[float, float]:
    """The slope at 0 by Richardson's extrapolation, and by how much the measurements disagree about it."""
    half = step / 2
    centre = along(0.0)
    samples = {t: along(t) for t in (-step, -half, half, step)}
    if not all(map(np.isfinite, [centre, *samples.values()])):
        raise ValueError("gradcheck: the function's values are not finite at these inputs")
    wide = (samples[step] - samples[-step]) / (2 * step)
    narrow = (samples[half] - samples[-half]) / step
    # For a smooth function, the two one-sided slopes differ by a multiple of the step: halving it halves that.
    bend_wide = (samples[step] - 2 * centre + samples[-step]) / step
    bend_narrow = (samples[half] - 2 * centre + samples[-half]) / half
    return (4 * narrow - wide) / 3, max(abs(wide - narrow), abs(bend_wide - 2 * bend_narrow))


def _listed(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
