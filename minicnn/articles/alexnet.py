"""AlexNet, which Besbes' article names: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
convolutional neural networks", 2012, section 3.
"""

from __future__ import annotations

from functools import partial

from minicnn.layers import Conv2D, Dense, Dropout, Flatten, LocalResponseNormalization, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import SGD

from .article import Article, Figure, Recipe


def build(groups: int = 2) -> Sequential:
    """Pictures (N, 227, 227, 3) to class probabilities (N, 1000).

    Args:
        groups: of the second, fourth and fifth convolution: 2, as the paper split them over two GPUs, or 1.
    """
    convolution = partial(Conv2D, padding="same", activation="relu")
    # The paper's constants (section 3.3): n = 5 channels, k = 2, alpha = 1e-4, beta = 0.75.
    normalization = partial(LocalResponseNormalization, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    return Sequential(
        [
            Conv2D(96, 11, strides=4, activation="relu", input_shape=(227, 227, 3)),
            normalization(),
            MaxPooling2D(3, strides=2),
            convolution(256, 5, groups=groups),
            normalization(),
            MaxPooling2D(3, strides=2),
            convolution(384, 3),
            convolution(384, 3, groups=groups),
            convolution(256, 3, groups=groups),
            MaxPooling2D(3, strides=2),
            Flatten(),
            Dense(4096, activation="relu"),
            Dropout(0.5),
            Dense(4096, activation="relu"),
            Dropout(0.5),
            Dense(1000, activation="softmax"),
        ],
        name="alexnet",
    )


ARTICLE = Article(
    name="alexnet",
    index=("E4",),
    title="ImageNet: AlexNet, eight layers in two groups",
    source="A. Besbes, understanding convolutional networks (2017), after Krizhevsky et al. (2012)",
    dataset="imagenet",
    classes=tuple(f"class {number}" for number in range(1000)),
    build=build,
    parameters=60_965_224,
    recipes={
        "paper": Recipe(
            optimizer=partial(SGD, learning_rate=0.01, momentum=0.9),
            batch_size=128,
            epochs=90,
            loss="sparse_categorical_crossentropy",
            note="The paper's section 5; no ImageNet comes with this project.",
        )
    },
    figures=(Figure("test top-5 error", 0.164, 90, "of the competition in 2012; the runner-up had 0.261"),),
    note="With build(groups=1) it has 62,378,344 weights.",
)
