"""What a layer holds: its weights, the layers in its attributes, and what is set for all of these at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from minicnn import constraints, initializers, regularizers
from minicnn import random as seeds
from minicnn.autograd import Tensor, as_array
from minicnn.device import check, to_host
from minicnn.functional.geometry import is_whole
from minicnn.layers.names import name_for
from minicnn.mixed_precision import get_policy
from minicnn.parameter import Parameter

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

Self = TypeVar("Self", bound="Holder")
Kept = TypeVar("Kept", "Holder", Parameter)


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


class Holder:
    """Weights and layers under one name: what `Layer` is apart from its calls and shapes.

    Weights and layers kept in attributes, and layers in lists, tuples and dicts in attributes, belong to the holder.

    Args:
        name, trainable, dtype: as for `Layer`.
    """

    def __init__(self, name: str | None, trainable: bool, dtype: Any):
        self._trainable_parameters: list[Parameter] = []
        self._fixed_parameters: list[Parameter] = []
        self._seed_sequence: np.random.SeedSequence | None = None
        self._device = "cpu"
        self.name = name_for(type(self).__name__, name)
        self.dtype_policy = get_policy(dtype, self.describe())
        #: Of the weights.
        self.dtype = self.dtype_policy.variable_dtype
        self._trainable = bool(trainable)
        #: Whether the weights are made.
        self.built = False

    def describe(self) -> str:
        """Class and name, as messages begin."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self.dtype

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
    def weights(self) -> list[Parameter]:
        """All weights: the layer's own (trainable before others), then those of its sublayers."""
        found = {id(p): p for p in self._trainable_parameters + self._fixed_parameters}
        for layer in self.sublayers:
            for parameter in layer.weights:
                found.setdefault(id(parameter), parameter)
        return list(found.values())

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

    # ----------------------------------------------------- what attributes hold

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(value, (Holder, Parameter, list, tuple, dict)):
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
            if isinstance(value, (Holder, Parameter)):
                raise RuntimeError(f"{type(self).__name__}: call super().__init__() before layers or weights are set")
            return
        if isinstance(value, Parameter):
            known = self._trainable_parameters + self._fixed_parameters
            if not any(value is p for p in known):
                (self._trainable_parameters if value.trainable else self._fixed_parameters).append(value)
        else:
            for layer in _kept_in(value, Holder):
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

    def _settle(self, layer: Holder) -> None:
        """Let a new sublayer draw from this layer's seed, unless it has one; where one is on a GPU, both are."""
        sequence = self.__dict__.get("_seed_sequence")
        if sequence is not None and layer._seed_sequence is None:
            layer.seed_sequence = sequence.spawn(1)[0]
        if layer.device != self._device:
            (self if self._device == "cpu" else layer).to("cuda")

    @property
    def sublayers(self) -> list[Layer]:
        """The layers kept in this layer's attributes, each once, in the order they were set."""
        # Any: all holders are layers, but to this module only the type checker knows layers.
        found: dict[int, Any] = {}
        for value in self.__dict__.values():
            # Most are nothing of the kind.
            if isinstance(value, (Holder, list, tuple, dict)):
                for layer in _kept_in(value, Holder):
                    found.setdefault(id(layer), layer)
        return list(found.values())

    # ------------------------------------------------------ what is set for all

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
