"""The `.minicnn` format: a zip archive, stored without compression, of

- ``model.json``: the layers by class and configuration, how the model was compiled, class names, preprocessing, the
  number of finished epochs, and the random state: where the shuffling stands and how many masks each dropout drew;
- ``weights.safetensors``: the weights, named as `minicnn.saving.weights` says;
- ``optimizer.safetensors``: the optimizer's slots, for models that were compiled.

Classes and functions are found by name, in the registries and the caller's custom objects; nothing in the file is code.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn
from minicnn import losses, metrics, optimizers
from minicnn.models import Model
from minicnn.models.model import deserialize_layer, serialize_layer
from minicnn.saving import weights
from minicnn.saving.files import replacing

if TYPE_CHECKING:
    from minicnn.training import Trainer

FORMAT = "minicnn"
VERSION = 1
_DESCRIPTION, _WEIGHTS, _OPTIMIZER = "model.json", "weights.safetensors", "optimizer.safetensors"
_LARGEST_DESCRIPTION = 16 * 2**20
# Arrays that an optimizer keeps for each weight; Adam with amsgrad has three.
_MOST_SLOTS = 4


# ---------------------------------------------------------------------------------------------- writing


def save(model: Model, path: Path) -> None:
    """Write a model.

    Raises:
        ValueError: the model is not built, or something in it cannot be described, a Lambda layer for instance.
    """
    if not model.built:
        raise ValueError(f"save: {model.describe()} has no weights yet: build(input_shape) or fit it first")
    description = describe_model(model)
    members = {_WEIGHTS: weights.to_safetensors(weights.collect(model))}
    if model.compiled:
        state = model.trainer.optimizer.get_state()
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        members[_OPTIMIZER] = weights.to_safetensors(arrays)
    members = {_DESCRIPTION: _to_json(description, model), **members}
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            # A fixed date: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data)


def describe_model(model: Model) -> dict[str, Any]:
    """Give what `model.json` holds."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "written_by": {"minicnn": minicnn.__version__, "numpy": np.__version__},
        "model": serialize_layer(model),
        "input_shape": model.input_shape,
        "compile": _compile_config(model),
        "class_names": None if model.class_names is None else list(model.class_names),
        "preprocessing": _describe_preprocessing(model.preprocessing),
        "epoch": model.epoch,
        "state": {
            "optimizer": _plain_state(model.trainer) if model.compiled else None,
            "shuffler": model.shuffler.bit_generator.state,
            "layers": {path: layer.get_state() for path, layer in weights.walk_layers(model) if layer.get_state()},
        },
    }


def _compile_config(model: Model) -> dict[str, Any] | None:
    if not model.compiled:
        return None
    try:
        return model.trainer.get_config()
    except ValueError as error:
        warnings.warn(
            f"save: {error}; the file carries no loss and metrics: compile the loaded model again", stacklevel=6
        )
        return None


def _plain_state(trainer: Trainer) -> dict[str, Any]:
    state = trainer.optimizer.get_state()
    return {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}


def _describe_preprocessing(preprocessing: Any) -> Any:
    if preprocessing is None or isinstance(preprocessing, Mapping):
        return preprocessing
    return {"class_name": type(preprocessing).__name__, "config": preprocessing.get_config()}


def _to_json(description: dict[str, Any], model: Model) -> bytes:
    try:
        return json.dumps(description, indent=1, default=_plain_number).encode()
    except TypeError as error:
        raise ValueError(f"save: {model.describe()} holds something that no file can carry: {error}") from error


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


# ---------------------------------------------------------------------------------------------- reading


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """Read a model; see `minicnn.saving.load_model`."""
    source = f"load_model: {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked_members(archive, source)
            description = _read_description(archive, source)
            model = _make_model(description, custom_objects)
            arrays = _read_arrays(archive, _WEIGHTS, weights.most_bytes(model), source)
            weights.assign(model, arrays, source)
            _restore_state(model, description)
            if compile and description["compile"] is not None:
                _compile(model, description["compile"], custom_objects)
                if _OPTIMIZER in members:
                    limit = weights.most_bytes(model, _MOST_SLOTS)
                    slots = _read_arrays(archive, _OPTIMIZER, limit, source)
                    model.trainer.optimizer.bind(model.weights)
                    model.trainer.optimizer.set_state({**description["state"]["optimizer"], **slots})
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{source}: not a .minicnn file, or truncated ({error})") from error
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"{source}: damaged: {type(error).__name__}: {error}") from error
    except ValueError as error:
        if str(error).startswith(source):
            raise
        raise ValueError(f"{source}: {error}") from error
    return model


def _checked_members(archive: zipfile.ZipFile, source: str) -> set[str]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if _DESCRIPTION not in names or _WEIGHTS not in names:
        raise ValueError(f"{source}: not a .minicnn file: it holds {names[:5]}, not {_DESCRIPTION} and {_WEIGHTS}")
    unknown = sorted(set(names) - {_DESCRIPTION, _WEIGHTS, _OPTIMIZER})
    if unknown or len(set(names)) != len(names):
        raise ValueError(f"{source}: not a .minicnn file: it holds {unknown or names}")
    for info in infos:
        # Stored members are as large as they say; a packed one could grow to any size.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"{source}: {info.filename} is compressed, which no .minicnn file is")
    return set(names)


def _read(archive: zipfile.ZipFile, name: str, limit: int, source: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > limit:
        raise ValueError(f"{source}: {name} has {size:,} bytes, more than the {limit:,} that such a model can take")
    return archive.read(name)


def _read_description(archive: zipfile.ZipFile, source: str) -> dict[str, Any]:
    data = _read(archive, _DESCRIPTION, _LARGEST_DESCRIPTION, source)
    try:
        description = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: {_DESCRIPTION} is damaged ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{source}: {_DESCRIPTION} does not describe a minicnn model")
    if description.get("version") != VERSION:
        raise ValueError(
            f"{source}: has version {description.get('version')} of the format, this minicnn reads version {VERSION}; "
            "a newer one is needed"
        )
    return description


def _read_arrays(archive: zipfile.ZipFile, name: str, limit: int, source: str) -> dict[str, np.ndarray]:
    return weights.from_safetensors(_read(archive, name, limit, source), f"{source}: {name}")


def _make_model(description: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> Model:
    try:
        model = deserialize_layer(description["model"], custom_objects)
    except ValueError as error:
        if "unknown layer" not in str(error):
            raise
        raise ValueError(
            f"{error}. A class of your own goes into load_model(custom_objects={{name: class}})"
        ) from error
    if not isinstance(model, Model):
        raise ValueError(f"the file describes a {type(model).__name__}, which is no model")
    if not model.built:
        model.build(_shapes(description["input_shape"]))
    return model


def _shapes(shape: Any) -> Any:
    return [tuple(s) for s in shape] if shape and isinstance(shape[0], list) else tuple(shape)


def _restore_state(model: Model, description: dict[str, Any]) -> None:
    model.epoch = int(description["epoch"])
    model.class_names = description["class_names"]
    model.preprocessing = _make_preprocessing(description["preprocessing"])
    model.shuffler.bit_generator.state = description["state"]["shuffler"]
    states = description["state"]["layers"]
    for path, layer in weights.walk_layers(model):
        if path in states:
            layer.set_state(states[path])


def _make_preprocessing(description: Any) -> Any:
    if not isinstance(description, Mapping) or description.get("class_name") != "Preprocessing":
        return description
    from minicnn.data.preprocessing import Preprocessing

    return Preprocessing.from_config(description["config"])


def _compile(model: Model, config: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> None:
    from minicnn.training.trainer import map_leaves

    custom = custom_objects or {}
    model.compile(
        optimizers.get(config["optimizer"], custom),
        map_leaves(config["loss"], lambda item: _named(item, custom, losses.registry)),
        map_leaves(config["metrics"], lambda item: _named(item, custom, metrics.registry)),
        loss_weights=config["loss_weights"],
        clip_probabilities=config["clip_probabilities"],
    )


def _named(item: Any, custom: Mapping[str, Any], registry: Any) -> Any:
    if isinstance(item, str):
        # Registered names stay names: "accuracy" means what the shapes say, and the logs call it so.
        return custom.get(item, item)
    return (losses.registry if item.get("kind") == "loss" else registry).get(item, custom)
