"""VGG16 (Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", column D)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from minicnn.applications import imagenet_utils
from minicnn.applications.building import check_classes, finished, input_of, pooled
from minicnn.applications.files import Weights, keras_release
from minicnn.applications.imagenet_utils import decode_predictions
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, SymbolicTensor
from minicnn.models import Model

__all__ = ["PREPROCESSING", "VGG16", "decode_predictions", "preprocess_input"]

PREPROCESSING = imagenet_utils.CAFFE
"""What pictures become on their way into the network."""

# Convolutions of each block, and their filters.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# The checksums are those in Keras' own source (keras/src/applications/vgg16.py).
_RELEASE = keras_release("vgg16", "vgg16", "64373286793e3c8b2b4e3219cbf3544b")
_RELEASE_WITHOUT_TOP = keras_release("vgg16", "vgg16", "6d6bbae143d832006294945121d1f1fc", top=False)


def VGG16(  # noqa: N802 - the name under which Keras users know it
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: SymbolicTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "vgg16",
) -> Model:
    """Make VGG16: pictures (N, 224, 224, 3) to class probabilities (N, 1000), 138,357,544 weights.

    Thirteen convolutions of 3x3 in five blocks, each closed by a 2x2 max pooling, and three dense layers.

    Args:
        include_top: end with the three dense layers; False ends with the 512 maps of the last pooling, as transfer
            learning wants them (14,714,688 weights).
        weights: None (drawn), "imagenet" (looks for the file that Keras publishes, see `minicnn.applications`), or the
            path of that file or of another with this network's weights.
        input_tensor: an `Input` to build on.
        input_shape: (H, W, C), at least 32x32; None is 224x224x3 with the top and open without.
        pooling: without the top: None for the maps (N, H/32, W/32, 512), "avg" or "max" for one number a channel.
        classes, classifier_activation: of the top.
        name: of the model.

    Raises:
        ValueError: an argument is out of range, or the weights are others; DataError where the published file is not
            here.
        FileNotFoundError: there is no such file.

    >>> VGG16(include_top=False, weights=None, input_shape=(150, 150, 3)).output_shape
    (None, 4, 4, 512)
    """
    check_classes(name, weights, include_top, classes)
    start = input_of(name, input_tensor, input_shape, include_top, least=32)
    x: Any = start
    for number, (convolutions, filters) in enumerate(_BLOCKS, 1):
        for place in range(1, convolutions + 1):
            layer = Conv2D(filters, 3, padding="same", activation="relu", name=f"block{number}_conv{place}")
            x = layer(x)
        x = MaxPooling2D(2, strides=2, name=f"block{number}_pool")(x)
    if include_top:
        x = Flatten(name="flatten")(x)
        x = Dense(4096, activation="relu", name="fc1")(x)
        x = Dense(4096, activation="relu", name="fc2")(x)
        x = Dense(classes, activation=classifier_activation, name="predictions")(x)
    else:
        x = pooled(x, pooling, name)
    return finished(start, x, name, PREPROCESSING, weights, _RELEASE if include_top else _RELEASE_WITHOUT_TOP)


def preprocess_input(x: ArrayLike, data_format: str | None = None) -> NDArray[Any]:
    """Turn RGB pictures of 0..255 into VGG16's input: blue, green, red less ImageNet's mean colour.

    Arguments and result are `imagenet_utils.preprocess_input`'s.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")
