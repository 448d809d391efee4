"""Pooling against PyTorch, and the rules for padding, ties and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicnn.functional as F
from minicnn.autograd import Tensor, grad
from tests.functional.agreement import compare, dtypes, seeds
from tests.oracles import torch as load_torch


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    size, window = (draw(st.tuples(*[st.integers(1, top)] * 2)) for top in (9, 4))
    strides = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 4)] * 2)))
    padding = draw(
        st.one_of(
            st.sampled_from(["valid", "same"]),
            st.tuples(*(st.tuples(*[st.integers(0, w - 1)] * 2) for w in window)),
        )
    )
    case = {"shape": (draw(st.integers(0, 3)), *size, draw(st.integers(1, 3))), "window": window, "strides": strides,
            "padding": padding}  # fmt: skip
    for s, w, sides in zip(size, window, explicit(case), strict=True):
        assume(s + sum(sides) >= w)
    return case


def explicit(case: dict[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(case["padding"], tuple):
        return case["padding"]
    if case["padding"] == "valid":
        return (0, 0), (0, 0)
    both = []
    for size, w, s in zip(case["shape"][1:3], case["window"], case["strides"] or case["window"], strict=True):
        total = max(w - (size % s or s), 0)
        both.append((total // 2, total - total // 2))
    return both[0], both[1]


def torch_pool(case: dict[str, Any], kind: str) -> Any:
    torch = load_torch()
    (top, bottom), (left, right) = explicit(case)

    def pooled(x: Any, value: float) -> Any:
        padded = torch.nn.functional.pad(x, (left, right, top, bottom), value=value)
        pool = torch.nn.functional.max_pool2d if kind == "max" else torch.nn.functional.avg_pool2d
        return pool(padded, case["window"], case["strides"])

    def oracle(x: Any) -> Any:
        x = x.permute(0, 3, 1, 2)
        if kind == "max":
            y = pooled(x, -np.inf)
        else:  # the share of the picture in each window: PyTorch itself only pads evenly
            y = pooled(x, 0.0) / pooled(torch.ones_like(x), 0.0)
        return y.permute(0, 2, 3, 1)

    return oracle


@given(case=pools(), dtype=dtypes, seed=seeds)
def test_max_pool2d_against_pytorch(case: dict[str, Any], dtype: str, seed: int) -> None:
    ours = lambda x: F.max_pool2d(x, case["window"], strides=case["strides"], padding=case["padding"])  # noqa: E731
    # Distinct numbers: which of several equal ones gets the gradient is pinned below.
    x = np.random.default_rng(seed).permutation(int(np.prod(case["shape"]))).reshape(case["shape"]) / 8 - 5
    compare(ours, torch_pool(case, "max"), [x], dtype, seed)


@given(case=pools(), dtype=dtypes, seed=seeds)
def test_avg_pool2d_against_pytorch(case: dict[str, Any], dtype: str, seed: int) -> None:
    ours = lambda x: F.avg_pool2d(x, case["window"], strides=case["strides"], padding=case["padding"])  # noqa: E731
    compare(ours, torch_pool(case, "avg"), [case["shape"]], dtype, seed)


@pytest.mark.parametrize("padding", [0, 1])
def test_avg_pool2d_is_pytorchs_without_counting_padding(padding: int) -> None:
    torch = load_torch()
    ours = lambda x: F.avg_pool2d(x, 3, strides=2, padding=padding)  # noqa: E731
    oracle = lambda x: torch.nn.functional.avg_pool2d(  # noqa: E731
        x.permute(0, 3, 1, 2), 3, 2, padding, count_include_pad=False
    ).permute(0, 2, 3, 1)
    compare(ours, oracle, [(2, 7, 6, 3)], "float64", 0)


@given(shape=st.tuples(*[st.integers(1, 5)] * 4), dtype=dtypes, seed=seeds, keepdims=st.booleans())
def test_global_pooling_against_pytorch(shape: tuple[int, ...], dtype: str, seed: int, keepdims: bool) -> None:
    compare(
        lambda x: F.global_avg_pool2d(x, keepdims), lambda x: x.mean(dim=(1, 2), keepdim=keepdims), [shape], dtype, seed
    )
    compare(
        lambda x: F.global_max_pool2d(x, keepdims), lambda x: x.amax(dim=(1, 2), keepdim=keepdims), [shape], dtype, seed
    )


# Seed 003's picture.
PICTURE = np.float32([[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]).reshape(1, 4, 4, 1)


def test_seed_003s_pooling_examples() -> None:
    np.testing.assert_array_equal(F.max_pool2d(PICTURE, 3, strides=1)[0, :, :, 0], [[3, 5], [9, 9]])
    np.testing.assert_array_equal(F.avg_pool2d(PICTURE, 2)[0, :, :, 0], [[1, 2.5], [-0.25, 3.25]])


def test_strides_are_the_window_by_default() -> None:
    assert F.max_pool2d(np.zeros((1, 9, 8, 1)), (3, 2)).shape == (1, 3, 4, 1)
    assert F.avg_pool2d(np.zeros((1, 9, 8, 1)), (3, 2), strides=1).shape == (1, 7, 7, 1)


def test_padding_never_wins_over_a_negative_picture() -> None:
    x = np.full((1, 3, 3, 1), -7.0)
    np.testing.assert_array_equal(F.max_pool2d(x, 2, strides=1, padding="same"), x)
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, strides=1, padding="same"), x)


def gradient(function: Any, x: np.ndarray) -> np.ndarray:
    tensor = Tensor(x, requires_grad=True)
    y = function(tensor)
    (g,) = grad(y, tensor, [np.ones(y.shape, x.dtype)])
    return g.data[0, :, :, 0]


def test_the_first_of_several_equal_cells_receives_the_gradient() -> None:
    """As in PyTorch and TensorFlow."""
    x = np.zeros((1, 4, 4, 1))
    expected = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(gradient(F.max_pool2d, x), expected)
    torch = load_torch()
    t = torch.zeros((1, 1, 4, 4), requires_grad=True)
    torch.nn.functional.max_pool2d(t, 2).sum().backward()
    np.testing.assert_array_equal(t.grad[0, 0].numpy(), expected)


def test_a_cell_that_wins_several_windows_receives_all_their_gradients() -> None:
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1, 0] = 1
    expected = [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
    np.testing.assert_array_equal(gradient(lambda x: F.max_pool2d(x, 2, strides=1), x), expected)


def test_nan_shows_in_every_window_that_holds_it() -> None:
    x = np.zeros((1, 3, 3, 1))
    x[0, 0, 0, 0] = np.nan
    y = F.max_pool2d(x, 2, strides=1)[0, :, :, 0]
    np.testing.assert_array_equal(np.isnan(y), [[True, False], [False, False]])


def test_pictures_of_whole_numbers_give_float32() -> None:
    x = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(F.max_pool2d(x)[0, :, :, 0], np.float32([[5, 7], [13, 15]]))
    np.testing.assert_array_equal(F.avg_pool2d(x)[0, :, :, 0], np.float32([[2.5, 4.5], [10.5, 12.5]]))
    assert F.max_pool2d(x).dtype == F.avg_pool2d(x).dtype == "float32"
