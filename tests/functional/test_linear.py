"""Matrix products and dense layers against PyTorch and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn.functional as F
from minicnn.autograd import Tensor
from tests.functional.agreement import compare, dtypes, seeds
from tests.oracles import torch as load_torch

size = st.integers(0, 5)


@st.composite
def operands(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes that matmul takes: matrices, vectors, and stacks whose leading axes broadcast."""
    M, K, N = draw(size), draw(st.integers(1, 5)), draw(size)
    lead = draw(st.lists(st.integers(1, 3), max_size=3))
    left, right = (tuple(1 if draw(st.booleans()) else n for n in lead[draw(st.integers(0, 3)):]) for _ in range(2))
    a = (K,) if draw(st.integers(0, 4)) == 0 else (*left, M, K)
    b = (K,) if draw(st.integers(0, 4)) == 0 else (*right, K, N)
    return a, b


@given(shapes=operands(), dtype=dtypes, seed=seeds)
def test_matmul_against_pytorch(shapes: Any, dtype: str, seed: int) -> None:
    compare(F.matmul, load_torch().matmul, list(shapes), dtype, seed)


@given(
    lead=st.lists(st.integers(0, 3), max_size=3), sizes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    with_bias=st.booleans(), dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_dense_against_pytorch(lead: list[int], sizes: Any, with_bias: bool, dtype: str, seed: int) -> None:
    shapes = [(*lead, sizes[0]), sizes, (sizes[1],)]
    oracle = lambda x, w, b=None: load_torch().nn.functional.linear(x, w.T, b)  # noqa: E731
    compare(F.dense, oracle, shapes if with_bias else shapes[:2], dtype, seed)


def test_no_terms_sum_to_zero() -> None:
    np.testing.assert_array_equal(F.matmul(np.zeros((2, 0)), np.zeros((0, 3))), np.zeros((2, 3)))
    np.testing.assert_array_equal(F.dense(np.zeros((2, 0)), np.zeros((0, 3)), np.ones(3)), np.ones((2, 3)))


def test_stacks_of_no_matrices() -> None:
    b = Tensor(np.zeros((3, 4)), requires_grad=True)
    y = F.matmul(np.zeros((2, 0, 2, 3)), b)
    assert y.shape == (2, 0, 2, 4)
    F.sum(y).backward()
    np.testing.assert_array_equal(b.grad.data, np.zeros((3, 4)))


def test_whole_numbers_become_floats() -> None:
    assert F.matmul([[1, 2]], [[3], [4]]).dtype == "float32"
    assert F.dense(np.array([[1, 2]]), np.float32([[1], [0.5]])).tolist() == [[2]]


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 3)), ((3,), (2,)), ((), (2,)), ((2, 2), ()), ((2, 3), (4, 2, 3))])
def test_inner_sizes_must_agree(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"matmul: a of shape .* and b of shape .* do not share their inner size"):
        F.matmul(np.zeros(a), np.zeros(b))


def test_leading_sizes_must_broadcast() -> None:
    with pytest.raises(ValueError, match=r"matmul: .*\(2, 3, 4\).*\(5, 4, 2\)"):
        F.matmul(np.zeros((2, 3, 4)), np.zeros((5, 4, 2)))
