"""Ahmed Besbes' cats and dogs: three convolutions of 3x3, each pooled, trained on augmented pictures.

All versions of Keras up to 2.3 take the nearest pixel where a picture is brought to 150x150. For the rest the article's
script means two trainings. Its Keras, 2.0.8, took `shear_range=0.2` for radians, 11.5 degrees, took the nearest pixel
where a picture is turned, and looked at its patience before it counted the epoch, so that a patience of 2 ended a
training at the third epoch in a row without a lower validation loss. Later ones take degrees (since 2.1.3: 0.2 of them
are next to nothing), mix the four pixels around, and stop at the second epoch (since 2.0.9). The recipe "reported" is
the article's training, "keras2.3" what its script does in Keras 2.3; `minicnn.compat.keras` has the same rules by
`--keras-version`.
"""

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

_AUGMENTATION = {"zoom_range": 0.2, "horizontal_flip": True}
AUGMENTATION: Mapping[str, float | bool] = MappingProxyType(
    {**_AUGMENTATION, "shear_range": math.degrees(0.2), "interpolation_order": 0}
)
LATER_AUGMENTATION: Mapping[str, float | bool] = MappingProxyType(
    {**_AUGMENTATION, "shear_range": 0.2, "interpolation_order": 1}
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


_recipe = partial(
    Recipe,
    optimizer=partial(SGD, learning_rate=0.01, momentum=0.9, decay=0.0002),
    batch_size=32,
    epochs=50,
    loss="binary_crossentropy",
    interpolation="nearest",
    training_samples=20_000,
    validation_samples=5_000,
)

ARTICLE = Article(
    name="besbes",
    index=("E5",),
    title="cats and dogs: conv 32, 32 and 64, dense 64, pictures sheared, zoomed and flipped",
    source="A. Besbes, understanding convolutional networks (2017)",
    dataset="dogs-vs-cats",
    classes=CLASSES,
    positive_class="dog",
    build=build,
    parameters=1_355_938,
    recipes={
        "reported": _recipe(
            augmentation=AUGMENTATION,
            patience=3,
            note="As in Keras 2.0.8: shear in radians, patience 2 ends at the third epoch without a lower validation "
            "loss. Binary cross-entropy on two softmax outputs, as the article has it. Its training ended in the 35th "
            "epoch, after three without a lower validation loss.",
        ),
        "keras2.3": _recipe(
            augmentation=LATER_AUGMENTATION,
            patience=2,
            note="The article's script in Keras 2.3: a shear of 0.2 degrees, patience 2 ends at the second epoch. With "
            "the article's own losses it would have ended in the 30th epoch.",
        ),
    },
    figures=(
        Figure("validation accuracy", 0.894, 35, "its last epoch, which it counts from 0 and calls the 34th"),
        Figure("validation loss", 0.263, 35),
        Figure("training accuracy", 0.899, 35),
    ),
    note="1 = dog: the second of the two outputs.",
)
