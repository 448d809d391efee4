"""Activations, the softmax family and the joined losses, against PyTorch and at the ends of the number line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn.functional as F
from minicnn.autograd import Tensor, grad
from tests.functional.agreement import assert_close, compare, dtypes, seeds
from tests.oracles import torch as load_torch

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
spreads = st.sampled_from([1.0, 30.0])


def of_torch(name: str, **options: Any) -> Callable[..., Any]:
    def oracle(*arguments: Any) -> Any:
        torch = load_torch()
        return (getattr(torch.nn.functional, name, None) or getattr(torch, name))(*arguments, **options)

    return oracle


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (F.relu, of_torch("relu")),
    "leaky_relu": (F.leaky_relu, of_torch("leaky_relu", negative_slope=0.2)),
    "leaky_relu of 0.01": (lambda x: F.leaky_relu(x, 0.01), of_torch("leaky_relu", negative_slope=0.01)),
    "elu": (F.elu, of_torch("elu")),
    "elu with alpha": (lambda x: F.elu(x, 1.7), of_torch("elu", alpha=1.7)),
    "gelu": (F.gelu, of_torch("gelu")),
    "gelu, approximate": (lambda x: F.gelu(x, approximate=True), of_torch("gelu", approximate="tanh")),
    "sigmoid": (F.sigmoid, of_torch("sigmoid")),
    "tanh": (F.tanh, of_torch("tanh")),
    "softplus": (F.softplus, of_torch("softplus", threshold=1e9)),
    "erf": (F.erf, of_torch("erf")),
}


@given(shape=shapes, dtype=dtypes, seed=seeds, spread=spreads)
@pytest.mark.parametrize("name", PAIRS)
def test_activations_against_pytorch(name: str, shape: tuple[int, ...], dtype: str, seed: int, spread: float) -> None:
    ours, oracle = PAIRS[name]
    x = np.asarray(spread * np.random.default_rng(seed).standard_normal(shape))
    compare(ours, oracle, [x], dtype, seed)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), axis=st.integers(-4, 3), dtype=dtypes,
    seed=seeds, spread=spreads,
)  # fmt: skip
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_and_its_kin_against_pytorch(
    name: str, shape: tuple[int, ...], axis: int, dtype: str, seed: int, spread: float
) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    x = spread * np.random.default_rng(seed).standard_normal(shape)
    compare(lambda x: getattr(F, name)(x, axis=axis), of_torch(name, dim=axis), [x], dtype, seed)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), dtype=dtypes, seed=seeds, spread=spreads
)
def test_cross_entropies_against_pytorch(shape: tuple[int, ...], dtype: str, seed: int, spread: float) -> None:
    generator = np.random.default_rng(seed)
    logits, targets = spread * generator.standard_normal(shape), generator.random(shape)
    torch = load_torch()
    compare(
        F.softmax_cross_entropy, lambda x, t: -(t * torch.log_softmax(x, dim=-1)).sum(dim=-1), [logits, targets], dtype,
        seed,
    )  # fmt: skip
    compare(
        F.sigmoid_cross_entropy,
        lambda x, t: torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none"),
        [logits, targets], dtype, seed,
    )  # fmt: skip


@given(shape=st.tuples(st.integers(0, 4), st.integers(1, 5)), dtype=dtypes, seed=seeds)
def test_the_probabilities_beside_the_losses_carry_gradients_too(shape: Any, dtype: str, seed: int) -> None:
    torch, targets = load_torch(), np.random.default_rng(seed).random(shape)

    def ours(x: Tensor) -> Tensor:
        losses, p = F.softmax_cross_entropy_with_probabilities(x, targets.astype(dtype))
        return F.sum(p * p, axis=1) + losses

    def oracle(x: Any) -> Any:
        t = torch.tensor(targets.astype(dtype).astype("float64"))
        return (torch.softmax(x, 1) ** 2).sum(1) - (t * torch.log_softmax(x, 1)).sum(1)

    compare(ours, oracle, [shape], dtype, seed)


def test_labels_of_whole_numbers_are_taken_for_floats() -> None:
    x = np.float32([[1, 2, 3], [0, 0, 5]])
    whole, halves = np.array([[0, 1, 0], [0, 0, 1]]), np.float32([[0, 1, 0], [0, 0, 1]])
    losses = F.softmax_cross_entropy(x, whole)
    assert losses.dtype == "float32"
    np.testing.assert_array_equal(losses, F.softmax_cross_entropy(x, halves))


ENDS = np.array([-np.inf, -1e4, -100.0, -0.0, 0.0, 100.0, 1e4, np.inf])


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [(F.sigmoid, 0, 1), (F.tanh, -1, 1), (F.softplus, 0, np.inf), (F.elu, -1, np.inf), (F.relu, 0, np.inf),
     (F.erf, -1, 1)],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_at_the_ends_neither_overflow_nor_vanish_in_nan(
    function: Callable[..., Any], low: float, high: float, dtype: str
) -> None:
    y = function(ENDS.astype(dtype))
    assert (y[0], y[-1]) == (low, high)
    assert not np.isnan(y).any()
    x = Tensor(ENDS[1:-1].astype(dtype), requires_grad=True)
    (g,) = grad(function(x), x, [np.ones(6, dtype)])
    assert np.isfinite(g.data).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_very_large_and_very_different_numbers(dtype: str) -> None:
    x = np.array([[1e4, 1e4 - 1, -1e4], [-1e4, -1e4, -1e4]], dtype=dtype)
    e = np.exp(-1.0)
    assert_close(F.softmax(x), [[1 / (1 + e), e / (1 + e), 0], [1 / 3] * 3], dtype)
    assert_close(F.log_softmax(x)[0, 2], -2e4 - np.log(1 + e), dtype)
    assert F.softmax_cross_entropy(x, np.array([[0, 0, 1], [1, 0, 0]], dtype)).tolist() == pytest.approx(
        [2e4 + np.log(1 + e), np.log(3)]
    )
    assert F.sigmoid_cross_entropy(np.array([1e4, -1e4], dtype), np.array([0, 1], dtype)).tolist() == [1e4, 1e4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_at_the_ends(dtype: str) -> None:
    """Infinite numbers against PyTorch: a row of nothing but minus infinity sums to 0, whose logarithm it is."""
    torch = load_torch()
    inf = np.inf
    x = np.array([[-inf, -inf], [inf, 1e4], [inf, -inf], [0, -inf], [-1e4, -inf], [np.nan, 0], [np.nan, inf]], dtype)
    y = F.logsumexp(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, torch.logsumexp(torch.tensor(x), 1).numpy())
    masked = Tensor(x[3:5], requires_grad=True)
    (g,) = grad(F.sum(F.logsumexp(masked)), masked)
    np.testing.assert_array_equal(g.data, [[1, 0], [1, 0]])
    assert F.logsumexp([0, 0]).dtype == "float32"


def test_slopes_at_the_kink() -> None:
    x = Tensor(np.zeros(1), requires_grad=True)
    slopes = {name: grad(function(x), x)[0].item() for name, function in
              (("relu", F.relu), ("leaky_relu", F.leaky_relu), ("elu", F.elu), ("abs", F.abs))}  # fmt: skip
    # PyTorch's leaky_relu takes the negative side at 0 (slope 0.2), Keras' the positive one (slope 1).
    assert slopes == {"relu": 0, "leaky_relu": 1, "elu": 1, "abs": 0}


def test_nan_passes_through() -> None:
    for function in (F.relu, F.leaky_relu, F.elu, F.gelu, F.sigmoid, F.tanh, F.softplus, F.erf):
        assert np.isnan(function(np.array([np.nan, 1.0]))).tolist() == [True, False]


def test_whole_numbers_become_floats() -> None:
    for function in (F.relu, F.softmax, F.log_softmax, F.erf):
        y = function([1, -2, 3])
        assert y.dtype == "float32"
        np.testing.assert_array_equal(y, function([1.0, -2.0, 3.0]))
    assert F.relu(2.5) == 2.5
