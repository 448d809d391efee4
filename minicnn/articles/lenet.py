"""LeNet-5, which Besbes' article draws: the network of LeCun et al., 1998.

Simplified as is usual since: every filter of the second convolution sees all six maps, the pooling has no weights, and
the output is a softmax. The paper's pictures are 32x32; MNIST's 28x28 are padded by two pixels on each side first.
"""

from __future__ import annotations

import math
from functools import partial

from minicnn.layers import AveragePooling2D, Conv2D, Dense, Flatten, ZeroPadding2D
from minicnn.models import Sequential

from .annealing import annealed
from .article import Article, Recipe
from .digits import CLASSES


def build() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10)."""
    return Sequential(
        [
            ZeroPadding2D(2, input_shape=(28, 28, 1)),
            Conv2D(6, 5, activation="tanh"),
            AveragePooling2D(2),
            Conv2D(16, 5, activation="tanh"),
            AveragePooling2D(2),
            Flatten(),
            Dense(120, activation="tanh"),
            Dense(84, activation="tanh"),
            Dense(10, activation="softmax"),
        ],
        name="lenet5",
    )


ARTICLE = Article(
    name="lenet5",
    index=("E3",),
    title="MNIST: LeNet-5 with tanh and average pooling",
    source="A. Besbes, understanding convolutional networks (2017), after LeCun et al. (1998)",
    dataset="mnist",
    classes=CLASSES,
    build=build,
    parameters=61_706,
    recipes={
        "adam": Recipe(
            optimizer=partial(annealed, 2e-3, math.ceil(60_000 / 64) * 12),
            batch_size=64,
            epochs=12,
            loss="sparse_categorical_crossentropy",
            note="The article trains no LeNet-5: the recipe is ours. At a constant rate it ends near 0.984.",
        )
    },
    note="The article counts 58,920 weights, those of its three dense layers without biases.",
)
