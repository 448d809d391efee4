"""Trained on the same data from the same weights, minicnn and Keras go the same way."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import layers, optimizers
from minicnn.models import Model, Sequential
from tests.oracles import keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation", "ignore:Sparse CSR")


def pictures(n=50, classes=3):
    generator = np.random.default_rng(0)
    return generator.standard_normal((n, 8, 8, 1)).astype(np.float32), generator.integers(0, classes, n)


def network(library):
    return library.Sequential(
        [
            library.layers.Input((8, 8, 1)),
            library.layers.Conv2D(4, 3, activation="relu"),
            library.layers.MaxPooling2D(2),
            library.layers.Flatten(),
            library.layers.Dense(3, activation="softmax", kernel_regularizer="l2"),
        ]
    )


class Ours:
    layers = layers
    Sequential = Sequential


def twins(make=network):
    theirs, ours = make(keras()), make(Ours)
    ours.set_weights([np.array(w) for w in theirs.get_weights()])
    return ours, theirs


def train_both(make, optimizer, loss, x, y, metrics=(), compile_options=None, **options):
    ours, theirs = twins(make)
    theirs.compile(getattr(keras().optimizers, optimizer[0])(**optimizer[1]), loss, metrics=list(metrics))
    ours.compile(getattr(optimizers, optimizer[0])(**optimizer[1]), loss, list(metrics), **(compile_options or {}))
    common = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0, **options}
    return ours.fit(x, y, **common).history, theirs.fit(x, y, **common).history, ours, theirs


def assert_same(ours, theirs, tolerance=1e-4):
    assert sorted(ours) == sorted(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    "optimizer",
    [("SGD", {"learning_rate": 0.1, "momentum": 0.9}), ("Adam", {"learning_rate": 0.01})],
    ids=["sgd", "adam"],
)
def test_losses_metrics_and_validation(optimizer):
    x, y = pictures()
    ours, theirs, a, b = train_both(
        network, optimizer, "sparse_categorical_crossentropy", x, y, ["accuracy"], validation_split=0.23
    )
    assert_same(ours, theirs)
    for w, v in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-4)
    np.testing.assert_allclose(a.predict(x), b.predict(x, verbose=0), atol=1e-4)
    np.testing.assert_allclose(a.evaluate(x, y, verbose=0), b.evaluate(x, y, verbose=0), atol=1e-4)


def test_one_hot_targets_and_clipped_probabilities():
    x, y = pictures()
    ours, theirs, _, _ = train_both(
        network, ("SGD", {"learning_rate": 0.1}), "categorical_crossentropy", x, np.eye(3, dtype=np.float32)[y],
        ["accuracy"], {"clip_probabilities": True},
    )  # fmt: skip
    assert_same(ours, theirs)


def test_sample_weights_and_class_weights():
    x, y = pictures()
    weights = np.random.default_rng(1).random(len(x)).astype(np.float32)
    for options in ({"sample_weight": weights}, {"class_weight": {0: 2.0, 2: 0.25}}):
        ours, theirs, _, _ = train_both(
            network, ("SGD", {"learning_rate": 0.1}), "sparse_categorical_crossentropy", x, y, ["accuracy"], **options
        )
        assert_same(ours, theirs)


def test_sigmoid_of_one_unit():
    def make(library):
        return library.Sequential(
            [library.layers.Input((8, 8, 1)), library.layers.Flatten(), library.layers.Dense(1, activation="sigmoid")]
        )

    x, y = pictures(classes=2)
    ours, theirs, _, _ = train_both(make, ("SGD", {"learning_rate": 0.1}), "binary_crossentropy", x, y, ["accuracy"])
    assert_same(ours, theirs)


def test_batch_normalisation_and_regression():
    def make(library):
        return library.Sequential(
            [
                library.layers.Input((8, 8, 1)),
                library.layers.Conv2D(2, 3),
                library.layers.BatchNormalization(),
                library.layers.Flatten(),
                library.layers.Dense(2),
            ]
        )

    x, _ = pictures()
    y = np.random.default_rng(2).standard_normal((len(x), 2)).astype(np.float32)
    ours, theirs, _, _ = train_both(make, ("SGD", {"learning_rate": 0.01}), "mse", x, y, ["mae"], validation_split=0.2)
    assert_same(ours, theirs)


def test_several_outputs():
    def make(library):
        model = Model if library is Ours else library.Model
        x = library.layers.Input((8, 8, 1))
        flat = library.layers.Flatten()(x)
        first = library.layers.Dense(3, activation="softmax", name="first")(flat)
        return model(x, [first, library.layers.Dense(1, name="second")(flat)])

    x, y = pictures()
    targets = [y, np.random.default_rng(2).standard_normal((len(x), 1)).astype(np.float32)]
    ours, theirs = twins(make)
    losses = ["sparse_categorical_crossentropy", "mse"]
    arguments = {"metrics": [["accuracy"], ["mae"]], "loss_weights": [1.0, 0.3]}
    theirs.compile(keras().optimizers.SGD(0.01), losses, **arguments)
    ours.compile(optimizers.SGD(0.01), losses, **arguments)
    common = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    assert_same(ours.fit(x, targets, **common).history, theirs.fit(x, targets, **common).history)
    by_name = {"second": targets[1], "first": targets[0]}
    np.testing.assert_allclose(ours.evaluate(x, by_name, verbose=0), ours.evaluate(x, targets, verbose=0))
