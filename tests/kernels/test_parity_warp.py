"""Affine warps of every implementation against SciPy's `affine_transform`, where the loops stand too."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import minicnn
from minicnn import kernels
from tests.kernels.implementations import NAMES, load

FILL_MODES = ("constant", "nearest", "reflect", "wrap")
Array = np.ndarray


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def implementation(name: str) -> ModuleType:
    return load(name)


def scipy_warp(pictures: Array, matrices: Array, offsets: Array, *, order: int, fill_mode: str, cval: float) -> Array:
    expected = np.empty_like(pictures, order="C")
    for n, c in np.ndindex(len(pictures), pictures.shape[3]):
        ndimage.affine_transform(
            pictures[n, :, :, c], matrices[n], offsets[n], output=expected[n, :, :, c], order=order, mode=fill_mode,
            cval=cval,
        )  # fmt: skip
    return expected


def check(implementation: ModuleType, pictures: Array, matrices: Array, offsets: Array, **how: Any) -> None:
    before = pictures.copy()
    y = implementation.affine_warp(pictures, matrices, offsets, **how)
    assert (y.dtype, y.shape) == (pictures.dtype, pictures.shape)
    np.testing.assert_allclose(y, scipy_warp(pictures, matrices, offsets, **how), rtol=0, atol=1e-6, err_msg=str(how))
    np.testing.assert_array_equal(pictures, before, err_msg="the pictures were changed")


# Halves and whole numbers meet every tie and every edge exactly, which random numbers never do; their neighbours lie
# so close that another order of the sums would read other cells.
def halves(most: int) -> st.SearchStrategy[float]:
    exact = st.integers(-2 * most, 2 * most).map(lambda number: number / 2)
    return exact | exact.map(lambda x: math.nextafter(x, 99)) | exact.map(lambda x: math.nextafter(x, -99))


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    matrix=st.lists(halves(3) | st.floats(-2, 2), min_size=4, max_size=4),
    offset=st.lists(halves(20) | st.floats(-25, 25), min_size=2, max_size=2),
    order=st.sampled_from([0, 1]),
    fill_mode=st.sampled_from(FILL_MODES),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("name", NAMES)
def test_warps_are_scipys(name, shape, matrix, offset, order, fill_mode, dtype, seed):
    generator = np.random.default_rng(seed)
    pictures = generator.uniform(-1, 1, shape).astype(dtype)
    matrices = np.array(matrix).reshape(1, 2, 2) * np.ones((shape[0], 1, 1))
    offsets = np.array(offset) + np.arange(shape[0])[:, None]
    check(load(name), pictures, matrices, offsets, order=order, fill_mode=fill_mode, cval=-3.25)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_every_picture_has_its_own_matrix(implementation, order, fill_mode):
    generator = np.random.default_rng(1)
    pictures = generator.uniform(0, 1, (5, 6, 9, 3)).astype(np.float32)
    matrices = np.eye(2) + generator.normal(0, 0.3, (5, 2, 2))
    check(implementation, pictures, matrices, generator.normal(0, 4, (5, 2)), order=order, fill_mode=fill_mode, cval=0)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_coordinates_far_outside_are_brought_in(implementation, fill_mode):
    """Also those beyond any index: nothing is read from outside the picture."""
    pictures = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    for far in (1e3, -1e9, 1e25):
        offsets = np.array([[far, -far]])
        y = implementation.affine_warp(pictures, np.eye(2)[None], offsets, order=1, fill_mode=fill_mode, cval=5.0)
        assert y.min() >= 0
        assert y.max() <= 11
    if fill_mode == "constant":
        assert (y == 5).all()


@pytest.mark.parametrize("layout", ["transposed", "every second", "backwards", "read-only"])
def test_pictures_of_any_layout(implementation, layout):
    pictures = np.random.default_rng(2).uniform(0, 1, (4, 6, 6, 2)).astype(np.float32)
    view = {
        "transposed": pictures.transpose(0, 2, 1, 3),
        "every second": pictures[::2, :, ::2],
        "backwards": pictures[::-1, ::-1],
        "read-only": pictures.copy(),
    }[layout]
    view.setflags(write=layout != "read-only")
    matrices = np.broadcast_to(np.array([[0.9, -0.2], [0.1, 1.1]]), (len(view), 2, 2))
    check(implementation, view, matrices, np.full((len(view), 2), 0.3), order=1, fill_mode="reflect", cval=0.0)


def test_nan_reaches_only_the_cells_that_read_it(implementation):
    pictures = np.ones((1, 3, 3, 1), np.float32)
    pictures[0, 1, 1] = math.nan
    y = implementation.affine_warp(
        pictures, np.eye(2)[None], np.array([[1.0, 1.0]]), order=0, fill_mode="nearest", cval=0.0
    )
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isnan(y).sum() == 1


def test_the_number_of_threads_changes_nothing():
    generator = np.random.default_rng(3)
    pictures = generator.uniform(0, 1, (9, 80, 70, 3)).astype(np.float32)
    matrices, offsets = np.eye(2) + generator.normal(0, 0.2, (9, 2, 2)), generator.normal(0, 9, (9, 2))
    before = kernels.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            minicnn.set_num_threads(threads)
            results.append(
                kernels.affine_warp(pictures, matrices, offsets, order=1, fill_mode="reflect", cval=0.0).tobytes()
            )
    finally:
        minicnn.set_num_threads(before)
    assert results[0] == results[1] == results[2]
