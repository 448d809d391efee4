"""Elementwise arithmetic with NumPy's broadcasting; shapes that do not broadcast raise ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array
from minicnn.device import array_module
from minicnn.kernels import room_for
from minicnn.kernels.floats import is_bfloat16
from minicnn.kernels.noting import note

from .shaping import sum_to


def _not_broadcast(operation: str, *operands: TensorLike) -> ValueError:
    *first, last = (str(np.shape(operand)) for operand in operands)
    return ValueError(f"{operation}: shapes {', '.join(first)} and {last} do not broadcast against each other")


def _computed(ufunc: Any, a: Array, b: Array) -> Array:
    """An elementwise operation of two arrays or numbers."""
    room = room_for(a, b)
    if room is None:
        return ufunc(*_beside(a, b))
    note(ufunc, a, b, room)
    return ufunc(a, b, out=room)


def _beside(a: Any, b: Any) -> tuple[Any, Any]:
    """Both operands, a plain number beside bfloat16 as such: CuPy 14 would turn both into float32."""
    if isinstance(b, float) and not isinstance(a, (float, int)) and is_bfloat16(a.dtype):
        return a, a.dtype.type(b)
    if isinstance(a, float) and not isinstance(b, (float, int)) and is_bfloat16(b.dtype):
        return b.dtype.type(a), b
    return a, b


class _Binary(Function):
    """Two operands that broadcast against each other: the gradients are summed back to the operands' shapes."""

    def __call__(self, a: TensorLike, b: TensorLike) -> Any:
        try:
            return super().__call__(a, b)
        except ValueError as error:
            if "broadcast" not in str(error):
                raise
            raise _not_broadcast(type(self).__name__.lower(), as_array(a), as_array(b)) from None

    def _to_operands(self, ga: Any, gb: Any) -> tuple[Any, Any]:
        needed = zip((ga, gb), self.shapes, self.needs_input_gradient, strict=True)
        by_a, by_b = (sum_to(gradient, shape) if needs else None for gradient, shape, needs in needed)
        return by_a, by_b

    def _keep_shapes(self, a: Array, b: Array) -> None:
        self.shapes = np.shape(a), np.shape(b)


class Add(_Binary):
    """a + b."""

    def forward(self, a: Array, b: Array) -> Array:
        """Nothing need be saved."""
        self._keep_shapes(a, b)
        return _computed(np.add, a, b)

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """gy to both."""
        return self._to_operands(gy, gy)


class Subtract(_Binary):
    """a - b."""

    def forward(self, a: Array, b: Array) -> Array:
        """Nothing need be saved."""
        self._keep_shapes(a, b)
        return _computed(np.subtract, a, b)

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """gy and -gy."""
        return self._to_operands(gy, negative(gy) if self.needs_input_gradient[1] else None)


class Multiply(_Binary):
    """a * b."""

    def forward(self, a: Array, b: Array) -> Array:
        """Each operand is saved only where the other one needs a gradient."""
        self._keep_shapes(a, b)
        needs_a, needs_b = self.needs_input_gradient or (False, False)
        self.save_inputs(*([1] if needs_a else []), *([0] if needs_b else []))
        return _computed(np.multiply, a, b)

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """gy times the other one."""
        saved = iter(self.saved_inputs)
        needs_a, needs_b = self.needs_input_gradient
        ga = multiply(gy, next(saved)) if needs_a else None
        return self._to_operands(ga, multiply(gy, next(saved)) if needs_b else None)


class Divide(_Binary):
    """a / b."""

    def forward(self, a: Array, b: Array) -> Array:
        """Saves both operands."""
        self._keep_shapes(a, b)
        self.save_inputs(0, 1)
        return _computed(np.divide, a, b)

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """gy / b and -gy * a / b**2."""
        a, b = self.saved_inputs
        ga = divide(gy, b)
        return self._to_operands(ga, negative(divide(multiply(ga, a), b)) if self.needs_input_gradient[1] else None)


class Power(_Binary):
    """a ** b."""

    def forward(self, a: Array, b: Array) -> Array:
        """Saves both operands."""
        self._keep_shapes(a, b)
        self.save_inputs(0, 1)
        a, b = _beside(a, b)
        return a**b

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """gy * b * a**(b-1) and gy * a**b * log(a)."""
        a, b = self.saved_inputs
        needs_a, needs_b = self.needs_input_gradient
        ga = None
        if needs_a:
            # To the power of 0 everything is constant; b * a**(b-1) would be 0 * infinity where a is 0.
            ga = multiply(gy, 0.0 if _is_zero(b.data) else multiply(b, power(a, subtract(b, 1))))
        return self._to_operands(ga, multiply(gy, multiply(power(a, b), log(a))) if needs_b else None)


def _is_zero(exponent: Any) -> bool:
    """Whether this is the plain number 0."""
    return isinstance(exponent, (int, float)) and exponent == 0


class _Select(_Binary):
    """One of two operands, element by element; where they are equal the gradient is halved between them."""

    def _choose(self, a: Array, b: Array) -> Array:
        raise NotImplementedError

    def forward(self, a: Array, b: Array) -> Array:
        """Remembers which operand was taken."""
        self._keep_shapes(a, b)
        y = self._choose(a, b)
        kind = y.dtype.type
        share = array_module(y).where(np.equal(a, b), kind(0.5), np.equal(y, a).astype(y.dtype))
        self.share = share.astype(y.dtype, copy=False)
        return y

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """To the operand that was taken."""
        return self._to_operands(multiply(gy, self.share), multiply(gy, 1 - self.share))


class Maximum(_Select):
    """The larger of a and b."""

    def _choose(self, a: Array, b: Array) -> Array:
        return np.maximum(*_beside(a, b))


class Minimum(_Select):
    """The smaller of a and b."""

    def _choose(self, a: Array, b: Array) -> Array:
        return np.minimum(*_beside(a, b))


class Where(Function):
    """a where the condition holds, else b."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        """A new array, of the operands' type (plain numbers take the other operand's)."""
        self.shapes = np.shape(a), np.shape(b)
        a, b = _beside(a, b)
        kind = np.result_type(a, b)
        try:
            return array_module(self.condition).where(self.condition, a, b).astype(kind, copy=False)
        except ValueError:
            raise _not_broadcast("where", self.condition, a, b) from None

    def backward(self, gy: Tensor) -> tuple[Any, Any]:
        """Each operand receives what it gave."""
        a, b = self.shapes
        return sum_to(where(self.condition, gy, 0.0), a), sum_to(where(self.condition, 0.0, gy), b)


class Negative(Function):
    """-x."""

    def forward(self, x: Array) -> Array:
        """Nothing need be saved."""
        return -x

    def backward(self, gy: Tensor) -> Tensor:
        """-gy."""
        return negative(gy)


class Exp(Function):
    """e ** x."""

    def forward(self, x: Array) -> Array:
        """Saves the output, which is the derivative."""
        self.save_outputs(0)
        return np.exp(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * y."""
        (y,) = self.saved_outputs
        return multiply(gy, y)


class Log(Function):
    """The natural logarithm."""

    def forward(self, x: Array) -> Array:
        """Saves x."""
        self.save_inputs(0)
        return np.log(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy / x."""
        (x,) = self.saved_inputs
        return divide(gy, x)


class Sqrt(Function):
    """The square root."""

    def forward(self, x: Array) -> Array:
        """Saves the output."""
        self.save_outputs(0)
        return np.sqrt(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy / (2 * y)."""
        (y,) = self.saved_outputs
        return divide(gy, multiply(y, 2))


class Absolute(Function):
    """|x|; the slope at 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        """Remembers the signs."""
        self.signs = np.sign(x)
        return np.abs(x)

    def backward(self, gy: Tensor) -> Tensor:
        """gy * sign(x)."""
        return multiply(gy, self.signs)


class Clip(Function):
    """x limited to [low, high]."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x: Array) -> Array:
        """Remembers which elements were inside; the limits count as inside."""
        y = x.copy() if self.low is None and self.high is None else x
        for choose, limit in ((np.maximum, self.low), (np.minimum, self.high)):
            y = y if limit is None else choose(*_beside(y, limit))
        self.inside = np.equal(y, x).astype(x.dtype)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        """gy inside the limits, 0 outside."""
        return multiply(gy, self.inside)


def add(a: TensorLike, b: TensorLike) -> Any:
    """a + b, broadcast."""
    return Add()(a, b)


def subtract(a: TensorLike, b: TensorLike) -> Any:
    """a - b, broadcast."""
    return Subtract()(a, b)


def multiply(a: TensorLike, b: TensorLike) -> Any:
    """a * b, element by element, broadcast."""
    return Multiply()(a, b)


def divide(a: TensorLike, b: TensorLike) -> Any:
    """a / b, element by element, broadcast."""
    return Divide()(a, b)


def power(a: TensorLike, b: TensorLike) -> Any:
    """a ** b, element by element, broadcast; the gradient of b needs a > 0."""
    return Power()(a, b)


def maximum(a: TensorLike, b: TensorLike) -> Any:
    """The larger of a and b, element by element, broadcast; where equal, each receives half the gradient."""
    return Maximum()(a, b)


def minimum(a: TensorLike, b: TensorLike) -> Any:
    """The smaller of a and b, element by element, broadcast; where equal, each receives half the gradient."""
    return Minimum()(a, b)


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Any:
    """a where the condition holds, else b; all three broadcast.

    >>> where([True, False], [1.0, 2.0], 0.0)
    array([1., 0.], dtype=float32)
    """
    return Where(as_array(condition))(a, b)


def negative(x: TensorLike) -> Any:
    """-x."""
    return Negative()(x)


def exp(x: TensorLike) -> Any:
    """e ** x, element by element."""
    return Exp()(x)


def log(x: TensorLike) -> Any:
    """The natural logarithm, element by element."""
    return Log()(x)


def sqrt(x: TensorLike) -> Any:
    """The square root, element by element."""
    return Sqrt()(x)


def square(x: TensorLike) -> Any:
    """x * x, element by element."""
    return multiply(x, x)


def abs(x: TensorLike) -> Any:
    """|x|, element by element; the slope at 0 is taken as 0."""
    return Absolute()(x)


def sign(x: TensorLike) -> Any:
    """-1, 0 or 1, element by element; a constant to the gradient."""
    y = np.sign(as_array(x))
    return Tensor(y) if isinstance(x, Tensor) else y


def clip(x: TensorLike, low: float | None, high: float | None) -> Any:
    """x limited to [low, high]; outside the gradient is 0.

    Raises:
        ValueError: low is above high.
    """
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: low must not be above high, got {low!r} and {high!r}")
    low, high = (limit.item() if isinstance(limit, np.generic) else limit for limit in (low, high))
    return Clip(low, high)(x)
