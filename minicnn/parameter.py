"""What an optimizer changes: a named tensor that comes into being when it is first looked at."""

from __future__ import annotations

import copy
import copyreg
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.arena import Arena
from minicnn.autograd import Tensor, as_array
from minicnn.device import check, place
from minicnn.initializers import with_generator

# One lock for all parameters, not one each: a lock can be neither pickled nor copied, and initialising
# happens once. Reentrant, because an initialiser may look at another parameter.
_INITIALISING = threading.RLock()


class Parameter(Tensor):
    """A tensor that training changes, or that a layer carries along (`trainable=False`).

    Assigning `data` copies into the memory the parameter already has, so that every view of it stays valid;
    values of another dtype are cast.

    Args:
        shape, dtype: of the array, known without allocating anything.
        initializer: ``initializer(shape, dtype, generator) -> array`` or Keras' ``initializer(shape, dtype=None)``,
            called at the first access to `data`.
        name: for messages, summaries and files.
        trainable: whether gradients are computed for it and optimizers change it; the same as `requires_grad`.
        regularizer: ``regularizer(parameter) -> scalar tensor`` that training adds to the loss, or None.
        constraint: ``constraint(array) -> array`` applied after each step of an optimizer, or None.
        seed_sequence: what the initialiser's random numbers come from. Values depend on it alone, not on the
            order in which parameters are first looked at.

    Raises:
        TypeError: an initialiser that takes other arguments.
        ValueError: a negative size; later, an initialiser that gives another shape or dtype, and an assignment to
            `data` of another shape.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any = "float32",
        *,
        initializer: Callable[..., np.ndarray],
        name: str = "parameter",
        trainable: bool = True,
        regularizer: Callable[[Tensor], Tensor] | None = None,
        constraint: Callable[[np.ndarray], np.ndarray] | None = None,
        seed_sequence: np.random.SeedSequence | None = None,
    ):
        super().__init__(np.empty(0, dtype), requires_grad=trainable)
        self._data = None
        self._shape = tuple(int(extent) for extent in shape)
        self._dtype = np.dtype(dtype)
        if any(extent < 0 for extent in self._shape):
            raise ValueError(f"parameter {name!r}: shape must not be negative, got {self._shape}")
        self.name = name
        self.initializer = initializer
        # Now, where the layer is built, and not when somebody first looks at the values.
        self._drawing()
        self.regularizer = regularizer
        self.constraint = constraint
        self.seed_sequence = np.random.SeedSequence() if seed_sequence is None else seed_sequence
        self.arena: Arena | None = None
        self.arena_offset = 0
        self._device = "cpu"

    @property
    def device(self) -> str:
        """Where the array lives, or will once it exists: "cpu" or "cuda"."""
        return self._device

    def to(self, device: str) -> Parameter:
        """Move to a device, "cpu" or "cuda", and give itself; its gradient is forgotten.

        An optimizer that holds the parameter notices at its next step and brings its own arrays along.

        Raises:
            ValueError: no such device.
            DeviceError: "cuda", and no GPU can be used; the message says why.
        """
        if check("Parameter.to", device) != self._device:
            with _INITIALISING:
                if self._data is not None:
                    self._data = place(self._data, device)
                    if device == "cpu" and self.arena is not None:
                        self._data = self._data.copy()
                self._device = device
            self.arena, self.arena_offset = None, 0
            self.grad = self.gradient_buffer = None
            self.bump_version()
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the array."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self._shape)

    @property
    def materialised(self) -> bool:
        """Whether the array exists yet."""
        return self._data is not None

    @property
    def trainable(self) -> bool:
        """Whether training changes this parameter."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = bool(value)

    @property
    def data(self) -> Any:
        """The array; the first access allocates and initialises it."""
        if self._data is None:
            self._initialise()
        return self._data

    @data.setter
    def data(self, array: Any) -> None:
        array = as_array(array)
        if array.shape != self._shape:
            raise ValueError(f"parameter {self.name!r}: expected an array of shape {self._shape}, got {array.shape}")
        with _INITIALISING:
            if self._data is None:
                self._data = place(array, self._device).astype(self._dtype, order="C", copy=True)
            else:
                self._data[...] = place(array, self._device)
        self.bump_version()

    def move_into(self, arena: Arena, offset: int) -> None:
        """Make `data` and the coming gradients views of an arena's arrays; values and gradient are kept."""
        window = slice(offset, offset + self.size)
        data = arena.data[window].reshape(self._shape)
        gradient = arena.gradient[window].reshape(self._shape)
        data[...] = self.data
        if self.grad is not None:
            gradient[...] = self.grad.data
            self.grad = Tensor(gradient)
        self._data = data
        self.gradient_buffer = gradient
        self.arena, self.arena_offset = arena, offset
        self.bump_version()

    def _drawing(self) -> Callable[..., Any]:
        try:
            return with_generator(self.initializer)
        except TypeError as error:
            raise TypeError(f"initializer of parameter {self.name!r}: {error}") from None

    def _initialise(self) -> None:
        with _INITIALISING:
            if self._data is not None:
                return
            generator = np.random.Generator(np.random.PCG64(self.seed_sequence))
            array = np.asarray(self._drawing()(self._shape, self._dtype, generator))
            if array.shape != self._shape or array.dtype != self._dtype:
                raise ValueError(
                    f"initializer of parameter {self.name!r}: expected an array of shape {self._shape} and "
                    f"dtype {self._dtype}, got {array.shape} and {array.dtype}"
                )
            self._data = place(np.ascontiguousarray(array), self._device)

    def __getstate__(self) -> dict[str, Any]:
        # A copy stands alone: the arena and the gradient belong to the original's optimizer.
        kept = ("_shape", "_dtype", "name", "initializer", "regularizer", "constraint", "seed_sequence")
        state = {key: getattr(self, key) for key in kept}
        return {
            **state,
            "trainable": self.trainable,
            "data": None if self._data is None else self.numpy().copy(),
            "device": self._device,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        data, trainable = state.pop("data"), state.pop("trainable")
        self._device = state.pop("device", "cpu")
        Tensor.__init__(self, np.empty(0, state["_dtype"]), requires_grad=trainable)
        self._data = None if data is None else place(data, self._device)
        self.arena, self.arena_offset = None, 0
        for key, value in state.items():
            setattr(self, key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        clone.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return clone

    def __repr__(self) -> str:
        kind = "" if self.trainable else ", trainable=False"
        return f"Parameter({self.name!r}, shape={self._shape}, dtype={self._dtype}{kind})"
