"""Dogs vs. Cats: 25,000 photographs of cats and dogs, of many sizes, as Kaggle and Microsoft hand them out.

J. Elson, J. R. Douceur, J. Howell, J. Saul, "Asirra: a CAPTCHA that exploits interest-aligned manual image
categorization", ACM CCS 2007. Kaggle's ``train.zip`` names its pictures ``train/cat.0.jpg`` and so on; Microsoft's
archive has them in ``PetImages/Cat`` and ``PetImages/Dog``, a few of them broken. Both, and the folders that people
make of them, are read where they are. The class of a picture is what its own name says, else the exact name of the
folder it is in; nothing above the folder or archive is looked at.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Literal

import numpy as np

from minicnn.data.batches.picture_loader import PictureLoader
from minicnn.data.errors import DataError
from minicnn.data.pictures.layout import pet, places
from minicnn.data.pictures.sources import PictureSource, Skipped
from minicnn.data.sets.cache import cache_folder
from minicnn.data.sets.collection import picture_source
from minicnn.data.sets.division import Parts, divide
from minicnn.data.sets.idx_dataset import PATIENCE, Arrays, Source

CLASS_NAMES = ("cat", "dog")
NAME, TITLE = "dogs-vs-cats", "Dogs vs. Cats"

ARCHIVES = ("train.zip", "kagglecatsanddogs_5340.zip", "dogs-vs-cats.zip")
"""What the archives with the labelled pictures are called."""

HOW_TO_GET = (
    "`minicnn data fetch dogs-vs-cats` downloads Microsoft's archive (825 MB); or put Kaggle's train.zip into the "
    "sub-folder dogs-vs-cats of a folder that the environment variable MINICNN_DATA names, or name it with --data"
)

MIRRORS = ("https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/",)
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
"""Of Microsoft's archive, the second of `ARCHIVES`."""

_MAX_BYTES = 900_000_000
_BLOCK = 1 << 20

Fitting = Literal["squeeze", "crop", "pad"]
Animal = Literal["cat", "dog"]


def find(path: str | os.PathLike[str] | None = None) -> Source:
    """Say where the pictures would be taken from.

    Args:
        path: the archive or folder, or a folder that has one of `ARCHIVES` in it or in its sub-folder
            ``dogs-vs-cats``. None looks in the folder ``$MINICNN_DATA`` names, then in the cache folder.

    Raises:
        DataError: `path` has no cats and dogs.
    """
    if path is not None:
        return Source(TITLE, "folder", _inside(Path(path)))
    environment = os.environ.get("MINICNN_DATA")
    for kind, root in (("environment", environment), ("cache", cache_folder())):
        own = _own_folder(Path(root)) if root else None
        if own is not None:
            return Source(TITLE, kind, archive_in(own) or own)
    return Source(TITLE, "absent", cache_folder() / NAME)


def pictures(path: str | os.PathLike[str] | None = None, positive: Animal = "dog") -> PictureSource:
    """All cats and dogs with their classes; opens no picture yet.

    Args:
        path: see `find`.
        positive: the class numbered 1; the other one is 0.

    Returns:
        The pictures; those whose class nothing tells, and files that are no pictures, are in its ``skipped``.

    Raises:
        DataError: they are not on this machine, or there are no cats or no dogs among them.
    """
    where = _located(path)
    source = picture_source(where)
    animals = [pet(place) for place in places(source.names)]
    chosen = [index for index, animal in enumerate(animals) if animal is not None]
    classes = ordered(positive)
    if {animals[index] for index in chosen} != set(classes):
        raise DataError(_not_pets(where, source))
    labelled = source.subset(chosen).labelled([classes.index(str(animals[index])) for index in chosen], classes)
    unknown = [
        Skipped(name, "neither its name nor its folder says cat or dog")
        for name, animal in zip(source.names, animals, strict=True)
        if animal is None
    ]
    labelled.skipped = [*source.skipped, *unknown]
    return labelled


def load(
    path: str | os.PathLike[str] | None = None,
    train: int | None = 20_000,
    validation: int | None = 5_000,
    test: int | None = 0,
    *,
    seed: int = 0,
    positive: Animal = "dog",
) -> Parts:
    """Divide the cats and dogs into parts with as many of each in every part; opens no picture yet.

    Where the pictures lie in ``train/`` and ``validation/`` (or ``test/``) already, each part is taken from its own.

    Args:
        path: see `find`.
        train, validation, test: how many pictures; None for all that are left.
        seed: same seed, same parts, in a folder or an archive.
        positive: the class numbered 1.

    Returns:
        (train, validation, test): disjoint, for `PictureLoader`.

    Raises:
        DataError: they are not on this machine, or there are no cats or no dogs among them.
        ValueError: there are fewer than asked for.
    """
    source = pictures(path, positive)
    return divide(source, [place.part for place in places(source.names)], train, validation, test, seed=seed)


def load_data(
    path: str | os.PathLike[str] | None = None,
    n_train: int | None = 4_096,
    n_test: int | None = 1_024,
    size: tuple[int, int] = (150, 150),
    *,
    fitting: Fitting = "squeeze",
    seed: int = 0,
    positive: Animal = "dog",
) -> tuple[Arrays, Arrays]:
    """Load cats and dogs into memory, as many of each.

    Pictures that cannot be read are left out, and a line says how many and why. `load` and `PictureLoader` train on
    more than the memory holds.

    Args:
        path: see `find`.
        n_train: how many to train on; None for all but those to test on.
        n_test: how many to test on, none of them among the former.
        size: (height, width) in pixels to bring them to.
        fitting: "squeeze" ignores the aspect ratio, "crop" cuts the ends of the longer side, "pad" adds black borders.
        seed: same seed, same pictures.
        positive: the class numbered 1.

    Returns:
        ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, height, width, 3), RGB; labels uint8 (N,).

    Raises:
        DataError: they are not on this machine, or there are no cats or no dogs among them.
        ValueError: there are fewer than asked for.
    """
    parts = load(path, n_train, n_test, seed=seed, positive=positive)
    return _in_memory(parts.train, size, fitting), _in_memory(parts.validation, size, fitting)


def fetch(*, patience: float = PATIENCE) -> Path:
    """Download Microsoft's archive (825 MB) into the cache folder, going on where an earlier transfer broke off.

    Args:
        patience: seconds after which a network that does not answer is given up.

    Returns:
        Where the archive is.

    Raises:
        DownloadError: no mirror delivers it.
    """
    from minicnn.data.sets import download

    target = cache_folder() / NAME / ARCHIVES[1]
    urls = [mirror + target.name for mirror in MIRRORS]
    print(f"{TITLE}: downloading {target.name} to {target.parent}", file=sys.stderr)
    return download.fetch(target, urls, _verify, max_bytes=_MAX_BYTES, patience=patience)


def _verify(path: Path) -> None:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
    digest = total.hexdigest()
    if digest != SHA256:
        raise DataError(f"not Microsoft's archive: expected sha256 {SHA256[:16]}..., got {digest[:16]}...")


def ordered(positive: Animal) -> tuple[str, str]:
    """The class names in the order of their numbers.

    >>> ordered("cat")
    ('dog', 'cat')
    """
    if positive not in CLASS_NAMES:
        raise ValueError(f"dogs_vs_cats: expected positive 'cat' or 'dog', got {positive!r}")
    return ("cat", "dog") if positive == "dog" else ("dog", "cat")


def _in_memory(source: PictureSource, size: tuple[int, int], fitting: Fitting) -> Arrays:
    x, y = [np.empty((0, *size, 3), np.uint8)], [np.empty(0, np.uint8)]
    if len(source):
        loader = PictureLoader(source, size, shuffle=False, fitting=fitting, dtype="uint8")
        for pictures, labels in loader.stream():
            x.append(pictures)
            y.append(labels)
    return np.concatenate(x), np.concatenate(y)


def _located(path: str | os.PathLike[str] | None) -> Path:
    place = find(path)
    if place.kind == "absent" or place.folder is None:
        raise DataError(f"{TITLE} is neither in $MINICNN_DATA nor in the cache: {HOW_TO_GET}")
    return place.folder


def archive_in(folder: Path) -> Path | None:
    """The archive of the labelled pictures that a folder, or its sub-folder ``dogs-vs-cats``, holds, if any."""
    folders = [own for own in (_own_folder(folder), folder) if own is not None]
    archives = (own / name for own in folders for name in ARCHIVES)
    return next((archive for archive in archives if archive.is_file()), None)


def _inside(path: Path) -> Path:
    """The archive or folder with the pictures at or in `path`."""
    if not path.is_dir():
        return path
    found = archive_in(path) or _own_folder(path)
    if found is not None:
        return found
    source = picture_source(path)
    if not set(CLASS_NAMES) <= {pet(place) for place in places(source.names)}:
        raise DataError(_not_pets(path, source))
    return path


def _own_folder(folder: Path) -> Path | None:
    named = (folder / name for name in (NAME, NAME.replace("-", "_")))
    return next((own for own in named if own.is_dir() and any(own.iterdir())), None)


def _not_pets(where: Path, source: PictureSource) -> str:
    within = [item.name for item in source.skipped if item.name.lower().endswith(".zip")]
    # Kaggle's outermost archive holds train.zip and test1.zip.
    unpack = f"; unpack {where.name} first, which has {', '.join(within)} in it" if within else ""
    return (
        f"{where}: there are no cats, or no dogs: expected pictures called cat.N.jpg and dog.N.jpg, or in folders "
        f"called Cat and Dog{unpack}"
    )
