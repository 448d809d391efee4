"""Where trained weights and the names of their classes are looked for, and getting them into a network.

Nothing is downloaded: the files are large, and whose network somebody trusts is for them to say.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from minicnn.data.errors import DataError
from minicnn.data.sets.cache import cache_folder

if TYPE_CHECKING:
    from minicnn.models import Model

Weights = Union[str, "os.PathLike[str]", None]
Loader = Callable[["Model", Path], Any]

_BLOCK = 2**20


@dataclass(frozen=True)
class Release:
    """A file of weights that somebody has published.

    Attributes:
        name: of the file.
        origin: who has it: completes "get it from".
        md5: of the whole file, None where its publisher states none.
    """

    name: str
    origin: str
    md5: str | None = None


def keras_release(folder: str, network: str, md5: str, *, top: bool = True) -> Release:
    """The weights that Keras publishes for a network: where, and under which name."""
    name = f"{network}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"
    address = f"https://storage.googleapis.com/tensorflow/keras-applications/{folder}/{name}"
    return Release(name, f"{address} (Keras itself keeps it in ~/.keras/models)", md5)


def load_into(model: Model, weights: Weights, release: Release, load: Loader | None = None) -> None:
    """Give a network its weights.

    Args:
        model: the network.
        weights: None leaves it as it is; "imagenet" looks for the published file; else a path.
        release: the published file for this network.
        load: reads a file into the model; `Model.load_weights` where None.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: "imagenet", and the published file is not on this machine, or is damaged.
        ValueError: the file's weights are not this network's; the network is then as it was.
    """
    if weights is None:
        return
    path = _published(model.name, release) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"{model.name}: weights must be None, 'imagenet' or the path of a file, and there is no file {path}"
        )
    if load is None:
        model.load_weights(path)
    else:
        load(model, path)


def _published(network: str, release: Release) -> Path:
    path = find_file(release.name)
    if path is None:
        raise DataError(
            f"{network}: weights='imagenet' needs {release.name}, which is not on this machine (looked in "
            f"{searched()}); get it from {release.origin}, and pass its path as weights or put it into one of these "
            "folders"
        )
    if release.md5 is not None:
        _verify(path, release.md5)
    return path


def _verify(path: Path, md5: str) -> None:
    # Against damage, not against forgers: no other checksum is published.
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != md5:
        raise DataError(f"{path}: not the published file, or damaged: expected md5 {md5}, got {digest.hexdigest()}")


def find_file(name: str) -> Path | None:
    """Find a published file by its name where such files are kept; None where it is not."""
    return next((folder / name for folder in _folders() if (folder / name).is_file()), None)


def searched() -> str:
    """The folders that `find_file` looks in, for messages."""
    return ", ".join(map(str, _folders()))


def _folders() -> list[Path]:
    """`$MINICNN_DATA` and the folders in it, the cache folder, and where Keras keeps what it downloads."""
    folders = []
    if named := os.environ.get("MINICNN_DATA"):
        folders.append(Path(named))
        if Path(named).is_dir():
            folders += sorted(entry for entry in Path(named).iterdir() if entry.is_dir())
    folders.append(cache_folder() / "applications")
    keras = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return [*folders, Path(keras) / "models"]
