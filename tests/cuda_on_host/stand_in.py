"""Stands in for CuPy on a machine without a GPU: its arrays lie in fenced, poisoned host memory.

As strict as the real thing where that matters: a device array never turns into a NumPy array on its own, arrays of
both kinds in one operation are an error, a reduction gives a device array of no axes, and every copy between host and
device is counted. Arithmetic is NumPy's; kernels are the real sources, compiled for the host (`launching`).
"""

from __future__ import annotations

import functools
import operator
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.cuda_on_host import streams
from tests.cuda_on_host.bfloat16 import as_cupy
from tests.cuda_on_host.launching import Function

__version__ = "14.0.0"
FENCE = 4096
ALIGNMENT = 512  # as CuPy's allocator has it
POISON = 0xFF  # NaN in every floating type


class transfers:  # noqa: N801 - reads as a name
    """How often something was copied to the host and to the device."""

    to_host = 0
    to_device = 0


class Memory(np.ndarray):
    """The bytes below an array, with fences on both sides."""

    used: slice
    owner: Any  # the array that was made with it, as long as that lives
    lease: Any  # what all arrays in it hold, as long as one lives
    pool: Any  # that it came from, as long as that lives
    last_use = 0  # the moment at which something was asked for that reads or writes it

    def is_given_back(self) -> bool:
        """Whether somebody else may have been given it: no array is in it any more, and it was nobody's pool's own."""
        pool = self.pool()
        return self.lease() is None and (pool is None or pool is streams.default_pool)

    def is_fenced(self) -> bool:
        """Whether nobody wrote beside the array."""
        plain = self.view(np.ndarray)
        return bool((plain[: self.used.start] == POISON).all() and (plain[self.used.stop :] == POISON).all())

    def span(self) -> tuple[int, int]:
        """Where the array begins and ends."""
        begin = self.view(np.ndarray).ctypes.data
        return begin + self.used.start, begin + self.used.stop

    def read(self) -> bytes:
        """The array's bytes."""
        return self.view(np.ndarray)[self.used].tobytes()

    def poison(self) -> None:
        """Make it what fresh memory is."""
        self.view(np.ndarray)[self.used] = POISON

    def write(self, content: bytes) -> None:
        """Put the array's bytes back."""
        self.view(np.ndarray)[self.used] = np.frombuffer(content, np.uint8)


def _allocate(shape: Sequence[int], dtype: Any, order: str = "C") -> np.ndarray:
    """Poisoned memory of that size between two fences."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.full(size + 2 * FENCE + ALIGNMENT, POISON, np.uint8).view(Memory)
    start = FENCE + -(raw.ctypes.data + FENCE) % ALIGNMENT
    raw.used = slice(start, start + size)
    return raw[start : start + size].view(np.ndarray).view(dtype).reshape(shape, order=order)


def _memory_of(array: np.ndarray) -> Memory | None:
    base: Any = array
    while base is not None and not (isinstance(base, Memory) and hasattr(base, "used")):
        base = getattr(base, "base", None)
    return base


def _wrap(result: Any) -> Any:
    """What NumPy gave, as CuPy would give it; a new array goes into memory of its own."""
    if isinstance(result, (tuple, list)):
        return type(result)(map(_wrap, result))
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        return result
    made = ndarray.__new__(ndarray)
    if _memory_of(result) is None:
        order = "F" if result.flags.f_contiguous and not result.flags.c_contiguous else "C"
        placed = _allocate(result.shape, result.dtype, order)
        placed[...] = result
        made._array = placed
        made.take_memory()
    else:
        made._array = result
        made._lease = _memory_of(result).lease()
    return made


def _do(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call NumPy's function on device arrays; while a stream is captured, whatever it changes is only noted."""
    plain, named = _unwrap(args), _unwrap(options)
    function = as_cupy(function, plain)
    in_place = "out" in named or getattr(function, "__name__", "") in IN_PLACE
    memories = [*map(_memory_of, _arrays_in((plain, named)))]
    graph = streams.capturing()
    if graph is None:
        with np.errstate(all="ignore"):  # no GPU warns
            result = function(*plain, **named)
        if in_place or any(map(_is_new, _listed(result))):
            streams.use(memories)
        return _wrap(result)
    if in_place:
        graph.note(lambda: function(*plain, **named), memories, function.__name__)
        return named.get("out")
    with np.errstate(all="ignore"):
        result = function(*plain, **named)
    made, new = _wrap(result), [*map(_is_new, _listed(result))]
    targets = [m._array for m, is_new in zip(_listed(made), new, strict=True) if is_new]
    if not targets:
        return made
    for target in targets:
        _memory_of(target).poison()

    def again() -> None:
        results = [r for r, is_new in zip(_listed(function(*plain, **named)), new, strict=True) if is_new]
        for target, value in zip(targets, results, strict=True):
            target[...] = value

    graph.note(again, [*memories, *map(_memory_of, targets)], function.__name__)
    return made


def _is_new(result: Any) -> bool:
    """Whether NumPy took new memory for it."""
    return isinstance(result, (np.ndarray, np.generic)) and _memory_of(result) is None




def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _arrays_in(value: Any) -> list[np.ndarray]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in _arrays_in(item)]
    return [value] if isinstance(value, np.ndarray) else []


def _unwrap(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: an array of NumPy in an operation of CuPy")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return value


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, pointer: int) -> None:
        self.ptr = pointer


class ndarray:  # noqa: N801 - CuPy's name
    """An array on the device."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    _array: np.ndarray
    _lease: Any

    def __init__(self, shape: Any, dtype: Any = float, order: str = "C") -> None:
        self._array = _allocate((shape,) if isinstance(shape, int) else shape, dtype, order)
        self.take_memory()

    def take_memory(self) -> None:
        """Be the array that the memory was allocated for."""
        memory = self.memory
        self._lease = streams.Lease(self.nbytes)
        memory.owner, memory.lease, memory.pool = weakref.ref(self), weakref.ref(self._lease), self._lease.pool

    memory = property(lambda self: _memory_of(self._array))
    data = property(lambda self: MemoryPointer(self._array.ctypes.data))
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: _wrap(self._array.T))
    device = property(lambda self: cuda.Device(0))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def base(self) -> Any:
        """The array that a view looks into (or, once nobody holds that, its memory); None for one that is no view."""
        owner = self.memory.owner()
        return None if owner is self else self.memory if owner is None else owner

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(self._array.__array_interface__)
        return {**interface, "version": 3, "stream": 1}

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or not hasattr(np, ufunc.__name__):
            return NotImplemented
        result = _do(ufunc, *inputs, **options)
        out = options.get("out")
        return result if out is None else out[0]

    def __array_function__(self, function: Callable[..., Any], kinds: Any, args: Any, options: Any) -> Any:
        # Shapes are known to the host.
        return _do(function, *args, **options)

    def __getitem__(self, key: Any) -> Any:
        return _do(operator.getitem, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        def assign(array: np.ndarray, key: Any, value: Any) -> None:
            array[key] = value

        _do(assign, self, key, value)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def get(self) -> np.ndarray:
        """A copy on the host."""
        streams.refuse_to_wait("a copy to the host")
        transfers.to_host += 1
        return self._array.copy(order="K")

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        """Fill from the host: on another stream, if it is given, not before somebody waits for it."""
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError(f"set: {values.dtype} of {values.shape} into {self.dtype} of {self.shape}")
        streams.refuse_to_wait("a copy from the host")
        transfers.to_device += 1
        if stream is None or stream is streams.current():
            if stream is not None:
                stream.read_from_host(values.ctypes.data)
            self._array[...] = values
            return
        if self.memory.last_use > stream.seen:
            raise streams.StreamError("memory is filled on a stream that has not waited for those who read it")

        def arrive() -> None:
            self._array[...] = values

        stream.put_off.append(arrive)

    def item(self) -> Any:
        streams.refuse_to_wait("a copy to the host")
        transfers.to_host += 1
        return self._array.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self.get().__index__()

    def __repr__(self) -> str:
        return repr(self._array)

    def __dlpack__(self, **options: Any) -> Any:
        return self  # a capsule that only `from_dlpack` below opens, as only a GPU's library would

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __reduce__(self) -> Any:
        return asarray, (self.get(),)

    def __deepcopy__(self, _: Any) -> Any:
        return self.copy()

    def fill(self, value: Any) -> None:
        _do(np.ndarray.fill, self, value)


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **options: Any) -> Any:
        return _do(getattr(np.ndarray, name), self, *args, **options)

    return method


def _operator(name: str) -> Callable[..., Any]:
    def operation(self: ndarray, *others: Any) -> Any:
        # A tensor takes precedence, as it says with its own __array_ufunc__.
        if any(getattr(type(other), "__array_ufunc__", ...) is None for other in others):
            return NotImplemented
        result = _do(getattr(np.ndarray, name), self, *others)
        return self if name.startswith("__i") and name != "__invert__" else result

    return operation


METHODS = """all any argmax argmin argsort astype clip copy cumsum diagonal dot flatten max mean min nonzero prod ravel
repeat reshape round searchsorted sort squeeze std sum swapaxes take transpose var view"""
BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
#: What changes an array where it is.
IN_PLACE = {"copyto", "fill", "sort", "put", "at", "assign", *(f"__i{name}__" for name in BINARY.split())}
OTHERS = "neg pos abs invert eq ne lt le gt ge"
for _name in METHODS.split():
    setattr(ndarray, _name, _method(_name))
for _name in [f"__{form}{name}__" for name in BINARY.split() for form in ("", "r", "i")]:
    setattr(ndarray, _name, _operator(_name))
for _name in [f"__{name}__" for name in OTHERS.split()]:
    setattr(ndarray, _name, _operator(_name))


# --- the module ------------------------------------------------------------------------------------------------------


def asarray(values: Any, dtype: Any = None, order: Any = None, blocking: bool = False) -> ndarray:
    """An array on the device; one that is there already is given back."""
    if isinstance(values, ndarray):
        return values if dtype is None or values.dtype == dtype else values.astype(dtype)
    streams.refuse_to_wait("a copy from the host")
    transfers.to_device += 1
    return _wrap(np.array(values, dtype))


def array(values: Any, dtype: Any = None, copy: bool = True, order: Any = "K") -> ndarray:
    """A copy on the device."""
    return values.astype(dtype or values.dtype) if isinstance(values, ndarray) else asarray(values, dtype)


def ascontiguousarray(values: Any, dtype: Any = None) -> ndarray:
    """The array itself if it is contiguous, else a copy that is; at least one axis long."""
    values = asarray(values, dtype)
    if not values.ndim:
        return values.reshape(1)
    return values if values.flags.c_contiguous else _do(np.ascontiguousarray, values)


def asnumpy(values: Any) -> np.ndarray:
    """A copy on the host."""
    return values.get() if isinstance(values, ndarray) else np.asarray(values)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Memory that holds NaN until something is written."""
    return ndarray(shape, dtype, order)


def empty_like(values: ndarray, dtype: Any = None, order: str = "K", shape: Any = None) -> ndarray:
    """As `empty`, of the shape, dtype and order of another array."""
    fortran = order == "F" or (order == "K" and values.flags.fnc)
    return ndarray(values.shape if shape is None else shape, dtype or values.dtype, "F" if fortran else "C")


def get_default_memory_pool() -> streams.MemoryPool:
    """The pool of whoever takes no other."""
    return streams.default_pool


def get_array_module(*arrays: Any) -> Any:
    """This module where one of the arrays is its own, else NumPy."""
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in arrays) else np


def from_dlpack(values: Any) -> ndarray:
    """Share the memory of what another library gives."""
    return _wrap(values.__dlpack__()._array)


def memoize(for_each_device: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Remember results; there is one device."""
    return functools.lru_cache(maxsize=None)


class RawModule:
    """A source and the instantiations of its kernels that are wanted."""

    def __init__(self, *, code: str, options: Sequence[str] = (), name_expressions: Sequence[str] = ()) -> None:
        self.code, self.expressions = code, tuple(name_expressions)

    def get_function(self, name: str) -> Function:
        """Compiled together with all other kernels that are known of this source: a library costs a second."""
        if name not in self.expressions:
            raise ValueError(f"{name} is not among the name_expressions")
        return Function(self.code, name, known_kernels(self.code, self.expressions))


def known_kernels(code: str, asked: Sequence[str]) -> tuple[str, ...]:
    """All instantiations that the library declares of a source; those asked for, of a source of somebody else."""
    from minicnn.kernels.cuda import loading

    return loading.declared_in(code) or tuple(asked)


def alloc_pinned_memory(size: int) -> bytearray:
    """Memory that nobody copies from yet, whoever had it before."""
    memory = bytearray(size)
    streams.current().under_way.discard(np.frombuffer(memory, np.uint8).ctypes.data)
    return memory


class Device:
    """The device, of which there is one."""

    #: Pretended; tests change it.
    compute_capability = "90"
    mem_info = (2**20, 2**20)  # bytes free, and in all

    def __init__(self, device: int | None = None) -> None:
        self.id = device or 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        """Everything is done already."""


cuda = types.SimpleNamespace(
    Device=Device,
    runtime=types.SimpleNamespace(getDeviceCount=lambda: 1),
    nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
    is_available=lambda: True,
    get_current_stream=streams.current,
    Stream=streams.Stream,
    Event=streams.Event,
    MemoryPool=streams.MemoryPool,
    using_allocator=streams.using_allocator,
    alloc_pinned_memory=alloc_pinned_memory,
)
lib = types.SimpleNamespace(
    stride_tricks=types.SimpleNamespace(
        as_strided=lambda x, shape=None, strides=None: _do(
            np.lib.stride_tricks.as_strided, x, shape, strides
        )
    )
)


def __getattr__(name: str) -> Any:
    """NumPy's function of that name, on device arrays."""
    found = getattr(np, name)
    if not callable(found) or isinstance(found, type):
        return found

    @functools.wraps(found)
    def function(*args: Any, **options: Any) -> Any:
        return _do(found, *args, **options)

    if isinstance(found, np.ufunc):
        function.at = lambda *args: _do(found.at, *args)  # type: ignore[attr-defined]
    return function
