"""`image_dataset_from_directory`: batches of a folder's pictures, unchanged."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.pictures.fitting import Fitting, middle, one_of
from minicnn.data.pictures.resizing import METHODS, resized
from minicnn.data.pictures.sources import PictureFiles, class_folders

LABEL_MODES = ("int", "categorical", "binary", None)


class SampledFitting(Fitting):
    """Brings pictures to a size as `minicnn.data.pictures.resizing` does."""

    interpolations = METHODS

    def _resized(self, image: Any) -> NDArray[Any]:
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        if self.mode == "crop":
            left, top, right, bottom = middle(image, *self.size)
            pixels = pixels[top:bottom, left:right]
        if self.mode != "pad":
            return resized(pixels, self.size, self.interpolation)
        ratio = max(side / wanted for side, wanted in zip(pixels.shape, self.size, strict=False))
        inner = (max(1, int(pixels.shape[0] / ratio)), max(1, int(pixels.shape[1] / ratio)))
        top, left = (self.size[0] - inner[0]) // 2, (self.size[1] - inner[1]) // 2
        sheet = np.zeros((*self.size, pixels.shape[2]), np.float32)
        sheet[top : top + inner[0], left : left + inner[1]] = resized(pixels, inner, self.interpolation)
        return sheet


class ImageDataset(PictureLoader):
    """Batches of a folder's pictures; what `image_dataset_from_directory` gives.

    Iterating gives one epoch: ``for x, y in dataset``.

    Attributes:
        class_names: the classes in order.
        file_paths: the pictures' paths, in unshuffled order.
    """

    source: PictureFiles
    fitting_class = SampledFitting

    def __init__(self, source: PictureFiles, size: tuple[int, int], label_mode: str | None, **how: Any) -> None:
        self.label_mode = label_mode
        super().__init__(source, size, class_mode=label_mode if label_mode != "int" else "sparse", **how)

    @property
    def class_names(self) -> list[str]:
        """The classes in order."""
        return list(self.source.class_names)

    @property
    def file_paths(self) -> list[str]:
        """The pictures' paths, in unshuffled order."""
        return self.source.paths

    def __iter__(self) -> Generator[Any, None, None]:
        """The batches of one epoch."""
        return self.stream()

    def _targets(self, indices: NDArray[np.intp], x: NDArray[Any]) -> NDArray[Any]:
        if self.label_mode == "int":
            return np.asarray(self.source.labels)[indices]
        y = super()._targets(indices, x)
        return y[:, None] if self.label_mode == "binary" else y


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int = 32,
    image_size: int | tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    **loading: Any,
) -> Any:
    """Batches of a folder's pictures: x (n, H, W, C) float32, 0 to 255, with their classes.

    Args:
        directory: the folder.
        labels: "inferred": from one sub-folder for each class; None: no classes; or one whole number for each picture
            below the folder, in sorted order.
        label_mode: y is "int": (n,) int32; "binary": (n, 1) float32, 0 or 1; "categorical": (n, classes) one-hot
            float32; None: not there.
        class_names: the sub-folders to read, in this order; all, sorted, where None.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: pictures a batch; the last one of an epoch may be smaller.
        image_size: (height, width), or one number for both.
        shuffle: in a new order for every epoch; otherwise sorted.
        seed: of the order and of the split.
        validation_split: share of the pictures that "validation" stands for.
        subset: "training", "validation", or "both" for a pair of the two. The same seed cuts them as Keras does.
        interpolation: one of `minicnn.data.pictures.resizing.METHODS`; nothing is averaged where pictures shrink,
            but for "area".
        follow_links: go into folders that are symbolic links.
        crop_to_aspect_ratio: cut the ends of the longer side rather than squeeze.
        pad_to_aspect_ratio: add black borders rather than squeeze.
        data_format: "channels_last" (where None) or "channels_first".
        verbose: say how many pictures there are.
        loading: `workers`, `prefetch_bytes`, `strict`, see `BatchIterator`.

    Returns:
        An `ImageDataset`, or with ``subset="both"`` a list of two.

    Raises:
        DataError: there is no such folder.
        ValueError: an argument is out of range, or does not go with another.
    """
    one_of("label_mode", label_mode, LABEL_MODES)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("image_dataset_from_directory: expected one of crop_to_aspect_ratio and pad_to_aspect_ratio")
    _check_split(validation_split, subset, shuffle, seed)
    source = _source(directory, labels, class_names, follow_links)
    if verbose:
        of = "" if source.labels is None else f" belonging to {len(source.class_names)} classes"
        print(f"Found {len(source)} files{of}.")
    how: dict[str, Any] = {
        "batch_size": batch_size,
        "seed": seed,
        "color_mode": color_mode,
        "fitting": "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "squeeze",
        "interpolation": interpolation,
        "data_format": data_format or "channels_last",
        "verbose": verbose,
        **loading,
    }
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    label_mode = None if source.labels is None else label_mode
    if subset is None or validation_split is None:
        return ImageDataset(source, size, label_mode, shuffle=shuffle, **how)
    parts = _cut(source, validation_split, seed if shuffle else None)
    if verbose:
        for name in ("training", "validation") if subset == "both" else (subset,):
            print(f"Using {len(parts[name])} files for {name}.")
    if subset != "both":
        return ImageDataset(parts[subset], size, label_mode, shuffle=shuffle, **how)
    return [
        ImageDataset(parts["training"], size, label_mode, shuffle=shuffle, **how),
        ImageDataset(parts["validation"], size, label_mode, shuffle=False, **how),
    ]


def _source(
    directory: str | os.PathLike[str], labels: Any, class_names: Sequence[str] | None, follow_links: bool
) -> PictureFiles:
    if isinstance(labels, str):
        one_of("labels", labels, ("inferred",))
        return class_folders(directory, class_names, follow_links=follow_links)
    if class_names is not None:
        raise ValueError("class_names: names sub-folders, and so goes with labels='inferred' only")
    source = PictureFiles.listed(directory, follow_links=follow_links)
    if labels is None:
        return source
    return source.labelled(labels, [str(label) for label in sorted(set(labels))])


def _check_split(share: float | None, subset: str | None, shuffle: bool, seed: int | None) -> None:
    one_of("subset", subset, ("training", "validation", "both", None))
    if (share is None) != (subset is None):
        raise ValueError(
            f"validation_split and subset go together, got validation_split={share!r} and subset={subset!r}"
        )
    if share is not None and not 0 < share < 1:
        raise ValueError(f"validation_split: expected a share above 0 and below 1, got {share!r}")
    if share is not None and shuffle and seed is None:
        raise ValueError("validation_split with shuffle=True needs a seed, so that the two parts do not overlap")


def _cut(source: PictureFiles, share: float, seed: int | None) -> dict[str, PictureFiles]:
    """The two parts, the validation pictures being the last ones, after shuffling where there is a seed."""
    order = list(range(len(source)))
    if seed is not None:
        # Keras shuffles by NumPy's older generator: the same seed cuts the same parts.
        np.random.RandomState(seed).shuffle(order)
    border = len(order) - int(share * len(order))
    parts = {"training": source.subset(order[:border]), "validation": source.subset(order[border:])}
    for name, part in parts.items():
        if not len(part):
            raise ValueError(f"validation_split: {share} of {len(source)} pictures leaves none for {name}")
    return parts
