"""Cats and dogs drawn on the fly."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Sequential, layers
from minicnn.data.sets.drawn_pets import load_data

SIZE = (32, 40)


@pytest.fixture(scope="module")
def drawn():
    return load_data(600, 200, SIZE, seed=3)


def test_coloured_pictures_of_two_classes(drawn):
    (x_train, y_train), (x_test, y_test) = drawn
    assert x_train.shape == (600, *SIZE, 3) and x_test.shape == (200, *SIZE, 3)
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert (y_train.reshape(-1, 2).sum(axis=1) == 1).all()
    assert 0.3 < y_train[::2].mean() < 0.7
    assert (np.ptp(x_train.reshape(600, -1, 3), axis=2).max(axis=1) > 30).all()


def test_same_seed_same_bits(drawn):
    again = load_data(600, 200, SIZE, seed=3)
    for pair, other in zip(drawn, again, strict=True):
        for a, b in zip(pair, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other = load_data(20, 0, SIZE, seed=4)
    assert (other[0][0] != drawn[0][0][:20]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_asking_for_more_adds_at_the_end(drawn, count):
    (x, y), (x_test, _) = load_data(count, 3, SIZE, seed=3)
    np.testing.assert_array_equal(x, drawn[0][0][:count])
    np.testing.assert_array_equal(y, drawn[0][1][:count])
    np.testing.assert_array_equal(x_test, drawn[1][0][:3])


def test_no_picture_comes_twice(drawn):
    everything = np.concatenate([drawn[0][0], drawn[1][0]]).reshape(800, -1)
    assert len(np.unique(everything, axis=0)) == 800


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (150, 150)])
def test_any_size(size):
    assert load_data(2, 0, size)[0][0].shape == (2, *size, 3)


def test_colour_tells_nothing(drawn):
    """A linear classifier on the means and spreads of the three colours is hardly better than chance."""

    def features(x):
        flat = x.reshape(len(x), -1, 3).astype(float) / 255
        return np.concatenate([flat.mean(axis=1), flat.std(axis=1), np.ones((len(x), 1))], axis=1)

    (x_train, y_train), (x_test, y_test) = drawn
    weights = np.linalg.lstsq(features(x_train), 2.0 * y_train - 1, rcond=None)[0]
    assert np.mean((features(x_test) @ weights > 0) == y_test) < 0.62


@pytest.mark.network
def test_a_small_network_learns_them(drawn):
    (x_train, y_train), (x_test, y_test) = drawn
    model = Sequential(
        [
            layers.Conv2D(16, 5, activation="relu", input_shape=(*SIZE, 3)),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x_train / np.float32(255), y_train, batch_size=16, epochs=8, verbose=0)
    assert model.evaluate(x_test / np.float32(255), y_test, verbose=0)[1] > 0.85


@pytest.mark.parametrize("name", ["n_train", "n_test", "seed"])
def test_negative_numbers(name):
    with pytest.raises(ValueError, match=f"expected {name} >= 0, got -1"):
        load_data(**{name: -1})


@pytest.mark.parametrize("size", [(7, 30), (30,), (30, 30, 3)])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match=r"expected size \(height, width\) of at least 8 pixels each"):
        load_data(1, 1, size)
