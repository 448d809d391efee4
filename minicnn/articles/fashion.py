"""The Fashion-MNIST network of FreeOfConfines: five filters of one row and three columns, and a softmax.

The filters are small, so nearly all of the 39,230 weights are the softmax layer's. Padding, ReLU and biases follow the
author's notebook; the article's code is a picture.
"""

from __future__ import annotations

from functools import partial

from minicnn.layers import Conv2D, Dense, Flatten
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Figure, Recipe

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def build() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10)."""
    return Sequential(
        [
            Conv2D(5, (1, 3), padding="same", activation="relu", input_shape=(28, 28, 1)),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        name="fashion-conv1x3",
    )


ARTICLE = Article(
    name="fashion-conv1x3",
    title="Fashion-MNIST: conv 5 of 1x3, softmax",
    source="FreeOfConfines, a convolutional network for Fashion-MNIST (2019)",
    dataset="fashion-mnist",
    classes=CLASSES,
    build=build,
    parameters=39_230,
    recipes={
        "reported": Recipe(
            optimizer=partial(Adam, learning_rate=1e-3),
            batch_size=128,
            epochs=100,
            loss="sparse_categorical_crossentropy",
            validation_split=0.1,
        )
    },
    figures=(
        Figure("training accuracy", 0.96, 100),
        Figure("validation accuracy", 0.89, 100),
        Figure("test accuracy", 0.88, 100),
    ),
)
