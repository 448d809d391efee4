"""Digits drawn on the fly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import ImageFont

from minicnn.data.sets import drawn_digits
from minicnn.data.sets.drawn_digits import load_data


@pytest.fixture(scope="module")
def drawn():
    return load_data(2500, 500, seed=3)


def test_the_format_of_mnist(drawn):
    (x_train, y_train), (x_test, y_test) = drawn
    assert x_train.shape == (2500, 28, 28) and x_test.shape == (500, 28, 28)
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert np.bincount(y_train).tolist() == [250] * 10
    assert np.bincount(y_test[:20]).tolist() == [2] * 10
    # White ink, in the middle, on black paper.
    assert np.median(x_train[:, :3]) < 20
    assert x_train[:, 8:20, 8:20].mean() > 4 * x_train[:, :3].mean()
    assert (x_train.max(axis=(1, 2)) > 120).all()


def test_same_seed_same_bits(drawn):
    again = load_data(2500, 500, seed=3)
    for pair, other in zip(drawn, again, strict=True):
        for a, b in zip(pair, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other = load_data(100, 0, seed=4)
    assert (other[0][0] != drawn[0][0][:100]).any(axis=(1, 2)).all()


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001])
def test_asking_for_more_adds_at_the_end(drawn, count):
    (x, y), (x_test, _) = load_data(count, 7, seed=3)
    np.testing.assert_array_equal(x, drawn[0][0][:count])
    np.testing.assert_array_equal(y, drawn[0][1][:count])
    np.testing.assert_array_equal(x_test, drawn[1][0][:7])


def test_training_and_test_share_no_picture(drawn):
    (x_train, _), (x_test, _) = drawn
    everything = np.concatenate([x_train, x_test]).reshape(3000, -1)
    assert len(np.unique(everything, axis=0)) == 3000


def test_the_digits_can_be_told_apart_but_not_by_one_template(drawn):
    """The nearest class mean is right mostly, not always: the classes are there, and so is the variety."""
    (x_train, y_train), (x_test, y_test) = drawn
    means = np.stack([x_train[y_train == digit].mean(axis=0) for digit in range(10)])
    distance = ((x_test[:, None].astype(float) - means) ** 2).sum(axis=(2, 3))
    accuracy = (distance.argmin(axis=1) == y_test).mean()
    assert 0.6 < accuracy < 0.97


def test_quick():
    """A tenth of the default, within a tenth of 10 seconds of the processor's time."""
    start = time.process_time()
    load_data(1000, 200)
    assert time.process_time() - start < 1.0


def test_without_freetype(monkeypatch):
    """Pillow then has one small bitmap font, and refuses to give it a size."""
    bitmap = ImageFont.load_default_imagefont() if hasattr(ImageFont, "load_default_imagefont") else None
    if bitmap is None:
        pytest.skip("this Pillow cannot give its bitmap font")

    def load_default(size=None):
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return bitmap

    with_freetype = load_data(200, 0)[0]
    monkeypatch.setattr(ImageFont, "load_default", load_default)
    drawn_digits._glyphs.cache_clear()
    try:
        x, y = load_data(200, 0)[0]
    finally:
        drawn_digits._glyphs.cache_clear()
    np.testing.assert_array_equal(y, with_freetype[1])
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, with_freetype[0], strict=True)]
    assert np.mean(correlation) > 0.5


@pytest.mark.parametrize("name", ["n_train", "n_test", "seed"])
def test_negative_numbers(name):
    with pytest.raises(ValueError, match=f"expected {name} >= 0, got -1"):
        load_data(**{name: -1})
