"""Le Khuyen's MNIST network: two pairs of convolutions, each pair pooled.

The article prints only the summary. Kernel sizes and padding follow from its parameter counts, batch 128 from its 468
steps an epoch, and plain gradient descent from its first losses.
"""

from __future__ import annotations

from functools import partial

from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import SGD, Adam

from .article import Article, Figure, Recipe
from .digits import CLASSES


def build() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10)."""
    return Sequential(
        [
            Conv2D(32, 5, padding="same", activation="relu", input_shape=(28, 28, 1)),
            Conv2D(32, 5, padding="same", activation="relu"),
            MaxPooling2D(2),
            Conv2D(64, 3, padding="same", activation="relu"),
            Conv2D(64, 3, padding="same", activation="relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(128, activation="relu"),
            Dense(10, activation="softmax"),
        ],
        name="khuyen",
    )


_recipe = partial(Recipe, batch_size=128, epochs=50, loss="categorical_crossentropy", validate_on_test=True)

ARTICLE = Article(
    name="khuyen",
    title="MNIST: conv 32, 32 of 5x5 and 64, 64 of 3x3, dense 128",
    source="Le Khuyen, convolutional networks on MNIST",
    dataset="mnist",
    classes=CLASSES,
    build=build,
    index=("D1",),
    parameters=484_714,
    recipes={
        "corrected": _recipe(
            optimizer=partial(SGD, learning_rate=0.01),
            note="The optimiser is our reading: the article names none.",
        ),
        "reported": _recipe(
            optimizer=partial(SGD, learning_rate=0.01),
            measured_scale=1.0,
            note="Trained on pixels of 0..1 and measured on 0..255, which explains the article's losses.",
        ),
        "adam": _recipe(
            optimizer=partial(Adam, learning_rate=1e-3, decay=1e-3),
            note="Not the article's: reaches its accuracy sooner; the decay steadies the last steps of a short run.",
        ),
    },
    figures=(
        Figure("validation accuracy", 0.9225, 1),
        Figure("validation accuracy", 0.9582, 2),
        Figure("validation accuracy", 0.9897, 49),
        Figure("test accuracy", 0.9225, 1),
        Figure("test accuracy", 0.9582, 2),
        Figure("test accuracy", 0.9888, 50),
        Figure("test loss", 8.4456, 50, "measured on pixels of 0..255, although trained on 0..1"),
        Figure("training accuracy", 0.9992, 50),
    ),
    note="The article validates on the test set; its losses of 8 to 35 are those of unscaled pixels.",
)
