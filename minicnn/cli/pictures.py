"""Data sets by the names of the command line, as a network takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.models import Model
    from minicnn.preprocessing import Preprocessing

DRAWN_TRAINING, DRAWN_TEST = 12_000, 2_000
# As many as MNIST has: a slip of the finger must not draw for hours.
DRAWN_AT_MOST = 60_000


@dataclass(frozen=True)
class Pictures:
    """A data set in memory.

    Attributes:
        name: as on the command line.
        where: what the user is told about where the pictures come from.
        x_train, x_test: (N, 28, 28) uint8; y_train, y_test: (N,) class numbers.
        classes: class names.
        stands_in: drawn digits that serve because the wanted pictures cannot be had.
    """

    name: str
    where: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    stands_in: bool = False
    # What is trained and tested on is always the same, so nothing of it has to be remembered.
    fingerprint: None = None
    division: None = None

    def describe(self) -> str:
        """One line: where from, and how many."""
        return f"Data: {self.where} ({len(self.x_train):,} to train on, {len(self.x_test):,} to test on)"


def load(
    name: str, folder: Path | None = None, *, samples: int | None = None, seed: int = 0, may_draw: bool = False
) -> Pictures:
    """Load a data set.

    Args:
        name: "mnist", "fashion-mnist" or "drawn-digits".
        folder: where the files are, or None to look in the usual places and then on the network.
        samples: take only the first so many training pictures.
        seed: of the drawn digits.
        may_draw: let drawn digits stand in for MNIST where it can be neither found nor fetched.

    Raises:
        DataError: the files are damaged, or can be neither found nor fetched.
        ValueError: there are fewer than `samples` training pictures.
    """
    from minicnn.datasets import DownloadError

    if name == "drawn-digits":
        return _draw(samples, seed)
    try:
        return _stored(name, folder, samples)
    except DownloadError as error:
        if not (may_draw and name == "mnist"):
            raise
        drawn = _draw(samples, seed)
        reason = " ".join(str(error).split())
        return replace(drawn, where=f"{drawn.where}, because MNIST cannot be had: {reason}", stands_in=True)


def preparation(model: Model, scale: float | None = None) -> Preprocessing:
    """How pictures (N, H, W) or (N, H, W, C) uint8 become the network's input: float32, scaled, in its layout.

    Args:
        model: whose input it is. What its file carries is taken.
        scale: factor for the pixels, whatever the file carries; None for that, or 1/255 where it carries none.
    """
    from minicnn.preprocessing import Preprocessing

    stored = (model.preprocessing or {}).get("input")
    if stored is not None:
        return Preprocessing.from_config(stored if scale is None else {**stored, "factor": scale})
    shape = tuple(model.input_shape[1:]) if isinstance(model.input_shape, tuple) else ()
    if len(shape) not in (2, 3):
        raise ValueError(f"{model.name} takes input of shape {model.input_shape}, but pictures are (N, H, W, channels)")
    # Pictures have 1 or 3 channels, and more rows and columns than that.
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    layout = "channels_first" if first else "channels_last"
    return Preprocessing(factor=1 / 255 if scale is None else scale, shape=shape, layout=layout)


def as_labels(labels: np.ndarray, form: str, classes: int) -> np.ndarray:
    """Class numbers (N,) as the loss takes them: "integer", as they are, or "one-hot", rows (N, classes)."""
    from minicnn.utils import to_categorical

    return labels if form == "integer" else to_categorical(labels, classes)


def check_samples(samples: int | None, available: int, part: str) -> None:
    """Raise ValueError if more pictures are asked for than the "training" or the "test" part has."""
    if samples is not None and samples > available:
        raise ValueError(f"--samples {samples}: there are only {available} {part} pictures")


def _stored(name: str, folder: Path | None, samples: int | None) -> Pictures:
    from minicnn import datasets

    source = datasets.find(name, folder)
    (x_train, y_train), (x_test, y_test) = datasets.load(name, folder)
    check_samples(samples, len(x_train), "training")
    classes = datasets.class_names(name)
    return Pictures(name, str(source), x_train[:samples], y_train[:samples], x_test, y_test, classes)


def _draw(samples: int | None, seed: int) -> Pictures:
    """Digits as few as asked for: drawing takes time, and the first ones are the same however many are drawn."""
    from minicnn import datasets

    check_samples(samples, DRAWN_AT_MOST, "training")
    count = DRAWN_TRAINING if samples is None else samples
    (x_train, y_train), (x_test, y_test) = datasets.drawn_digits.load_data(count, min(count, DRAWN_TEST), seed)
    classes = datasets.class_names("drawn-digits")
    return Pictures("drawn-digits", "digits drawn on the fly", x_train, y_train, x_test, y_test, classes)
