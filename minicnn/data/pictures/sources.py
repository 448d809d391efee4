"""Pictures on disk, in order, with their classes: what loaders read from and data sets are made of.

A `PictureSource` opens nothing before it is asked to. Files and members of a zip look alike from outside:

    source = class_folders("pets/train")                       # one sub-folder for each class
    source = PictureFiles.listed("pets/test")                  # every picture below a folder, no classes
    source = PictureZip("train.zip")                           # the pictures in a zip, read in place
    source = source.labelled(labels, ("cat", "dog"))           # classes found by other means, by `source.names` say
    train, test = source.subset(kept), source.subset(held)     # parts, by index
    image = source.open(0)                                     # a Pillow image, any kind of picture, safely opened

    loader = PictureLoader(train, (150, 150), batch_size=32)   # see minicnn.data.batches
    model.fit(loader, validation_data=PictureLoader(test, (150, 150), shuffle=False))
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.data.errors import DataError, PictureError
from minicnn.data.pictures.archive import Archive
from minicnn.data.pictures.opening import open_picture

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (
    ".avif", ".bmp", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""What a picture's name ends in. The content decides how it is read, so a PNG called ``.jpg`` comes in too."""

Source = TypeVar("Source", bound="PictureSource")


class Skipped(NamedTuple):
    """A file that was left out: its name within the source, and why."""

    name: str
    reason: str

    @classmethod
    def because(cls, name: str, error: PictureError) -> Skipped:
        """A picture that could not be opened; the reason is the error's without the name or path it begins with."""
        path, found, reason = str(error).partition(f"{name}: ")
        return cls(name, reason if found and ": " not in path else str(error))


class PictureSource:
    """Pictures in a fixed order, each with a name and, where known, a class.

    Attributes:
        names: what each picture is called within its source, with forward slashes.
        labels: (N,) int32, an index into `class_names` for each; None where there are no classes.
        class_names: the classes in order.
        skipped: files that were found beside the pictures and left out.
    """

    where: str

    def __init__(self, names: Sequence[str], handles: Sequence[Any], skipped: Sequence[Skipped] = ()) -> None:
        self.names = list(names)
        self.labels: NDArray[np.int32] | None = None
        self.class_names: tuple[str, ...] = ()
        self.skipped = list(skipped)
        self._handles = list(handles)

    def __len__(self) -> int:
        return len(self.names)

    def open(self, index: int, **how: Any) -> Image.Image:
        """Open the picture at `index`, with the arguments of `open_picture`; any number of threads may.

        Raises:
            PictureError: it cannot be read.
        """
        return open_picture(self.content(index), **how)

    def content(self, index: int) -> Path | IO[bytes]:
        """What `open_picture` takes: the path, or the bytes, of the picture at `index`.

        Raises:
            PictureError: there are no bytes to be had.
        """
        raise NotImplementedError

    def labelled(self: Source, labels: ArrayLike, class_names: Sequence[str]) -> Source:
        """The same pictures with these classes.

        Args:
            labels: (N,) whole numbers, each an index into `class_names`.
            class_names: the classes in order.

        Raises:
            ValueError: there are more or fewer labels than pictures, or a label that is no index.
        """
        given = np.asarray(labels)
        if given.shape != (len(self),) or (given.size and given.dtype.kind not in "iu"):
            raise ValueError(
                f"labelled: expected {len(self)} whole numbers, one for each picture, got shape {given.shape}, "
                f"dtype {given.dtype}"
            )
        if given.size and not (given.min() >= 0 and given.max() < len(class_names)):
            raise ValueError(
                f"labelled: expected labels from 0 to {len(class_names) - 1}, got {given.min()} to {given.max()}"
            )
        labelled = copy.copy(self)
        labelled.labels = given.astype(np.int32)
        labelled.class_names = tuple(class_names)
        return labelled

    def subset(self: Source, indices: ArrayLike) -> Source:
        """Some of the pictures, in the order of `indices` (N,)."""
        chosen = np.asarray(indices, np.intp)
        part = copy.copy(self)
        part.names = [self.names[index] for index in chosen]
        part._handles = [self._handles[index] for index in chosen]
        part.labels = None if self.labels is None else self.labels[chosen]
        return part


class PictureFiles(PictureSource):
    """Pictures in files.

    Args:
        paths: the files.
        names: what they are called; their paths where None.
        skipped: what was left out.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        names: Sequence[str] | None = None,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        super().__init__([str(path) for path in paths] if names is None else names, paths, skipped)

    @classmethod
    def listed(cls, folder: str | os.PathLike[str], *, follow_links: bool = False) -> PictureFiles:
        """Every picture below a folder, sorted by folder and then by name, without classes.

        Raises:
            DataError: there is no such folder.
        """
        root = _existing_folder(folder)
        found, skipped = _listing(root, root, follow_links)
        return cls([root / name for name in found], found, skipped)

    def content(self, index: int) -> Path:
        """The path of the picture at `index`."""
        return Path(self._handles[index])

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [str(path) for path in self._handles]


class PictureZip(PictureSource):
    """The pictures in a zip, read where they are: nothing is unpacked to disk.

    The file stays open until `close`, or until the last source made of it is gone.

    Args:
        path: the zip.

    Raises:
        DataError: there is no such file, it is no zip, or too much of one (see `minicnn.data.pictures.archive`).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._archive = Archive(path)
        found, skipped = _by_name(self._archive.names)
        left_out = sorted([*skipped, *(Skipped(*item) for item in self._archive.skipped)])
        super().__init__(found, found, left_out)

    def content(self, index: int) -> IO[bytes]:
        """The bytes of the picture at `index`, in memory."""
        stream = io.BytesIO(self._archive.read(self._handles[index]))
        stream.name = self.names[index]
        return stream

    def close(self) -> None:
        """Close the zip; none of its pictures can be opened any more."""
        self._archive.close()


def class_folders(
    folder: str | os.PathLike[str], classes: Sequence[str] | None = None, *, follow_links: bool = False
) -> PictureFiles:
    """The pictures of a folder that has one sub-folder for each class, however deep below it, sorted.

    Args:
        folder: the folder.
        classes: the sub-folders to read, in this order; all, sorted by name, where None. Hidden ones are left out.
        follow_links: go into folders that are symbolic links.

    Raises:
        DataError: there is no such folder, or it has no such sub-folder.
    """
    root = _existing_folder(folder)
    present = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    chosen = list(present if classes is None else classes)
    missing = [name for name in chosen if name not in present]
    if missing:
        raise DataError(f"{folder}: expected a sub-folder for each class, but there is no {missing[0]!r}")
    names: list[str] = []
    labels: list[int] = []
    skipped: list[Skipped] = []
    for label, name in enumerate(chosen):
        found, left_out = _listing(root, root / name, follow_links)
        names += found
        labels += [label] * len(found)
        skipped += left_out
    return PictureFiles([root / name for name in names], names, skipped).labelled(np.array(labels, np.int32), chosen)


def _existing_folder(folder: str | os.PathLike[str]) -> Path:
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{folder}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    return root


def _listing(root: Path, folder: Path, follow_links: bool) -> tuple[list[str], list[Skipped]]:
    """Names, relative to `root`, of the pictures below `folder`, and what was left out."""
    unread: list[OSError] = []
    places = sorted(_walk(folder, follow_links, unread.append))
    files = [Path(place, name) for place, names in places for name in sorted(names)]
    found, skipped = _by_name([path.relative_to(root).as_posix() for path in files])
    skipped += [Skipped(Path(error.filename).relative_to(root).as_posix(), f"{error.strerror}") for error in unread]
    return found, skipped


def _walk(folder: Path, follow_links: bool, on_error: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `folder` downwards once, with the names of its files."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, onerror=on_error, followlinks=follow_links):
        folders.sort()
        if follow_links:
            # Links may lead back to where they lie.
            real = Path(place).resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
        yield place, files


def why_not_by_name(name: str) -> str | None:
    """Why a file is left out without looking into it; None for what is named as pictures are."""
    path = PurePosixPath(name)
    if path.name.startswith("."):
        return "a hidden file"
    return None if path.suffix.lower() in ENDINGS else "no picture, as its name ends"


def _by_name(names: Iterable[str]) -> tuple[list[str], list[Skipped]]:
    """Which names are pictures', and why the others are left out."""
    reasons = {name: why_not_by_name(name) for name in names}
    skipped = [Skipped(name, reason) for name, reason in reasons.items() if reason is not None]
    return [name for name, reason in reasons.items() if reason is None], skipped
