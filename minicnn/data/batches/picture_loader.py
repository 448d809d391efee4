"""Batches of the pictures of a source: opened, brought to one size, changed at random, with their classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minicnn.data.batches.batch_iterator import PREFETCH_BYTES, BatchIterator
from minicnn.data.labels import to_categorical
from minicnn.data.pictures.fitting import Fitting
from minicnn.data.pictures.sources import PictureSource, Skipped

CLASS_MODES = ("categorical", "binary", "sparse", "input", None)

Transform = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
"""Changes a picture, (H, W, C) or (C, H, W), drawing what is random from the generator; may work in place."""


class PictureLoader(BatchIterator):
    """Batches ``(x, y)``, or ``x`` alone, of the pictures of a source; see `BatchIterator` for how they are taken.

    x holds floats 0 to 255, (n, H, W, C), until `transform` makes something else of them. Pictures are opened as
    `open_picture` does: the right way up, transparency on white, the first frame of an animation.

    Args:
        source: the pictures.
        size: (height, width) to bring them to.
        batch_size, shuffle, seed, dtype, workers, prefetch_bytes, strict, verbose: see `BatchIterator`.
        class_mode: y is "categorical": (n, classes), one-hot; "binary" or "sparse": (n,), class numbers; "input": the
            same as x; None: not there. "auto" is "sparse" where the source has classes, None otherwise.
        color_mode: "rgb", "rgba" or "grayscale".
        fitting: "squeeze" ignores the aspect ratio, "crop" cuts the ends of the longer side, "pad" adds black borders.
        interpolation: "nearest", "bilinear", "bicubic", "box", "hamming" or "lanczos". All but the first average where
            pictures shrink.
        transform: is given each picture, in `dtype`, and a generator of its own.
        data_format: "channels_last", or "channels_first" for x of (n, C, H, W).
        draft: let JPEGs be decoded at a half, a quarter or an eighth of their size where that is enough: quicker, but
            other values than decoding in full gives, by a few grey levels. Not with "nearest", which averages nothing.

    Raises:
        ValueError: an argument is out of range, or the class mode needs classes that the source does not have.
    """

    fitting_class: type[Fitting] = Fitting

    def __init__(
        self,
        source: PictureSource,
        size: tuple[int, int],
        batch_size: int = 32,
        class_mode: str | None = "auto",
        *,
        shuffle: bool = True,
        seed: int | None = None,
        color_mode: str = "rgb",
        fitting: str = "squeeze",
        interpolation: str = "bilinear",
        transform: Transform | None = None,
        data_format: str = "channels_last",
        draft: bool = False,
        dtype: DTypeLike = "float32",
        workers: int | None = None,
        prefetch_bytes: int = PREFETCH_BYTES,
        strict: bool = False,
        verbose: bool = True,
    ) -> None:
        if class_mode == "auto":
            class_mode = None if source.labels is None else "sparse"
        self.class_mode = _checked_class_mode(class_mode, source)
        self.fitting = self.fitting_class(size, color_mode, fitting, interpolation, data_format, draft)
        self.source = source
        self.transform = transform
        super().__init__(
            len(source), self.fitting.shape, batch_size, shuffle, seed, dtype=dtype, workers=workers,
            prefetch_bytes=prefetch_bytes, strict=strict, verbose=verbose,
        )  # fmt: skip

    # ------------------------------------------------------------------------- what Keras calls it

    @property
    def class_indices(self) -> dict[str, int]:
        """Class number by class name."""
        return {name: index for index, name in enumerate(self.source.class_names)}

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.source.class_names)

    @property
    def classes(self) -> NDArray[np.int32] | None:
        """(N,) class number of each picture, in the order of `filenames`."""
        return None if self.source.labels is None else self.source.labels[self._kept()]

    @property
    def filenames(self) -> list[str]:
        """The pictures' names in unshuffled order, without those found unreadable so far.

        After `predict` on unshuffled pictures, one for each row of the result.
        """
        return [self.source.names[index] for index in self._kept()]

    @property
    def samples(self) -> int:
        """How many pictures there are, without those found unreadable so far."""
        return self.n - len(self._unread)

    def _kept(self) -> list[int]:
        return [index for index in range(self.n) if index not in self._unread]

    @property
    def skipped(self) -> list[Skipped]:
        """What is no picture by its name, and what could not be read so far, with the reasons."""
        return [*self.source.skipped, *super().skipped]

    # -------------------------------------------------------------------------------- making batches

    def _load(self, index: int, generator: np.random.Generator) -> NDArray[Any]:
        x = self.fitting(self.source, index).astype(self.dtype)
        return x if self.transform is None else self.transform(x, generator)

    def _name(self, index: int) -> str:
        return self.source.names[index]

    def _batch(self, indices: NDArray[np.intp], x: NDArray[Any]) -> Any:
        return x if self.class_mode is None else (x, self._targets(indices, x))

    def _targets(self, indices: NDArray[np.intp], x: NDArray[Any]) -> NDArray[Any]:
        if self.class_mode == "input":
            return x.copy()
        labels = np.asarray(self.source.labels)[indices]
        if self.class_mode == "categorical":
            return to_categorical(labels, self.num_classes, self.dtype)
        return labels.astype(self.dtype)


def _checked_class_mode(class_mode: str | None, source: PictureSource) -> str | None:
    if class_mode not in CLASS_MODES:
        raise ValueError(f"class_mode: expected one of {', '.join(map(repr, CLASS_MODES))}, got {class_mode!r}")
    if class_mode in (None, "input"):
        return class_mode
    if source.labels is None:
        raise ValueError(f"class_mode: {class_mode!r} needs classes, and these pictures have none")
    if class_mode == "binary" and len(source.class_names) != 2:
        raise ValueError(f"class_mode: 'binary' needs 2 classes, got {len(source.class_names)}")
    return class_mode
