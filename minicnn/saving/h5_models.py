"""Whole models in HDF5, as Keras 1 and 2 saved them and Keras 3 still can.

The attributes ``model_config`` and ``training_config`` describe the model as JSON; the group ``model_weights`` holds
the weights, see `minicnn.saving.h5_weights`, and ``optimizer_weights`` the optimizer's arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minicnn
from minicnn.models import Model
from minicnn.saving import h5_weights
from minicnn.saving.containers import parse
from minicnn.saving.errors import ModelFileError, refusing
from minicnn.saving.extras import describe_extras, restore_extras
from minicnn.saving.files import replacing
from minicnn.saving.hdf5 import Group, open_hdf5
from minicnn.saving.keras_graph import describe_layer, legacy, read_layer
from minicnn.saving.keras_training import describe_training, optimizer_arrays, read_training, set_optimizer_arrays
from minicnn.saving.making import check_built, check_size, compile_config, compile_model, make_model, to_json


def save(model: Model, path: Path) -> None:
    """Write a model; ValueError where it is not built, or has something that Keras does not have."""
    import h5py

    check_built(model)
    described = describe_layer(model)
    check_size(described)
    config = compile_config(model)
    attributes = {"model_config": legacy(described)}
    if config is not None:
        training = describe_training(config)
        training["optimizer_config"] = legacy(training.pop("optimizer"))
        attributes["training_config"] = training
    attributes["minicnn"] = {
        "version": minicnn.__version__,
        "input_shape": model.input_shape,
        "clip_probabilities": bool(config and config["clip_probabilities"]),
        **describe_extras(model),
    }
    texts = {name: to_json(value, model).decode() for name, value in attributes.items()}
    arrays = optimizer_arrays(model) if model.compiled else []
    with replacing(path) as file, h5py.File(file, "w") as root:
        root.attrs["backend"] = "numpy"
        root.attrs["keras_version"] = h5_weights.KERAS_VERSION
        for name, text in texts.items():
            root.attrs[name] = text
        h5_weights.save_group(model, root.create_group("model_weights"))
        if arrays:
            owner = model.trainer.optimizer.name
            names = _distinct([f"{owner}/{name}" for name, _ in arrays])
            group = root.create_group("optimizer_weights")
            h5_weights.write_arrays(group, [(name, array) for name, (_, array) in zip(names, arrays, strict=True)])


def _distinct(names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    found = []
    for name in names:
        count = counts.get(name, 0)
        counts[name] = count + 1
        found.append(f"{name}:{count}" if count else name)
    return found


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """Read a model; see `minicnn.saving.load_model`."""
    with path.open("rb") as file, refusing(f"load_model: {path}"):
        root = open_hdf5(file)
        config = _description(root, "model_config")
        if config is None:
            hint = (
                "; it holds weights alone: build the model and use load_weights"
                if "layers" in root or ("layer_names" in root.attributes)
                else ""
            )
            raise ModelFileError(f"it describes no model (attribute model_config){hint}")
        custom = dict(custom_objects or {})
        extras = _description(root, "minicnn")
        shape = None if extras is None else extras.get("input_shape")
        model = make_model(read_layer(config, custom), shape, custom)
        h5_weights.load_group(model, root.group("model_weights"))
        training = _description(root, "training_config")
        if compile and training is not None:
            described = read_training(training, custom, model)
            if extras is not None:
                described["clip_probabilities"] = bool(extras["clip_probabilities"])
            compile_model(model, described, custom)
            _load_optimizer(model, root)
        if extras is not None:
            restore_extras(model, extras)
    return model


def _load_optimizer(model: Model, root: Group) -> None:
    if "optimizer_weights" not in root:
        return
    group = root.group("optimizer_weights")
    names = h5_weights.read_names(group, "weight_names")
    set_optimizer_arrays(model, [group.dataset(name).read() for name in names], names)


def _description(root: Group, name: str) -> dict[str, Any] | None:
    text = root.attributes.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ModelFileError(f"the attribute {name} must be a string, but it is {type(text).__name__}")
    return parse(text, name)
