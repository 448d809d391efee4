"""What networks for ImageNet's 1,000 classes share: how pictures become their input, and what their outputs mean."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.applications.files import find_file, searched
from minicnn.data.errors import DataError
from minicnn.data.pictures.preprocessing import Preprocessing

CLASSES = 1000
# What Keras calls its list of the classes, and what comes with the SqueezeNet weights.
_CLASS_FILES = ("imagenet_class_index.json", "imagenet_classes.txt")
_LARGEST_CLASS_FILE = 2**20

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Mean blue, green and red of ImageNet's training pictures, 0..255, as VGG and ResNet had them subtracted."""

CAFFE = Preprocessing(mean=CAFFE_MEAN, order="bgr")
"""The same as a part of a model's file."""

_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocess_input(x: ArrayLike, data_format: str | None = None, mode: str = "caffe") -> NDArray[np.floating[Any]]:
    """Turn RGB pictures of 0..255 into what a network was trained on.

    Args:
        x: (H, W, 3) or (N, H, W, 3); with "channels_first" (3, H, W) or (N, 3, H, W). It stays as it is.
        data_format: "channels_last" (default) or "channels_first".
        mode: "caffe": blue, green, red, less ImageNet's mean colour; "tf": -1 to 1; "torch": 0 to 1, less the mean
            and divided by the standard deviation of each channel.

    Returns:
        A new array of the same shape, float64 where x is and float32 otherwise.

    Raises:
        ValueError: the pictures do not have three channels there, or an argument is none of those.

    >>> preprocess_input(np.array([[[255, 0, 0]]], np.uint8))[0, 0].round().tolist()
    [-104.0, -117.0, 131.0]
    """
    if mode == "caffe":
        return reversed_less_mean(x, CAFFE_MEAN, data_format)
    if mode == "tf":
        return _checked(x, data_format)[0] / 127.5 - 1.0
    if mode == "torch":
        pictures, axis = _checked(x, data_format)
        mean, std = (_along(values, axis, pictures) for values in (_TORCH_MEAN, _TORCH_STD))
        return (pictures / 255.0 - mean) / std
    raise ValueError(f"preprocess_input: mode must be 'caffe', 'tf' or 'torch', got {mode!r}")


def reversed_less_mean(
    x: ArrayLike, mean: Sequence[float], data_format: str | None = None
) -> NDArray[np.floating[Any]]:
    """RGB pictures as blue, green, red, less the mean of each; arguments as `preprocess_input`'s."""
    pictures, axis = _checked(x, data_format)
    return np.flip(pictures, axis) - _along(mean, axis, pictures)


def _checked(x: ArrayLike, data_format: str | None) -> tuple[NDArray[np.floating[Any]], int]:
    """The pictures as floats, and the axis of their channels."""
    if data_format not in (None, "channels_last", "channels_first"):
        raise ValueError(
            f"preprocess_input: data_format must be 'channels_last' or 'channels_first', got {data_format!r}"
        )
    pictures = np.asarray(x)
    axis = -3 if data_format == "channels_first" else -1
    if pictures.ndim not in (3, 4) or pictures.shape[axis] != 3 or pictures.dtype.kind not in "uif":
        layout = "(3, H, W) or (N, 3, H, W)" if axis == -3 else "(H, W, 3) or (N, H, W, 3)"
        raise ValueError(
            f"preprocess_input: expected pictures {layout}, RGB, got shape {pictures.shape}, dtype {pictures.dtype}"
        )
    return pictures.astype(np.float64 if pictures.dtype == np.float64 else np.float32, copy=False), axis


def _along(values: Sequence[float], axis: int, pictures: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values, pictures.dtype).reshape((3, 1, 1) if axis == -3 else (3,))


def decode_predictions(
    preds: ArrayLike, top: int = 5, classes: str | os.PathLike[str] | None = None
) -> list[list[tuple[str, str, float]]]:
    """Name the likeliest of ImageNet's classes.

    Args:
        preds: (N, 1000), what a network with its top gives.
        top: how many to name for each picture.
        classes: the file with the names, see `class_index`.

    Returns:
        For each picture, best first, `top` tuples (WordNet id, name, probability).

    Raises:
        ValueError: `preds` is no (N, 1000), or `top` is out of range.
        DataError: there is no file with the names, or it holds something else.
    """
    scores = np.asarray(preds)
    if scores.ndim != 2 or scores.shape[1] != CLASSES:
        raise ValueError(f"decode_predictions: preds must be (N, {CLASSES}), got shape {scores.shape}")
    if not 1 <= top <= CLASSES:
        raise ValueError(f"decode_predictions: top must be from 1 to {CLASSES}, got {top}")
    index = class_index(classes)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*index[k], float(row[k])) for k in likeliest] for row, likeliest in zip(scores, best.tolist(), strict=True)
    ]


def class_index(path: str | os.PathLike[str] | None = None) -> list[tuple[str, str]]:
    """Read ImageNet's 1,000 classes in the order of the networks' outputs: (WordNet id, name).

    The names are data and come from a file: Keras' ``imagenet_class_index.json``, or lines of an id and names as in
    ImageNet's own ``synset_words.txt``, of whose synonyms the first is taken.

    Args:
        path: the file; None looks for ``imagenet_class_index.json`` and ``imagenet_classes.txt`` where weights are
            looked for.

    Raises:
        DataError: there is no such file, or it does not hold 1,000 classes.
    """
    file = find_classes() if path is None else Path(path)
    if file is None:
        raise DataError(
            f"the names of ImageNet's classes are not on this machine: pass classes=FILE, Keras' {_CLASS_FILES[0]} or "
            f"lines of id and names; looked for {' and '.join(_CLASS_FILES)} in {searched()}"
        )
    try:
        if file.stat().st_size > _LARGEST_CLASS_FILE:
            raise DataError(f"{file}: too long for a list of {CLASSES} classes")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from None
    classes = _from_json(text, file) if text.lstrip().startswith("{") else _from_lines(text, file)
    if len(classes) != CLASSES:
        raise DataError(f"{file}: expected {CLASSES} classes, got {len(classes)}")
    return classes


def find_classes() -> Path | None:
    """Find the file with the names of the classes; None where it is not on this machine."""
    return next((found for name in _CLASS_FILES if (found := find_file(name)) is not None), None)


def _from_json(text: str, file: Path) -> list[tuple[str, str]]:
    try:
        found = json.loads(text)
        return [(str(id_), str(name)) for id_, name in (found[str(k)] for k in range(len(found)))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: not a list of classes as Keras has it ({type(error).__name__}: {error})") from None


def _from_lines(text: str, file: Path) -> list[tuple[str, str]]:
    classes = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(n\d{8})\s+(\S.*)", line.strip())
        if match is None:
            raise DataError(f"{file}: line {number} must be a WordNet id and names, got {line[:40]!r}")
        classes.append((match[1], match[2].split(",")[0].strip().replace(" ", "_")))
    return classes
