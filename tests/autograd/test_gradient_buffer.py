"""Gradients that are written where the optimiser wants them, without a copy on the way."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import Tensor, kernels


def weight(seed: int, *shape: int) -> Tensor:
    w = Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)
    w.gradient_buffer = np.full(shape, np.nan)
    return w


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each matrix product was told where to write."""
    calls: list[bool] = []
    original = kernels.matmul

    def matmul(a, b, bias=None, out=None):
        calls.append(out is not None)
        return original(a, b, bias, out)

    monkeypatch.setattr(kernels, "matmul", matmul)
    return calls


def test_a_dense_layers_gradient_is_written_in_place(written: list[bool]) -> None:
    x, w = np.ones((3, 4)), weight(0, 4, 5)
    F.dense(x, w).sum().backward()
    assert written == [False, True]
    assert w.grad.data is w.gradient_buffer
    np.testing.assert_allclose(w.gradient_buffer, np.full((4, 5), 3.0))


def test_a_weight_that_is_used_twice_gets_the_sum() -> None:
    w = weight(1, 4, 4)
    plain = Tensor(w.data.copy(), requires_grad=True)
    x = np.random.default_rng(2).standard_normal((3, 4))
    for leaf in (w, plain):
        F.matmul(F.matmul(x, leaf), leaf).sum().backward()
    np.testing.assert_allclose(w.grad.data, plain.grad.data)
    assert w.grad.data is w.gradient_buffer


def test_a_matrix_times_itself_is_not_written_over() -> None:
    w = weight(3, 4, 4)
    plain = Tensor(w.data.copy(), requires_grad=True)
    for leaf in (w, plain):
        F.matmul(leaf, leaf).sum().backward()
    np.testing.assert_allclose(w.grad.data, plain.grad.data)


def test_grad_leaves_the_buffer_alone() -> None:
    w = weight(4, 4, 5)
    (gradient,) = minicnn.grad(F.dense(np.ones((3, 4)), w).sum(), w)
    assert np.isnan(w.gradient_buffer).all()
    assert not np.isnan(gradient.data).any()


def test_gradients_of_gradients_leave_the_buffer_alone() -> None:
    w = weight(5, 4, 5)
    F.dense(np.ones((3, 4)), w).sum().backward(create_graph=True)
    assert np.isnan(w.gradient_buffer).all()
    assert not np.isnan(w.grad.data).any()


def test_a_second_backward_adds() -> None:
    w = weight(6, 4, 5)
    for _ in range(2):
        F.dense(np.ones((3, 4)), w).sum().backward()
    np.testing.assert_allclose(w.gradient_buffer, np.full((4, 5), 6.0))
