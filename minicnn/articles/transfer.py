"""Cats and dogs by transfer: what a network trained on ImageNet makes of the pictures, and a few dense layers on that.

Besbes' article takes VGG16. Its weights are Keras' to give; SqueezeNet's serve beside them, with as many features. And
there is a recipe of our own.
"""

from __future__ import annotations

from functools import partial

from minicnn.applications import VGG16, SqueezeNet, squeezenet
from minicnn.applications.bottleneck import Extractor
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
)
from minicnn.models import Model, Sequential
from minicnn.optimizers import Adam, RMSprop
from minicnn.preprocessing import Preprocessing
from minicnn.regularizers import l2

from .article import Article, Figure, Recipe
from .besbes import CLASSES

FEATURES = (4, 4, 512)


def head(name: str) -> Sequential:
    """Features (N, 4, 4, 512) to the probability of a dog (N, 1)."""
    return Sequential(
        [
            Flatten(input_shape=FEATURES),
            Dense(512, activation="relu"),
            Dropout(0.5),
            Dense(256, activation="relu"),
            Dropout(0.2),
            Dense(1, activation="sigmoid"),
        ],
        name=name,
    )


def vgg16() -> Extractor:
    """VGG16's last maps for pictures of 150x150, whose pixels are divided by 255, as the article has it."""
    network = VGG16(include_top=False, weights="imagenet", input_shape=(150, 150, 3))
    return Extractor(network, (150, 150), Preprocessing(1 / 255))


def squeezenet_maps() -> Extractor:
    """SqueezeNet's last maps for pictures of 227x227, 14x14, averaged to as many as VGG16 has."""
    network = SqueezeNet(include_top=False, weights="imagenet", input_shape=(227, 227, 3))
    maps = AveragePooling2D(4, padding="same", name="averaged")(network.output)
    return Extractor(Model(network.input, maps, name="squeezenet"), (227, 227), squeezenet.PREPROCESSING)


def depths_head() -> Sequential:
    """Features (N, 2408) to the probability of a dog (N, 1)."""
    classifier = Dense(1, activation="sigmoid", kernel_regularizer=l2(3e-3))
    return Sequential([BatchNormalization(input_shape=(2408,)), classifier], name="squeezenet-depths")


def squeezenet_depths() -> Extractor:
    """Means over the picture: of SqueezeNet's last three fire modules, and of its evidence for ImageNet's classes."""
    network = SqueezeNet(weights="imagenet")
    maps = [network.get_layer(name).output for name in ("fire7_concat", "fire8_concat", "fire9_concat", "conv10")]
    means = Concatenate(name="depths")([GlobalAveragePooling2D()(layer) for layer in maps])
    return Extractor(Model(network.input, means, name="squeezenet"), (227, 227), squeezenet.PREPROCESSING)


_reported = partial(
    Recipe,
    optimizer=partial(RMSprop, learning_rate=0.001),
    batch_size=32,
    epochs=15,
    loss="binary_crossentropy",
    training_samples=20_000,
    validation_samples=5_000,
    note="The article validates on 4,992 pictures, the last batch of its generator being left out.",
)

_article = partial(
    Article,
    index=("E6",),
    dataset="dogs-vs-cats",
    classes=CLASSES,
    positive_class="dog",
    parameters=4_326_401,
    figures=(
        Figure("validation accuracy", 0.907, 15, "in the text; in its plot 0.908, and 0.910 after 14 epochs"),
        Figure("validation loss", 0.306, 15, "lowest after 4 epochs, 0.246: most of the 15 overfit"),
        Figure("training accuracy", 0.945, 15),
    ),
)

VGG = _article(
    name="besbes-vgg16",
    title="cats and dogs: dense 512 and 256 on VGG16's features",
    source="A. Besbes, understanding convolutional networks (2017)",
    build=partial(head, "besbes-vgg16"),
    recipes={"reported": _reported(interpolation="nearest")},
    extractor=vgg16,
    note="VGG16's 14,714,688 weights are not trained. They were trained on blue, green and red less their mean; the "
    "article gives it red, green and blue of 0 to 1, and so does this.",
)

SQUEEZENET = _article(
    name="besbes-squeezenet",
    title="cats and dogs: the same on SqueezeNet's features",
    source="after A. Besbes (2017), with the network of Iandola et al. (2016) in the place of VGG16",
    build=partial(head, "besbes-squeezenet"),
    recipes={"reported": _reported()},
    extractor=squeezenet_maps,
    note="SqueezeNet's 722,496 weights are not trained. The figures are the article's, for VGG16.",
)

DEPTHS = Article(
    name="squeezenet-depths",
    title="cats and dogs: logistic regression on SqueezeNet's features of four depths",
    source="ours, with the network of Iandola et al. (2016)",
    dataset="dogs-vs-cats",
    classes=CLASSES,
    positive_class="dog",
    build=depths_head,
    parameters=12_041,
    extractor=squeezenet_depths,
    recipes={
        "ours": Recipe(
            optimizer=partial(Adam, learning_rate=0.001),
            batch_size=256,
            epochs=10,
            loss="binary_crossentropy",
            training_samples=20_000,
            validation_samples=5_000,
        )
    },
    note="Not in an article. On good features one layer does as well as three, with a three-hundredth of the weights.",
)

ARTICLES = (VGG, SQUEEZENET, DEPTHS)
