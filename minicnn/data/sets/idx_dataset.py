"""Data sets of four IDX files (MNIST and those made in its image): where they are, and bringing them in.

A folder holds the files gzipped or unpacked, under their classic names. They are looked for in an explicit folder,
else in ``$MINICNN_DATA``, else in the cache folder, and are downloaded into the cache folder otherwise.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import DataError, DownloadError
from minicnn.data.sets.cache import cache_folder
from minicnn.data.sets.idx import parse_idx, unpack

PATIENCE = 8.0
"""Seconds without data after which the network counts as absent."""

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]

_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        title: what people call the data set.
        kind: ``"folder"`` (asked for), ``"environment"`` (``$MINICNN_DATA``), ``"cache"``, ``"download"`` (not on this
            machine yet), ``"absent"`` (neither, and it cannot be downloaded) or ``"drawn"`` (made on the fly).
        folder: the folder with the files, or the archive; for ``"download"`` and ``"absent"`` the one they would be
            looked for in; None where there are none.
    """

    title: str
    kind: str
    folder: Path | None = None

    def __str__(self) -> str:
        if self.kind == "drawn":
            return f"{self.title}, drawn on the fly"
        if self.kind == "download":
            return f"{self.title}, to be downloaded to {self.folder}"
        if self.kind == "absent":
            return f"{self.title}, not on this machine"
        why = {"environment": " ($MINICNN_DATA)", "cache": " (cache)"}.get(self.kind, "")
        return f"{self.title} from {self.folder}{why}"


@dataclass(frozen=True)
class IdxFile:
    """One file: its name without ``.gz``, the shape of its array and the sha256 of its unpacked bytes."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Length of the unpacked file in bytes."""
        return 4 + 4 * len(self.shape) + int(np.prod(self.shape))

    def names(self) -> list[str]:
        """All names the file goes by: unpacked or gzipped, with a hyphen or (older unpackers) a dot before ``idx``."""
        dotted = self.name.replace("-idx", ".idx")
        return [self.name, self.name + ".gz", dotted, dotted + ".gz"]

    def locate(self, folder: Path) -> Path | None:
        """Find the file in `folder`."""
        paths = (folder / name for name in self.names())
        return next((path for path in paths if path.is_file()), None)

    def check(self, content: bytes, name: str) -> bytes:
        """Unpack `content` and compare it with what the file must be.

        Returns:
            The unpacked bytes.

        Raises:
            DataError: they are others than those of the official release.
        """
        data = unpack(content, self.size, name)
        if len(data) != self.size:
            many = f"{len(data):,}" if len(data) < self.size else f"more than {self.size:,}"
            kind = "truncated" if len(data) < self.size else "too long"
            raise DataError(f"{name}: {kind}: expected {self.size:,} bytes unpacked, got {many}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise DataError(
                f"{name}: not the official file: expected sha256 {self.sha256[:16]}... of its unpacked bytes, "
                f"got {digest[:16]}..."
            )
        return data

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read and verify the file at `path`."""
        try:
            if path.stat().st_size > 2 * self.size:
                raise DataError(f"{path}: too long: expected at most {self.size:,} bytes")
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        return parse_idx(self.check(content, str(path)), self.shape, str(path))


@dataclass(frozen=True)
class IdxDataset:
    """Four IDX files: training pictures and labels, test pictures and labels.

    Attributes:
        name: as on the command line, ``"mnist"``; also the name of its folder.
        title: what people call it.
        files: the four files, in that order.
        mirrors: addresses of folders that hold the gzipped files, tried in turn.
        class_names: what the labels 0, 1, ... mean.
    """

    name: str
    title: str
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    mirrors: tuple[str, ...]
    class_names: tuple[str, ...]

    def find(self, folder: str | os.PathLike[str] | None = None) -> Source:
        """Say where `load` will take the data from, without reading it.

        Args:
            folder: a folder that must have it, as ``folder/NAME/`` or directly.

        Raises:
            DataError: `folder`, or the folder `$MINICNN_DATA` names, has only some of the files; or `folder` has none.
        """
        if folder is not None:
            found = self._inside(Path(folder))
            if found is None:
                raise DataError(self._absent(Path(folder)))
            return Source(self.title, "folder", found)
        environment = os.environ.get("MINICNN_DATA")
        if environment and (found := self._inside(Path(environment))):
            return Source(self.title, "environment", found)
        cache = cache_folder() / self.name
        kind = "download" if self._missing(cache) else "cache"
        return Source(self.title, kind, cache)

    def load(
        self, folder: str | os.PathLike[str] | None = None, *, patience: float = PATIENCE
    ) -> tuple[Arrays, Arrays]:
        """Load the data, downloading it where it is not on this machine.

        Args:
            folder: a folder that must have it, as ``folder/NAME/`` or directly; None looks in ``$MINICNN_DATA``, then
                in the cache folder, then on the network.
            patience: seconds after which a network that does not answer is given up.

        Returns:
            ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, 28, 28), labels uint8 (N,).

        Raises:
            DownloadError: it is not here and no mirror answers.
            DataError: a file is missing, truncated or not the official one.
        """
        source = self.find(folder)
        if source.folder is None:
            raise DataError(f"{self.title}: no folder")
        if source.kind == "download":
            self.fetch(source.folder, patience=patience)
        try:
            x_train, y_train, x_test, y_test = (self._read(file, source.folder) for file in self.files)
        except DataError as error:
            if source.kind in ("cache", "download"):
                raise DataError(f"{error}. Delete it, and it will be downloaded again") from None
            raise
        return (x_train, y_train), (x_test, y_test)

    def fetch(self, folder: Path, *, patience: float = PATIENCE) -> None:
        """Download into `folder` those of the files that it lacks."""
        # Imported here: what urllib brings along costs more time than reading data that is already here.
        from minicnn.data.sets.download import fetch

        for file in self.files:
            if file.locate(folder) is not None:
                continue
            name = file.name + ".gz"
            hosts = [mirror.rstrip("/") + "/" + name for mirror in self.mirrors]
            print(f"{self.title}: downloading {name} to {folder}", file=sys.stderr)
            try:
                fetch(folder / name, hosts, _verifier(file), max_bytes=file.size + 4096, patience=patience)
            except DownloadError as error:
                raise DownloadError(
                    f"{self.title} is neither in $MINICNN_DATA nor in the cache, and {error}. Put the four files "
                    f"into {folder}, or into a folder that the environment variable MINICNN_DATA names"
                ) from None

    def _read(self, file: IdxFile, folder: Path) -> NDArray[np.uint8]:
        path = file.locate(folder)
        if path is None:
            raise DataError(f"{folder}: {file.name}[.gz] is missing")
        return file.read(path)

    def _inside(self, folder: Path) -> Path | None:
        """Which folder at or in `folder` has this data set; None where none does."""
        own = [folder / self.name, folder / self.name.replace("-", "_")]
        for candidate in [*own, folder]:
            missing = self._missing(candidate)
            if len(missing) == len(self.files) or (candidate == folder and self._is_another(folder)):
                continue
            if missing:
                raise DataError(
                    f"{candidate}: {self.title} is incomplete: {', '.join(missing)} missing (.gz or unpacked)"
                )
            return candidate
        return None

    def _missing(self, folder: Path) -> list[str]:
        return [file.name for file in self.files if file.locate(folder) is None]

    def _is_another(self, folder: Path) -> bool:
        """Whether the files right in `folder`, whose names tell nothing, are those of another data set.

        Only then are they passed over: damaged files of this data set must be reported, not ignored.
        """
        digest = _digest_of_labels(folder, self.files[3])
        return digest != self.files[3].sha256 and digest in KNOWN_TEST_LABELS

    def _absent(self, folder: Path) -> str:
        if not folder.is_dir():
            return f"{folder}: no such folder"
        other = KNOWN_TEST_LABELS.get(_digest_of_labels(folder, self.files[3]), "")
        instead = f" (its files are those of {other})" if other else ""
        return (
            f"{folder}: {self.title} is not there{instead}: expected {', '.join(file.name for file in self.files)}, "
            f"unpacked or with .gz, in it or in its sub-folder {self.name}"
        )


def idx_files(*sha256: str, n_train: int = 60_000, n_test: int = 10_000) -> tuple[IdxFile, IdxFile, IdxFile, IdxFile]:
    """Describe the four files of a data set with MNIST's names and sizes."""
    shapes: tuple[tuple[int, ...], ...] = ((n_train, 28, 28), (n_train,), (n_test, 28, 28), (n_test,))
    a, b, c, d = (IdxFile(*facts) for facts in zip(_PARTS, shapes, sha256, strict=True))
    return a, b, c, d


KNOWN_TEST_LABELS = {
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "MNIST",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "Fashion-MNIST",
}
"""sha256 of the unpacked test labels -> data set: MNIST's imitators share its file names."""


def _digest_of_labels(folder: Path, file: IdxFile) -> str:
    path = file.locate(folder)
    try:
        if path is None or path.stat().st_size > 2 * file.size:
            return ""
        return hashlib.sha256(unpack(path.read_bytes(), file.size)).hexdigest()
    except (OSError, DataError):
        return ""


def _verifier(file: IdxFile) -> Callable[[Path], None]:
    def verify(path: Path) -> None:
        file.check(path.read_bytes(), file.name)

    return verify
