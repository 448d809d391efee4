"""SqueezeNet v1.1 (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size"; v1.1 is the authors' later release, which computes 2.4 times less).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.applications.building import check_classes, finished, input_of, pooled
from minicnn.applications.files import Release, Weights
from minicnn.applications.imagenet_utils import decode_predictions, reversed_less_mean
from minicnn.data.pictures.preprocessing import Preprocessing
from minicnn.layers import (
    Activation,
    Concatenate,
    Conv2D,
    Dropout,
    GlobalAveragePooling2D,
    MaxPooling2D,
    SymbolicTensor,
)
from minicnn.models import Model
from minicnn.saving import weights as files

__all__ = ["PREPROCESSING", "SqueezeNet", "decode_predictions", "preprocess_input"]

MEAN = (104.0, 117.0, 123.0)
"""Blue, green and red that were subtracted from the pictures it was trained on."""

PREPROCESSING = Preprocessing(mean=MEAN, order="bgr")
"""What pictures become on their way into the network."""

_RELEASE = Release(
    "squeezenet_v1.1_imagenet.npz",
    "the authors' Caffe release (github.com/forresti/SqueezeNet, v1.1), converted: arrays <layer>/kernel, "
    "(height, width, in, out), and <layer>/bias",
)
# Filters of each fire module: those of its squeeze, and of each of its two expands.
_FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
_POOLED_AFTER = (3, 5)
# Twice the release in double precision.
_LARGEST = 20 * 2**20


def SqueezeNet(  # noqa: N802 - Keras' way of naming its applications
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: SymbolicTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "squeezenet",
) -> Model:
    """Make SqueezeNet v1.1: pictures (N, 227, 227, 3) to class probabilities (N, 1000), 1,235,496 weights.

    Each fire module squeezes its input to few channels by 1x1 convolutions and expands them by 1x1 and 3x3 ones side by
    side. Pictures are blue, green, red less their mean, which `preprocess_input` makes of RGB.

    Args:
        include_top: end with the dropout, `conv10`, the mean over the picture and the activation; False ends with the
            512 maps of `fire9`.
        weights: None (drawn), "imagenet" (looks for ``squeezenet_v1.1_imagenet.npz``, see `minicnn.applications`), or
            the path of that file or of one that `Model.save_weights` wrote.
        input_tensor: an `Input` to build on.
        input_shape: (H, W, C), at least 17x17, for which the weights serve as well; None is 227x227x3 with the top and
            open without.
        pooling: without the top: None for the maps, "avg" or "max" for one number a channel.
        classes, classifier_activation: of the top.
        name: of the model.

    Raises:
        ValueError: an argument is out of range, or the weights are others.
        FileNotFoundError: there is no such file.

    >>> SqueezeNet(weights=None).count_params()
    1235496
    """
    check_classes(name, weights, include_top, classes)
    start = input_of(name, input_tensor, input_shape, include_top, least=17, size=227)
    x = Conv2D(64, 3, strides=2, activation="relu", name="conv1")(start)
    x = _ceil_pool(x, "pool1")
    for number, (squeeze, expand) in _FIRES.items():
        x = _fire(x, f"fire{number}", squeeze, expand)
        if number in _POOLED_AFTER:
            x = _ceil_pool(x, f"pool{number}")
    if include_top:
        x = Dropout(0.5, name="drop9")(x)
        x = Conv2D(classes, 1, activation="relu", name="conv10")(x)
        x = GlobalAveragePooling2D(name="pool10")(x)
        x = Activation(classifier_activation or "linear", name="predictions")(x)
    else:
        x = pooled(x, pooling, name)
    return finished(start, x, name, PREPROCESSING, weights, _RELEASE, _load)


def preprocess_input(x: ArrayLike, data_format: str | None = None) -> NDArray[np.floating[Any]]:
    """Turn RGB pictures of 0..255 into SqueezeNet's input: blue, green, red less 104, 117, 123.

    Args and what comes back as in `imagenet_utils.preprocess_input`.
    """
    return reversed_less_mean(x, MEAN, data_format)


def _fire(x: Any, name: str, squeeze: int, expand: int) -> Any:
    x = Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    one = Conv2D(expand, 1, activation="relu", name=f"{name}_expand1x1")(x)
    three = Conv2D(expand, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return Concatenate(name=f"{name}_concat")([one, three])


def _ceil_pool(x: Any, name: str) -> Any:
    """Max pooling of 3x3 windows, 2 apart, that also counts a last window which is not full, as Caffe does."""
    height, width = (None if size is None else size % 2 for size in x.shape[1:3])
    # Sides of an odd length end with a full window; of an even one, the last window lacks one row, which is just what
    # "same" pads. Where the length is open, padding one row adds a window to the even ones only.
    padding = {(1, 1): "valid", (0, 0): "same"}.get((height, width), ((0, 1), (0, 1)))  # type: ignore[arg-type]
    return MaxPooling2D(3, strides=2, padding=padding, name=name)(x)


def _load(model: Model, path: Path) -> None:
    """Read the release, whose arrays are called after the layers, or a file of ours."""
    if path.suffix.lower() != ".npz":
        model.load_weights(path)
        return
    source = f"{model.name}: {path}"
    arrays = files.read_npz(path, _LARGEST, source)
    if "conv1/kernel" in arrays:
        arrays = {own: arrays[name] for own, name in _release_names(model).items() if name in arrays}
    files.assign(model, arrays, source)


def _release_names(model: Model) -> dict[str, str]:
    """For each weight, by its name in files of ours, what the release calls it: ``fire2/squeeze1x1/kernel``."""
    return {own: weight.name.replace("_", "/") for own, weight in files.named_weights(model).items()}
