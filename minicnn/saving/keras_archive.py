"""The `.keras` format of Keras 3: a zip archive of

- ``config.json``: the layers, and how the model was compiled, see `minicnn.saving.keras_objects`;
- ``model.weights.h5``: weights and the optimizer's state, see `minicnn.saving.keras_weights`;
- ``metadata.json``: the version that wrote it, and here also what a model carries that Keras has no place for.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minicnn
from minicnn.models import Model
from minicnn.saving import keras_weights, weights
from minicnn.saving.containers import open_zip, read_description, read_member, write_zip
from minicnn.saving.errors import refusing
from minicnn.saving.extras import describe_extras, restore_extras
from minicnn.saving.files import replacing
from minicnn.saving.h5_weights import KERAS_VERSION
from minicnn.saving.hdf5 import Group, open_hdf5
from minicnn.saving.keras_graph import describe_layer, read_layer
from minicnn.saving.keras_training import describe_training, optimizer_groups, read_training, set_optimizer_arrays
from minicnn.saving.making import check_built, check_size, compile_config, compile_model, make_model, to_json

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# The weights, and what an optimizer keeps for each: Adam with amsgrad three arrays, and Keras' average of the weights;
# under a scaling of the loss all of that twice.
_MOST_COPIES = 9
_BYTES_PER_LAYER = 16_384


def save(model: Model, path: Path) -> None:
    """Write a model; ValueError where it is not built, or has something that Keras does not have."""
    import h5py

    check_built(model)
    config = describe_layer(model)
    check_size(config)
    training = compile_config(model)
    if training is not None:
        config["compile_config"] = describe_training(training)
    metadata = {
        "keras_version": KERAS_VERSION,
        "minicnn": {
            "version": minicnn.__version__,
            "input_shape": model.input_shape,
            "clip_probabilities": bool(training and training["clip_probabilities"]),
            **describe_extras(model),
        },
    }
    members = {_METADATA: to_json(metadata, model), _CONFIG: to_json(config, model)}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as root:
        keras_weights.save_group(model, root)
        if model.compiled:
            for group, name, arrays in optimizer_groups(model):
                keras_weights.write_vars(root, group, name, arrays)
    with replacing(path) as file:
        write_zip(file, {**members, _WEIGHTS: buffer.getbuffer()})


def load_weights(model: Model, path: Path, skip_mismatch: bool = False) -> None:
    """Read the weights of a file into a model; see `minicnn.saving.load_weights`."""
    with path.open("rb") as file, refusing(f"load_weights: {path}"), open_zip(file, ".keras") as archive:
        keras_weights.load_group(model, _open_weights(archive, model), skip_mismatch)


def _open_weights(archive: zipfile.ZipFile, model: Model) -> Group:
    layers = sum(1 for _ in weights.walk_layers(model))
    limit = weights.most_bytes(model, _MOST_COPIES) + layers * _BYTES_PER_LAYER
    return open_hdf5(io.BytesIO(read_member(archive, _WEIGHTS, limit)))


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """Read a model; see `minicnn.saving.load_model`."""
    with path.open("rb") as file, refusing(f"load_model: {path}"), open_zip(file, ".keras") as archive:
        config = read_description(archive, _CONFIG)
        custom = dict(custom_objects or {})
        extras = read_description(archive, _METADATA).get("minicnn")
        shape = (config.get("build_config") if extras is None else extras) or {}
        model = make_model(read_layer(config, custom), shape.get("input_shape"), custom)
        root = _open_weights(archive, model)
        keras_weights.load_group(model, root)
        training = config.get("compile_config")
        if compile and training:
            described = read_training(training, custom, model)
            if extras is not None:
                described["clip_probabilities"] = bool(extras["clip_probabilities"])
            compile_model(model, described, custom)
            set_optimizer_arrays(model, [dataset.read() for dataset in keras_weights.read_vars(root, "optimizer")])
        if extras is not None:
            restore_extras(model, extras)
    return model
