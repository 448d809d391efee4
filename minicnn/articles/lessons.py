"""Networks that the articles use to explain something: a count, a shape, a progress bar."""

from __future__ import annotations

from functools import partial

from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, LeakyReLU
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Figure, Recipe
from .digits import CLASSES


def fully_connected() -> Sequential:
    """Pictures (N, 256, 256, 3) to 1,000 hidden units, without biases: what a dense layer on a picture costs."""
    return Sequential([Flatten(input_shape=(256, 256, 3)), Dense(1000, use_bias=False)], name="besbes-dense-count")


def pyramid() -> Sequential:
    """Pictures (N, 256, 256, 3) to class probabilities (N, 10): at each stage half the side and more channels."""
    convolution = partial(Conv2D, kernel_size=5, strides=2, padding="same", activation="relu")
    return Sequential(
        [
            convolution(16, input_shape=(256, 256, 3)),
            convolution(64),
            convolution(256),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        name="eastmount-pyramid",
    )


def progress_bar() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10), with two hidden dense layers, both normalised."""
    model = Sequential([Flatten(input_shape=(28, 28, 1))], name="besbes-progress")
    for units in (512, 256):
        model.add(Dense(units))
        model.add(BatchNormalization())
        model.add(LeakyReLU(0.2))
        model.add(Dropout(0.5))
    model.add(Dense(10, activation="softmax"))
    return model


BESBES = "A. Besbes, understanding convolutional networks (2017)"

COUNT = Article(
    name="besbes-dense-count",
    index=("E2",),
    title="a count: 1,000 hidden units on 256x256 pictures in colour",
    source=BESBES,
    dataset=None,
    classes=(),
    build=fully_connected,
    parameters=196_608_000,
    recipes={},
    note="The article's 1,572 GB are 1.57 GB: 196,608,000 weights of 8 bytes.",
)

PYRAMID = Article(
    name="eastmount-pyramid",
    index=("C2",),
    title="a shape: 256x256x3, 128x128x16, 64x64x64, 32x32x256, classifier",
    source="Eastmount, a CNN for MNIST in Keras (2020)",
    dataset=None,
    classes=tuple(f"class {number}" for number in range(10)),
    build=pyramid,
    parameters=3_058_186,
    recipes={},
    note="The article draws the shapes only; 5x5 windows, a stride of 2 and ten classes are our reading.",
)

PROGRESS = Article(
    name="besbes-progress",
    index=("E7",),
    title="MNIST: dense 512 and 256 with batch normalisation, the example of the progress bar",
    source=BESBES,
    dataset="mnist",
    classes=CLASSES,
    build=progress_bar,
    parameters=538_890,
    recipes={
        "reported": Recipe(
            optimizer=partial(Adam, learning_rate=1e-3),
            batch_size=32,
            epochs=10,
            loss="categorical_crossentropy",
            validate_on_test=True,
        )
    },
    figures=(
        Figure("training accuracy", 0.884, 1),
        Figure("validation accuracy", 0.954, 1),
        Figure("validation accuracy", 0.964, 2),
        Figure("validation accuracy", 0.967, 3),
    ),
)

ARTICLES = (COUNT, PYRAMID, PROGRESS)
