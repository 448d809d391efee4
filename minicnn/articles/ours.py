"""Recipes of our own, one for each data set: how far a small network gets in an hour on two processor cores.

All are built of the same piece: a convolution without a bias, batch normalisation (Ioffe, Szegedy, 2015), ReLU; and
trained by Adam, whose rate falls along half a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    InputLayer,
    Layer,
    MaxPooling2D,
    ReLU,
)
from minicnn.models import Sequential

from . import besbes, digits, fashion
from .annealing import annealed
from .article import Article, Recipe


def normalized(filters: int, kernel_size: int = 3, strides: int = 1) -> Iterator[Layer]:
    """A convolution, its outputs normalised over the batch, and ReLU; normalisation has the bias in it."""
    yield Conv2D(filters, kernel_size, strides, padding="same", use_bias=False)
    yield BatchNormalization(momentum=0.9)
    yield ReLU()


def small_pictures(name: str) -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10)."""
    return Sequential(
        [
            InputLayer(shape=(28, 28, 1)),
            *normalized(32, kernel_size=5),
            MaxPooling2D(2),
            *normalized(64),
            *normalized(64),
            MaxPooling2D(2),
            *normalized(128),
            *normalized(128),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ],
        name=name,
    )


def pets() -> Sequential:
    """Pictures (N, 128, 128, 3) to the probability of a dog (N, 1)."""
    return Sequential(
        [
            InputLayer(shape=(128, 128, 3)),
            *normalized(32, kernel_size=5, strides=2),
            MaxPooling2D(2),
            *normalized(48),
            *normalized(48),
            MaxPooling2D(2),
            *normalized(96),
            *normalized(96),
            MaxPooling2D(2),
            *normalized(192),
            *normalized(192),
            GlobalAveragePooling2D(),
            Dropout(0.3),
            Dense(1, activation="sigmoid"),
        ],
        name="ours-pets",
    )


def recipe(samples: int, batch_size: int, epochs: int, rate: float, loss: str, **further: Any) -> Recipe:
    """How many pictures an epoch has decides how the rate goes."""
    return Recipe(
        optimizer=partial(annealed, rate, math.ceil(samples / batch_size) * epochs),
        batch_size=batch_size,
        epochs=epochs,
        loss=loss,
        note="The learning rate's course is made for all of these epochs: fewer end before it has fallen.",
        **further,
    )


MNIST = Article(
    name="ours-mnist",
    title="MNIST: five normalised convolutions on digits turned, shifted and zoomed",
    source="ours",
    dataset="mnist",
    classes=digits.CLASSES,
    build=partial(small_pictures, "ours-mnist"),
    parameters=290_474,
    recipes={
        "ours": recipe(
            60_000, 128, 12, 2e-3, "sparse_categorical_crossentropy",
            augmentation=MappingProxyType(
                {"rotation_range": 10, "width_shift_range": 0.1, "height_shift_range": 0.1, "zoom_range": 0.1}
            ),
        )
    },
)  # fmt: skip

FASHION = Article(
    name="ours-fashion",
    title="Fashion-MNIST: the same network on clothes shifted and mirrored",
    source="ours",
    dataset="fashion-mnist",
    classes=fashion.CLASSES,
    build=partial(small_pictures, "ours-fashion"),
    parameters=290_474,
    recipes={
        "ours": recipe(
            60_000, 128, 20, 2e-3, "sparse_categorical_crossentropy",
            augmentation=MappingProxyType(
                {"width_shift_range": 2, "height_shift_range": 2, "zoom_range": 0.05, "horizontal_flip": True}
            ),
        )
    },
)  # fmt: skip

PETS = Article(
    name="ours-pets",
    title="cats and dogs: seven normalised convolutions on pictures turned, shifted, zoomed and mirrored",
    source="ours",
    dataset="dogs-vs-cats",
    classes=besbes.CLASSES,
    positive_class="dog",
    build=pets,
    parameters=662_049,
    recipes={
        "ours": recipe(
            20_000, 64, 24, 2e-3, "binary_crossentropy",
            training_samples=20_000,
            validation_samples=5_000,
            augmentation=MappingProxyType(
                {
                    "rotation_range": 10,
                    "width_shift_range": 0.1,
                    "height_shift_range": 0.1,
                    "zoom_range": 0.15,
                    "horizontal_flip": True,
                }
            ),
        )
    },
)  # fmt: skip

ARTICLES = (MNIST, FASHION, PETS)
