"""The functions between the layers, element by element, and the softmax family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array, is_grad_enabled
from minicnn.device import array_module

from .arithmetic import add, clip, exp, log, multiply, negative, subtract, where
from .reductions import sum as sum_
from .shaping import as_activations, as_floats, reshape, transpose


class ReLU(Function):
    """max(x, 0)."""

    def forward(self, x: Array) -> Array:
        """Saves the output: it is positive where x is."""
        self.save_outputs(0)
        return kernels.relu(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy where y is positive."""
        (y,) = self.saved_outputs
        return ReLUGradient(y.data)(gy)


class ReLUGradient(Function):
    """x where y is positive: the derivative of a ReLU, itself linear in x."""

    def __init__(self, y: Array) -> None:
        self.y = y

    def forward(self, x: Array) -> Array:
        """x where y is positive, else 0."""
        return kernels.relu_gradient(x, self.y)

    def backward(self, gy: Tensor) -> Tensor:
        """The same of gy."""
        return ReLUGradient(self.y)(gy)


class Sigmoid(Function):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Array) -> Array:
        """exp sees only negative numbers, so that nothing overflows."""
        self.save_outputs(0)
        e = np.exp(-np.abs(x))
        return array_module(x).where(x >= 0, 1, e).astype(e.dtype, copy=False) / (1 + e)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * y * (1 - y)."""
        (y,) = self.saved_outputs
        return multiply(gy, multiply(y, subtract(1, y)))


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        """Saves the output."""
        self.save_outputs(0)
        return np.tanh(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * (1 - y * y)."""
        (y,) = self.saved_outputs
        return multiply(gy, subtract(1, multiply(y, y)))


class Softplus(Function):
    """log(1 + exp(x))."""

    def forward(self, x: Array) -> Array:
        """exp sees only negative numbers, so that nothing overflows."""
        self.save_inputs(0)
        return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * sigmoid(x)."""
        (x,) = self.saved_inputs
        return multiply(gy, sigmoid(x))


class Erf(Function):
    """The error function."""

    def forward(self, x: Array) -> Array:
        """Saves x."""
        self.save_inputs(0)
        return kernels.erf(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * 2/sqrt(pi) * exp(-x*x)."""
        (x,) = self.saved_inputs
        return multiply(gy, multiply(exp(negative(multiply(x, x))), 2 / math.sqrt(math.pi)))


class Softmax(Function):
    """exp(x) / sum(exp(x)) along the last axis of a matrix."""

    def forward(self, x: Array) -> Array:
        """Saves the output."""
        self.save_outputs(0)
        return kernels.softmax(x)

    def backward(self, gy: Tensor) -> Tensor:
        """y * (gy - sum(gy * y))."""
        (y,) = self.saved_outputs
        return multiply(y, subtract(gy, sum_(multiply(gy, y), axis=1, keepdims=True)))


class LogSoftmax(Function):
    """x - log(sum(exp(x))) along the last axis of a matrix."""

    def forward(self, x: Array) -> Array:
        """Saves the output."""
        self.save_outputs(0)
        shifted = x - x.max(axis=1, keepdims=True) if x.size else x
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def backward(self, gy: Tensor) -> Tensor:
        """gy - softmax(x) * sum(gy)."""
        (y,) = self.saved_outputs
        return subtract(gy, multiply(exp(y), sum_(gy, axis=1, keepdims=True)))


class SoftmaxCrossEntropy(Function):
    """-sum(targets * log softmax(logits)) of each row, and the probabilities beside it, which come for free."""

    def forward(self, logits: Array, targets: Array) -> tuple[Array, Array]:
        """Saves the targets and the probabilities."""
        self.save_inputs(*([0, 1] if self.needs_input_gradient[1:] == (True,) else [1]))
        self.save_outputs(1)
        return kernels.softmax_cross_entropy(logits, targets)

    def backward(self, gy: Tensor | None, gp: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """By the logits gy * (p * sum(targets) - targets), and softmax's own gradient where p was used too."""
        *logits, targets = self.saved_inputs
        (p,) = self.saved_outputs
        by_logits, by_targets = None, None
        if gy is not None and gp is None and not logits and not is_grad_enabled():
            return Tensor(kernels.softmax_cross_entropy_gradient(gy.data, p.data, targets.data)), None
        if gy is not None:
            column = reshape(gy, (-1, 1))
            by_logits = multiply(column, subtract(multiply(p, sum_(targets, axis=1, keepdims=True)), targets))
            if logits:
                by_targets = negative(multiply(column, log_softmax(logits[0])))
        if gp is not None:
            of_p = multiply(p, subtract(gp, sum_(multiply(gp, p), axis=1, keepdims=True)))
            by_logits = of_p if by_logits is None else add(by_logits, of_p)
        return by_logits, by_targets


def relu(x: TensorLike) -> Any:
    """max(x, 0), element by element; the slope at 0 is 0.

    >>> relu([1.0, 2.0, 3.0, -4.0])
    array([1., 2., 3., 0.], dtype=float32)
    """
    return ReLU()(*as_activations(x))


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Any:
    """x where positive, else negative_slope * x (Maas, Hannun and Ng 2013)."""
    return where(as_array(x) >= 0, x, multiply(x, negative_slope))


def elu(x: TensorLike, alpha: float = 1.0) -> Any:
    """x where positive, else alpha * (exp(x) - 1) (Clevert, Unterthiner and Hochreiter 2015)."""
    # Limited to 0, exp cannot overflow where its branch is not taken.
    return where(as_array(x) > 0, x, multiply(Expm1()(clip(x, None, 0.0)), alpha))


class Expm1(Function):
    """exp(x) - 1, exact near 0."""

    def forward(self, x: Array) -> Array:
        """Saves the output."""
        self.save_outputs(0)
        return np.expm1(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * (y + 1)."""
        (y,) = self.saved_outputs
        return multiply(gy, add(y, 1))


def gelu(x: TensorLike, approximate: bool = False) -> Any:
    """x times the share of a normal distribution below x: x/2 * (1 + erf(x/sqrt(2))) (Hendrycks and Gimpel 2016).

    Args:
        x: any shape.
        approximate: use x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))) instead.
    """
    if approximate:
        cubic = multiply(multiply(x, multiply(x, x)), 0.044715)
        inner = tanh(multiply(add(x, cubic), math.sqrt(2 / math.pi)))
    else:
        inner = erf(multiply(x, 1 / math.sqrt(2)))
    return multiply(multiply(x, 0.5), add(inner, 1))


def erf(x: TensorLike) -> Any:
    """The error function, element by element."""
    return Erf()(*as_floats(x))


def sigmoid(x: TensorLike) -> Any:
    """1 / (1 + exp(-x)), element by element, without overflow."""
    return Sigmoid()(x)


def tanh(x: TensorLike) -> Any:
    """The hyperbolic tangent, element by element."""
    return Tanh()(x)


def softplus(x: TensorLike) -> Any:
    """log(1 + exp(x)), element by element, without overflow."""
    return Softplus()(x)


def softmax(x: TensorLike, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`: numbers of any size become probabilities.

    Raises:
        ValueError: x has no such axis.

    >>> softmax([1.0, 2.0, 3.0, -5.0]).round(3)
    array([0.09 , 0.245, 0.665, 0.   ], dtype=float32)
    """
    return _along(Softmax(), x, axis, "softmax")


def log_softmax(x: TensorLike, axis: int = -1) -> Any:
    """The logarithm of `softmax`, which neither under- nor overflows.

    Raises:
        ValueError: x has no such axis.
    """
    return _along(LogSoftmax(), x, axis, "log_softmax")


def _along(function: Function, x: TensorLike, axis: int, operation: str) -> Any:
    """Apply a function of a matrix's rows along any axis of x."""
    shape = np.shape(as_array(x))
    rank = len(shape)
    _check_axis(axis, shape, operation)
    (x,) = as_floats(x)
    if rank == 2 and axis in (-1, 1):
        return function(x)
    order = (*(a for a in range(rank) if a != axis % rank), axis % rank)
    moved = x if order == tuple(range(rank)) else transpose(x, order)
    rows = function(reshape(moved, (math.prod(shape[a] for a in order[:-1]), shape[order[-1]])))
    back = reshape(rows, tuple(shape[a] for a in order))
    return back if order == tuple(range(rank)) else transpose(back, tuple(int(a) for a in np.argsort(order)))


def _check_axis(axis: int, shape: tuple[int, ...], operation: str) -> None:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{operation}: axis {axis} does not exist in shape {shape}")


def logsumexp(x: TensorLike, axis: int = -1, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) along `axis`, without overflow; minus infinity where all of x is.

    Args:
        x: any shape with at least one axis.
        axis: along which is summed.
        keepdims: keep that axis, with size 1.

    Raises:
        ValueError: x has no such axis.
    """
    _check_axis(axis, np.shape(as_array(x)), "logsumexp")
    (x,) = as_floats(x)
    array = as_array(x)
    # The largest number, moved into the finite ones: the difference of two infinities would be NaN.
    limit = np.finfo(array.dtype).max
    top = np.clip(np.max(array, axis=axis, keepdims=True), -limit, limit)
    with np.errstate(divide="ignore"):
        total = add(log(sum_(exp(subtract(x, top)), axis, keepdims=True)), top)
    if keepdims:
        return total
    shape = list(array.shape)
    del shape[axis]
    return reshape(total, tuple(shape))


def softmax_cross_entropy(logits: TensorLike, targets: TensorLike) -> Any:
    """-sum over k of targets[..., k] * log softmax(logits)[..., k], unclipped and stable: (..., K) to (...).

    Args:
        logits: numbers of any size, (..., K); -infinity for a class that is ruled out, whose target is 0.
        targets: probabilities of the same shape; rows usually sum to 1, one-hot for hard labels.

    Raises:
        ValueError: the shapes differ.
    """
    return softmax_cross_entropy_with_probabilities(logits, targets)[0]


def softmax_cross_entropy_with_probabilities(logits: TensorLike, targets: TensorLike) -> tuple[Any, Any]:
    """The losses of `softmax_cross_entropy` (...) and softmax(logits) (..., K), from one pass.

    Raises:
        ValueError: as `softmax_cross_entropy` does.
    """
    shape, other = np.shape(as_array(logits)), np.shape(as_array(targets))
    if shape != other or not shape:
        raise ValueError(
            f"softmax_cross_entropy: logits and targets must have one shape (..., K), got {shape} and {other}"
        )
    logits, targets = as_floats(logits, targets)
    if len(shape) == 2:
        return SoftmaxCrossEntropy()(logits, targets)
    rows = (math.prod(shape[:-1]), shape[-1])
    losses, probabilities = SoftmaxCrossEntropy()(reshape(logits, rows), reshape(targets, rows))
    return reshape(losses, shape[:-1]), reshape(probabilities, shape)


def sigmoid_cross_entropy(logits: TensorLike, targets: TensorLike) -> Any:
    """-targets * log(sigmoid(x)) - (1 - targets) * log(1 - sigmoid(x)), element by element, unclipped and stable.

    Written as softplus(x) - targets * x, which is the same.
    """
    return subtract(softplus(logits), multiply(targets, logits))
