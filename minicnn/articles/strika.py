"""Luciano Strika's cats and dogs: a dense network that fails and four convolutional ones, each larger than the last.

The article feeds raw pixels of 0..255, which saturates every network's sigmoid; with pixels of 0..1 the same networks
learn. It squeezes landscape pictures into 125 rows and 94 columns, because PIL's `resize` takes the width first. The
last network is described in words only: widths are our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Figure, Recipe

INPUT = (125, 94, 3)
CLASSES = ("dog", "cat")
SOURCE = "L. Strika, convolutional networks on cats and dogs (2019)"


def dense() -> Sequential:
    """Pictures (N, 125, 94, 3) to the probability of a cat (N, 1), without any convolution."""
    return Sequential(
        [Flatten(input_shape=INPUT), Dense(512, activation="relu"), Dense(1, activation="sigmoid")],
        name="strika-dense",
    )


def convolutional(
    name: str, filters: tuple[int, ...], units: int, input_shape: tuple[int, int, int] = INPUT
) -> Sequential:
    """Pictures (N, H, W, 3), the article's (N, 125, 94, 3), to the probability of a cat (N, 1).

    Args:
        name: of the model.
        filters: of each convolution of 3x3; a max pooling of 2x2 follows each.
        units: of each of the two hidden dense layers.
        input_shape: (H, W, 3).
    """
    model = Sequential(name=name)
    model.add(Input(input_shape))
    for count in filters:
        model.add(Conv2D(count, 3, activation="relu"))
        model.add(MaxPooling2D(2))
    model.add(Flatten())
    model.add(Dense(units, activation="relu"))
    model.add(Dense(units, activation="relu"))
    model.add(Dense(1, activation="sigmoid"))
    return model


_METRICS = ("accuracy", "binary_crossentropy", "mean_squared_error")
_recipe = partial(
    Recipe,
    loss="binary_crossentropy",
    metrics=_METRICS,
    training_samples=4096,
    validation_samples=1024,
)


def _recipes(
    batch_size: int, epochs: int, augmentation: Mapping[str, float | bool] | None = None, note: str = ""
) -> dict[str, Recipe]:
    return {
        "reported": _recipe(
            optimizer=partial(Adam, learning_rate=1e-6),
            batch_size=batch_size,
            epochs=epochs,
            scale=1.0,
            clip_probabilities=True,
            note="Pixels of 0..255 and the cross-entropy, as in the author's notebook; the text has the squared error.",
        ),
        "corrected": _recipe(
            optimizer=partial(Adam, learning_rate=1e-4),
            batch_size=batch_size,
            epochs=epochs,
            augmentation=augmentation,
            note="Ours: pixels of 0..1 and the learning rate that they allow." + note,
        ),
    }


_article = partial(Article, source=SOURCE, dataset="dogs-vs-cats", classes=CLASSES, positive_class="cat")

DENSE = _article(
    name="strika-dense",
    index=("A1",),
    title="cats and dogs: dense 512, no convolution",
    build=dense,
    parameters=18_049_025,
    recipes={
        "reported": Recipe(
            optimizer=partial(Adam, learning_rate=1e-3),
            batch_size=32,
            epochs=10,
            loss="mean_squared_error",
            metrics=("accuracy", "binary_crossentropy"),
            scale=1.0,
            clip_probabilities=True,
            training_samples=4096,
            validation_samples=1024,
            note="The text says a learning rate of 1e-5, the notebook 1e-3.",
        ),
        "corrected": Recipe(
            optimizer=partial(Adam, learning_rate=1e-5),
            batch_size=32,
            epochs=10,
            loss="mean_squared_error",
            metrics=("accuracy", "binary_crossentropy"),
            training_samples=4096,
            validation_samples=1024,
            note="Ours: pixels of 0..1 and the text's learning rate. At 1e-4 the first steps already saturate the "
            "sigmoid: each unit reads 35,250 pixels, all of one sign.",
        ),
    },
    figures=(
        Figure("validation loss", 0.5, 2, "saturated: every picture is called the same; 0.5 for all gives 0.25"),
        Figure("validation binary_crossentropy", 8.0591, 2),
    ),
)

CONV24 = _article(
    name="strika-conv24",
    index=("A2",),
    title="cats and dogs: conv 24, dense 128 twice",
    build=partial(convolutional, "strika-conv24", (24,), 128),
    parameters=8_637_473,
    recipes=_recipes(32, 5),
    figures=(
        Figure("validation mean_squared_error", 0.3688, 5),
        Figure("validation loss", 2.0413, 5),
        Figure("validation correlation", 0.1529, 5),
    ),
    note="Worse than the constant 0.5, whose mean squared error is 0.25.",
)

CONV48 = _article(
    name="strika-conv48",
    index=("A3",),
    title="cats and dogs: conv 48 twice, dense 256 twice",
    build=partial(convolutional, "strika-conv48", (48, 48), 256),
    parameters=7_928_177,
    recipes=_recipes(64, 15),
    figures=(
        Figure("validation mean_squared_error", 0.3302, 15),
        Figure("validation loss", 1.5379, 15),
        Figure("validation correlation", 0.2188, 15),
        Figure("validation precision", 0.6169, 15, "the article's accuracy of 61 %: precision at the threshold 0.9"),
    ),
)

CONV128 = _article(
    name="strika-conv128",
    index=("A4",),
    title="cats and dogs: conv 128 twice, dense 256 twice",
    build=partial(convolutional, "strika-conv128", (128, 128), 256),
    parameters=21_123_457,
    recipes=_recipes(64, 13),
    figures=(
        Figure("validation mean_squared_error", 0.2686, 13),
        Figure("validation loss", 0.8897, 13),
        Figure("validation correlation", 0.3037, 13),
        Figure("validation accuracy", 0.6387, 13),
        Figure("validation accuracy", 0.6689, 19, "at the threshold 0.6 it is 0.6768, the article's 67 %"),
    ),
)

FINAL = _article(
    name="strika-final",
    index=("A5",),
    title="cats and dogs: conv 64 and 128, dense 512 twice",
    build=partial(convolutional, "strika-final", (64, 128), 512),
    parameters=42_151_297,
    recipes=_recipes(
        64,
        19,
        augmentation=MappingProxyType({"zoom_range": 0.2, "horizontal_flip": True}),
        note=" Pictures are zoomed and mirrored: undistorted, these 4,096 are known by heart after nine epochs.",
    ),
    figures=(
        Figure("validation loss", 0.75, None, "the cross-entropy"),
        Figure("validation correlation", 0.42, None),
        Figure("validation accuracy", 0.75, None),
    ),
    note="Described in words only: first convolution halved to 64 filters, both dense layers doubled to 512.",
)

ARTICLES = (DENSE, CONV24, CONV48, CONV128, FINAL)
