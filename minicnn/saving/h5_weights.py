"""Weights in HDF5: files of either layout read, and those of Keras 1 and 2 written, `keras.applications`' among them.

The attribute ``layer_names`` lists the layers. Each has a group of its name, whose attribute ``weight_names`` lists
its weights: ``dense/kernel:0`` as Keras 1 and 2 call them, ``dense/kernel`` as Keras 3 does. A file of a whole model
has all of this in a group ``model_weights``. How Keras 3 lays weights out is said in `minicnn.saving.keras_weights`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers import Layer
from minicnn.parameter import Parameter
from minicnn.saving import keras_weights
from minicnn.saving.errors import ModelFileError, refusing
from minicnn.saving.files import replacing
from minicnn.saving.hdf5 import Dataset, Group, open_hdf5
from minicnn.saving.keras_order import keras_layers, legacy_order

if TYPE_CHECKING:
    from minicnn.models import Model

#: Keras 3's files say with which version of it they were written; this is the layout that they follow.
KERAS_VERSION = "3.5.0"
# HDF5 keeps attributes in a header of 64 KiB; longer lists are cut into pieces name0, name1, ...
_MOST_ATTRIBUTE = 64_512
_MOST_PIECES = 10_000


# ---------------------------------------------------------------------------------------------- reading


def load(model: Model, path: Path, by_name: bool = False, skip_mismatch: bool = False) -> None:
    """Read weights into a model; see `minicnn.saving.load_weights`."""
    source = f"load_weights: {path}"
    with path.open("rb") as file, refusing(source):
        root = open_hdf5(file)
        if not _has_list(root, "layer_names") and "model_weights" in root:
            root = root.group("model_weights")
        if _has_list(root, "layer_names"):
            load_group(model, root, by_name, skip_mismatch)
        elif by_name:
            raise ModelFileError(
                "by_name needs the names of layers, which only files laid out as Keras 2 has them list"
            )
        else:
            keras_weights.load_group(model, root, skip_mismatch)


def load_group(model: Model, group: Group, by_name: bool = False, skip_mismatch: bool = False) -> None:
    """Read weights from the group that lists the layers.

    Raises:
        ModelFileError: the weights do not fit the model; it is then as it was.
    """
    names = read_names(group, "layer_names")
    match = _by_name if by_name else _by_place
    pairs: list[tuple[Parameter, Dataset]] = []
    for layer, datasets in match(model, group, names):
        weights = legacy_order(layer)
        problem = _mismatch(weights, datasets)
        if problem is None:
            pairs += [(weight, dataset) for (_, weight), dataset in zip(weights, datasets, strict=True)]
        elif skip_mismatch:
            warnings.warn(f"load_weights: layer '{layer.name}' is skipped: {problem}", stacklevel=6)
        else:
            raise ModelFileError(f"layer '{layer.name}': {problem}")
    _check_theano(group, pairs)
    # All of them are read before the first is changed.
    arrays = [dataset.read() for _, dataset in pairs]
    for (weight, _), array in zip(pairs, arrays, strict=True):
        weight.data = array.astype(weight.dtype, copy=False)


def read_names(group: Group, name: str) -> list[str]:
    """Read a list of names from an attribute, or from its pieces where it was too long for one."""
    if name in group.attributes:
        return _strings(group.attributes[name], name)
    found: list[str] = []
    for piece in range(_MOST_PIECES):
        if f"{name}{piece}" not in group.attributes:
            break
        found += _strings(group.attributes[f"{name}{piece}"], name)
    return found


def _has_list(group: Group, name: str) -> bool:
    return name in group.attributes or f"{name}0" in group.attributes


def _strings(value: Any, name: str) -> list[str]:
    if isinstance(value, np.ndarray) and value.size == 0:
        # h5py writes an empty list as an array of numbers.
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ModelFileError(f"the attribute {name} must be a list of names, but it is {type(value).__name__}")
    return value


def _datasets(group: Group) -> list[Dataset]:
    return [group.dataset(name) for name in read_names(group, "weight_names")]


def _by_place(model: Model, group: Group, names: Sequence[str]) -> list[tuple[Layer, list[Dataset]]]:
    """Pair the layers that have weights with those of the file, in their order."""
    layers = [layer for layer in keras_layers(model) if layer.weights]
    saved = [(name, _datasets(group.group(name))) for name in names]
    saved = [(name, datasets) for name, datasets in saved if datasets]
    if len(layers) != len(saved):
        raise ModelFileError(
            f"the file has {len(saved)} layers with weights ({_shown(name for name, _ in saved)}), the model has "
            f"{len(layers)} ({_shown(layer.name for layer in layers)}); by_name=True takes those of the same names"
        )
    return [(layer, datasets) for layer, (_, datasets) in zip(layers, saved, strict=True)]


def _by_name(model: Model, group: Group, names: Sequence[str]) -> list[tuple[Layer, list[Dataset]]]:
    """Pair layers of the model with those of the same names in the file, and leave the others alone."""
    layers = {layer.name: layer for layer in keras_layers(model)}
    pairs = [(layers[name], _datasets(group.group(name))) for name in names if name in layers]
    if not any(datasets for _, datasets in pairs):
        # Silence would leave a model untrained that its user thinks is trained.
        raise ModelFileError(
            f"by_name: no layer with weights has the same name in the file ({_shown(names)}) and in the model "
            f"({_shown(name for name, layer in layers.items() if layer.weights)})"
        )
    return pairs


def _mismatch(weights: Sequence[tuple[str, Parameter]], datasets: Sequence[Dataset]) -> str | None:
    """Say what does not fit, None where all does."""
    if len(weights) != len(datasets):
        return f"{len(datasets)} weights in the file, {len(weights)} in the model"
    for (name, weight), dataset in zip(weights, datasets, strict=True):
        if dataset.dtype.kind != "f":
            raise ModelFileError(f"{dataset.path!r} must hold floats, but has dtype {dataset.dtype}")
        if dataset.shape != weight.shape:
            return f"{name.rpartition('/')[2]} has shape {dataset.shape} in the file, {weight.shape} in the model"
    return None


def _check_theano(group: Group, pairs: Iterable[tuple[Parameter, Dataset]]) -> None:
    if group.attributes.get("backend") == "theano" and any(len(weight.shape) == 4 for weight, _ in pairs):
        raise ModelFileError("it was written with Theano, which turns convolution kernels by 180 degrees")


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")


# ---------------------------------------------------------------------------------------------- writing


def save(model: Model, path: Path) -> None:
    """Write a model's weights; see `minicnn.saving.save_weights`."""
    import h5py

    with replacing(path) as file, h5py.File(file, "w") as root:
        save_group(model, root)


def save_group(model: Model, group: Any) -> None:
    """Write the weights into an open group of h5py's."""
    layers = keras_layers(model)
    group.attrs["backend"] = "numpy"
    group.attrs["keras_version"] = KERAS_VERSION
    write_names(group, "layer_names", [layer.name for layer in layers])
    for layer in layers:
        write_arrays(group.create_group(layer.name), [(name, weight.data) for name, weight in legacy_order(layer)])
    # What a model keeps beside its layers; there is nothing of the kind here, and Keras looks for it.
    write_arrays(group.create_group("top_level_model_weights"), [])


def write_arrays(group: Any, arrays: Sequence[tuple[str, Any]]) -> None:
    """Write arrays under their names, and the list of the names."""
    write_names(group, "weight_names", [name for name, _ in arrays])
    for name, array in arrays:
        group.create_dataset(name, data=array)


def write_names(group: Any, name: str, values: Sequence[str]) -> None:
    """Write a list of names as an attribute, in pieces where it is too long for one."""
    encoded = np.array([value.encode() for value in values], "S") if values else np.array([], "S1")
    pieces = -(-encoded.nbytes // _MOST_ATTRIBUTE) or 1
    if pieces == 1:
        group.attrs[name] = encoded
        return
    for number, piece in enumerate(np.array_split(encoded, pieces + 1)):
        group.attrs[f"{name}{number}"] = piece
