"""A network like another one, with some of its numbers changed: what a study of architectures is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from minicnn.errors import unknown_name
from minicnn.models import Sequential

Layers = list[dict[str, Any]]
"""What `Sequential.get_config` lists: class name and configuration of each layer."""

_POOLS = {"max": "MaxPooling2D", "average": "AveragePooling2D"}
_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax")


def vary(model: Sequential, changes: Mapping[str, Any]) -> Sequential:
    """Make a network like `model`, not built on its weights, with each change applied in turn.

    Args:
        model: a chain of layers.
        changes: new values by name:

            - "kernel_size", "filters", "strides", "padding", "dilation_rate": of every convolution;
            - "units": of every hidden dense layer;
            - "activation": of every hidden layer that has one;
            - "pool": "max" or "average"; "pool_size": of every pooling;
            - "rate": of every dropout;
            - "depth": how many convolutions there are: the last ones are left out with what follows them up to the next
              one, or the last one is repeated;
            - "LAYER.ARGUMENT": an argument of one layer, by the layer's name.

    Raises:
        ValueError: a name that is none of these, a value that does not fit, or nothing in the network to change.

    >>> from minicnn import articles
    >>> model = articles.get("fashion-conv1x3").build()
    >>> vary(model, {"kernel_size": 3, "filters": 8}).count_params()
    62810
    """
    config = model.get_config()
    # Not to be shared with the model: some values are lists.
    layers = copy.deepcopy(config["layers"])
    for name, value in changes.items():
        if not _change(layers, name, value):
            raise ValueError(f"vary: there is nothing in {model.name} that {name} could change")
    return Sequential.from_config({**config, "layers": layers})


def _change(layers: Layers, name: str, value: Any) -> bool:
    if "." in name:
        return _one_layer(layers, name, value)
    if name not in _CHANGES:
        raise ValueError(f"vary: {unknown_name('variation', name, _CHANGES)}")
    return _CHANGES[name](layers, value)


def _one_layer(layers: Layers, name: str, value: Any) -> bool:
    layer, argument = name.rsplit(".", 1)
    found = [entry["config"] for entry in layers if entry["config"]["name"] == layer]
    if not found:
        names = [entry["config"]["name"] for entry in layers]
        raise ValueError(f"vary: {unknown_name('layer', layer, names)}")
    if argument not in found[0]:
        raise ValueError(f"vary: {unknown_name(f'argument of {layer}', argument, found[0])}")
    found[0][argument] = value
    return True


def _is_convolution(entry: Mapping[str, Any]) -> bool:
    return entry["class_name"] in ("Conv2D", "DepthwiseConv2D")


def _of_convolutions(argument: str) -> Callable[[Layers, Any], bool]:
    def change(layers: Layers, value: Any) -> bool:
        found = [entry["config"] for entry in layers if _is_convolution(entry) and argument in entry["config"]]
        for config in found:
            config[argument] = value
        return bool(found)

    return change


def _hidden(layers: Layers) -> Layers:
    """All but the last layer with weights and what follows it: those decide what the outputs mean."""
    weighted = [n for n, entry in enumerate(layers) if entry["class_name"] == "Dense" or _is_convolution(entry)]
    return layers[: weighted[-1]] if weighted else []


def _units(layers: Layers, value: int) -> bool:
    found = [entry["config"] for entry in _hidden(layers) if entry["class_name"] == "Dense"]
    for config in found:
        config["units"] = value
    return bool(found)


def _activation(layers: Layers, value: str) -> bool:
    changed = False
    for entry in _hidden(layers):
        config = entry["config"]
        if entry["class_name"] in _ACTIVATIONS:
            entry["class_name"] = "Activation"
            shared = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
            entry["config"] = {**shared, "activation": value}
            changed = True
        elif config.get("activation", "linear") not in ("linear", None):
            config["activation"] = value
            changed = True
    return changed


def _pools(layers: Layers) -> Layers:
    return [entry for entry in layers if entry["class_name"] in _POOLS.values()]


def _pool(layers: Layers, value: str) -> bool:
    if value not in _POOLS:
        raise ValueError(f"vary: pool must be {' or '.join(map(repr, _POOLS))}, got {value!r}")
    found = _pools(layers)
    for entry in found:
        entry["class_name"] = _POOLS[value]
    return bool(found)


def _pool_size(layers: Layers, value: Any) -> bool:
    found = _pools(layers)
    for entry in found:
        # Windows that stood side by side go on doing so.
        if entry["config"]["strides"] == entry["config"]["pool_size"]:
            entry["config"]["strides"] = value
        entry["config"]["pool_size"] = value
    return bool(found)


def _rate(layers: Layers, value: float) -> bool:
    found = [entry["config"] for entry in layers if entry["class_name"] == "Dropout"]
    for config in found:
        config["rate"] = value
    return bool(found)


def _depth(layers: Layers, value: int) -> bool:
    places = [number for number, entry in enumerate(layers) if _is_convolution(entry)]
    if not places:
        return False
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"vary: depth must be a whole number of at least 1, got {value!r}")
    if value < len(places):
        end = next(number for number, entry in enumerate(layers) if number > places[-1] and _ends_features(entry))
        del layers[places[value] : end]
        return True
    last = places[-1]
    # With its activation, where that is a layer of its own.
    end = last + 2 if layers[last + 1]["class_name"] in _ACTIVATIONS else last + 1
    for number in range(value - len(places)):
        repeated = copy.deepcopy(layers[last:end])
        for entry in repeated:
            entry["config"]["name"] += f"_again_{number + 1}"
            entry["config"].pop("input_shape", None)
        layers[end:end] = repeated
    return True


def _ends_features(entry: Mapping[str, Any]) -> bool:
    return entry["class_name"] in ("Flatten", "Dropout", "Dense") or entry["class_name"].startswith("Global")


_CHANGES: dict[str, Callable[[Layers, Any], bool]] = {
    **{name: _of_convolutions(name) for name in ("kernel_size", "filters", "strides", "padding", "dilation_rate")},
    "units": _units,
    "activation": _activation,
    "pool": _pool,
    "pool_size": _pool_size,
    "rate": _rate,
    "depth": _depth,
}
NAMES = tuple(_CHANGES)
