"""Batch normalisation against PyTorch, local response normalisation against its definition, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.functional as F
from minicnn.autograd import Tensor
from tests.functional.agreement import assert_close, compare, dtypes, seeds
from tests.oracles import torch as load_torch

shapes = st.lists(st.integers(2, 4), min_size=2, max_size=4).map(tuple)


@given(shape=shapes, axis=st.integers(0, 3), dtype=dtypes, seed=seeds, scaled=st.booleans())
def test_batch_norm_against_pytorch(shape: tuple[int, ...], axis: int, dtype: str, seed: int, scaled: bool) -> None:
    """Both forms, also with the channels elsewhere; the gradient flows through the batch's own statistics."""
    torch, axis = load_torch(), axis % len(shape)
    C, generator = shape[axis], np.random.default_rng(seed)
    arrays = [3 * generator.standard_normal(shape) + 1]
    if scaled:
        arrays += [generator.standard_normal(C), generator.standard_normal(C)]
    statistics = [generator.standard_normal(C), 0.5 + generator.random(C)]

    def oracle(x: Any, g: Any = None, b: Any = None) -> Any:
        y = torch.nn.functional.batch_norm(x.movedim(axis, 1), None, None, g, b, training=True, eps=0.01)
        return y.movedim(1, axis)

    def trained(x: Any, g: Any = None, b: Any = None) -> Any:
        return F.batch_norm_training(x, g, b, epsilon=0.01, axis=axis)[0]

    def used(x: Any, *rest: Any) -> Any:
        g, b, mean, variance = rest if scaled else (None, None, *rest)
        return F.batch_norm(x, g, b, mean, variance, epsilon=0.01, axis=axis)

    compare(trained, oracle, arrays, dtype, seed)
    ours = used(*(array.astype(dtype) for array in arrays + statistics))

    def expand(values: np.ndarray) -> np.ndarray:
        return values.astype(dtype).astype("float64").reshape([-1 if a == axis else 1 for a in range(len(shape))])

    x = arrays[0].astype(dtype).astype("float64")
    expected = (x - expand(statistics[0])) / np.sqrt(expand(statistics[1]) + 0.01)
    if scaled:
        expected = expand(arrays[1]) * expected + expand(arrays[2])
    assert_close(ours, expected, dtype)


def test_the_batchs_statistics_are_its_mean_and_biased_variance() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 2, 5))
    _, mean, variance = F.batch_norm_training(x, None, None)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), rtol=1e-12)


def test_the_gradient_of_the_inference_form() -> None:
    """There the statistics are constants: a defect that DeZero had."""
    x = Tensor(np.random.default_rng(0).standard_normal((4, 2)), requires_grad=True)
    y = F.batch_norm(x, np.array([2.0, 3.0]), None, np.zeros(2), np.array([3.0, 8.0]), epsilon=1.0)
    F.sum(y).backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to([1.0, 1.0], (4, 2)))


@pytest.mark.parametrize("name", ["gamma", "beta", "mean", "variance"])
def test_one_value_for_each_channel(name: str) -> None:
    values = {"gamma": np.ones(3), "beta": np.ones(3), "mean": np.ones(3), "variance": np.ones(3), name: np.ones(2)}
    with pytest.raises(ValueError, match=rf"batch_norm: {name} must have shape \(3,\), got \(2,\)"):
        F.batch_norm(np.ones((4, 3)), **values)


# --- local response normalisation ------------------------------------------------------------------------------------


def response_normalised(x: np.ndarray, radius: int, bias: float, alpha: float, beta: float) -> np.ndarray:
    """TensorFlow's definition, in loops."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        *place, c = index
        total = 0.0
        for other in range(max(0, c - radius), min(x.shape[-1], c + radius + 1)):
            total += float(x[(*place, other)]) ** 2
        y[index] = float(x[index]) / (bias + alpha * total) ** beta
    return y


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 9)), radius=st.integers(0, 6),
    bias=st.floats(0.5, 2), alpha=st.floats(0, 2), beta=st.floats(0.1, 1), dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_local_response_normalization_against_its_definition(
    shape: tuple[int, ...], radius: int, bias: float, alpha: float, beta: float, dtype: str, seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    y = F.local_response_normalization(x, radius, bias, alpha, beta)
    assert_close(y, response_normalised(x, radius, bias, alpha, beta), dtype)


def test_local_response_normalization_against_pytorch() -> None:
    """PyTorch divides alpha by the number of channels that it sums over."""
    torch = load_torch()
    ours = lambda x: F.local_response_normalization(x, 2, 2.0, 1e-1, 0.75)  # noqa: E731
    oracle = lambda x: torch.nn.functional.local_response_norm(  # noqa: E731
        x.movedim(-1, 1), 5, alpha=5e-1, beta=0.75, k=2.0
    ).movedim(1, -1)
    compare(ours, oracle, [(2, 3, 3, 9)], "float64", 0)


def test_the_defaults_are_tensorflows() -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 1, 13))
    np.testing.assert_allclose(
        F.local_response_normalization(x), response_normalised(x, 5, 1.0, 1.0, 0.5), rtol=1e-12
    )


# --- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_scales_what_it_keeps_and_passes_the_same_gradient() -> None:
    x = Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    y = F.dropout(x, 0.25, key=7, step=3)
    assert set(np.unique(y.data)) == {0, np.float32(1 / 0.75)}
    assert abs((y.data == 0).mean() - 0.25) < 0.02
    F.sum(y).backward()
    np.testing.assert_array_equal(x.grad.data, y.data)


def test_dropout_is_the_same_for_the_same_key_and_step() -> None:
    x = np.ones(64, np.float32)
    first = F.dropout(x, 0.5, key=1, step=0)
    np.testing.assert_array_equal(F.dropout(x, 0.5, key=1, step=0), first)
    assert (F.dropout(x, 0.5, key=1, step=1) != first).any()
    assert (F.dropout(x, 0.5, key=2, step=0) != first).any()


def test_dropout_without_a_key_follows_the_global_seed() -> None:
    x = np.ones(64, np.float32)
    minicnn.set_seed(3)
    first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
    assert (first != second).any()
    minicnn.set_seed(3)
    np.testing.assert_array_equal(F.dropout(x, 0.5), first)


def test_dropout_leaves_x_alone_outside_training_and_at_rate_0() -> None:
    x = np.ones(3, np.float32)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


def test_dropout_of_whole_numbers_gives_floats() -> None:
    y = F.dropout(np.full(100, 3), 0.5, key=1)
    assert set(np.unique(y)) == {0, 6} and y.dtype == "float32"
    assert set(np.unique(F.dropout(np.full(100, 3), 0.25, key=1))) == {0, 4}


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_rates_outside_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout: rate must be at least 0 and below 1, got"):
        F.dropout(np.ones(3), rate)
