"""Pictures on their way to a network, and what is said of those that do not get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from minicnn.data.batches.picture_loader import PictureLoader
    from minicnn.data.pictures.sources import PictureSource, Skipped
    from minicnn.models import Model
    from minicnn.preprocessing import Preprocessing

NAMED = 5


class Resizing(NamedTuple):
    """How pictures are brought to a network's size: see `PictureLoader`."""

    fitting: str = "squeeze"
    interpolation: str = "bilinear"

    @classmethod
    def of(cls, model: Model) -> Resizing:
        """As those were that the model was trained on."""
        used = model.preprocessing or {}
        return cls(**{name: used[name] for name in cls._fields if name in used})


def loader(
    source: PictureSource,
    prepare: Preprocessing,
    resizing: Resizing,
    form: str = "integer",
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
) -> PictureLoader:
    """Batches of a source's pictures as a network takes them.

    Args:
        source: the pictures, with classes or without.
        prepare: what the network's input is.
        resizing: how they are brought to its size.
        form: of the labels, "integer" or "one-hot".
        batch_size, shuffle, seed: see `PictureLoader`.
        augmentation: arguments of `ImageDataGenerator`, or None to distort nothing.

    Raises:
        ValueError: the network takes no pictures in grey or in colour.
    """
    from minicnn.data.batches.picture_loader import PictureLoader

    if prepare.size is None or prepare.channels not in (1, 3):
        raise ValueError(f"the network takes input of shape {prepare.shape}, which is no picture in grey or in colour")
    return PictureLoader(
        source,
        prepare.size,
        batch_size,
        None if source.labels is None else "categorical" if form == "one-hot" else "sparse",
        shuffle=shuffle,
        seed=seed,
        color_mode="grayscale" if prepare.channels == 1 else "rgb",
        fitting=resizing.fitting,
        interpolation=resizing.interpolation,
        transform=_transform(prepare, augmentation),
        data_format=prepare.layout,
        # Photographs are several times larger than what networks take.
        draft=resizing.interpolation != "nearest",
        verbose=False,
    )


def fitted(model: Model, image: Path, prepare: Preprocessing) -> np.ndarray:
    """The picture as the network is to see it: (H, W, C) uint8."""
    from minicnn.preprocessing import fit_digit, fit_picture

    if (model.preprocessing or {}).get("fit") == "digit":
        return fit_digit(image)[:, :, np.newaxis]
    if prepare.size is None or prepare.channels not in (1, 3):
        raise ValueError(f"{model.name} takes input of shape {prepare.shape}, which is no picture in grey or in colour")
    fitting, interpolation = Resizing.of(model)
    return fit_picture(image, prepare.size, prepare.channels, fitting, interpolation=interpolation)


def skipped_lines(skipped: Sequence[Skipped], title: str = "Skipped") -> list[str]:
    """What was left out and why: a line for each kind, with the first few names."""
    from minicnn.data.pictures.survey import by_kind

    if not skipped:
        return []
    lines = [f"{title}: {len(skipped):,} file{'' if len(skipped) == 1 else 's'}"]
    for kind, items in by_kind(list(skipped)):
        names = ", ".join(item.name for item in items[:NAMED])
        lines.append(f"  {len(items):,} x {kind}: {names}{', ...' if len(items) > NAMED else ''}")
    return lines


def _transform(
    prepare: Preprocessing, augmentation: Mapping[str, Any] | None
) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Distorting, then what `Preprocessing` does to the values, for one picture in the network's layout."""
    first = prepare.layout == "channels_first"
    mean, std = (np.asarray(value, np.float32) for value in (prepare.mean, prepare.std))
    if first:
        mean, std = (value.reshape(-1, 1, 1) if value.ndim else value for value in (mean, std))
    # Most networks want the values scaled only: one pass over the picture instead of three.
    factor, plain = np.float32(prepare.factor), not mean.any() and bool((std == 1).all())
    distort = _distortion(prepare.layout, augmentation)

    def transform(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        picture = distort(picture, generator)
        if prepare.order == "bgr":
            picture = np.flip(picture, 0 if first else -1).copy()
        picture *= factor
        if not plain:
            picture -= mean
            picture /= std
        return picture

    return transform


def _distortion(
    layout: str, augmentation: Mapping[str, Any] | None
) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    if augmentation is None:
        return lambda picture, generator: picture
    from minicnn.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**augmentation, data_format=layout).augment
