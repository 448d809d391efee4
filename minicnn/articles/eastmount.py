"""Eastmount's MNIST network: two convolutions of 5x5, each pooled, and a wide dense layer.

The article gives pictures as (1, 28, 28), channels first, and names no `data_format`. Keras 2, whose default is
channels last, then reads a picture of height 1 and width 28 with 28 channels. Here is the network that the article
describes: its pictures have one channel. And there is the network as the script runs it.
"""

from __future__ import annotations

from functools import partial

from minicnn.layers import Activation, Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Figure, Recipe
from .digits import CLASSES


def build(data_format: str = "channels_first", name: str = "eastmount") -> Sequential:
    """Pictures (N, 1, 28, 28) to class probabilities (N, 10).

    Args:
        data_format: "channels_first" as the article means it; "channels_last" as its script runs, where every picture
            is one row of 28 pixels with 28 channels.
        name: of the model.
    """
    convolution = partial(Conv2D, kernel_size=5, padding="same", data_format=data_format)
    pooling = partial(MaxPooling2D, pool_size=2, strides=2, padding="same", data_format=data_format)
    return Sequential(
        [
            convolution(32, input_shape=(1, 28, 28)),
            Activation("relu"),
            pooling(),
            convolution(64),
            Activation("relu"),
            pooling(),
            Flatten(),
            Dense(1024),
            Activation("relu"),
            Dense(10),
            Activation("softmax"),
        ],
        name=name,
    )


_article = partial(
    Article,
    source="Eastmount, a CNN for MNIST in Keras (2020)",
    dataset="mnist",
    classes=CLASSES,
    recipes={
        "reported": Recipe(
            optimizer=partial(Adam, learning_rate=1e-4),
            batch_size=64,
            epochs=1,
            loss="categorical_crossentropy",
            # The article measures after 1, 2 and 6 epochs, each time in a training of its own.
            validate_on_test=True,
            note="The text trains for one epoch, the author's script for six.",
        )
    },
    figures=(
        Figure("test loss", 0.2520788, 1),
        Figure("test accuracy", 0.92650, 1),
        Figure("test loss", 0.156024, 2),
        Figure("test accuracy", 0.95590, 2),
        Figure("test loss", 0.07606, 6),
        Figure("test accuracy", 0.97500, 6),
    ),
    index=("C1",),
)

INTENDED = _article(
    name="eastmount",
    title="MNIST: conv 32 and 64 of 5x5, dense 1024",
    build=build,
    parameters=3_274_634,
    note="The article's figures fit its script run with channels last, where (1, 28, 28) is one row of 28 channels.",
)

AS_RUN = _article(
    name="eastmount-as-run",
    title="MNIST: the same script with channels last, rows of 28 channels",
    build=partial(build, "channels_last", "eastmount-as-run"),
    parameters=543_722,
    note="Not what the article describes, but what Keras 2 makes of its script; no error tells.",
)

ARTICLES = (INTENDED, AS_RUN)
