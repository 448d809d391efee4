"""Experiments on what the articles say in passing, on the real data: each returns its figures by name.

Each takes at most minutes on one core. Networks are those of the articles, or smaller ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import minicnn
from minicnn import articles, datasets, layers, plots
from minicnn.articles import claims, strika
from minicnn.articles.variations import vary
from minicnn.cli.table import Predictions, quality, write_csv
from minicnn.data.pictures.survey import survey
from minicnn.data.sets import dogs_vs_cats
from minicnn.layers import reset_names
from minicnn.models import Sequential
from minicnn.optimizers import Adam
from minicnn.utils import to_categorical

Array = np.ndarray
Figures = dict[str, float]
Data = tuple[tuple[Array, Array], tuple[Array, Array]]
SEEDS = (0, 1, 2)


def digits(train: int, shape: tuple[int, ...] = (28, 28, 1)) -> Data:
    """MNIST's first pictures and its whole test set, pixels of 0 to 1."""
    (x, y), (x_test, y_test) = datasets.mnist.load_data()
    return (_scaled(x[:train], shape), y[:train]), (_scaled(x_test, shape), y_test)


def _scaled(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(-1, *shape).astype(np.float32) / np.float32(255)


def pets(train: int, measured: int, size: tuple[int, int]) -> Data:
    """As many cats as dogs, pixels of 0 to 1; 1 is a dog."""
    (x, y), (x_test, y_test) = datasets.dogs_vs_cats.load_data(n_train=train, n_test=measured, size=size)
    return (_scaled(x, (*size, 3)), y), (_scaled(x_test, (*size, 3)), y_test)


def trained(make: Callable[[], Sequential], data: Data, seed: int = 0, epochs: int = 1, rate: float = 1e-3) -> Figures:
    """What a network reaches: "accuracy" and "loss" on what it was not trained on."""
    minicnn.set_seed(seed)
    reset_names()
    model, (x, y) = make(), data[0]
    binary = model.output_shape[-1] == 1
    loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
    model.compile(Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model.evaluate(*data[1], verbose=0, return_dict=True)


def median_accuracy(make: Callable[[], Sequential], data: Data, **how: Any) -> float:
    """The median over three seeds."""
    return statistics.median(trained(make, data, seed, **how)["accuracy"] for seed in SEEDS)


def dense(shape: tuple[int, ...], units: int = 128, classes: int = 10) -> Sequential:
    """A plain network: one hidden layer."""
    last = layers.Dense(1, activation="sigmoid") if classes == 2 else layers.Dense(classes, activation="softmax")
    return Sequential([layers.Flatten(input_shape=shape), layers.Dense(units, activation="relu"), last])


def convolutional(shape: tuple[int, ...], classes: int = 10, activation: str | None = "relu") -> Sequential:
    """Two convolutions of 3x3, each pooled, and a hidden layer."""
    last = layers.Dense(1, activation="sigmoid") if classes == 2 else layers.Dense(classes, activation="softmax")
    return Sequential(
        [
            layers.Conv2D(16, 3, activation=activation, input_shape=shape), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation=activation), layers.MaxPooling2D(), layers.Flatten(),
            layers.Dense(64, activation=activation), last,
        ]
    )  # fmt: skip


def trees() -> Figures:
    data = pets(4096, 1024, (32, 32))
    (x, y), (x_test, y_test) = data
    return {
        "boosted trees": claims.boosted_trees(x, y, x_test, y_test),
        "dense network": median_accuracy(lambda: dense((32, 32, 3), 512, 2), data, epochs=10, rate=1e-4),
        "convolutional network": median_accuracy(lambda: convolutional((32, 32, 3), 2), data, epochs=10),
    }


def wider_dense(seeds: Sequence[int] = SEEDS, epochs: int = 6, data: Data | None = None) -> Figures:
    """The four networks between strika-conv128 and strika-final, on pictures of half their side."""
    size = (62, 47)
    known = data or pets(4096, 1024, size)
    found = {}
    for filters in (64, 128):
        for units in (256, 512):
            build = partial(strika.convolutional, "wider-dense", (filters, 128), units, (*size, 3))
            found[f"first convolution {filters}, dense {units}"] = statistics.median(
                trained(build, known, seed, epochs=epochs, rate=1e-4)["accuracy"] for seed in seeds
            )
    return found


def neighbours() -> Figures:
    distances = (1, 2, 4, 8, 16)
    (x, _), _ = datasets.dogs_vs_cats.load_data(n_train=400, n_test=2, size=(125, 94))
    (handwritten, _), _ = datasets.mnist.load_data()
    found = {}
    for name, pictures in (("cats and dogs", x), ("digits", handwritten[:2000])):
        for distance, r in zip(distances, claims.neighbour_correlation(pictures, distances), strict=True):
            found[f"r, {name}, {distance} apart"] = float(r)
    return found


def shuffled() -> Figures:
    (x, y), (x_test, y_test) = digits(10_000)
    torn = (claims.shuffled_pixels(x), y), (claims.shuffled_pixels(x_test), y_test)
    found = {}
    for name, make in (("dense", dense), ("convolutional", convolutional)):
        for where, data in (("in place", ((x, y), (x_test, y_test))), ("shuffled", torn)):
            found[f"{name}, {where}"] = median_accuracy(lambda make=make: make((28, 28, 1)), data, epochs=2)
    return found


def strides() -> Figures:
    data = digits(20_000, (1, 28, 28))
    pooled = articles.get("eastmount").build
    return {
        "pooling": median_accuracy(pooled, data, rate=1e-4),
        "strides": median_accuracy(lambda: claims.strided(pooled()), data, rate=1e-4),
    }


def plain() -> Figures:
    data = digits(60_000)
    return {
        "softmax regression": trained(articles.get("fashion-softmax").build, data, epochs=3)["accuracy"],
        "dense 128": trained(lambda: dense((28, 28, 1)), data, epochs=3)["accuracy"],
        "lenet5": trained(articles.get("lenet5").build, data, epochs=3)["accuracy"],
    }


def one_matrix() -> Figures:
    (x, y), (x_test, y_test) = digits(20_000)
    found = {}
    for name, activation in (("without activations", None), ("with ReLU", "relu")):
        minicnn.set_seed(0)
        model = Sequential(
            [
                layers.Conv2D(8, 3, activation=activation, input_shape=(28, 28, 1)), layers.Flatten(),
                layers.Dense(64, activation=activation), layers.Dense(10),
            ]
        )  # fmt: skip
        loss = minicnn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(Adam(1e-3), loss, metrics=["accuracy"])
        model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        A, b = claims.as_one_matrix(model, (28, 28, 1))
        outputs = model.predict(x_test)
        found[f"accuracy, {name}"] = model.evaluate(x_test, y_test, verbose=0)[1]
        gap = np.abs(x_test.reshape(-1, 784) @ A + b - outputs).max() / np.abs(outputs).max()
        found[f"one matrix, {name}, is off by, of the largest output"] = float(gap)
    return found


def gradients() -> Figures:
    (x, y), _ = digits(256)
    found = {}
    for activation in ("sigmoid", "relu"):
        minicnn.set_seed(0)
        model = Sequential([layers.Flatten(input_shape=(28, 28, 1))])
        for _ in range(8):
            model.add(layers.Dense(64, activation=activation))
        model.add(layers.Dense(10, activation="softmax"))
        norms = list(plots.gradient_norm_by_layer(model, x, y, loss="sparse_categorical_crossentropy").values())
        found[f"gradient of the first of nine layers over the last's, {activation}"] = norms[0] / norms[-1]
    return found


def shifts() -> Figures:
    (x, _), _ = pets(256, 2, (64, 64))
    found = {}
    for poolings in (0, 1, 3):
        minicnn.set_seed(0)
        model = Sequential([layers.Conv2D(8, 3, padding="same", activation="relu", input_shape=(64, 64, 3))])
        for _ in range(poolings):
            model.add(layers.MaxPooling2D())
        for shift, change in zip((1, 2, 4, 8), claims.shift_response(model, x, (1, 2, 4, 8)), strict=True):
            found[f"{poolings} poolings, moved by {shift}"] = float(change)
    return found


def parts() -> Figures:
    model = articles.get("besbes").build()
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    sides = [plots.receptive_field(model, layer).size[0] for layer in convolutions]
    return {f"pixels a side that convolution {n} sees": side for n, side in enumerate(sides, 1)}


def scales() -> Figures:
    (x, y), (x_test, y_test) = digits(12_000)
    minicnn.set_seed(0)
    model = articles.get("khuyen").build()
    model.compile(Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, to_categorical(y, 10), batch_size=128, epochs=1, verbose=0)
    found = {}
    for name, factor in (("0 to 1", 1), ("0 to 255", 255)):
        loss, accuracy = model.evaluate(x_test * np.float32(factor), to_categorical(y_test, 10), verbose=0)
        found |= {f"loss, pixels of {name}": loss, f"accuracy, pixels of {name}": accuracy}
    return found


def grid() -> Figures:
    (x, y), (x_test, y_test) = datasets.fashion_mnist.load_data()
    data = (_scaled(x[:20_000], (28, 28, 1)), y[:20_000]), (_scaled(x_test, (28, 28, 1)), y_test)

    def accuracy(name: str, **changes: Any) -> float:
        return median_accuracy(lambda: vary(articles.get(name).build(), changes), data, epochs=4)

    found = {
        f"{filters} filters of {side}x{side}": accuracy("fashion-conv1x3", kernel_size=side, filters=filters)
        for side in (1, 3, 5)
        for filters in (5, 10)
    }
    two = "fashion-10-20-pool"
    for name in ("fashion-10-pool", two, "fashion-10-20-30-pool", "fashion-10-pool-20-pool"):
        found[name] = accuracy(name)
    found[f"{two}, valid padding"] = accuracy(two, padding="valid")
    found[f"{two}, tanh"] = accuracy(two, activation="tanh")
    return found


def sizes() -> Figures:
    found = survey(dogs_vs_cats.pictures(), workers=1)
    (height, width), count = found.sizes.most_common(1)[0]
    return {
        "pictures": found.pictures, "sizes": len(found.sizes), f"of {height} x {width}": count, **found.shapes,
        **{f"mode {mode}": number for mode, number in found.modes.items()}, "broken": len(found.broken),
    }  # fmt: skip


def leaderboard() -> Figures:
    data = pets(4096, 1024, (32, 32))
    minicnn.set_seed(0)
    model = convolutional((32, 32, 3), 2)
    model.compile(Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    model.fit(*data[0], batch_size=64, epochs=8, verbose=0)
    model.class_names = ["cat", "dog"]
    probabilities = model.predict(data[1][0])[:, 0].astype(np.float64)
    names = [f"{('cat', 'dog')[label]}.{number}.jpg" for number, label in enumerate(data[1][1])]
    found = Predictions(names, np.stack([1 - probabilities, probabilities], 1), [])
    with TemporaryDirectory() as folder:
        write_csv(model, found, Path(folder) / "out.csv")
        rows = (Path(folder) / "out.csv").read_text(encoding="utf-8").splitlines()
    (line,) = quality(model, found)
    return {"rows": len(rows) - 1, "log loss": float(line.split()[2].rstrip(","))}
