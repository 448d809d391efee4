"""The walk back: where gradients arrive, how often, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn.functional as F
from minicnn.autograd import Function, Tensor, grad


def leaf(*values: float, dtype: str = "float64") -> Tensor:
    return Tensor(np.array(values, dtype=dtype), requires_grad=True)


def test_gradients_accumulate_until_they_are_taken_away() -> None:
    x = leaf(1, 2)
    F.sum(x * x).backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])
    F.sum(3 * x).backward()
    np.testing.assert_array_equal(x.grad.data, [5, 7])
    x.grad = None
    F.sum(x).backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1])


def test_the_gradient_is_a_tensor_of_its_own() -> None:
    """Changing one gradient in place, as clipping does, must not reach another one, nor what backward was given."""
    a, b, weights = leaf(1, 2), leaf(3, 4), np.array([1.0, 10.0])
    (a + b).backward(weights)
    a.grad.data *= 0.5
    np.testing.assert_array_equal(b.grad.data, [1, 10])
    np.testing.assert_array_equal(weights, [1, 10])
    a.grad = None
    F.sum(a).backward()
    a.grad.data *= 2
    np.testing.assert_array_equal(a.grad.data, [2, 2])


def test_a_gradient_that_was_handed_out_does_not_change_when_more_arrives() -> None:
    x = leaf(1, 2)
    F.sum(x).backward()
    first = x.grad
    F.sum(x).backward()
    np.testing.assert_array_equal(first.data, [1, 1])
    np.testing.assert_array_equal(x.grad.data, [2, 2])


def test_diamonds_and_a_tensor_used_many_times() -> None:
    x = leaf(3)
    a, b = x * 2, x * x
    (a * b + a + x * x * x).backward()  # 2x^3 + 2x + x^3
    np.testing.assert_array_equal(x.grad.data, [9 * 9 + 2])


def test_every_node_is_visited_once_whatever_the_number_of_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty diamonds in a row have 2**30 paths."""
    from minicnn.functional.arithmetic import Add

    visits: list[Function] = []
    backward = Add.backward
    monkeypatch.setattr(Add, "backward", lambda self, gy: visits.append(self) or backward(self, gy))
    y = x = leaf(1)
    for _ in range(30):
        y = y + y
    y.backward()
    assert x.grad.item() == 2**30
    assert len(visits) == 30


class SplitInTwo(Function):
    """A function with two outputs: 2x and x*x."""

    def forward(self, x):
        self.save_inputs(0)
        return 2 * x, x * x

    def backward(self, g_double, g_square):
        (x,) = self.saved_inputs
        terms = [None if g_double is None else g_double * 2, None if g_square is None else g_square * x * 2]
        terms = [term for term in terms if term is not None]
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def test_functions_with_several_outputs() -> None:
    x = leaf(3)
    double, square = SplitInTwo()(x)
    (double * square).backward()
    assert x.grad.item() == 2 * 9 + 6 * 6
    x.grad = None
    SplitInTwo()(x)[1].backward()
    assert x.grad.item() == 6
    double, square = SplitInTwo()(x)
    (g,) = grad([double, square], x, [Tensor(np.ones(1)), Tensor(np.full(1, 10.0))])
    assert g.item() == 2 + 60


def test_backward_from_a_leaf_and_through_a_view_of_it() -> None:
    x = leaf(5)
    x.backward()
    assert x.grad.item() == 1
    x.grad = None
    x.reshape(1, 1).T[0].backward()
    assert x.grad.item() == 1


def test_weights_of_the_outputs() -> None:
    x = leaf(1, 2)
    y = x * x
    y.backward([1, 10], retain_graph=True)
    np.testing.assert_array_equal(x.grad.data, [2, 40])
    y.backward(Tensor(np.float32([1, 1])))
    np.testing.assert_array_equal(x.grad.data, [4, 44])
    assert x.grad.dtype == "float64"


# --- going through twice ---------------------------------------------------------------------------------------------


def test_a_second_backward_says_what_to_do() -> None:
    x = leaf(2)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="Multiply saved was freed by an earlier backward; pass retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        grad(y, x)


def test_retain_graph_allows_a_second_backward_and_frees_at_the_last() -> None:
    x = leaf(2)
    y = x * x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 24
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_grad_frees_the_graph_unless_told_otherwise() -> None:
    x = leaf(2)
    y = x * x
    assert grad(y, x, retain_graph=True)[0].item() == 4
    assert grad(y, x)[0].item() == 4
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        grad(y, x)


# --- higher orders ---------------------------------------------------------------------------------------------------


def test_third_derivative() -> None:
    x = leaf(2)
    y = x * x * x * x
    (first,) = grad(y, x, create_graph=True)
    (second,) = grad(first, x, create_graph=True)
    (third,) = grad(second, x)
    assert (first.item(), second.item(), third.item()) == (32, 48, 48)
    assert not third.requires_grad


@pytest.mark.parametrize("exponent", [1, 2, 3, 1.0, 2.0])
def test_powers_have_all_derivatives_at_zero(exponent: float) -> None:
    """The derivative of a constant is 0, not 0 * 0**-1."""
    x = leaf(0, 1)
    y = x**exponent
    for order in range(4):
        expected = np.prod([exponent - i for i in range(order)]) * np.float64([exponent == order, 1])
        np.testing.assert_allclose(y.data, expected)
        if not y.requires_grad:
            break
        (y,) = grad(y, x, np.ones(2), create_graph=True)


def test_backward_with_create_graph_leaves_gradients_that_can_be_derived() -> None:
    x = leaf(3)
    (x * x * x).backward(create_graph=True)
    assert x.grad.item() == 27
    (second,) = grad(x.grad, x)
    assert second.item() == 18


def test_a_gradient_penalty_as_it_is_trained_with() -> None:
    """d/dw of |d/dx sum(tanh(x w))|**2, against PyTorch."""
    from tests.oracles import torch as load

    torch, generator = load(), np.random.default_rng(0)
    x, w = generator.standard_normal((3, 4)), generator.standard_normal((4, 2))
    ours = [Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)]
    (gx,) = grad(F.sum(F.tanh(ours[0] @ ours[1])), ours[0], create_graph=True)
    F.sum(gx * gx).backward()
    theirs = [torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)]
    (tx,) = torch.autograd.grad(torch.tanh(theirs[0] @ theirs[1]).sum(), theirs[0], create_graph=True)
    (tx * tx).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-10)


# --- grad ------------------------------------------------------------------------------------------------------------


def test_grad_by_results_on_the_way_and_by_the_output_itself() -> None:
    x = leaf(3)
    h = x * x
    y = h * h
    by_h, by_x, by_y = grad(y, [h, x, y])
    assert (by_h.item(), by_x.item(), by_y.item()) == (18, 108, 1)
    assert x.grad is None


def test_grad_by_one_output_of_several() -> None:
    x = leaf(3)
    double, square = SplitInTwo()(x)
    by_double, by_square = grad(double * double * square, [double, square])
    assert (by_double.item(), by_square.item()) == (2 * 6 * 9, 36)


def test_inputs_that_do_not_matter_get_zeros() -> None:
    x, unused = leaf(1, 2), Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    gx, gu = grad(F.sum(x), [x, unused])
    np.testing.assert_array_equal(gx.data, [1, 1])
    np.testing.assert_array_equal(gu.data, np.zeros((2, 3)))
    assert gu.dtype == "float32"


def test_several_outputs_add_up_and_may_share_nodes() -> None:
    x = leaf(2)
    h = x * x
    (g,) = grad([h, h * 3, h], x, [np.ones(1), [1.0], np.ones(1)])
    assert g.item() == 5 * 4


def test_an_output_that_is_also_on_the_way_to_another() -> None:
    x = leaf(2)
    h = x * x
    y = h * h
    (g,) = grad([y, h], x)
    assert g.item() == 4 * 8 + 4


def test_only_the_nodes_on_the_way_are_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    from minicnn.functional.arithmetic import Exp

    def never(self: Exp, gy: Tensor) -> Tensor:
        raise AssertionError("exp is on no way to x")

    monkeypatch.setattr(Exp, "backward", never)
    x, other = leaf(2), leaf(3)
    (g,) = grad(x * x + F.exp(other), x)
    assert g.item() == 4


def test_one_gradient_for_one_output_need_not_be_a_list() -> None:
    x = leaf(1, 2)
    (g,) = grad(x * x, x, np.array([1.0, 10.0]))
    np.testing.assert_array_equal(g.data, [2, 40])


@pytest.mark.parametrize("gradients", [[], [np.ones(1), np.ones(1)]], ids=len)
def test_as_many_gradients_as_outputs(gradients: list[np.ndarray]) -> None:
    x = leaf(1)
    with pytest.raises(ValueError, match=r"grad: expected one gradient for each of 1 outputs, got"):
        grad(x * x, x, gradients)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_backward_needs_a_graph() -> None:
    with pytest.raises(RuntimeError, match=r"none of its inputs has requires_grad=True"):
        F.sum(Tensor(np.ones(2))).backward()
    with pytest.raises(RuntimeError, match=r"grad: outputs\[0\] does not require a gradient"):
        grad(Tensor(1.0), leaf(1))
    with pytest.raises(RuntimeError, match=r"grad: inputs\[1\] does not require a gradient"):
        x = leaf(1)
        grad(x * x, [x, Tensor(1.0)])


def test_backward_of_several_elements_needs_weights_of_their_shape() -> None:
    y = leaf(1, 2) * 2
    with pytest.raises(ValueError, match=r"shape \(2,\) has no single derivative; pass gradient="):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient must have the output's shape \(2,\), got \(3,\)"):
        y.backward(np.ones(3))


@pytest.mark.parametrize("data", [np.arange(3), np.array([True]), [1, 2], 3], ids=str)
def test_whole_numbers_and_booleans_have_no_gradient(data: object) -> None:
    with pytest.raises(TypeError, match=r"requires_grad needs floating-point data, got dtype .*astype\('float32'\)"):
        Tensor(data, requires_grad=True)


def test_backward_that_returns_too_few_gradients() -> None:
    class Broken(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, gy):
            return gy

    with pytest.raises(RuntimeError, match=r"Broken.backward returned 1 gradients for 2 inputs"):
        Broken()(leaf(1), leaf(2)).backward()


def test_functions_say_what_they_lack() -> None:
    class OneWay(Function):
        def forward(self, x):
            return x + 1

    with pytest.raises(NotImplementedError, match="OneWay has no backward: it cannot be differentiated"):
        OneWay()(leaf(1)).backward()
    with pytest.raises(NotImplementedError, match="Function has no forward"):
        Function()(leaf(1))


def test_a_function_is_called_once() -> None:
    """What a second call saves would take the place of what the first one's gradient is made of."""
    square = F.arithmetic.Multiply()
    x, y = leaf(3), leaf(5)
    square(x.numpy(), x.numpy())
    first = square(x, x)
    for again in (y, y.numpy()):
        with pytest.raises(RuntimeError, match=r"Multiply is a node of a graph already; make a new one for each call"):
            square(again, again)
    first.backward()
    assert x.grad is not None and x.grad.item() == 6
    with pytest.raises(RuntimeError, match="Multiply is a node"):
        square(y, y)


# --- depth and memory ------------------------------------------------------------------------------------------------


def test_a_chain_of_20000_operations_needs_no_recursion() -> None:
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 20_001
    del y  # freed node by node: this must not recurse either
