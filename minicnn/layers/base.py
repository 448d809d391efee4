"""What every layer is: checked calls, shapes, a configuration, a place in a model."""

from __future__ import annotations

import functools
import inspect
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor, no_grad
from minicnn.device import bfloat16, place
from minicnn.errors import unknown_name
from minicnn.kernels.floats import is_real
from minicnn.layers.arguments import sample_shape_of
from minicnn.layers.holding import Holder
from minicnn.layers.shapes import Shape, is_shape_list, normal_shapes
from minicnn.layers.symbolic import Node, SymbolicTensor
from minicnn.registry import Registry, arguments_of

registry = Registry("layer")

# Values that a layer is tried on at most.
_MOST_TRIED = 2**24

# Building is rare and guarded by one lock, so that two threads predicting with a fresh layer build it once.
_build_lock = threading.RLock()


class _CallContext(threading.local):
    training = False


_context = _CallContext()


def _signs_training(call: Callable) -> bool:
    parameters = inspect.signature(call).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)


def _recording_build(build: Callable) -> Callable:
    @functools.wraps(build)
    def build_and_record(self: Layer, input_shape: Any) -> None:
        input_shape = normal_shapes(input_shape)
        self.check_rank(input_shape)
        build(self, input_shape)
        self.built = True
        self._build_shape = input_shape

    return build_and_record


def _is_several(inputs: Any) -> bool:
    return (
        isinstance(inputs, (list, tuple))
        and bool(inputs)
        and all(isinstance(x, (Tensor, SymbolicTensor, np.ndarray)) or _on_gpu(x) for x in inputs)
    )


def _on_gpu(x: Any) -> bool:
    return hasattr(x, "__cuda_array_interface__")


class Layer(Holder):
    """Base of all layers, and of your own.

    A subclass makes its weights in ``build(input_shape)`` with `add_weight` and computes in ``call(x)`` or
    ``call(x, training=False)``; both see the batch axis. Layers kept in attributes, and in lists, tuples and
    dicts in attributes, belong to the layer: their weights are its weights.

    Args:
        name: shown in summaries, key in files; made from the class name where absent.
        trainable: False freezes every weight.
        dtype: ``"float32"`` or ``"float64"``: of the weights and of the output. Inputs are cast to it. Or
            ``"mixed_float16"`` or ``"mixed_bfloat16"``: float32 weights, and 16 bits for what goes through on a GPU;
            see `minicnn.mixed_precision`. None: what `mixed_precision.set_dtype_policy` said.
        input_shape: shape of one sample, without the batch axis; lets `Sequential` build at once.

    Raises:
        TypeError: an argument that the layer does not have.
        ValueError: an argument out of range.

    >>> import numpy as np
    >>> from minicnn.layers import Layer
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
    ...     def call(self, x):
    ...         return x * self.factor
    >>> Scale()(np.array([[1.0, 2.0]])).numpy()
    array([[1., 2.]], dtype=float32)
    """

    #: False in a subclass: inputs arrive with the dtype they have (class numbers, say).
    autocast = True
    #: False in a subclass that needs the range of float32: a policy of mixed precision changes nothing there.
    takes_half = True
    #: True in a subclass that cannot be called on a list of tensors.
    one_input = False
    #: Number of input axes, batch included, that the layer insists on; None where it takes any.
    input_rank: int | None = None

    _call_takes_training = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "call" in cls.__dict__:
            cls._call_takes_training = _signs_training(cls.__dict__["call"])
        if "build" in cls.__dict__:
            cls.build = _recording_build(cls.__dict__["build"])  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        input_shape: Sequence[int | None] | int | None = None,
        **unknown: Any,
    ):
        for argument in unknown:
            kind: Any = type(self)
            raise TypeError(f"{kind.__name__}: {unknown_name('argument', argument, arguments_of(kind))}")
        super().__init__(name, trainable, dtype)
        self.inbound_nodes: list[Node] = []
        self._build_shape: Any = None
        self._admitted_shape: Any = None
        self.sample_shape = None if input_shape is None else sample_shape_of(input_shape, "input_shape", self)

    # ------------------------------------------------------------------ calling

    @_recording_build
    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, batch axis included; for several inputs a list of shapes."""

    def call(self, *inputs: Any, **options: Any) -> Any:
        """Compute the layer's output from a `Tensor` (or a list of them): ``call(x)`` or ``call(x, training)``."""
        raise NotImplementedError(f"{type(self).__name__} (layer '{self.name}') does not define call(x)")

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply the layer: to arrays or tensors at once, to symbolic tensors as a node of a model to be.

        Args:
            inputs: array or `Tensor` (N, ...), or a list of them for layers that merge.
            training: None takes over what the surrounding layer or model was called with (False outside).

        Returns:
            `Tensor` of the layer's dtype, or `SymbolicTensor`.
        """
        several = _is_several(inputs)
        if isinstance(inputs, SymbolicTensor) or (several and any(isinstance(x, SymbolicTensor) for x in inputs)):
            return self._connect(inputs, several, training)
        return self._run(self.accept(inputs), training)

    def accept(self, inputs: Any) -> Any:
        """Give the inputs as tensors of the layer's dtype, once they fit; the first ones build the layer.

        Raises:
            ValueError, TypeError: they do not fit; the message says what was expected.
        """
        several = _is_several(inputs)
        tensors: Any
        if several:
            tensors = [self._receive(x) for x in inputs]
            shape: Any = [x.shape[1:] for x in tensors]
        else:
            tensors = self._receive(inputs)
            shape = tensors.shape[1:]
        if shape != self._admitted_shape:
            self._admit([(None, *s) for s in shape] if several else self._batch_shape(tensors.shape))
            self._admitted_shape = shape
        return tensors

    def _run(self, inputs: Any, training: bool | None) -> Any:
        outer = _context.training
        if training is None:
            training = outer
        if not self._call_takes_training and training == outer:
            return self.call(inputs)
        _context.training = training
        try:
            return self.call(inputs, training=training) if self._call_takes_training else self.call(inputs)
        finally:
            _context.training = outer

    def _receive(self, x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return self.cast(x) if self.autocast else x
        if not hasattr(x, "astype"):
            x = np.asarray(x)
        if not is_real(x.dtype):
            raise TypeError(f"{self.describe()}: x must be an array of numbers, but came with dtype {x.dtype}")
        return Tensor(x.astype(self._dtype_for(x), copy=False) if self.autocast else x)

    def cast(self, x: Tensor) -> Tensor:
        """x in the dtype that the layer computes in where x lies."""
        wanted = self._dtype_for(x.data)
        return x if x.dtype == wanted else F.cast(x, wanted)

    def _dtype_for(self, array: Any) -> Any:
        if isinstance(array, np.ndarray):
            return self.dtype  # the kernels for a CPU have no numbers of 16 bits
        wanted = self.compute_dtype
        return bfloat16(self.describe) if wanted == "bfloat16" else wanted

    @property
    def compute_dtype(self) -> str:
        """What inputs are cast to: with a mixed policy, on a GPU, "float16" or "bfloat16"; else `dtype`."""
        return self.dtype_policy.compute_dtype if self.takes_half else self.dtype

    def _batch_shape(self, shape: tuple[int, ...]) -> Shape:
        if not shape:
            raise ValueError(f"{self.describe()}: x must have a batch axis, but a scalar came")
        return (None, *shape[1:])

    def _admit(self, shape: Any) -> None:
        with _build_lock:
            if not self.built:
                self.build(shape)
        self.check_input(shape)

    def _connect(self, inputs: Any, several: bool, training: bool | None) -> Any:
        tensors = list(inputs) if several else [inputs]
        strange = [x for x in tensors if not isinstance(x, SymbolicTensor)]
        if strange:
            raise TypeError(
                f"{self.describe()}: symbolic tensors and values cannot be mixed, but {type(strange[0]).__name__} came"
            )
        shape: Any = [t.shape for t in tensors] if several else inputs.shape
        self._admit(shape)
        output_shape = self.compute_output_shape(shape)
        gives_list = is_shape_list(output_shape)
        node = Node(
            self,
            tensors,
            output_shape if gives_list else [output_shape],
            takes_list=several,
            gives_list=gives_list,
            training=training,
            dtype=self.dtype,
        )
        return node.output

    # ------------------------------------------------------------------- shapes

    def check_rank(self, input_shape: Any) -> None:
        """Raise ValueError where the number of axes is not what the layer works on."""
        if self.one_input and is_shape_list(input_shape):
            raise ValueError(f"{self.describe()}: x must be one tensor, but {len(input_shape)} came")
        if self.input_rank is not None and len(input_shape) != self.input_rank:
            raise ValueError(
                f"{self.describe()}: x must have {self.input_rank} axes {self._axes_text()}, "
                f"but {len(input_shape)} came: shape {input_shape}{self._rank_hint(len(input_shape))}"
            )

    def _axes_text(self) -> str:
        return ""

    def _rank_hint(self, rank: int) -> str:
        return ""

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where inputs of this shape do not fit the layer. Called once per new shape."""
        self.check_rank(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for this input shape, batch axis included (None stays None).

        Unless a subclass knows better, the layer is tried on zeros; sizes other than the batch must be known then, and
        ValueError is raised where there would be more than 2^24 of them: a file may claim inputs of any size.
        """
        shapes = input_shape if is_shape_list(input_shape) else [input_shape]
        if any(size is None for s in shapes for size in s[1:]):
            raise ValueError(
                f"{self.describe()}: an input of open size {input_shape} needs a compute_output_shape(input_shape) "
                f"method on {type(self).__name__}"
            )
        batch = 2
        if sum(batch * math.prod(s[1:]) for s in shapes) > _MOST_TRIED:
            raise ValueError(
                f"{self.describe()}: input shape {input_shape} is too large to find the output's shape by trying: "
                "say it with a compute_output_shape(input_shape) method, or output_shape for a Lambda"
            )
        zeros = [Tensor(place(np.zeros((batch, *s[1:]), self.dtype), self.device)) for s in shapes]
        with no_grad():
            if not self.built:
                self._admit(input_shape)
            output = self._run(zeros if is_shape_list(input_shape) else zeros[0], False)

        def opened(y: Any) -> Shape:
            return (None, *y.shape[1:]) if y.ndim and y.shape[0] == batch else tuple(y.shape)

        return [opened(y) for y in output] if isinstance(output, (list, tuple)) else opened(output)

    def multiply_adds(self, input_shape: Any) -> int:
        """Multiply-adds of one sample of this shape (batch axis included in the shape, not counted)."""
        return sum(layer.multiply_adds(layer.input_shape) for layer in self.sublayers if layer.built)

    @property
    def input_shape(self) -> Any:
        """Shape the layer was built for, batch axis included."""
        if self._build_shape is None:
            raise AttributeError(f"{self.describe()} has no input shape yet: build it or call it first")
        return self._build_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output for `input_shape`."""
        return self.compute_output_shape(self.input_shape)

    @property
    def batch_input_shape(self) -> Shape | None:
        """The declared ``input_shape`` with the batch axis before it, or None."""
        return None if self.sample_shape is None else (None, *self.sample_shape)

    @property
    def input(self) -> Any:
        """The symbolic input of the layer's only node."""
        return self._only_node("input").input

    @property
    def output(self) -> Any:
        """The symbolic output of the layer's only node."""
        return self._only_node("output").output

    def _only_node(self, what: str) -> Node:
        if len(self.inbound_nodes) != 1:
            count = len(self.inbound_nodes)
            reason = f"it is used {count} times: take it from layer.inbound_nodes[i]" if count else "it is in no model"
            raise AttributeError(f"{self.describe()} has no single {what}, because {reason}")
        return self.inbound_nodes[0]

    # ------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """Arguments that make the same layer again, as JSON can hold them."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.name}
        if self.sample_shape is not None:
            config["input_shape"] = list(self.sample_shape)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Make a layer from `get_config`'s dictionary."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __getstate__(self) -> dict[str, Any]:
        # Nodes sign in again by themselves, see Node.__setstate__.
        return {**self.__dict__, "inbound_nodes": []}
