"""What is kept, for how long, and what is noticed when it is changed."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minicnn.functional as F
from minicnn.autograd import Function, Tensor, grad, no_grad


def leaf(*values: float, dtype: str = "float64") -> Tensor:
    return Tensor(np.array(values, dtype=dtype), requires_grad=True)


# --- changes in place ------------------------------------------------------------------------------------------------


def test_changing_a_saved_input_in_place_is_caught() -> None:
    x = leaf(1, 2)
    y = F.sum(x * x)
    with no_grad():
        x[0] = 5.0
    with pytest.raises(RuntimeError, match=r"array of shape \(2,\) that Multiply saved was changed in place 1 time"):
        y.backward()


def test_changing_a_saved_output_in_place_is_caught() -> None:
    x = leaf(1, 2)
    y = F.exp(x)
    loss = F.sum(y)
    with no_grad():
        y[...] = 0.0
    with pytest.raises(RuntimeError, match="Exp saved was changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    "view",
    [lambda x: x.detach(), lambda x: x[1:], lambda x: x.reshape(2, 1), lambda x: x.T, lambda x: x.detach()[:1],
     lambda x: F.broadcast_to(x, (2, 2)).detach()[0]],
    ids=["detach", "slice", "reshape", "transpose", "slice of detached", "broadcast"],
)  # fmt: skip
def test_changes_through_a_view_are_caught(view: Callable[[Tensor], Tensor]) -> None:
    x = leaf(1, 2)
    y = F.sum(x * x)
    with no_grad():
        other = view(x)
        assert np.shares_memory(other.data, x.data)
        if other.data.flags.writeable:
            other[0] = 7.0
        else:
            other.bump_version()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changes_that_nobody_saved_are_fine() -> None:
    x = leaf(1, 2)
    y = F.sum(x + x)
    with no_grad():
        x[0] = 5.0
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [2, 2])
    z = F.sum(x * x)  # saved after the change
    x.grad = None
    z.backward()
    np.testing.assert_array_equal(x.grad.data, [10, 4])


def test_a_copy_may_be_changed() -> None:
    x = leaf(1, 2)
    y = F.sum(x * x)
    other = Tensor(x.data.copy())
    other[0] = 9.0
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_assigning_data_counts_as_a_change() -> None:
    x = leaf(1, 2)
    y = F.sum(x * x)
    x.data = np.array([5.0, 6.0])
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_assignment_to_a_taped_tensor_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"in-place assignment .* cannot be differentiated; use where\(\)"):
        leaf(1, 2)[0] = 3.0


def test_assigning_data_keeps_shape_and_type() -> None:
    x = leaf(1, 2, dtype="float32")
    x.data = np.array([3.0, 4.0])
    assert x.dtype == "float32"
    with pytest.raises(ValueError, match=r"Tensor.data: expected shape \(2,\), got \(3,\)"):
        x.data = np.zeros(3)


def test_the_users_arrays_stay_writable_and_shared() -> None:
    array = np.array([1.0, 2.0])
    x = Tensor(array, requires_grad=True)
    F.sum(F.exp(x) * x).backward()
    assert array.flags.writeable
    array[0] = 3.0
    assert x.data is array and x.numpy() is array
    assert np.shares_memory(x.detach().data, array)
    np.testing.assert_array_equal(np.asarray(x), [3, 2])


# --- what is freed, and when -----------------------------------------------------------------------------------------


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Memory must go when its last user goes, not when the collector happens to look for cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def network(x: Tensor, w: Tensor) -> tuple[Tensor, list[Any]]:
    """A small convolutional network, and weak references to everything it made on the way."""
    steps: list[Tensor] = [F.conv2d(x, w, padding="same")]
    for function in (F.relu, F.exp, F.sigmoid, lambda h: F.max_pool2d(h, 2), lambda h: h * h, F.softmax):
        steps.append(function(steps[-1]))
    loss = F.mean(F.log(steps[-1]))
    return loss, [weakref.ref(step.data) for step in steps] + [weakref.ref(step) for step in steps]


def picture_and_kernel() -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(0)
    x = Tensor(generator.standard_normal((2, 4, 4, 1)).astype(np.float32))
    return x, Tensor(generator.standard_normal((3, 3, 1, 2)).astype(np.float32), requires_grad=True)


def test_backward_frees_what_was_saved_while_the_loss_lives_on(without_collector: None) -> None:
    loss, made = network(*picture_and_kernel())
    assert any(reference() is not None for reference in made)
    loss.backward()
    assert [reference() for reference in made if reference() is not None] == []
    assert np.isfinite(loss.item())


def test_a_graph_that_is_never_walked_goes_with_its_output(without_collector: None) -> None:
    loss, made = network(*picture_and_kernel())
    del loss
    assert [reference() for reference in made if reference() is not None] == []


def test_the_graph_of_a_second_derivative_goes_with_its_output(without_collector: None) -> None:
    x, w = picture_and_kernel()
    loss, made = network(x, w)
    (first,) = grad(loss, w, create_graph=True)
    (second,) = grad(F.sum(first * first), w)
    del loss, first
    assert [reference() for reference in made if reference() is not None] == []
    assert second.shape == w.shape


def test_nothing_is_kept_under_no_grad(without_collector: None) -> None:
    with no_grad():
        loss, made = network(*picture_and_kernel())
    assert [reference() for reference in made if reference() is not None] == []


def test_a_sum_keeps_nothing_and_a_product_only_what_it_needs(without_collector: None) -> None:
    x = leaf(1, 2)
    constant = Tensor(np.array([3.0, 4.0]))
    watched = weakref.ref(constant.data)
    y = x + constant
    del constant
    assert watched() is None
    h = x * 2.0
    watched = weakref.ref(h.data)
    z = h * 3.0  # needs the 3, not h
    del h
    assert watched() is None
    assert (y + z).shape == (2,)


# --- work that is not done -------------------------------------------------------------------------------------------


def test_the_first_convolution_computes_no_gradient_for_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    from minicnn import kernels

    calls: list[str] = []
    for name in ("conv2d", "conv2d_input_gradient", "conv2d_kernel_gradient"):
        kernel = getattr(kernels, name)

        def counted(*arguments: Any, _name: str = name, _kernel: Any = kernel, **options: Any) -> Any:
            calls.append(_name)
            return _kernel(*arguments, **options)

        monkeypatch.setattr(kernels, name, counted)
    x, first = picture_and_kernel()
    second = Tensor(np.ones((2, 2, 2, 3), np.float32), requires_grad=True)
    F.sum(F.conv2d(F.conv2d(x, first), second)).backward()
    assert calls.count("conv2d") == 2
    assert calls.count("conv2d_kernel_gradient") == 2
    assert calls.count("conv2d_input_gradient") == 1


def test_backward_is_told_what_is_needed() -> None:
    told: list[tuple[bool, ...]] = []

    class Product(Function):
        def forward(self, a, b, c):
            return a * b * c

        def backward(self, gy):
            told.append(self.needs_input_gradient)
            return None, None, gy

    Product()(np.ones(1), Tensor([1.0]), leaf(1)).backward()
    assert told == [(False, False, True)]


# --- the optimiser's buffer ------------------------------------------------------------------------------------------


def test_gradients_land_in_the_buffer_that_was_set() -> None:
    flat = np.full(5, np.nan)
    a, b = leaf(1, 2), leaf(3, 4, 5)
    a.gradient_buffer, b.gradient_buffer = flat[:2], flat[2:]
    (F.sum(a * a) + F.sum(b)).backward()
    np.testing.assert_array_equal(flat, [2, 4, 1, 1, 1])
    assert np.shares_memory(a.grad.data, flat)
    F.sum(a).backward()  # adds in place
    np.testing.assert_array_equal(flat, [3, 5, 1, 1, 1])
    a.grad = b.grad = None
    F.sum(b * 2).backward()  # the first one after zero_grad replaces what lay there
    np.testing.assert_array_equal(flat, [3, 5, 2, 2, 2])


def test_several_paths_add_up_in_the_buffer() -> None:
    x = leaf(2)
    x.gradient_buffer = np.zeros(1)
    y = x * x
    (y + x + y * 3).backward()
    np.testing.assert_array_equal(x.gradient_buffer, [4 + 1 + 12])


def test_a_gradient_that_the_user_put_there_is_added_to_not_overwritten() -> None:
    x = leaf(2)
    x.gradient_buffer = np.zeros(1)
    x.grad = Tensor(np.array([10.0]))
    (x * 3).backward()
    assert x.grad.item() == 13


def test_create_graph_leaves_the_buffer_alone() -> None:
    x = leaf(3)
    x.gradient_buffer = np.full(1, -1.0)
    (x * x).backward(create_graph=True)
    assert x.gradient_buffer.item() == -1
    assert grad(x.grad, x)[0].item() == 2


def test_the_buffer_takes_gradients_of_another_type() -> None:
    x = leaf(1, 2, dtype="float32")
    x.gradient_buffer = np.zeros(2, np.float32)
    F.sum(F.cast(x, "float64") * np.array([1.0, 2.0])).backward()
    np.testing.assert_array_equal(x.gradient_buffer, [1, 2])
    assert x.grad.dtype == "float32"


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deep", "pickle"])
def test_leaves_can_be_copied(duplicate: Callable[[Tensor], Tensor]) -> None:
    x = leaf(1, 2, dtype="float32")
    clone = duplicate(x)
    clone.data[0] = 9
    np.testing.assert_array_equal(x.data, [1, 2])
    assert clone.requires_grad and clone.dtype == "float32" and clone.is_leaf
    shared = duplicate([x, x])
    assert shared[0] is shared[1]


def test_results_cannot_be_copied_deeply() -> None:
    with pytest.raises(RuntimeError, match=r"only leaves can be copied deeply; detach\(\)"):
        copy.deepcopy(leaf(1) * 2)
