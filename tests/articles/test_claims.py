"""The experiments measure what they say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from minicnn import articles, layers
from minicnn.articles import claims
from minicnn.models import Sequential


def test_correlation_of_neighbours_by_brute_force():
    generator = np.random.default_rng(0)
    pictures = generator.normal(size=(40, 6, 5))
    pictures[:, 1:] += pictures[:, :-1]
    pictures[:, 0, 0] = 7
    expected = []
    for distance in (0, 1, 2):
        found = []
        for i in range(6):
            for j in range(5):
                for k, m in ((i + distance, j), (i, j + distance)):
                    if k < 6 and m < 5 and pictures[:, i, j].std() and pictures[:, k, m].std():
                        found.append(np.corrcoef(pictures[:, i, j], pictures[:, k, m])[0, 1])
        expected.append(np.mean(found))
    np.testing.assert_allclose(claims.neighbour_correlation(pictures, (0, 1, 2)), expected, atol=1e-12)


def test_noise_has_no_neighbours_and_smooth_pictures_have():
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(200, 12, 12, 2))
    assert np.abs(claims.neighbour_correlation(noise, (1, 5))).max() < 0.02
    smooth = noise[:, 2:] + noise[:, 1:-1] + noise[:, :-2]
    near, far = claims.neighbour_correlation(smooth, (1, 5))
    assert near > 0.3 > 0.05 > abs(far)


def test_correlation_refuses_what_is_too_far():
    with pytest.raises(ValueError, match=r"no pixels of \(4, 5\) are 4 apart"):
        claims.neighbour_correlation(np.zeros((2, 4, 5)), (1, 4))
    with pytest.raises(ValueError, match=r"expected pictures \(N, H, W\)"):
        claims.neighbour_correlation(np.zeros((4, 5)), (1,))


def test_pixels_move_alike_in_all_pictures():
    pictures = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    moved = claims.shuffled_pixels(pictures, seed=3)
    assert moved.shape == pictures.shape and not np.array_equal(moved, pictures)
    np.testing.assert_array_equal(moved[1] - moved[0], pictures[1] - pictures[0])
    np.testing.assert_array_equal(moved[..., 1] - moved[..., 0], 1)
    np.testing.assert_array_equal(np.sort(moved[0].ravel()), pictures[0].ravel())
    np.testing.assert_array_equal(moved, claims.shuffled_pixels(pictures, seed=3))


@pytest.mark.parametrize("name", ["eastmount", "khuyen"])
def test_strides_take_the_place_of_pooling(name):
    model = articles.get(name).build()
    other = claims.strided(model)
    kinds = [type(layer).__name__ for layer in other.layers]
    assert "MaxPooling2D" not in kinds
    assert [layer.strides for layer in other.layers if type(layer).__name__ == "Conv2D"].count((2, 2)) == 2
    assert other.count_params() == model.count_params()
    assert other.output_shape == model.output_shape
    assert [layer.strides for layer in model.layers if type(layer).__name__ == "Conv2D"].count((2, 2)) == 0


def test_without_pooling_there_is_nothing_to_replace():
    with pytest.raises(ValueError, match=r"strided: fashion-conv1x3 has no pooling that follows a convolution"):
        claims.strided(articles.get("fashion-conv1x3").build())


def chain(activation: str | None) -> Sequential:
    return Sequential(
        [
            layers.Conv2D(3, 3, activation=activation, input_shape=(6, 5, 2)),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation=activation, bias_initializer="ones"),
            layers.Dense(2, bias_initializer="ones"),
        ]
    )


def test_a_network_without_activations_is_one_matrix():
    x = np.random.default_rng(2).normal(size=(7, 6, 5, 2)).astype("float32")
    for activation, linear in ((None, True), ("relu", False)):
        model = chain(activation)
        A, b = claims.as_one_matrix(model, (6, 5, 2))
        assert (A.shape, b.shape) == ((60, 2), (2,))
        assert np.allclose(x.reshape(7, 60) @ A + b, model.predict(x), atol=1e-4) is linear


def test_pooled_outputs_change_less_with_a_shift():
    pictures = np.zeros((8, 16, 16, 1), "float32")
    for number in range(8):
        pictures[number, 2 * number : 2 * number + 2, 4:6] = 1
    plain = Sequential([layers.Flatten(input_shape=(16, 16, 1))])
    pooled = Sequential([layers.MaxPooling2D(4, input_shape=(16, 16, 1)), layers.Flatten()])
    unpooled, response = (claims.shift_response(model, pictures, (0, 1, 2, 4)) for model in (plain, pooled))
    assert unpooled[0] == response[0] == 0
    # Two pixels to the right the square is still in its window; four pixels on it is in the next one.
    assert response[2] == 0 < unpooled[2]
    assert response[3] > 0
    with pytest.raises(ValueError, match=r"pictures of width 16 cannot move by 16"):
        claims.shift_response(plain, pictures, (16,))
    with pytest.raises(ValueError, match=r"expected at least two pictures \(N, H, W, C\)"):
        claims.shift_response(plain, pictures[:1], (1,))


def test_boosted_trees_learn_single_pixels():
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(4)
    pictures, labels = generator.normal(size=(120, 4, 3, 1)), generator.integers(0, 2, 120)
    pictures[:, 2, 1, 0] += 6 * labels
    assert claims.boosted_trees(pictures[:80], labels[:80], pictures[80:], labels[80:]) > 0.95
    # Of noise there is nothing to learn.
    assert claims.boosted_trees(pictures[:80, :2], labels[:80], pictures[80:, :2], labels[80:]) < 0.8


def test_without_scikit_learn_the_trees_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError, match=r"boosted_trees: this needs scikit-learn: python -m pip install"):
        claims.boosted_trees(np.zeros((2, 1)), [0, 1], np.zeros((2, 1)), [0, 1])
