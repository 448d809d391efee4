"""Operations that move elements about and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array, plain_index
from minicnn.device import array_module
from minicnn.kernels.floats import is_floating, is_half, is_real
from minicnn.kernels.noting import note, reshaped

_KERNEL_TYPES = {np.dtype("float32"), np.dtype("float64")}


class BroadcastTo(Function):
    """Repeat along new axes and axes of size 1."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        """A view, nothing is copied."""
        self.before = np.shape(x)
        try:
            return array_module(x).broadcast_to(x, self.shape)
        except ValueError:
            raise ValueError(f"broadcast_to: shape {self.before} does not broadcast to {self.shape}") from None

    def backward(self, gy: Tensor) -> Tensor:
        """What was repeated adds up."""
        return sum_to(gy, self.before)


class SumTo(Function):
    """Add up what broadcasting repeated: the adjoint of `BroadcastTo`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        """Sum over the axes that are new or were of size 1."""
        self.before = x.shape
        new = x.ndim - len(self.shape)
        if new < 0 or any(size not in (1, x.shape[new + axis]) for axis, size in enumerate(self.shape)):
            raise ValueError(f"sum_to: shape {self.shape} does not broadcast to {x.shape}")
        axes = tuple(range(new)) + tuple(
            new + axis for axis, size in enumerate(self.shape) if size == 1 and x.shape[new + axis] != 1
        )
        return x.sum(axis=axes, keepdims=True).reshape(self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        """Each summand receives the gradient of its sum."""
        return broadcast_to(gy, self.before)


def broadcast_to(x: TensorLike, shape: tuple[int, ...]) -> Any:
    """x repeated to `shape` by NumPy's rules of broadcasting.

    Raises:
        ValueError: x does not broadcast to it.
    """
    return x if np.shape(x) == tuple(shape) else BroadcastTo(tuple(shape))(x)


def sum_to(x: TensorLike, shape: tuple[int, ...]) -> Any:
    """x summed down to `shape`, which broadcasts to x's.

    Raises:
        ValueError: it does not.
    """
    return x if np.shape(x) == tuple(shape) else SumTo(tuple(shape))(x)


class Reshape(Function):
    """The same elements in the same order in another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        """A view where the memory allows it."""
        self.before = x.shape
        return reshaped(x, self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        """Back to the shape before."""
        return reshape(gy, self.before)


def reshape(x: TensorLike, *shape: Any) -> Any:
    """The elements of x, in C order, in another shape; one size may be -1 and is worked out.

    >>> reshape([[1.0, 2.0], [3.0, 4.0]], 4)
    array([1., 2., 3., 4.], dtype=float32)

    Raises:
        ValueError: the numbers of elements differ.
    """
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    size, known = math.prod(np.shape(as_array(x))), math.prod(n for n in wanted if n != -1)
    if size != known if -1 not in wanted else wanted.count(-1) > 1 or (known == 0 or size % known):
        raise ValueError(f"reshape: {size} elements of shape {np.shape(as_array(x))} do not fill shape {wanted}")
    return Reshape(wanted)(x)


def flatten(x: TensorLike) -> Any:
    """Every sample as a row: (N, ...) to (N, product of the rest), in C order.

    Raises:
        ValueError: x has no axes.
    """
    shape = np.shape(as_array(x))
    if not shape:
        raise ValueError("flatten: x must have at least one axis, the samples; got a single number")
    return reshape(x, shape[0], math.prod(shape[1:]))


class Transpose(Function):
    """The axes in another order."""

    def __init__(self, axes: tuple[int, ...] | None) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        """A view, nothing is copied."""
        return x.transpose(self.axes)

    def backward(self, gy: Tensor) -> Tensor:
        """The inverse order."""
        if self.axes is None:
            return transpose(gy)
        return transpose(gy, tuple(int(axis) for axis in np.argsort([a % gy.ndim for a in self.axes])))


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Any:
    """x with its axes in the order `axes`, reversed by default; a view.

    Raises:
        ValueError: `axes` does not name every axis once.
    """
    shape = np.shape(as_array(x))
    if axes is not None and sorted(a + len(shape) if a < 0 else a for a in axes) != list(range(len(shape))):
        raise ValueError(f"transpose: axes {tuple(axes)} are no order of the {len(shape)} axes of shape {shape}")
    return Transpose(None if axes is None else tuple(axes))(x)


class Index(Function):
    """Read elements: `x[index]`."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        """NumPy's indexing: slices give views, arrays of indices give copies."""
        self.before = x.shape
        return x[self.index]

    def backward(self, gy: Tensor) -> Tensor:
        """Gradients return to where their elements were read."""
        return ScatterAdd(self.index, self.before)(gy)


class ScatterAdd(Function):
    """Add elements into zeros at an index: the adjoint of `Index`."""

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, x: Array) -> Array:
        """An element read twice receives both."""
        y = array_module(x).zeros(self.shape, dtype=x.dtype)
        if _is_basic(self.index):
            y[self.index] = x
        else:
            array_module(x).add.at(y, self.index, x)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        """Read them again."""
        return Index(self.index)(gy)


def _is_basic(index: Any) -> bool:
    """Whether an index reads no element twice: whole numbers, slices, None and the ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts)


def index(x: TensorLike, key: Any) -> Any:
    """`x[key]` by NumPy's rules; tensors in the key count as their arrays."""
    return Index(plain_index(key))(x)


class Concatenate(Function):
    """One array after another along an axis."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *arrays: Array) -> Array:
        """A new array."""
        self.sizes = [array.shape[self.axis] for array in arrays]
        joined = array_module(*arrays).concatenate(arrays, axis=self.axis)
        if array_module(joined) is np:
            for part, array in zip(self._parts(joined.ndim), arrays, strict=True):
                note(np.copyto, joined[part], array)
        return joined

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        """Each input receives its own part."""
        parts = zip(self._parts(gy.ndim), self.needs_input_gradient, strict=True)
        return tuple(index(gy, part) if needed else None for part, needed in parts)

    def _parts(self, rank: int) -> list[tuple[slice, ...]]:
        """Where in the result each input lies."""
        ends = np.cumsum(self.sizes).tolist()
        lead = (slice(None),) * (self.axis % rank)
        return [(*lead, slice(end - size, end)) for end, size in zip(ends, self.sizes, strict=True)]


def concatenate(tensors: Sequence[TensorLike], axis: int = -1) -> Any:
    """One after another along `axis`; all other axes agree.

    Raises:
        ValueError: nothing to concatenate, or shapes that differ elsewhere than on `axis`.
    """
    shapes = [np.shape(as_array(tensor)) for tensor in tensors]
    if not shapes:
        raise ValueError("concatenate: expected at least one tensor, got none")
    rank = len(shapes[0])
    if not -rank <= axis < rank:
        raise ValueError(f"concatenate: axis {axis} does not exist in shape {shapes[0]}")
    rests = {shape[: axis % rank] + shape[axis % rank + 1 :] for shape in shapes}
    if len(rests) > 1 or any(len(shape) != rank for shape in shapes):
        raise ValueError(f"concatenate: shapes may differ only along axis {axis}, got {shapes}")
    return Concatenate(axis)(*tensors)


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Any:
    """Arrays of one shape along a new axis.

    Raises:
        ValueError: nothing to stack, shapes that differ, or an axis that the stack does not have.
    """
    shapes = [np.shape(as_array(tensor)) for tensor in tensors]
    if len(set(shapes)) != 1:
        raise ValueError(f"stack: expected arrays of one shape, got {shapes}")
    rank = len(shapes[0]) + 1
    if not -rank <= axis < rank:
        raise ValueError(f"stack: axis {axis} does not exist in a stack of arrays of shape {shapes[0]}")
    at = axis % rank
    widened = (*shapes[0][:at], 1, *shapes[0][at:])
    return concatenate([reshape(tensor, widened) for tensor in tensors], axis=at)


class Pad(Function):
    """A border of one value."""

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        """A new array with the border around x."""
        self.inside = tuple(
            slice(before, before + size) for (before, _), size in zip(self.widths, x.shape, strict=True)
        )
        return array_module(x).pad(x, self.widths, constant_values=self.value)

    def backward(self, gy: Tensor) -> Tensor:
        """The border's gradient goes nowhere."""
        return index(gy, self.inside)


def pad(x: TensorLike, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
    """x with `value` around it; `widths` gives (before, after) for every axis.

    Raises:
        ValueError: not one pair of numbers of at least 0 for each axis.
    """
    rank = len(np.shape(as_array(x)))
    pairs = tuple((int(before), int(after)) for before, after in widths)
    if len(pairs) != rank or any(number < 0 for sides in pairs for number in sides):
        raise ValueError(f"pad: expected {rank} pairs (before, after) of numbers of at least 0, got {widths!r}")
    return Pad(pairs, value)(x)


class Cast(Function):
    """The same values in another floating-point type."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        """x itself where it has the type already."""
        self.before = x.dtype
        return x.astype(self.dtype, copy=False)

    def backward(self, gy: Tensor) -> Tensor:
        """Back to the type before."""
        return cast(gy, self.before)


def cast(x: TensorLike, dtype: Any) -> Any:
    """x with elements of type `dtype`."""
    return x if as_array(x).dtype == np.dtype(dtype) else Cast(dtype)(x)


def as_floats(*values: TensorLike) -> tuple[Any, ...]:
    """Operands in the one floating-point type that kernels compute in; None stays None.

    float64 where one of them is, else float32: half a grey value of a uint8 picture is none. A gradient returns in
    its operand's own type.

    Raises:
        TypeError: an operand holds something else than real numbers.
    """
    kinds = {as_array(value).dtype for value in values if value is not None}
    strange = [str(kind) for kind in kinds if not is_real(kind)]
    if strange:
        raise TypeError(f"expected arrays of real numbers, got dtype {', '.join(sorted(strange))}")
    if len(kinds) == 1 and kinds <= _KERNEL_TYPES:
        return values
    target = "float64" if any(is_floating(kind) and kind.itemsize > 4 for kind in kinds) else "float32"
    return tuple(None if value is None else cast(value, target) for value in values)


def as_activations(x: TensorLike, *weights: TensorLike) -> tuple[Any, ...]:
    """Operands of kernels that take activations of 16 bits on a GPU: then x stays so, and the weights are float32.

    Anything else comes as `as_floats` gives it.
    """
    array = as_array(x)
    if isinstance(array, np.ndarray) or not is_half(array.dtype):
        return as_floats(x, *weights)
    return (x, *as_floats(*weights))


def one_hot(labels: TensorLike, classes: int, dtype: Any = "float32") -> Any:
    """Whole numbers as rows of zeros with a single one: (...) to (..., classes).

    Raises:
        ValueError: a label outside 0 .. classes - 1, or with a fraction.

    >>> one_hot([3], 5)
    array([[0., 0., 0., 1., 0.]], dtype=float32)
    """
    array = as_array(labels)
    if array.size and not (array.min() >= 0 and array.max() < classes):
        raise ValueError(
            f"one_hot: labels must lie in 0 .. {classes - 1}, got values from {array.min()} to {array.max()}"
        )
    if is_floating(array.dtype) and bool((array != np.floor(array)).any()):
        raise ValueError(f"one_hot: labels must be whole numbers, got {array[array != np.floor(array)][0]}")
    rows = (array[..., None] == array_module(array).arange(classes)).astype(dtype)
    return Tensor(rows) if isinstance(labels, Tensor) else rows
