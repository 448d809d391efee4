"""What the articles on MNIST share, and the plain network to hold theirs against."""

from __future__ import annotations

from functools import partial

from minicnn.layers import Dense, Flatten
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Recipe

CLASSES = tuple("0123456789")


def dense() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10), with one hidden dense layer."""
    return Sequential(
        [Flatten(input_shape=(28, 28, 1)), Dense(128, activation="relu"), Dense(10, activation="softmax")],
        name="mnist-dense",
    )


DENSE = Article(
    name="mnist-dense",
    title="MNIST: dense 128, no convolution",
    source="ours, since Eastmount advises to try a plain network first",
    dataset="mnist",
    classes=CLASSES,
    build=dense,
    parameters=101_770,
    recipes={
        "ours": Recipe(
            optimizer=partial(Adam, learning_rate=1e-3),
            batch_size=128,
            epochs=5,
            loss="sparse_categorical_crossentropy",
            validation_split=0.1,
        )
    },
    note="Not in an article: the baseline for MNIST, as fashion-dense and strika-dense are for their data.",
)
