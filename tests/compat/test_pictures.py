"""OpenCV's and SciPy's functions, as the articles call them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from PIL import Image

from minicnn.compat.keras import pictures


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("size", [(3, 3), (8, 8), (2, 5)])
def test_convolve2d_is_scipys(mode, size):
    generator = np.random.default_rng(0)
    picture, kernel = generator.integers(0, 256, (12, 9)), generator.normal(size=size)
    expected = scipy.signal.convolve2d(picture, kernel, mode)
    np.testing.assert_allclose(pictures.convolve2d(picture, kernel, mode), expected, rtol=1e-12, atol=1e-10)


def test_convolve2d_refuses_what_it_does_not_do():
    with pytest.raises(ValueError, match=r"convolve2d: minicnn answers boundary='fill' with 0 only, got 'wrap'"):
        pictures.convolve2d(np.zeros((4, 4)), np.ones((2, 2)), boundary="wrap")
    with pytest.raises(ValueError, match=r"convolve2d: expected two matrices, got in1 of shape \(4, 4, 3\)"):
        pictures.convolve2d(np.zeros((4, 4, 3)), np.ones((2, 2)))


def test_a_picture_has_its_blue_first_and_grey_is_weighted(tmp_path):
    path = tmp_path / "dot.png"
    Image.fromarray(np.array([[[200, 100, 50], [1, 2, 3]]], np.uint8)).save(path)
    picture = pictures.imread(str(path))
    np.testing.assert_array_equal(picture, [[[50, 100, 200], [3, 2, 1]]])
    assert picture.dtype == np.uint8
    grey = pictures.cvtColor(picture, pictures.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(grey, [[124, 2]])
    np.testing.assert_array_equal(pictures.imread(str(path), pictures.IMREAD_GRAYSCALE), grey)
    np.testing.assert_array_equal(pictures.cvtColor(picture, pictures.COLOR_BGR2RGB), picture[..., ::-1])
    assert pictures.imread(str(tmp_path / "none.png")) is None


def test_conversions_that_are_not_there():
    with pytest.raises(ValueError, match=r"cvtColor: minicnn answers BGR or RGB to grey"):
        pictures.cvtColor(np.zeros((2, 2, 3), np.uint8), 99)
    with pytest.raises(ValueError, match=r"cvtColor: expected a picture \(H, W, 3\), got shape \(2, 2\)"):
        pictures.cvtColor(np.zeros((2, 2), np.uint8), pictures.COLOR_BGR2GRAY)
