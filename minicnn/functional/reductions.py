"""From many elements to one: sums, means, extremes.

An axis that x does not have, or that is named twice, raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, is_grad_enabled
from minicnn.device import array_module
from minicnn.kernels.floats import is_half

from .arithmetic import divide, multiply
from .shaping import as_floats, broadcast_to, cast, reshape

Axis = int | Sequence[int] | None


def _axes(axis: Axis, rank: int, operation: str) -> tuple[int, ...]:
    """The axes as numbers from 0, every one of them where `axis` is None."""
    if axis is None:
        return tuple(range(rank))
    chosen = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if any(not -rank <= a < rank for a in chosen) or len({a % rank for a in chosen}) != len(chosen):
        raise ValueError(f"{operation}: axis {axis!r} does not fit an array with {rank} axes")
    return tuple(sorted(int(a) % rank for a in chosen))


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with 1 for the axes that are reduced."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _result(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    return _kept(shape, axes) if keepdims else tuple(n for axis, n in enumerate(shape) if axis not in axes)


class Sum(Function):
    """The sum over some axes."""

    def __init__(self, axis: Axis, keepdims: bool) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        """Sums over all axes but the last, as of biases, go to a kernel that keeps float32 rounding small."""
        self.before, self.dtype = x.shape, x.dtype
        self.axes = _axes(self.axis, x.ndim, type(self).__name__.lower())
        half = is_half(x.dtype)  # whose sums soon leave its range or precision
        summed_rows = x.ndim > 1 and self.axes == tuple(range(x.ndim - 1)) and x.size
        if summed_rows and (x.dtype in (np.float32, np.float64) or (half and array_module(x) is not np)):
            total = kernels.sum_rows(x.reshape(-1, x.shape[-1]))
        else:
            total = x.sum(axis=self.axes, dtype=np.float32 if half else None)
        return total.reshape(_result(x.shape, self.axes, self.keepdims))

    def backward(self, gy: Tensor) -> Tensor:
        """Every summand receives gy."""
        return broadcast_to(cast(reshape(gy, _kept(self.before, self.axes)), self.dtype), self.before)


class Mean(Sum):
    """The sum over some axes, divided by how many elements it is made of."""

    def forward(self, x: Array) -> Array:
        """Nothing need be saved."""
        total = super().forward(x)
        self.count = math.prod(x.shape[axis] for axis in self.axes)
        return total / self.count

    def backward(self, gy: Tensor) -> Tensor:
        """Every summand receives its share of gy."""
        if not is_grad_enabled():
            kept, xp = gy.data.reshape(_kept(self.before, self.axes)), array_module(gy.data)
            if xp is np:
                return Tensor(np.broadcast_to(kept / self.count, self.before))
            # Kernels take no array with strides of 0: dividing all makes the copy that they would need.
            return Tensor(xp.broadcast_to(kept, self.before) / self.count)
        return super().backward(divide(gy, self.count))


class _Extreme(Function):
    """The largest or smallest element; several that tie share the gradient equally."""

    def __init__(self, axis: Axis, keepdims: bool) -> None:
        self.axis, self.keepdims = axis, keepdims

    def _reduce(self, x: Array, axes: tuple[int, ...]) -> Array:
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        """Remembers each element's share."""
        self.axes = _axes(self.axis, x.ndim, type(self).__name__.lower())
        if not math.prod(x.shape[axis] for axis in self.axes):
            raise ValueError(f"{type(self).__name__.lower()}: there is no element along axis {self.axis} of {x.shape}")
        y = self._reduce(x, self.axes)
        ties = np.equal(x, y)
        # A NaN equals nothing, not even itself: no ties then, and no gradient, rather than a division by zero.
        self.share = ties / np.maximum(ties.sum(axis=self.axes, keepdims=True, dtype=x.dtype), 1)
        return y.reshape(_result(x.shape, self.axes, self.keepdims))

    def backward(self, gy: Tensor) -> Tensor:
        """gy to the extreme element."""
        return multiply(reshape(gy, _kept(self.share.shape, self.axes)), self.share)


class Max(_Extreme):
    """The largest element."""

    def _reduce(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.max(axis=axes, keepdims=True)


class Min(_Extreme):
    """The smallest element."""

    def _reduce(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.min(axis=axes, keepdims=True)


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (all by default).

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.], dtype=float32)
    """
    return Sum(axis, keepdims)(x)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over `axis` divided by the number of elements in it."""
    return Mean(axis, keepdims)(*as_floats(x))


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest element over `axis`; elements that tie share the gradient equally.

    Raises:
        ValueError: there is no element along the axis.

    >>> max([[1.0, 5.0], [3.0, 4.0]], axis=1)
    array([5., 4.], dtype=float32)
    """
    return Max(axis, keepdims)(x)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest element over `axis`; elements that tie share the gradient equally.

    Raises:
        ValueError: there is no element along the axis.
    """
    return Min(axis, keepdims)(x)
