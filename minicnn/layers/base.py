"""What every layer is: weights made on first use, checked calls, a configuration, a place in a model."""

from __future__ import annotations

import functools
import inspect
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

import minicnn.functional as F
from minicnn import constraints, initializers, regularizers
from minicnn import random as seeds
from minicnn.autograd import Tensor, as_array, no_grad
from minicnn.device import bfloat16, check, place, to_host
from minicnn.errors import unknown_name
from minicnn.functional.geometry import is_whole
from minicnn.kernels.floats import is_real
from minicnn.layers.symbolic import Node, Shape, SymbolicTensor
from minicnn.mixed_precision import get_policy
from minicnn.parameter import Parameter
from minicnn.registry import Registry, arguments_of, snake_case

registry = Registry("layer")

Self = TypeVar("Self", bound="Layer")
Kept = TypeVar("Kept", "Layer", Parameter)
# Values that a layer is tried on at most.
_MOST_TRIED = 2**24

_name_counts: Counter[str] = Counter()
# Building is rare and guarded by one lock, so that two threads predicting with a fresh layer build it once.
_build_lock = threading.RLock()


class _CallContext(threading.local):
    training = False


_context = _CallContext()


def reset_names() -> None:
    """Start the numbering of automatic layer names (conv2d, conv2d_1, ...) anew."""
    _name_counts.clear()


def _automatic_name(class_name: str) -> str:
    base = snake_case(class_name)
    with _build_lock:
        number = _name_counts[base]
        _name_counts[base] += 1
    return f"{base}_{number}" if number else base


def _checked_name(name: Any, class_name: str) -> str:
    if name is None:
        return _automatic_name(class_name)
    if not isinstance(name, str) or not name:
        raise ValueError(f"{class_name}: name must be a string of at least one character, but {name!r} came")
    return name


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


def normal_shapes(shape: Any) -> Any:
    """A shape as a tuple of ints and None; a list or tuple of shapes as a list of them."""
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [tuple(s) for s in shape]
    return tuple(shape)


def is_shape_list(shape: Any) -> bool:
    """Whether this is the list of shapes of several inputs rather than one shape."""
    return isinstance(shape, list)


def _kept_in(value: Any, kind: type[Kept]) -> Iterator[Kept]:
    """The layers, or parameters, that an attribute holds: itself, or in lists, tuples and dicts."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _kept_in(item, kind)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _kept_in(item, kind)


def _is_several(inputs: Any) -> bool:
    return (
        isinstance(inputs, (list, tuple))
        and bool(inputs)
        and all(isinstance(x, (Tensor, SymbolicTensor, np.ndarray)) or _on_gpu(x) for x in inputs)
    )


def _on_gpu(x: Any) -> bool:
    return hasattr(x, "__cuda_array_interface__")


class Layer:
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
        self._trainable_parameters: list[Parameter] = []
        self._fixed_parameters: list[Parameter] = []
        self._seed_sequence: np.random.SeedSequence | None = None
        self._device = "cpu"
        self.inbound_nodes: list[Node] = []
        self.name = _checked_name(name, type(self).__name__)
        self.dtype_policy = get_policy(dtype, self.describe())
        #: Of the weights.
        self.dtype = self.dtype_policy.variable_dtype
        self._trainable = bool(trainable)
        self.built = False
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

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self.dtype

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

    # ------------------------------------------------------------------ weights

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        dtype: Any = None,
        trainable: bool = True,
        *,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Parameter:
        """Make a weight of the layer; its array is drawn at first access.

        Args:
            shape: of the array.
            initializer: name, instance, ``init(shape, dtype, generator)`` or ``init(shape, dtype)``.
            dtype: the layer's where None.
            trainable: False for state that training updates itself, such as moving statistics.
            regularizer: adds to the loss, as a function of the weight.
            constraint: applied to the array after each optimiser step.
            name: shown after the layer's name: ``"conv2d/kernel"``.

        Raises:
            TypeError: the shape is no sequence of whole numbers, or the initializer takes other arguments.
        """
        parameter = Parameter(
            shape=self._checked_shape(shape),
            name=f"{self.name}/{name or 'weight'}",
            dtype=dtype or self.dtype,
            initializer=initializers.get(initializer),
            trainable=trainable and self._trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
            seed_sequence=self._take_seed().spawn(1)[0],
        ).to(self._device)
        (self._trainable_parameters if trainable else self._fixed_parameters).append(parameter)
        return parameter

    def _checked_shape(self, shape: Any) -> tuple[int, ...]:
        if not isinstance(shape, (tuple, list)) or not all(map(is_whole, shape)):
            raise TypeError(f"{self.describe()}: add_weight: shape must be a tuple of whole numbers, got {shape!r}")
        return tuple(int(size) for size in shape)

    @property
    def seed_sequence(self) -> np.random.SeedSequence | None:
        """Where the layer's random numbers come from; the model that adopts a layer sets it."""
        return self._seed_sequence

    @seed_sequence.setter
    def seed_sequence(self, sequence: np.random.SeedSequence | None) -> None:
        self._seed_sequence = sequence
        for layer in self.sublayers:
            layer.seed_sequence = None if sequence is None else sequence.spawn(1)[0]

    def _take_seed(self) -> np.random.SeedSequence:
        if self._seed_sequence is None:
            self.seed_sequence = seeds.spawn()
        return self._seed_sequence  # type: ignore[return-value]

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(value, (Layer, Parameter, list, tuple, dict)):
            self._adopt(value)
        object.__setattr__(self, name, value)
        if isinstance(before, Parameter) and before is not value:
            self._release(before, value)

    def __delattr__(self, name: str) -> None:
        before = self.__dict__.get(name)
        object.__delattr__(self, name)
        if isinstance(before, Parameter):
            self._release(before, None)

    def _adopt(self, value: Any) -> None:
        if "_trainable_parameters" not in self.__dict__:
            if isinstance(value, (Layer, Parameter)):
                raise RuntimeError(f"{type(self).__name__}: call super().__init__() before layers or weights are set")
            return
        if isinstance(value, Parameter):
            known = self._trainable_parameters + self._fixed_parameters
            if not any(value is p for p in known):
                (self._trainable_parameters if value.trainable else self._fixed_parameters).append(value)
        else:
            for layer in _kept_in(value, Layer):
                self._settle(layer)

    def _release(self, parameter: Parameter, successor: Any) -> None:
        """Let go of a weight that no attribute holds any more; what took its name takes its place among the weights."""
        lists = (self._trainable_parameters, self._fixed_parameters)
        attributes = [value for value in self.__dict__.values() if not any([value is known for known in lists])]
        if any(kept is parameter for value in attributes for kept in _kept_in(value, Parameter)):
            return
        for known in lists:
            others = [kept for kept in known if kept is not successor]
            for number, kept in enumerate(others):
                if kept is parameter:
                    others[number : number + 1] = [successor] if len(others) < len(known) else []
                    known[:] = others
                    break

    def _settle(self, layer: Layer) -> None:
        """Let a new sublayer draw from this layer's seed, unless it has one; where one is on a GPU, both are."""
        sequence = self.__dict__.get("_seed_sequence")
        if sequence is not None and layer._seed_sequence is None:
            layer.seed_sequence = sequence.spawn(1)[0]
        if layer.device != self._device:
            (self if self._device == "cpu" else layer).to("cuda")

    @property
    def sublayers(self) -> list[Layer]:
        """The layers kept in this layer's attributes, each once, in the order they were set."""
        found: dict[int, Layer] = {}
        for value in self.__dict__.values():
            # Most are nothing of the kind.
            if isinstance(value, (Layer, list, tuple, dict)):
                for layer in _kept_in(value, Layer):
                    found.setdefault(id(layer), layer)
        return list(found.values())

    @property
    def weights(self) -> list[Parameter]:
        """All weights: the layer's own (trainable before others), then those of its sublayers."""
        found = {id(p): p for p in self._trainable_parameters + self._fixed_parameters}
        for layer in self.sublayers:
            for parameter in layer.weights:
                found.setdefault(id(parameter), parameter)
        return list(found.values())

    @property
    def device(self) -> str:
        """Where the weights live, or will: "cpu" or "cuda"."""
        return self._device

    def to(self: Self, device: str) -> Self:
        """Move all weights, those to come included, to a device, "cpu" or "cuda"; give the layer itself.

        What is fed to the layer must live there too; `Model.fit`, `evaluate` and `predict` bring it there. An
        optimizer's state follows at its next step.

        Raises:
            ValueError: no such device.
            DeviceError: "cuda", and no GPU can be used; the message says why.
        """
        check(f"{self.describe()}.to", device)
        for parameter in self._trainable_parameters + self._fixed_parameters:
            parameter.to(device)
        self._device = device
        for layer in self.sublayers:
            layer.to(device)
        return self

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Weights that an optimiser moves."""
        if not self._trainable:
            return []
        found = {id(p): p for p in self._trainable_parameters if p.trainable}
        for layer in self.sublayers:
            for parameter in layer.trainable_weights:
                found.setdefault(id(parameter), parameter)
        return list(found.values())

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """All other weights."""
        moved = {id(p) for p in self.trainable_weights}
        return [p for p in self.weights if id(p) not in moved]

    @property
    def trainable(self) -> bool:
        """Whether training moves the layer's weights. Setting it sets all sublayers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self._trainable_parameters:
            parameter.trainable = self._trainable
        for layer in self.sublayers:
            layer.trainable = self._trainable

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as NumPy arrays, in the order of `weights`."""
        return [np.array(p.numpy()) for p in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by these arrays, in the order of `weights`.

        Raises:
            ValueError: where their number or a shape differs; nothing is changed then.
        """
        parameters = self.weights
        arrays = [to_host(as_array(w)) for w in weights]
        if len(arrays) != len(parameters):
            hint = "" if self.built or parameters else " (it is not built yet: call it, or build(input_shape), first)"
            raise ValueError(
                f"{self.describe()}: set_weights expects {len(parameters)} arrays {[p.shape for p in parameters]}, "
                f"but {len(arrays)} came: {[a.shape for a in arrays]}{hint}"
            )
        for parameter, array in zip(parameters, arrays, strict=True):
            if parameter.shape != array.shape:
                raise ValueError(
                    f"{self.describe()}: set_weights expects shape {parameter.shape} for {parameter.name}, "
                    f"but {array.shape} came"
                )
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.data = array.astype(parameter.dtype)

    def count_params(self) -> int:
        """Number of scalars in all weights."""
        if not self.built and not self.weights:
            raise ValueError(f"{self.describe()} has no weights yet: call it, or build(input_shape), first")
        return sum(p.size for p in self.weights)

    @property
    def losses(self) -> list[Tensor]:
        """One scalar `Tensor` per regularised trainable weight, to be added to the loss."""
        return [p.regularizer(p) for p in self.trainable_weights if p.regularizer is not None]

    def get_state(self) -> dict[str, int]:
        """What resuming needs beside the weights (counters of random masks)."""
        return {}

    def set_state(self, state: dict[str, int]) -> None:
        """Put back what `get_state` gave."""

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

    def positive(self, value: Any, argument: str) -> int:
        """The value as an int; ValueError naming the argument unless it is a whole number above 0."""
        if not is_whole(value) or value < 1:
            raise ValueError(f"{self.describe()}: {argument} must be a whole number above 0, but {value!r} came")
        return int(value)

    def number(self, value: Any, argument: str, least: float, most: float = math.inf) -> float:
        """The value as a float; ValueError naming the argument unless it is a number from `least` to `most`."""
        if not isinstance(value, (int, float, np.number)) or not least <= value <= most:
            wanted = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
            raise ValueError(f"{self.describe()}: {argument} must be a number {wanted}, but {value!r} came")
        return float(value)

    def whole_axis(self, axis: Any) -> int:
        """The axis as an int, also from a list of one, as Keras 2 has it; ValueError for anything else."""
        value = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        if not is_whole(value):
            raise ValueError(f"{self.describe()}: axis must be a whole number, but {axis!r} came")
        return int(value)

    def describe(self) -> str:
        """Class and name, as messages begin."""
        return f"{type(self).__name__} '{self.name}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __getstate__(self) -> dict[str, Any]:
        # Nodes sign in again by themselves, see Node.__setstate__.
        return {**self.__dict__, "inbound_nodes": []}


def sample_shape_of(shape: Any, argument: str, layer: Layer) -> Shape:
    """A size or a sequence of sizes, None where open, as a tuple; ValueError naming the argument for anything else."""
    sizes = [shape] if is_whole(shape) or not isinstance(shape, Iterable) else list(shape)
    if shape is None or not all(size is None or (is_whole(size) and size >= 0) for size in sizes):
        raise ValueError(
            f"{layer.describe()}: {argument} must hold the sizes of one sample, None where open, but {shape!r} came"
        )
    return tuple(None if size is None else int(size) for size in sizes)
