"""Taping on and off, per thread; and the tensor's own small manners."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.autograd import Tensor, as_array, enable_grad, is_grad_enabled, no_grad


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, dtype=float), requires_grad=True)


def test_no_grad_as_a_block() -> None:
    x = leaf(1, 2)
    with no_grad():
        assert not is_grad_enabled()
        y = x * x
    assert is_grad_enabled()
    assert not y.requires_grad and y.is_leaf


def test_no_grad_as_a_decorator_also_recursive() -> None:
    @no_grad()
    def depth(x: Tensor, n: int) -> Tensor:
        assert not is_grad_enabled()
        return depth(x * 2, n - 1) if n else x

    assert not depth(leaf(1), 3).requires_grad
    assert is_grad_enabled()
    assert depth(leaf(1), 2).item() == 4


def test_enable_grad_inside_no_grad_and_back() -> None:
    x = leaf(1)
    with no_grad():
        with enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad


def test_the_mode_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_one_block_object_may_be_entered_twice() -> None:
    block = no_grad()
    with block, block:
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_the_mode_belongs_to_its_thread() -> None:
    seen: list[bool] = []
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with no_grad():
            inside.set()
            done.wait(5)
            seen.append(is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(5)
    assert is_grad_enabled() and (leaf(1) * 2).requires_grad
    done.set()
    thread.join()
    assert seen == [False]


def test_threads_walk_back_through_their_own_graphs() -> None:
    results: dict[int, float] = {}

    def work(k: int) -> None:
        x = leaf(k)
        for _ in range(50):
            x.grad = None
            F.sum(F.exp(x * 0) * x * x).backward()
        results[k] = x.grad.item()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: 2.0 * k for k in range(8)}


# --- tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [(1.5, "float32"), ([1.0, 2.0], "float32"), ([[1.0], [2.0]], "float32"), (np.zeros(2), "float64"),
     (np.zeros(2, "float32"), "float32"), (np.float64(2), "float64"), (np.float32(2), "float32"), ([1, 2], "int64"),
     (True, "bool"), (Tensor(np.zeros(1)), "float64")],
    ids=repr,
)  # fmt: skip
def test_lists_of_floats_become_float32_and_arrays_keep_their_type(data: object, dtype: str) -> None:
    assert Tensor(data).dtype == dtype


def test_nonsense_is_refused() -> None:
    with pytest.raises(TypeError, match="expected an array of numbers, got object"):
        Tensor(object())
    with pytest.raises(TypeError, match="expected an array of numbers, got str: 'abc'"):
        Tensor("abc")
    with pytest.raises(TypeError, match="expected an array of numbers, got list"):
        F.add(["a", None], 1.0)


def test_numpy_hands_over_to_the_tensor() -> None:
    array, x = np.float32([1, 2]), Tensor(np.float32([3, 4]), requires_grad=True)
    for y in (array + x, array - x, array * x, array / x, array**x, array.reshape(1, 2) @ x, np.float64(2) * x):
        assert isinstance(y, Tensor) and y.requires_grad
        assert y.dtype == "float32"
    np.testing.assert_array_equal((array - x).data, [-2, -2])
    assert (array < x).tolist() == [True, True]
    assert type(x == array) is np.ndarray


def test_operators_and_methods_do_what_numpy_does() -> None:
    a = np.array([[1.0, -2.0], [3.0, 4.0]])
    x = Tensor(a)
    pairs = [
        (x + 1, a + 1), (1 + x, 1 + a), (x - 1, a - 1), (1 - x, 1 - a), (x * 2, a * 2), (2 * x, 2 * a), (x / 2, a / 2),
        (2 / x, 2 / a), (x**2, a**2), (2**x, 2**a), (x @ x, a @ a), (a @ x, a @ a), (-x, -a), (abs(x), abs(a)),
        (x[0], a[0]), (x[:, 1], a[:, 1]), (x[None, ..., 0], a[None, ..., 0]), (x.abs(), abs(a)), (x.T, a.T),
        (x.clip(0, 2), a.clip(0, 2)), (x.exp(), np.exp(a)), (x.flatten(), a), (x.abs().log(), np.log(abs(a))),
        (x.matmul(x), a @ a), (x.max(), a.max()), (x.mean(0), a.mean(0)), (x.min(1, True), a.min(1, keepdims=True)),
        (x.reshape(4), a.reshape(4)), (x.reshape((1, -1)), a.reshape(1, -1)), (x.abs().sqrt(), np.sqrt(abs(a))),
        (x.square(), a * a), (x.sum(axis=1), a.sum(axis=1)), (x.transpose(), a.T), (x.transpose((1, 0)), a.T),
    ]  # fmt: skip
    for ours, expected in pairs:
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.data, expected, rtol=1e-14)
    for ours, expected in [(x < 1, a < 1), (x <= 1, a <= 1), (x > 1, a > 1), (x >= x, a >= a), (x == 1, a == 1),
                           (x != 1, a != 1)]:  # fmt: skip
        assert ours.dtype == bool
        np.testing.assert_array_equal(ours, expected)


def test_a_tensor_as_a_number() -> None:
    x = Tensor([[2.5]])
    assert (float(x), int(x), x.item(), bool(x), len(x)) == (2.5, 2, 2.5, True, 1)
    assert x.shape == (1, 1) and x.ndim == 2 and x.size == 1
    with pytest.raises(ValueError, match=r"item: expected a tensor with one element, got shape \(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="without axes"):
        len(Tensor(1.0))


def test_a_tensor_shows_its_values() -> None:
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(leaf(1)) == "Tensor([1.], requires_grad=True)"
    assert "..." in repr(Tensor(np.zeros(1000)))


def test_tensors_can_be_keys() -> None:
    x, y = Tensor([1.0]), Tensor([1.0])
    assert len({x, y}) == 2


def test_tensors_as_indices() -> None:
    x, rows = leaf(1, 2, 3), Tensor(np.array([2, 2]))
    y = x[rows]
    y.backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad.data, [0, 0, 11])
    with no_grad():
        x[rows] = 0.0
    assert x.data.tolist() == [1, 2, 0]


def test_as_array_copies_nothing() -> None:
    array = np.zeros(3)
    assert as_array(array) is array
    assert as_array(Tensor(array)) is array


def test_the_packages_face_offers_all_this() -> None:
    for name in ("Tensor", "Function", "grad", "no_grad", "gradcheck", "set_seed"):
        assert getattr(minicnn, name)
