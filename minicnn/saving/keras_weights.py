"""Weights in HDF5 as Keras 3 lays them out: groups within groups, as layers lie within layers.

The arrays of a layer are ``vars/0``, ``vars/1``, ... in its group. The layers of a model are in its group ``layers``,
called after their classes and numbered among those of one class: ``layers/conv2d_1/vars/0``. Layers in attributes of a
layer are in groups of the attributes' names.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers import Dropout, Layer
from minicnn.models import Model
from minicnn.parameter import Parameter
from minicnn.saving.errors import ModelFileError
from minicnn.saving.files import replacing
from minicnn.saving.hdf5 import Dataset, Group
from minicnn.saving.keras_order import keras_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What the first versions called the group of a model's layers.
_OLD_LAYERS = "_layer_checkpoint_dependencies"


def walk_groups(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer, list[Parameter]]]:
    """Give every layer with the path of its group and the weights that are its own; a layer used twice comes once."""
    seen: set[int] = set()
    waiting: list[tuple[str, Layer]] = [(path, layer)]
    while waiting:
        place, current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        children = list(_children(current, place))
        theirs = {id(weight) for _, child in children for weight in child.weights}
        yield place, current, [weight for weight in current.weights if id(weight) not in theirs]
        waiting.extend(reversed(children))


def _children(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    if isinstance(layer, Model) and layer.runs_graph:
        yield from _numbered(keras_layers(layer), f"{path}layers/")
        return
    for name in sorted(layer.__dict__, key=lambda name: ("~" if name.startswith("_") else "") + name):
        value = layer.__dict__[name]
        if isinstance(value, Layer):
            yield f"{path}{name}/", value
        elif isinstance(value, (list, tuple, dict)):
            items = value.values() if isinstance(value, dict) else value
            yield from _numbered([item for item in items if isinstance(item, Layer)], f"{path}{name}/")


def _numbered(layers: Sequence[Layer], path: str) -> Iterator[tuple[str, Layer]]:
    counts: dict[str, int] = {}
    for layer in layers:
        name = _group_name(layer)
        count = counts.get(name, 0)
        counts[name] = count + 1
        yield f"{path}{name}_{count}/" if count else f"{path}{name}/", layer


def _group_name(layer: Layer) -> str:
    name = "Functional" if type(layer) is Model else type(layer).__name__
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# ---------------------------------------------------------------------------------------------- writing


def save(model: Model, path: Path) -> None:
    """Write a model's weights; see `minicnn.saving.save_weights`."""
    import h5py

    with replacing(path) as file, h5py.File(file, "w") as root:
        save_group(model, root)


def save_group(model: Model, root: Any) -> None:
    """Write the weights into an open file of h5py's."""
    for path, layer, weights in walk_groups(model):
        write_vars(root, path, layer.name, [weight.data for weight in weights])
        if isinstance(layer, Dropout) and layer.rate > 0:
            # Keras' counter of random numbers, which it insists on.
            write_vars(root, f"{path}seed_generator/", "seed_generator", [np.zeros(2, np.uint32)])


def write_vars(root: Any, path: str, name: str, arrays: Sequence[Any]) -> None:
    """Write a thing's arrays into its group."""
    group = root.create_group(f"{path}vars")
    group.attrs["name"] = name
    for number, array in enumerate(arrays):
        group.create_dataset(str(number), data=array)


# ---------------------------------------------------------------------------------------------- reading


def load_group(model: Model, root: Group, skip_mismatch: bool = False) -> None:
    """Read weights from the root of a file.

    Raises:
        ModelFileError: the weights do not fit the model; it is then as it was.
    """
    if "layers" not in root and _OLD_LAYERS not in root and model.runs_graph:
        raise ModelFileError(
            "it holds no weights of Keras': neither is there a list of layers (attribute layer_names, Keras 2) nor a "
            "group of them ('layers', Keras 3)"
        )
    pairs: list[tuple[Parameter, Dataset]] = []
    for path, layer, weights in walk_groups(model):
        datasets = read_vars(root, path if "layers" in root else path.replace("layers/", f"{_OLD_LAYERS}/"))
        problem = _mismatch(weights, datasets)
        if problem is None:
            pairs += zip(weights, datasets, strict=True)
        elif skip_mismatch:
            warnings.warn(f"load_weights: layer '{layer.name}' is skipped: {problem}", stacklevel=5)
        else:
            raise ModelFileError(f"layer '{layer.name}' (group {path!r}): {problem}")
    # All of them are read before the first is changed.
    arrays = [dataset.read() for _, dataset in pairs]
    for (weight, _), array in zip(pairs, arrays, strict=True):
        weight.data = array.astype(weight.dtype, copy=False)


def read_vars(root: Group, path: str) -> list[Dataset]:
    """Give the datasets of a group in the order of their numbers, none where there is no such group."""
    group = root
    for name in [*filter(None, path.split("/")), "vars"]:
        if name not in group:
            return []
        group = group.group(name)
    names = group.names()
    if not all(name.isdecimal() for name in names):
        raise ModelFileError(f"the arrays of {group.path!r} must be numbered, but they are called {names[:5]}")
    return [group.dataset(name) for name in sorted(names, key=int)]


def _mismatch(weights: Sequence[Parameter], datasets: Sequence[Dataset]) -> str | None:
    """Say what does not fit, None where all does."""
    if len(weights) != len(datasets):
        return f"{len(datasets)} weights in the file, {len(weights)} in the model"
    for weight, dataset in zip(weights, datasets, strict=True):
        if dataset.dtype.kind != "f":
            raise ModelFileError(f"{dataset.path!r} must hold floats, but has dtype {dataset.dtype}")
        if dataset.shape != weight.shape:
            name = weight.name.rpartition("/")[2]
            return f"{name} has shape {dataset.shape} in the file, {weight.shape} in the model"
    return None
