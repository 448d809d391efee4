"""Fused dense layers: each implementation must say what its definition says, product, bias and activation in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import naive
from minicnn.kernels.composition import ACTIVATIONS
from minicnn.kernels.dispatch import NAMES, load
from tests.kernels.test_parity import assert_close, doubled, dtypes, scattered, seeds


def check(name: str, sizes: tuple[int, int, int], activation: str, dtype: str, seed: int, how: int = 0) -> None:
    """Value and gradients, all at once and each one alone, with and without a bias."""
    (M, K, N), generator, kernels = sizes, np.random.default_rng(seed), load(name)
    x, w, b, gy = (
        scattered(generator.standard_normal(shape).astype(dtype), how) for shape in ((M, K), (K, N), (N,), (M, N))
    )
    options: dict[str, Any] = {"activation": activation, "alpha": 0.3}
    for bias in (b, None):
        expected = naive.dense_block(*doubled(x, w, bias), **options)
        y = kernels.dense_block(x, w, bias, **options)
        assert (y.dtype, y.shape) == (np.dtype(dtype), (M, N))
        assert_close(y, expected, dtype, "y")
    y = expected.astype(dtype)
    needs = ("needs_x", "needs_w", "needs_b")
    gradients = naive.dense_block_gradients(*doubled(gy, y, x, w), **dict.fromkeys(needs, True), **options)
    for wanted in (needs, *((need,) for need in needs)):
        out = np.full((K, N), np.nan, dtype)
        results = kernels.dense_block_gradients(
            gy, y, x, w, **{need: need in wanted for need in needs}, **options, out=out
        )
        for need, result, gradient in zip(needs, results, gradients, strict=True):
            if need not in wanted:
                assert result is None
            else:
                assert_close(result, gradient, dtype, need)
        assert (results[1] is out) == ("needs_w" in wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dense_block_is_what_its_definition_says(name: str, activation: str, dtype: str) -> None:
    for sizes in ((1, 5, 7), (3, 6, 2), (7, 9, 19), (0, 3, 2), (4, 0, 3)):
        check(name, sizes, activation, dtype, 1)


@given(
    sizes=st.tuples(*[st.integers(0, 9)] * 3), activation=st.sampled_from(list(ACTIVATIONS)), dtype=dtypes, seed=seeds,
    how=st.integers(0, 3),
)  # fmt: skip
@pytest.mark.parametrize("name", [name for name in NAMES if name != "naive"])
def test_dense_blocks_of_generated_shapes(
    name: str, sizes: tuple[int, int, int], activation: str, dtype: str, seed: int, how: int
) -> None:
    check(name, sizes, activation, dtype, seed, how)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes", [(5, 300, 33), (60, 700, 130), (31, 1601, 70), (300, 260, 17), (257, 1030, 256), (2, 1000, 700)]
)
def test_large_products_are_cut_without_a_seam(sizes: tuple[int, int, int], dtype: str) -> None:
    """More rows, columns and values of k than one tile, slice or chunk holds; measured against float64."""
    (M, K, N), generator = sizes, np.random.default_rng(2)
    a, b, bias = (generator.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (N,)))
    b /= np.sqrt(K).astype(dtype)
    A, B, BIAS = doubled(a, b, bias)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            y = load("cpu").dense_block(left, right, bias, activation="tanh", alpha=1.0)
            assert_close(y, np.tanh(A @ B + BIAS), dtype, "y")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_softmax_cross_entropy(name: str, dtype: str) -> None:
    generator = np.random.default_rng(4)
    for N, K in ((5, 3), (1, 1), (0, 4), (130, 10)):
        p, targets = (generator.random((N, K)).astype(dtype) for _ in range(2))
        gy = generator.standard_normal(N).astype(dtype)
        P, T, GY = doubled(p, targets, gy)
        expected = GY[:, None] * (P * T.sum(axis=1, keepdims=True) - T)
        for how in range(3):
            result = load(name).softmax_cross_entropy_gradient(
                gy, scattered(p, how), scattered(targets, how)
            )
            assert_close(result, expected, dtype, "by the logits")
