"""Each registered network trains on a small slice, reaches a stated accuracy, and keeps its bits on other threads."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import articles, datasets
from minicnn.cli.pictures import as_labels, preparation
from minicnn.layers import reset_names
from tests import real_data

# Test accuracy on 1,000 pictures after training on the first so many for so many epochs: article, recipe, data,
# pictures, epochs, accuracy. The last is what a run reached, less some 0.03; chance is 0.1.
SLICES = [
    ("eastmount", None, "drawn-digits", 2000, 2, 0.83),
    ("eastmount", None, "mnist", 2000, 2, 0.71),
    ("khuyen", "adam", "drawn-digits", 1500, 3, 0.91),
    ("khuyen", "adam", "mnist", 2000, 2, 0.83),
    ("lenet5", None, "drawn-digits", 2000, 4, 0.95),
    ("lenet5", None, "mnist", 4000, 4, 0.88),
    ("fashion-conv1x3", None, "fashion-mnist", 4000, 5, 0.78),
    ("eastmount-as-run", None, "drawn-digits", 2000, 2, 0.60),
    ("besbes-progress", None, "drawn-digits", 1500, 2, 0.80),
    ("fashion-depth-max", None, "fashion-mnist", 2000, 3, 0.60),
]
DIGITS = [name for name in articles.names() if articles.get(name).dataset in ("mnist", "fashion-mnist")]
# One network of each kind: the rows of a study differ in their numbers of filters only.
KINDS = [name for name in DIGITS if articles.get(name).index != ("B3",)]


def pictures(dataset, count):
    if dataset == "drawn-digits":
        return datasets.drawn_digits.load_data(count, 1000, seed=0)
    (x, y), (x_test, y_test) = real_data.require(dataset)
    return (x[:count], y[:count]), (x_test[:1000], y_test[:1000])


def compiled(name, recipe_name=None):
    minicnn.set_seed(0)
    reset_names()
    article = articles.get(name)
    recipe = article.recipe(recipe_name)
    model = article.build()
    model.compile(
        optimizer=recipe.optimizer(),
        loss=recipe.loss,
        metrics=list(recipe.metrics),
        clip_probabilities=recipe.clip_probabilities,
    )
    return article, recipe, model


@pytest.mark.network
@pytest.mark.parametrize(("name", "recipe_name", "dataset", "count", "epochs", "expected"), SLICES)
def test_a_small_slice_reaches(name, recipe_name, dataset, count, epochs, expected):
    (x, y), (x_test, y_test) = pictures(dataset, count)
    article, recipe, model = compiled(name, recipe_name)
    classes = len(article.classes)
    history = model.fit(
        preparation(model, recipe.scale)(x),
        as_labels(y, recipe.labels, classes),
        batch_size=recipe.batch_size,
        epochs=epochs,
        verbose=0,
    )
    assert history.history["loss"][-1] < history.history["loss"][0] or epochs == 1
    result = model.evaluate(
        preparation(model, recipe.scale)(x_test), as_labels(y_test, recipe.labels, classes), verbose=0, return_dict=True
    )
    assert result["accuracy"] >= expected


@pytest.mark.network
def test_pixels_divided_twice_give_the_articles_slow_log():
    (x, y), _ = real_data.require("fashion-mnist")
    _, recipe, model = compiled("fashion-softmax", "reported")
    history = model.fit(
        preparation(model, recipe.scale)(x), y, batch_size=recipe.batch_size, shuffle=recipe.shuffle, verbose=0
    )
    assert history.history["loss"][0] == pytest.approx(2.2214, abs=1e-3)


@pytest.mark.network
@pytest.mark.parametrize("name", KINDS)
def test_same_bits_for_one_and_two_threads(name):
    """Two epochs of 70 pictures: with every recipe's batch size the last batch is ragged."""
    (x, y), _ = datasets.drawn_digits.load_data(70, 0, seed=0)
    threads = minicnn.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            minicnn.set_num_threads(count)
            article, recipe, model = compiled(name)
            labels = as_labels(y, recipe.labels, len(article.classes))
            history = model.fit(preparation(model, recipe.scale)(x), labels, batch_size=32, epochs=2, verbose=0)
            found.append((history.history["loss"], model.get_weights()))
    finally:
        minicnn.set_num_threads(threads)
    (losses, weights), (other_losses, other_weights) = found
    assert losses == other_losses
    for array, other in zip(weights, other_weights, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("name", DIGITS)
def test_a_picture_of_the_wrong_size_is_refused(name):
    _, recipe, model = compiled(name)
    with pytest.raises(ValueError, match=r"expected pictures \(N, 28, 28, 1\), got \(2, 30, 28\)"):
        preparation(model, recipe.scale)(np.zeros((2, 30, 28), np.uint8))
