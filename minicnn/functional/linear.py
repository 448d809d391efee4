"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array
from minicnn.device import array_module
from minicnn.kernels.floats import is_half

from .arithmetic import multiply
from .reductions import sum as sum_
from .shaping import as_activations, broadcast_to, index, reshape, stack, transpose


class MatMul(Function):
    """a @ b + bias for matrices, written to `out` where there is one."""

    def __init__(self, out: Array | None = None) -> None:
        self.out = out

    def forward(self, a: Array, b: Array, bias: Array | None = None) -> Array:
        """Each matrix is saved only where the other one needs a gradient."""
        needs_a, needs_b = self.needs_input_gradient[:2] or (False, False)
        self.save_inputs(*([0] if needs_b else []), *([1] if needs_a else []))
        return kernels.matmul(a, b, bias, self.out)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        """gy @ b.T, a.T @ gy, and the sum over the rows."""
        saved = iter(self.saved_inputs)
        needs_a, needs_b, *needs_bias = self.needs_input_gradient
        gb = None
        if needs_b:
            a = transpose(next(saved))
            gb = MatMul(room_for_weights(self.gradient_buffer(1), gy, (a.shape[0], gy.shape[1])))(a, gy)
        ga = MatMul()(gy, transpose(next(saved))) if needs_a else None
        return ga, gb, *(sum_(gy, axis=0) if needed else None for needed in needs_bias)


def room_for_weights(room: Array | None, gy: Tensor, shape: tuple[int, ...]) -> Array | None:
    """Where the gradient of weights may be written at once: a weight matrix is too large to copy for nothing.

    The leaf's own room, where that has the right type. What comes of 16 bits is float32: room is made for it.
    """
    wanted = np.dtype(np.float32) if is_half(gy.dtype) else gy.dtype
    if room is not None and room.dtype == wanted:
        return room
    return None if wanted == gy.dtype else array_module(gy.data).empty(shape, wanted)


def matmul(a: TensorLike, b: TensorLike) -> Any:
    """The matrix product by NumPy's rules: vectors are promoted, leading axes broadcast.

    Args:
        a: (..., M, K) or (K,).
        b: (..., K, N) or (K,).

    Returns:
        (..., M, N), without M or N where a or b is a vector.

    Raises:
        ValueError: the inner sizes differ, or an operand is a single number.

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]], dtype=float32)
    """
    first, second = np.shape(as_array(a)), np.shape(as_array(b))
    if not first or not second or first[-1] != second[max(len(second) - 2, 0)]:
        raise ValueError(f"matmul: a of shape {first} and b of shape {second} do not share their inner size")
    a, b = as_activations(a, b)
    if len(first) == 2 and len(second) == 2:
        return MatMul()(a, b)
    if len(first) == 1:
        product = matmul(reshape(a, (1, *first)), b)
        return index(product, (..., 0) if len(second) == 1 else (..., 0, slice(None)))
    if len(second) == 1:
        return index(matmul(a, reshape(b, (*second, 1))), (..., 0))
    return _batched(a, b, first, second)


def _batched(a: TensorLike, b: TensorLike, first: tuple[int, ...], second: tuple[int, ...]) -> Any:
    """Matrix by matrix over the broadcast leading axes."""
    try:
        lead = np.broadcast_shapes(first[:-2], second[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: the leading axes of a of shape {first} and b of shape {second} do not broadcast"
        ) from None
    count = math.prod(lead)
    left = reshape(broadcast_to(a, (*lead, *first[-2:])), (count, *first[-2:]))
    right = reshape(broadcast_to(b, (*lead, *second[-2:])), (count, *second[-2:]))
    if not count:
        # No matrix at all: any operation on the empty stacks keeps shape, type and tape.
        empty = sum_(multiply(index(left, (..., None)), index(right, (slice(None), None))), axis=2)
        return reshape(empty, (*lead, first[-2], second[-1]))
    products = [MatMul()(index(left, i), index(right, i)) for i in range(count)]
    return reshape(stack(products), (*lead, first[-2], second[-1]))


def dense(x: TensorLike, w: TensorLike, b: TensorLike | None = None) -> Any:
    """A fully connected layer: x @ w + b along the last axis.

    Args:
        x: (..., K).
        w: (K, units).
        b: (units,), or None.

    Returns:
        (..., units).

    Raises:
        ValueError: shapes that do not fit.
    """
    return apply_to_rows(MatMul(), *dense_operands("dense", x, w, b))


def dense_operands(operation: str, x: TensorLike, w: TensorLike, b: TensorLike | None) -> tuple[TensorLike, ...]:
    """The operands of `dense` once they fit, b only where there is one.

    Raises:
        ValueError: they do not fit; the message says what was expected and what came.
    """
    shape, weights = np.shape(as_array(x)), np.shape(as_array(w))
    if len(weights) != 2 or not shape or shape[-1] != weights[0]:
        raise ValueError(
            f"{operation}: x must end with as many values as w of shape (K, units) has rows, got {shape} and {weights}"
        )
    if b is not None and np.shape(as_array(b)) != weights[1:]:
        raise ValueError(
            f"{operation}: b must have shape {weights[1:]}, one for each unit, got {np.shape(as_array(b))}"
        )
    x, w, b = as_activations(x, w, b)
    return (x, w) if b is None else (x, w, b)


def apply_to_rows(function: Function, x: TensorLike, w: TensorLike, *b: TensorLike) -> Any:
    """Apply a function of matrices along the last axis of x."""
    shape = np.shape(as_array(x))
    if len(shape) == 2:
        return function(x, w, *b)
    y = function(reshape(x, (math.prod(shape[:-1]), shape[-1])), w, *b)
    return reshape(y, (*shape[:-1], np.shape(as_array(w))[1]))
