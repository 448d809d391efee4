"""Resizing by sampling against PyTorch's and Keras', and against the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data.pictures.resizing import METHODS, resized
from tests.oracles import torch

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


@settings(max_examples=60)
@given(size=SIDES, wanted=SIDES, seed=st.integers(0, 99))
@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_two_methods_are_pytorchs(method, size, wanted, seed):
    x = noise(size, seed)
    tensor = torch().tensor(x.astype(np.float32)).permute(2, 0, 1)[None]
    theirs = {"bilinear": {"mode": "bilinear", "align_corners": False}, "nearest": {"mode": "nearest-exact"}}[method]
    expected = torch().nn.functional.interpolate(tensor, wanted, **theirs)[0].permute(1, 2, 0).numpy()
    y = resized(x, wanted, method)
    assert (y.shape, y.dtype) == ((*wanted, 3), np.float32)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-2)


@settings(max_examples=60)
@given(size=SIDES, wanted=SIDES)
@pytest.mark.parametrize("method", METHODS)
def test_flat_pictures_stay_flat(method, size, wanted):
    np.testing.assert_allclose(resized(np.full((*size, 1), 77, np.uint8), wanted, method), 77, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_size_changes_nothing_but_by_smoothing_kernels(method):
    x = noise((7, 9))
    if method in ("gaussian", "mitchellcubic"):
        assert np.abs(resized(x, (7, 9), method) - x).max() > 1
    else:
        np.testing.assert_allclose(resized(x, (7, 9), method), x, atol=1e-3)


def test_area_averages():
    x = noise((8, 12))
    expected = x.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resized(x, (4, 4), "area"), expected, rtol=1e-5)
    halves = resized(np.array([[[0], [100], [200]]], np.uint8), (1, 2), "area")
    np.testing.assert_allclose(halves.ravel(), [100 / 3, 500 / 3], rtol=1e-5)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("nearest", "area")])
def test_straight_lines_stay_straight_where_nothing_is_cut_off(method):
    x = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None] * 8, (30, 5, 1))
    middle = resized(x, (60, 5), method)[16:-16, 2, 0]
    expected = ((np.arange(60) + 0.5) / 2 - 0.5)[16:-16] * 8
    np.testing.assert_allclose(middle, expected, atol=0.5)
