"""gradcheck itself: what it accepts, finds and refuses. Every operation goes through it in tests/functional."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn.functional as F
from minicnn.autograd import Function, GradientError, Tensor, gradcheck

X = np.array([[0.3, -0.7], [1.2, 0.4]])


def wrong(forward, backward):
    """A function made of two lambdas, whose gradient may be anything."""

    class Wrong(Function):
        def forward(self, x):
            self.save_inputs(0)
            return forward(x)

        def backward(self, gy):
            return backward(gy, *self.saved_inputs)

    return lambda x: Wrong()(x)


def test_right_gradients_pass() -> None:
    assert gradcheck(lambda x: F.sum(F.tanh(x) * x), [X], order=3) is True
    assert gradcheck(lambda x: (F.exp(x), F.sum(x)), [X], order=2)
    assert gradcheck(lambda a, b: F.matmul(a, b), [X.tolist(), Tensor(X)])


@pytest.mark.parametrize(
    "backward",
    [lambda gy, x: gy * 0, lambda gy, x: gy, lambda gy, x: gy * x * -2, lambda gy, x: gy * x * 2.001,
     lambda gy, x: gy * F.transpose(x) * 2, lambda gy, x: F.sum(gy) * x * 2],
    ids=["zero", "one", "sign", "slightly off", "transposed", "summed"],
)  # fmt: skip
def test_wrong_gradients_are_found(backward) -> None:
    with pytest.raises(GradientError, match=r"the gradient says .* the function's slope is"):
        gradcheck(wrong(lambda x: x * x, backward), [X])


def test_a_gradient_that_is_right_but_not_differentiable_is_found_in_second_order() -> None:
    function = wrong(lambda x: x * x, lambda gy, x: gy * Tensor(2 * x.data))
    assert gradcheck(function, [X])
    with pytest.raises(GradientError):
        gradcheck(function, [X], order=2)


def test_a_missing_gradient_is_found() -> None:
    with pytest.raises(GradientError):
        gradcheck(lambda x: Tensor(x.data * 2), [X])


def test_a_constant_passes() -> None:
    assert gradcheck(lambda x: Tensor(np.ones(3)), [X])


@pytest.mark.parametrize(
    ("function", "x"),
    [(F.relu, [0.0, 1.0]), (F.abs, [1e-6, -1.0]), (lambda x: F.max(x), [1.0, 1.0, 0.0]),
     (lambda x: F.clip(x, 0.0, 1.0), [0.5, 1.0]), (lambda x: F.max_pool2d(F.reshape(x, 1, 2, 2, 1)), [3.0, 3.0, 1, 2])],
    ids=["relu at 0", "abs near 0", "tie", "at the limit", "pooling with a tie"],
)  # fmt: skip
def test_kinks_are_refused_rather_than_blamed_on_the_gradient(function, x: list[float]) -> None:
    with pytest.raises(ValueError, match=r"has a kink within 0.0001 of these inputs .* move the inputs away"):
        gradcheck(function, [x])


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ValueError, match="values are not finite"):
        gradcheck(lambda x: x + np.inf, [[0.0, 1.0]])


def test_float32_inputs_are_checked_in_float64() -> None:
    seen = []
    gradcheck(lambda x: seen.append(x.dtype) or F.exp(x), [np.float32([1, 2])])
    assert set(seen) == {np.dtype("float64")}


def test_empty_inputs_pass() -> None:
    assert gradcheck(F.exp, [np.zeros((0, 3))], order=2)


def test_the_inputs_are_not_changed() -> None:
    x = X.copy()
    gradcheck(F.exp, [x], order=2)
    np.testing.assert_array_equal(x, X)
