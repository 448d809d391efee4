"""Batch normalisation of every implementation against the loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.kernels import current_kernels, naive
from minicnn.kernels.moving_average import move_average
from tests.kernels.implementations import NAMES, load

Array = np.ndarray

# Around the widths and heights at which the cpu kernels cut blocks: 64 columns side by side, 64 rows to a block.
shapes = st.tuples(st.sampled_from([1, 2, 5, 63, 64, 65, 129, 300]), st.sampled_from([1, 3, 10, 33, 64, 70]))


def drawn(shape: tuple[int, int], dtype: str, seed: int, offset: float) -> tuple[Array, ...]:
    """Gy, x with columns far from zero, gamma and beta."""
    generator = np.random.default_rng(seed)
    M, C = shape
    x = generator.standard_normal((M, C)) + offset
    rest = generator.standard_normal((M, C)), x, generator.standard_normal(C), generator.standard_normal(C)
    return tuple(array.astype(dtype) for array in rest)


def close(actual: Array, expected: Array, dtype: str, what: str) -> None:
    assert (actual.dtype, actual.shape) == (np.dtype(dtype), expected.shape), what
    largest = max(np.abs(expected).max(), 1.0)
    tolerance = {"float32": 3e-5, "float64": 1e-11}[dtype]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest, err_msg=what)


@pytest.mark.parametrize("name", NAMES)
@given(shape=shapes, dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 99))
def test_all_three_are_the_loops(name: str, shape: tuple[int, int], dtype: str, seed: int) -> None:
    implementation = load(name)
    arrays = drawn(shape, dtype, seed, offset=5.0)
    gy, x, gamma, beta = arrays
    doubles = [array.astype("float64") for array in arrays]
    mean, variance = naive.batch_moments(doubles[1])
    moments = implementation.batch_moments(x)
    close(moments[0], mean, dtype, "mean")
    close(moments[1], variance, dtype, "variance")
    mean, variance = mean.astype(dtype), variance.astype(dtype)
    y = implementation.batch_norm(x, gamma, beta, mean, variance, epsilon=0.01)
    close(y, naive.batch_norm(doubles[1], doubles[2], doubles[3], mean, variance, epsilon=0.01), dtype, "y")
    actual = implementation.batch_norm_gradients(gy, x, gamma, mean, variance, epsilon=0.01)
    expected = naive.batch_norm_gradients(*doubles[:3], mean, variance, epsilon=0.01)
    for one, other, what in zip(actual, expected, ("gx", "ggamma", "gbeta"), strict=True):
        close(one, other, dtype, what)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_no_columns(name: str, shape: tuple[int, int]) -> None:
    kernels, (M, C) = load(name), shape
    x, ones = np.zeros(shape, np.float32), np.ones(C, np.float32)
    if M:
        assert [moment.shape for moment in kernels.batch_moments(x)] == [(C,), (C,)]
    y = kernels.batch_norm(x, ones, ones, ones, ones, epsilon=0.01)
    assert (y.dtype, y.shape) == (np.float32, shape)
    with np.errstate(invalid="ignore"):  # NumPy's mean of nothing
        gx, *rest = kernels.batch_norm_gradients(x, x, ones, ones, ones, epsilon=0.01)
    assert (gx.dtype, gx.shape) == (np.float32, shape)
    for gradient in rest:
        np.testing.assert_array_equal(gradient, np.zeros(C, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_the_variance_of_a_column_far_from_zero_does_not_cancel(name: str) -> None:
    """mean(x*x) - mean*mean of these float32 numbers is off by more than the variance itself."""
    x = (np.random.default_rng(0).standard_normal((400, 2)) + 10_000).astype("float32")
    _, variance = load(name).batch_moments(x)
    np.testing.assert_allclose(variance, x.astype("float64").var(axis=0), rtol=1e-3)


def test_the_same_bits_for_any_number_of_threads() -> None:
    cpu = load("cpu")
    gy, x, gamma, beta = drawn((20_000, 33), "float32", 0, offset=1.0)
    results = []
    before = minicnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            minicnn.set_num_threads(threads)
            mean, variance = cpu.batch_moments(x)
            y = cpu.batch_norm(x, gamma, beta, mean, variance, epsilon=0.01)
            results.append((mean, variance, y, *cpu.batch_norm_gradients(gy, x, gamma, mean, variance, epsilon=0.01)))
    finally:
        minicnn.set_num_threads(before)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_averages_move_in_place(name: str, dtype: str) -> None:
    average, latest = np.array([1.0, -2.0, 0.5], dtype), np.array([3.0, 4.0, 0.5], dtype)
    memory = average
    before = current_kernels()
    minicnn.use_kernels(name)
    try:
        move_average(average, latest, 0.9)
        move_average(average[::2], latest[:2], 0.5)  # of strided memory, too
    finally:
        minicnn.use_kernels(before)
    expected = np.array([(0.9 + 0.3 + 3) / 2, -1.8 + 0.4, (0.5 + 4) / 2])
    assert memory is average and average.dtype == dtype
    np.testing.assert_allclose(average, expected, rtol=1e-6 if dtype == "float32" else 1e-14)
