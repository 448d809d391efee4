"""Pictures in a folder, a zip archive or memory, and the names of their folders as classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.data.errors import DataError
from minicnn.data.pictures.layout import places
from minicnn.data.pictures.opening import open_picture
from minicnn.data.pictures.sources import PictureFiles, PictureSource, PictureZip, Skipped

if TYPE_CHECKING:
    from PIL import Image


class PictureArrays(PictureSource):
    """Pictures in memory.

    Args:
        x: pictures as `open_picture` takes arrays, (N, H, W, C) uint8.
        labels: (N,) class numbers.
        class_names: the classes in order.
    """

    def __init__(self, x: NDArray[np.uint8], labels: ArrayLike, class_names: Sequence[str]) -> None:
        super().__init__([f"picture {number}" for number in range(len(x))], list(x))
        labelled = self.labelled(labels, class_names)
        self.labels, self.class_names = labelled.labels, labelled.class_names

    def open(self, index: int, **how: Any) -> Image.Image:
        """The picture at `index`."""
        return open_picture(self._handles[index])


def picture_source(path: str | os.PathLike[str]) -> PictureSource:
    """All pictures in a folder and below it, or in a zip archive, sorted by name, without classes.

    Raises:
        DataError: there is no such folder or archive, or the archive cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return PictureFiles.listed(path, follow_links=True)
    if not path.exists():
        raise DataError(f"{path}: no such folder or zip archive")
    return PictureZip(path)


def labelled_by_folder(source: PictureSource) -> PictureSource:
    """The pictures of a source that has one folder for each class, perhaps in ``train``, ``validation`` and ``test``.

    Returns:
        The pictures that are in a class folder; classes sorted by name. The others are in its ``skipped``.

    Raises:
        DataError: there are not at least two such folders.
    """
    classes_of = [place.folders[0] if place.folders else None for place in places(source.names)]
    classes = sorted({name for name in classes_of if name is not None})
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise DataError(
            f"expected sub-folders with pictures, one for each of at least two classes, but there is {found}"
        )
    chosen = [index for index, name in enumerate(classes_of) if name is not None]
    labelled = source.subset(chosen).labelled([classes.index(str(classes_of[index])) for index in chosen], classes)
    without = [name for name, folder in zip(source.names, classes_of, strict=True) if folder is None]
    labelled.skipped = [*source.skipped, *(Skipped(name, "in no class folder") for name in without)]
    return labelled
