"""Ahmed Besbes' cats and dogs: three convolutions of 3x3, each pooled, trained on augmented pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import SGD

from .article import Article, Figure, Recipe

CLASSES = ("cat", "dog")

# The article's Keras, 2.0.8, took a shear of 0.2 as radians; degrees, as every Keras since 2.1.3 has them, are meant
# here: read as degrees, 0.2 would be next to nothing. It took the nearest cell and did not interpolate.
AUGMENTATION: Mapping[str, float | bool] = MappingProxyType(
    {"shear_range": math.degrees(0.2), "zoom_range": 0.2, "horizontal_flip": True, "interpolation_order": 0}
)


def build() -> Sequential:
    """Pictures (N, 150, 150, 3) to the probabilities of cat and dog (N, 2)."""
    convolution = partial(Conv2D, kernel_size=3, padding="same", activation="relu")
    return Sequential(
        [
            convolution(32, input_shape=(150, 150, 3)),
            MaxPooling2D(2),
            convolution(32),
            MaxPooling2D(2),
            convolution(64),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(64, activation="relu"),
            Dropout(0.5),
            Dense(2, activation="softmax"),
        ],
        name="besbes",
    )


ARTICLE = Article(
    name="besbes",
    index=("E5",),
    title="cats and dogs: conv 32, 32 and 64, dense 64, pictures sheared, zoomed and flipped",
    source="A. Besbes, understanding convolutional networks (2017)",
    dataset="dogs-vs-cats",
    classes=CLASSES,
    build=build,
    parameters=1_355_938,
    recipes={
        "reported": Recipe(
            optimizer=partial(SGD, learning_rate=0.01, momentum=0.9, decay=0.0002),
            batch_size=32,
            epochs=50,
            loss="binary_crossentropy",
            training_samples=20_000,
            validation_samples=5_000,
            augmentation=AUGMENTATION,
            # Keras 2.0.8 looks at its patience, 2, before it counts the epoch.
            patience=3,
            note="Binary cross-entropy on two softmax outputs, as the article has it. Its training ended in the 35th "
            "epoch, after three without a lower validation loss.",
        )
    },
    figures=(
        Figure("validation accuracy", 0.894, 34),
        Figure("validation loss", 0.263, 35),
        Figure("training accuracy", 0.899, 35),
    ),
    note="1 = dog: the second of the two outputs.",
)
