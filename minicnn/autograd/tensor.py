"""`Tensor`: an array that remembers how it was made."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.device import check, device_of, place, to_host
from minicnn.kernels.floats import is_floating, is_real

from .modes import mode

if TYPE_CHECKING:
    from .function import Function

Array: TypeAlias = Any
# kDLCUDA and kDLCUDAManaged of dlpack.h.
_GPU_KINDS = (2, 13)
# What an operation takes: a tensor, an array, or a plain number or nested list of them.
TensorLike: TypeAlias = Any


class Version:
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

    __slots__ = (
        "__weakref__",
        "_data",
        "grad",
        "gradient_buffer",
        "node",
        "output_index",
        "requires_grad",
        "version",
    )  # fmt: skip
    # NumPy hands `array + tensor` to the tensor instead of looping over its elements.
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, data: TensorLike, requires_grad: bool = False) -> None:
        array = as_array(data)
        if requires_grad and not is_floating(array.dtype):
            raise TypeError(
                f"Tensor: requires_grad needs floating-point data, got dtype {array.dtype}; "
                "convert it first, for instance with data.astype('float32')"
            )
        self._data: Array | None = array
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        # Where backward shall write the gradient, so that an optimiser finds all of them in one flat buffer.
        self.gradient_buffer: Array | None = None
        self.node: Function | None = None
        self.output_index = 0
        self.version = Version()

    @classmethod
    def wrap(cls, array: Array, requires_grad: bool, version: Version | None = None) -> Tensor:
        """A tensor around an array that is known to be one: the constructor without its checks."""
        tensor = Tensor.__new__(Tensor)
        tensor._data = array
        tensor.requires_grad = requires_grad
        tensor.grad = None
        tensor.gradient_buffer = None
        tensor.node = None
        tensor.output_index = 0
        tensor.version = version or Version()
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
        self.version.count += 1

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
        return self.node is None

    @property
    def device(self) -> str:
        """Where the data lives: "cpu" or "cuda"."""
        return device_of(self.data)

    def to(self, device: str) -> Tensor:
        """The same values on a device, "cpu" or "cuda", without history; this tensor if it is there already.

        Raises:
            ValueError: no such device.
            DeviceError: "cuda", and no GPU can be used; the message says why.
        """
        check("Tensor.to", device)
        return self if self.device == device else Tensor.wrap(place(self.data, device), self.requires_grad)

    def numpy(self) -> np.ndarray:
        """The values as an array of NumPy: sharing this tensor's memory, or copied from the GPU."""
        return to_host(self.data)

    def detach(self) -> Tensor:
        """The same memory without its history."""
        return Tensor.wrap(self.data, False, self.version)

    def item(self) -> float:
        """The only element as a Python number.

        Raises:
            ValueError: there is not exactly one element.
        """
        if self.size != 1:
            raise ValueError(f"item: expected a tensor with one element, got shape {self.shape}")
        return self.data.item()

    def bump_version(self) -> None:
        """Say that the memory was changed in place, so that a stale saved array is noticed in backward."""
        self.version.count += 1

    def __setitem__(self, index: Any, value: TensorLike) -> None:
        if self.requires_grad and mode.taping:
            raise RuntimeError(
                "in-place assignment to a tensor that requires a gradient cannot be differentiated; "
                "use where() to make a new one, or write under no_grad()"
            )
        self.data[plain_index(index)] = as_array(value)
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

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise RuntimeError("only leaves can be copied deeply; detach() the tensor first")
        clone = Tensor(self.data.copy(), self.requires_grad)
        memo[id(self)] = clone
        return clone

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor, (self.data, self.requires_grad)

    if TYPE_CHECKING:  # what minicnn.autograd.backward and minicnn.functional.operators attach
        T: Tensor

        def backward(
            self, gradient: TensorLike = None, *, retain_graph: bool = False, create_graph: bool = False
        ) -> None: ...
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
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100)
        return f"Tensor({values}{', requires_grad=True' if self.requires_grad else ''})"


def as_array(value: TensorLike) -> Array:
    """The array of a tensor, an array itself, or an array made of numbers (floats become float32).

    Raises:
        TypeError: the value holds something else than numbers.
    """
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__"):
        return value
    array = np.asarray(value)
    if array.dtype.kind != "c" and not is_real(array.dtype):
        raise TypeError(f"expected an array of numbers, got {type(value).__name__}: {value!r:.80}")
    is_typed = isinstance(value, np.generic) or hasattr(value, "__array__")
    return array.astype(np.float32) if array.dtype == np.float64 and not is_typed else array


def from_dlpack(value: Any) -> Tensor:
    """A tensor that shares the memory of another library's array, on the processor or on a GPU (DLPack).

    Raises:
        TypeError: the value does not speak DLPack, or NumPy has nothing like it: it has no bfloat16, which CuPy has.
        DeviceError: it lives on a GPU, and CuPy cannot use one.

    >>> import numpy as np
    >>> from_dlpack(np.float32([1, 2]))
    Tensor([1., 2.])
    """
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"from_dlpack: expected an array that has __dlpack__, got {type(value).__name__}")
    kind, _ = value.__dlpack_device__()
    if kind in _GPU_KINDS:
        check("from_dlpack", "cuda")
        return Tensor(importlib.import_module("cupy").from_dlpack(value))
    try:
        return Tensor(np.from_dlpack(value))
    except (BufferError, RuntimeError) as error:
        kind = getattr(value, "dtype", "unknown dtype")
        raise TypeError(f"from_dlpack: NumPy cannot share a {type(value).__name__} of {kind}: {error}") from None


def plain_index(index: Any) -> Any:
    """An index whose tensors are replaced by their arrays."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    return index.data if isinstance(index, Tensor) else index
