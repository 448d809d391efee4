"""Batches of changed pictures of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.batches.subsets import change_for, part_of
from minicnn.data.pictures.sources import PictureFiles, class_folders

if TYPE_CHECKING:
    from minicnn.data.batches.image_data_generator import ImageDataGenerator


class FileIterator(PictureLoader):
    """A `PictureLoader` of files, with what Keras calls it.

    Attributes:
        filepaths: the pictures' paths, in the order of `filenames`.
        target_size: (height, width).
    """

    source: PictureFiles

    @property
    def filepaths(self) -> list[str]:
        """The pictures' paths in unshuffled order, without those found unreadable so far."""
        paths = self.source.paths
        return [paths[index] for index in self._kept()]

    @property
    def target_size(self) -> tuple[int, int]:
        """(height, width) of the pictures in a batch."""
        return self.fitting.size

    @property
    def color_mode(self) -> str:
        """ "rgb", "rgba" or "grayscale"."""
        return self.fitting.color_mode

    @property
    def labels(self) -> Any:
        """What the batches' targets are made of: `classes`."""
        return self.classes


class DirectoryIterator(FileIterator):
    """Batches of changed pictures of a folder; what `ImageDataGenerator.flow_from_directory` gives.

    Says ``Found N images belonging to C classes.`` when it is made.

    Args:
        directory: has one sub-folder for each class; pictures may lie deeper below.
        image_data_generator: changes the pictures; None leaves them as they are.
        target_size: (height, width).
        color_mode, class_mode, batch_size, shuffle, seed: see `PictureLoader`.
        classes: the sub-folders to read, in this order; all, sorted, where None.
        data_format: where the channels are.
        follow_links: go into folders that are symbolic links.
        subset: "training" or "validation": of each class the part that the generator's `validation_split` says.
        interpolation: see `PictureLoader`.
        keep_aspect_ratio: cut the ends of the longer side rather than squeeze.
        augment: change the pictures at random, or only standardise them; None changes all but those of the validation
            subset. (Keras changes those too.)
        loading: `workers`, `prefetch_bytes`, `strict`, `verbose`, `draft`, see `PictureLoader`.

    Raises:
        DataError: there is no such folder.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        image_data_generator: ImageDataGenerator | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        *,
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        augment: bool | None = None,
        dtype: DTypeLike | None = None,
        **loading: Any,
    ) -> None:
        source = class_folders(directory, classes or None, follow_links=follow_links)
        if subset is not None:
            labels = np.asarray(source.labels)
            members = [np.flatnonzero(labels == label) for label in range(len(source.class_names))]
            chosen = [own[part_of(len(own), image_data_generator, subset)] for own in members]
            source = source.subset(np.concatenate(chosen) if chosen else [])
        self.directory = directory
        self.image_data_generator = image_data_generator
        super().__init__(
            source, target_size, batch_size, class_mode, shuffle=shuffle, seed=seed, color_mode=color_mode,
            fitting="crop" if keep_aspect_ratio else "squeeze", interpolation=interpolation,
            transform=change_for(image_data_generator, subset, augment),
            data_format=data_format or "channels_last", dtype=dtype or "float32", **loading,
        )  # fmt: skip
        if self.verbose:
            print(f"Found {len(source)} images belonging to {len(source.class_names)} classes.")
