"""The `.minicnn` format: a zip archive, stored without compression, of

- ``model.json``: the layers by class and configuration, how the model was compiled, class names, preprocessing, the
  number of finished epochs, and the random state: where the shuffling stands and how many masks each dropout drew;
- ``weights.safetensors``: the weights, named as `minicnn.saving.weights` says;
- ``optimizer.safetensors``: the optimizer's slots, for models that were compiled.

Classes and functions are found by name, in the registries and the caller's custom objects; nothing in the file is code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn
from minicnn.models import Model
from minicnn.models.serialization import serialize_layer
from minicnn.saving import weights
from minicnn.saving.containers import open_zip, read_description, read_member, write_zip
from minicnn.saving.errors import ModelFileError, refusing
from minicnn.saving.extras import describe_extras, restore_extras
from minicnn.saving.files import replacing
from minicnn.saving.making import check_built, check_size, compile_config, compile_model, make_model, to_json

if TYPE_CHECKING:
    from minicnn.optimizers import Optimizer

FORMAT = "minicnn"
VERSION = 1
_DESCRIPTION, _WEIGHTS, _OPTIMIZER = "model.json", "weights.safetensors", "optimizer.safetensors"
# Arrays that an optimizer keeps for each weight; Adam with amsgrad has three.
_MOST_SLOTS = 4


def save(model: Model, path: Path) -> None:
    """Write a model.

    Raises:
        ValueError: the model is not built, or something in it cannot be described, a Lambda layer for instance.
    """
    check_built(model)
    description = describe_model(model)
    check_size(description["model"])
    members = {_DESCRIPTION: to_json(description, model, indent=1), _WEIGHTS: b""}
    members[_WEIGHTS] = weights.to_safetensors(weights.collect(model))
    if model.compiled:
        state = model.trainer.optimizer_state()
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        members[_OPTIMIZER] = weights.to_safetensors(arrays)
    with replacing(path) as file:
        write_zip(file, members)


def describe_model(model: Model) -> dict[str, Any]:
    """Give what `model.json` holds."""
    extras = describe_extras(model)
    plain = _plain_state(model.optimizer) if model.compiled else None
    return {
        "format": FORMAT,
        "version": VERSION,
        "written_by": {"minicnn": minicnn.__version__, "numpy": np.__version__},
        "model": serialize_layer(model),
        "input_shape": model.input_shape,
        "compile": compile_config(model),
        **extras,
        "state": {"optimizer": plain, **extras["state"]},
    }


def _plain_state(optimizer: Optimizer) -> dict[str, Any]:
    state = optimizer.get_state()
    return {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """Read a model; see `minicnn.saving.load_model`."""
    source = f"load_model: {path}"
    with path.open("rb") as file, refusing(source), open_zip(file, ".minicnn") as archive:
        members = _checked_members(archive)
        description = _read_description(archive)
        model = make_model(description["model"], description["input_shape"], custom_objects)
        arrays = _read_arrays(archive, _WEIGHTS, weights.most_bytes(model), source)
        weights.assign(model, arrays, source)
        restore_extras(model, description)
        if compile and description["compile"] is not None:
            compile_model(model, description["compile"], custom_objects)
            if _OPTIMIZER in members:
                limit = weights.most_bytes(model, _MOST_SLOTS)
                slots = _read_arrays(archive, _OPTIMIZER, limit, source)
                model.trainer.optimizer.bind(model.weights)
                model.trainer.optimizer.set_state({**description["state"]["optimizer"], **slots})
    return model


def load_weights(model: Model, path: Path, skip_mismatch: bool = False) -> None:
    """Read the weights of a file into a model; see `minicnn.saving.load_weights`."""
    source = f"load_weights: {path}"
    with path.open("rb") as file, refusing(source), open_zip(file, ".minicnn") as archive:
        _checked_members(archive)
        arrays = _read_arrays(archive, _WEIGHTS, weights.most_bytes(model), source)
        weights.assign(model, arrays, source, skip_mismatch)


def _checked_members(archive: zipfile.ZipFile) -> set[str]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if _DESCRIPTION not in names or _WEIGHTS not in names:
        raise ModelFileError(f"not a .minicnn file: it holds {names[:5]}, not {_DESCRIPTION} and {_WEIGHTS}")
    unknown = sorted(set(names) - {_DESCRIPTION, _WEIGHTS, _OPTIMIZER})
    if unknown:
        raise ModelFileError(f"not a .minicnn file: it holds {unknown}")
    for info in infos:
        # Stored members are as large as they say; a packed one could grow to any size.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ModelFileError(f"{info.filename} is compressed, which no .minicnn file is")
    return set(names)


def _read_description(archive: zipfile.ZipFile) -> dict[str, Any]:
    description = read_description(archive, _DESCRIPTION)
    if description.get("format") != FORMAT:
        raise ModelFileError(f"{_DESCRIPTION} does not describe a minicnn model")
    if description.get("version") != VERSION:
        raise ModelFileError(
            f"has version {description.get('version')} of the format, this minicnn reads version {VERSION}; "
            "a newer one is needed"
        )
    return description


def _read_arrays(archive: zipfile.ZipFile, name: str, limit: int, source: str) -> dict[str, np.ndarray]:
    return weights.from_safetensors(read_member(archive, name, limit), f"{source}: {name}")
