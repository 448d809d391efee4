"""FreeOfConfines on Fashion-MNIST: five filters of one row and three columns, and the networks it is compared with.

The article's table of architectures is a picture that is lost; its rows are rebuilt here from what the text and the
author's notebook say of them, and from the pieces that the notebook tries. Padding, ReLU and biases are the notebook's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from minicnn.layers import Conv2D, Dense, Flatten, Input, Lambda, Layer, MaxPooling2D
from minicnn.models import Sequential
from minicnn.optimizers import Adam

from .article import Article, Figure, Recipe

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
INPUT = (28, 28, 1)
SOURCE = "FreeOfConfines, a convolutional network for Fashion-MNIST (2019)"
# What stands between the convolutions of the study: max pooling of 2x2, and the largest channel of each pixel.
POOL, DEPTH_MAX = "pool", "depth-max"


def build() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10)."""
    return Sequential(
        [
            Conv2D(5, (1, 3), padding="same", activation="relu", input_shape=INPUT),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        name="fashion-conv1x3",
    )


def study(name: str, parts: Sequence[int | str], kernel_size: int = 3) -> Sequential:
    """A network of the article's study: pictures (N, 28, 28, 1) to class probabilities (N, 10).

    Args:
        name: of the model.
        parts: in order: a number is a convolution with so many filters, `POOL` and `DEPTH_MAX` are themselves.
        kernel_size: of the convolutions.
    """
    model = Sequential(name=name)
    model.add(Input(INPUT))
    for part in parts:
        model.add(_part(part, kernel_size))
    model.add(Flatten())
    model.add(Dense(10, activation="softmax"))
    return model


def _part(part: int | str, kernel_size: int) -> Layer:
    if part == POOL:
        return MaxPooling2D(2, strides=2)
    if part == DEPTH_MAX:
        return Lambda("max", arguments={"axis": 3, "keepdims": True})
    return Conv2D(int(part), kernel_size, padding="same", activation="relu")


def softmax_regression() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10), with one dense layer."""
    return Sequential([Flatten(input_shape=INPUT), Dense(10, activation="softmax")], name="fashion-softmax")


def dense() -> Sequential:
    """Pictures (N, 28, 28, 1) to class probabilities (N, 10), with three dense layers."""
    return Sequential(
        [
            Flatten(input_shape=INPUT),
            Dense(128, activation="relu"),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ],
        name="fashion-dense",
    )


_recipe = partial(
    Recipe, optimizer=partial(Adam, learning_rate=1e-3), batch_size=128, loss="sparse_categorical_crossentropy"
)
_article = partial(
    Article,
    source=SOURCE,
    dataset="fashion-mnist",
    classes=CLASSES,
    recipes={"reported": _recipe(epochs=100, validation_split=0.1)},
)

MAIN = _article(
    name="fashion-conv1x3",
    index=("B1",),
    title="Fashion-MNIST: conv 5 of 1x3, softmax",
    build=build,
    parameters=39_230,
    figures=(
        Figure("training accuracy", 0.96, 100),
        Figure("validation accuracy", 0.89, 100),
        Figure("test accuracy", 0.88, 100),
    ),
    note="Nearly all of the weights are the softmax layer's.",
)

DEPTH = _article(
    name="fashion-depth-max",
    index=("B2", "B3"),
    title="Fashion-MNIST: conv 10 and 20, the largest channel of each pixel, softmax",
    build=partial(study, "fashion-depth-max", (10, 20, DEPTH_MAX)),
    parameters=9_770,
    figures=(
        Figure("training accuracy", 0.908, 100),
        Figure("validation accuracy", 0.876, 100),
        Figure("test accuracy", 0.8919, 100, "perhaps of another network: the notebook's cells are of several runs"),
    ),
)

# The study's rows: the parts, the weights, and what the article says of the row if it is the one that we take it for.
_ROWS: dict[str, tuple[tuple[int | str, ...], int, tuple[Figure, ...]]] = {
    "fashion-10": ((10,), 78_510, ()),
    "fashion-10-pool": ((10, POOL), 19_710, ()),
    "fashion-10-20": ((10, 20), 158_730, ()),
    "fashion-10-20-pool": (
        (10, 20, POOL), 41_130, (Figure("test accuracy", 0.91, 100, "the best row, if it is this one"),),
    ),
    "fashion-10-pool-20-pool": ((10, POOL, 20, POOL), 11_730, ()),
    "fashion-10-20-30": ((10, 20, 30), 242_560, ()),
    "fashion-10-20-30-pool": ((10, 20, 30, POOL), 66_160, ()),
    "fashion-10-pool-20-30-pool": ((10, POOL, 20, 30, POOL), 22_060, ()),
    "fashion-10-20-30-depth-max": ((10, 20, 30, DEPTH_MAX), 15_200, ()),
}  # fmt: skip

STUDY = (
    _article(
        name="fashion-conv3x3",
        index=("B3",),
        title="Fashion-MNIST study: conv 5 of 3x3, softmax",
        build=partial(study, "fashion-conv3x3", (5,)),
        parameters=39_260,
    ),
    *(
        _article(
            name=name,
            index=("B3",),
            title=f"Fashion-MNIST study: {', '.join(f'conv {p}' if isinstance(p, int) else p for p in parts)}, softmax",
            build=partial(study, name, parts),
            parameters=parameters,
            figures=figures,
        )
        for name, (parts, parameters, figures) in _ROWS.items()
    ),
)

_unshuffled = partial(
    _recipe, epochs=150, shuffle=False, note="In the order of the files, as the author's notebook has it."
)

SOFTMAX = _article(
    name="fashion-softmax",
    index=("B3", "B10"),
    title="Fashion-MNIST: softmax regression",
    build=softmax_regression,
    parameters=7_850,
    recipes={"reported": _unshuffled(scale=1 / 255**2), "corrected": _unshuffled()},
    figures=(
        Figure("training accuracy", 0.5451, 1),
        Figure("training accuracy", 0.7727, 50),
        Figure("training accuracy", 0.8206, 150),
        Figure("test accuracy", 0.8103, 150),
    ),
    note="The notebook's pixels were divided by 255 twice, as if a cell had been run again: divided so they give its "
    "losses, 2.221, 1.331, 0.682 and 0.525 after 1, 10, 50 and 150 epochs, and its test accuracy.",
)

DENSE = _article(
    name="fashion-dense",
    index=("B10",),
    title="Fashion-MNIST: dense 128, 32, softmax",
    build=dense,
    parameters=104_938,
    recipes={"reported": _unshuffled()},
    figures=(
        Figure("training accuracy", 0.8059, 1),
        Figure("training accuracy", 0.9603, 50),
        Figure("training accuracy", 0.9826, 150),
        Figure("test accuracy", 0.8766, 150),
    ),
    note="The article counts 32 million weights: the product of the layers' widths instead of the sum of products.",
)

ARTICLES = (MAIN, DEPTH, *STUDY, SOFTMAX, DENSE)
