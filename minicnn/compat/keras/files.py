"""Models in files of any name: until Keras 3, a name without an ending of Keras' own meant HDF5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn import saving
from minicnn.models import Model
from minicnn.saving import h5_models

_ENDINGS = (".minicnn", ".keras", ".h5")


def _is_plain(filepath: Any) -> bool:
    return not Path(filepath).name.lower().endswith(_ENDINGS)


def any_name(original: Callable[..., None]) -> Callable[..., None]:
    """`Model.save` that writes HDF5 where the name does not say what to write."""

    def save(self: Model, filepath: Any) -> None:
        if _is_plain(filepath):
            h5_models.save(self, Path(filepath))
        else:
            original(self, filepath)

    return save


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Model:
    """Read a model; one whose name has no ending of a format is HDF5. Raises as `minicnn.load_model` does."""
    if _is_plain(filepath):
        return h5_models.load(Path(filepath), custom_objects, compile)
    return saving.load_model(filepath, custom_objects, compile)
