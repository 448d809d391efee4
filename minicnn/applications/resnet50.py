"""ResNet50 (He et al. 2016, "Deep residual learning for image recognition", table 1), as Keras has it: with biases, and
with the stride of a stage in its first 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from minicnn.applications import imagenet_utils
from minicnn.applications.building import check_classes, finished, input_of, pooled
from minicnn.applications.files import Weights, keras_release
from minicnn.applications.imagenet_utils import decode_predictions
from minicnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    MaxPooling2D,
    SymbolicTensor,
    ZeroPadding2D,
)
from minicnn.models import Model

__all__ = ["PREPROCESSING", "ResNet50", "decode_predictions", "preprocess_input"]

PREPROCESSING = imagenet_utils.CAFFE
"""What pictures become on their way into the network."""

# Blocks of each stage, and the filters of their inner convolutions.
_STAGES = {"conv2": (3, 64), "conv3": (4, 128), "conv4": (6, 256), "conv5": (3, 512)}
_EPSILON = 1.001e-5
# The checksums are those in Keras' own source (keras/src/applications/resnet.py).
_RELEASE = keras_release("resnet", "resnet50", "2cb95161c43110f7111970584f804107")
_RELEASE_WITHOUT_TOP = keras_release("resnet", "resnet50", "4d473c1dd8becc155b73f8504c6f6626", top=False)


def ResNet50(  # noqa: N802 - the name under which Keras users know it
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: SymbolicTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "resnet50",
) -> Model:
    """Make ResNet50: pictures (N, 224, 224, 3) to class probabilities (N, 1000), 25,636,712 weights.

    Sixteen blocks of a 1x1, a 3x3 and a 1x1 convolution, each normalised over the batch; every block's output is added
    to its input.

    Args:
        include_top: end with the mean over the picture and a dense layer; False ends with the 2048 maps of the last
            block (23,587,712 weights).
        weights: None (drawn), "imagenet" (looks for the file that Keras publishes, see `minicnn.applications`), or the
            path of that file or of another with this network's weights.
        input_tensor: an `Input` to build on.
        input_shape: (H, W, C), at least 32x32; None is 224x224x3 with the top and open without.
        pooling: without the top: None for the maps (N, H/32, W/32, 2048), "avg" or "max" for one number a channel.
        classes, classifier_activation: of the top.
        name: of the model.

    Raises:
        ValueError: an argument is out of range, or the weights are others; DataError where the published file is not
            here.
        FileNotFoundError: there is no such file.

    >>> ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg").output_shape
    (None, 2048)
    """
    check_classes(name, weights, include_top, classes)
    start = input_of(name, input_tensor, input_shape, include_top, least=32)
    x = ZeroPadding2D(3, name="conv1_pad")(start)
    x = Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = _normalised(x, "conv1_bn", activation="conv1_relu")
    x = ZeroPadding2D(1, name="pool1_pad")(x)
    x = MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (blocks, filters) in _STAGES.items():
        for number in range(1, blocks + 1):
            strides = 2 if number == 1 and stage != "conv2" else 1
            x = _block(x, f"{stage}_block{number}", filters, strides, projected=number == 1)
    if include_top:
        x = GlobalAveragePooling2D(name="avg_pool")(x)
        x = Dense(classes, activation=classifier_activation, name="predictions")(x)
    else:
        x = pooled(x, pooling, name)
    return finished(start, x, name, PREPROCESSING, weights, _RELEASE if include_top else _RELEASE_WITHOUT_TOP)


def preprocess_input(x: ArrayLike, data_format: str | None = None) -> NDArray[Any]:
    """Turn RGB pictures of 0..255 into ResNet50's input: blue, green, red less ImageNet's mean colour.

    Arguments and result are `imagenet_utils.preprocess_input`'s.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")


def _block(x: Any, name: str, filters: int, strides: int, *, projected: bool) -> Any:
    shortcut = x
    x = Conv2D(filters, 1, strides=strides, name=f"{name}_1_conv")(x)
    x = _normalised(x, f"{name}_1_bn", activation=f"{name}_1_relu")
    x = Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _normalised(x, f"{name}_2_bn", activation=f"{name}_2_relu")
    # The two branches take turns because layers are listed as they are made, and Keras lists them so: get_weights()
    # there is set_weights() here.
    if projected:
        shortcut = Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(shortcut)
    x = Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    if projected:
        shortcut = _normalised(shortcut, f"{name}_0_bn")
    x = _normalised(x, f"{name}_3_bn")
    x = Add(name=f"{name}_add")([shortcut, x])
    return Activation("relu", name=f"{name}_out")(x)


def _normalised(x: Any, name: str, activation: str | None = None) -> Any:
    x = BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return x if activation is None else Activation("relu", name=activation)(x)
