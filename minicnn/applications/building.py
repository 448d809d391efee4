"""What the networks here have in common: their input, their end without a top, and checks of Keras' arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.applications.files import Loader, Release, Weights, load_into
from minicnn.applications.imagenet_utils import CLASSES, class_index, find_classes
from minicnn.data.pictures.preprocessing import Preprocessing
from minicnn.errors import unknown_name
from minicnn.layers import GlobalAveragePooling2D, GlobalMaxPooling2D, Input, SymbolicTensor
from minicnn.models import Model


def input_of(
    network: str,
    input_tensor: SymbolicTensor | None,
    input_shape: Sequence[int | None] | None,
    include_top: bool,
    *,
    least: int,
    size: int = 224,
) -> SymbolicTensor:
    """Give the tensor that pictures come in by.

    Args:
        network: for messages.
        input_tensor: made by the caller, or None.
        input_shape: (H, W, C) of a new input, None where open; None altogether is (size, size, 3) with a top, whose
            weights need a known size, and (None, None, 3) without.
        include_top: whether the network has its top.
        least: the smallest height and width that the network can work on.
        size: height and width of the pictures that it was trained on.

    Raises:
        ValueError: the shape has no three sizes, too few pixels, or is open where it must be known.
    """
    if input_tensor is not None:
        shape = tuple(input_tensor.shape[1:])
    elif input_shape is None:
        shape = (size, size, 3) if include_top else (None, None, 3)
    else:
        shape = tuple(input_shape)
    if len(shape) != 3 or shape[2] is None or (include_top and None in shape):
        known = ", all of them known where include_top=True" if include_top else ""
        raise ValueError(f"{network}: input_shape must be (height, width, channels){known}, got {shape}")
    if any(length is not None and length < least for length in shape[:2]):
        raise ValueError(f"{network}: input_shape must be at least {least}x{least} pixels, got {shape}")
    return Input(shape) if input_tensor is None else input_tensor


def pooled(x: Any, pooling: str | None, network: str) -> Any:
    """End a network without its top: (N, H, W, C) as it is, or one number a channel, (N, C)."""
    if pooling is None:
        return x
    kinds = {"avg": GlobalAveragePooling2D, "max": GlobalMaxPooling2D}
    if pooling not in kinds:
        raise ValueError(f"{network}: {unknown_name('pooling', str(pooling), kinds)}; None leaves the maps as they are")
    return kinds[pooling](name=f"{pooling}_pool")(x)


def finished(
    start: SymbolicTensor,
    end: Any,
    name: str,
    preprocessing: Preprocessing,
    weights: Weights,
    release: Release,
    load: Loader | None = None,
) -> Model:
    """Make the model from its first and last tensors, give it its weights, and let it say what it sees and gives.

    Args:
        start, end, name: of the model.
        preprocessing: what its weights want pictures to be; files of the model carry it.
        weights, release, load: see `load_into`.
    """
    model = Model(_source_of(start), end, name=name)
    load_into(model, weights, release, load)
    if start.shape[3] == 3:
        shape = None if None in start.shape[1:] else list(start.shape[1:])
        model.preprocessing = {"fit": "picture", "input": {**preprocessing.get_config(), "shape": shape}}
    if weights is not None and end.shape == (None, CLASSES) and (names := find_classes()) is not None:
        model.class_names = [name for _, name in class_index(names)]
    return model


def _source_of(tensor: SymbolicTensor) -> SymbolicTensor | list[SymbolicTensor]:
    """Give the input that a tensor comes from, or the list of them where there are several."""
    found: dict[int, SymbolicTensor] = {}
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        if id(current.node) in seen:
            continue
        seen.add(id(current.node))
        if not current.node.inputs:
            found[id(current)] = current
        waiting.extend(current.node.inputs)
    sources = list(found.values())
    return sources[0] if len(sources) == 1 else sources


def check_classes(network: str, weights: Any, include_top: bool, classes: int) -> None:
    """Raise ValueError where weights for ImageNet's classes are to serve another number of them."""
    if weights == "imagenet" and include_top and classes != 1000:
        raise ValueError(f"{network}: weights='imagenet' with include_top=True is for 1000 classes, got {classes}")
