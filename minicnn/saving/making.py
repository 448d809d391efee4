"""From descriptions to models: made, built, compiled; and what of that a file says."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import losses, metrics, optimizers
from minicnn.models import Model
from minicnn.models.serialization import deserialize_layer
from minicnn.registry import map_leaves
from minicnn.saving.containers import LARGEST_DESCRIPTION
from minicnn.saving.errors import ModelFileError
from minicnn.saving.keras_objects import kind_of

#: Layers and calls of layers in one file. Names are compared each with each, which takes a second for so many.
_MOST_PARTS = 5_000


def check_built(model: Model) -> None:
    """Raise ValueError where a model has no weights yet."""
    if not model.built:
        raise ValueError(f"save: {model.describe()} has no weights yet: build(input_shape) or fit it first")


def compile_config(model: Model) -> dict[str, Any] | None:
    """Give what `compile` was called with; None, with a warning, where a file cannot say it."""
    if not model.compiled:
        return None
    try:
        return model.trainer.get_config()
    except ValueError as error:
        warnings.warn(
            f"save: {error}; the file carries no loss and metrics: compile the loaded model again", stacklevel=6
        )
        return None


def make_model(description: dict[str, Any], input_shape: Any, custom_objects: Mapping[str, Any] | None) -> Model:
    """Make and build a model; ValueError where the description is none of a model."""
    check_size(description)
    try:
        model = deserialize_layer(_with_custom(description, custom_objects or {}), custom_objects)
    except ValueError as error:
        kind = re.match(r"unknown (layer|activation|initializer|regularizer|constraint) ", str(error))
        if kind is None:
            raise
        # The names of all layers, which the message may list, help nobody here.
        what, own = str(error).partition("; expected one of")[0], "class" if kind[1] == "layer" else "function"
        raise ValueError(f"{what}; a {own} of your own goes into load_model(custom_objects={{name: {own}}})") from error
    if not isinstance(model, Model):
        raise ValueError(f"the file describes a {type(model).__name__}, which is no model")
    if not model.built:
        if input_shape is None:
            raise ValueError(f"the file does not say the shape of what {model.describe()} takes")
        model.build(_shapes(input_shape))
    return model


def _with_custom(description: Any, custom: Mapping[str, Any]) -> Any:
    """Put in what the arguments of layers name among the caller's own: activations, initializers and the like."""
    config = description.get("config") if isinstance(description, Mapping) else None
    if not custom or not isinstance(config, Mapping):
        return description
    filled = {key: _custom_argument(key, value, custom) for key, value in config.items()}
    if isinstance(config.get("layers"), list):
        filled["layers"] = [_with_custom(layer, custom) for layer in config["layers"]]
    return {**description, "config": filled}


def _custom_argument(argument: str, value: Any, custom: Mapping[str, Any]) -> Any:
    return custom[value] if kind_of(argument) and isinstance(value, str) and value in custom else value


def check_size(description: Any) -> None:
    """Raise ModelFileError where a description lists more layers and calls of layers than any network has."""
    waiting, count = [description], 0
    while waiting:
        layer = waiting.pop()
        config = layer.get("config") if isinstance(layer, Mapping) else None
        if not isinstance(config, Mapping):
            continue
        parts = config.get("layers")
        calls = [config.get("nodes"), layer.get("inbound_nodes")]
        count += sum(len(items) for items in (parts, *calls) if isinstance(items, list))
        if count > _MOST_PARTS:
            raise ModelFileError(f"it describes a network of more than {_MOST_PARTS:,} layers and calls of layers")
        waiting += parts if isinstance(parts, list) else []


def _shapes(shape: Any) -> Any:
    return [tuple(s) for s in shape] if shape and isinstance(shape[0], list) else tuple(shape)


def compile_model(model: Model, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> None:
    """Compile a model with what `compile_config` gave."""
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


def to_json(description: Mapping[str, Any], model: Model, indent: int | None = None) -> bytes:
    """Give a description as JSON; ValueError where it holds what JSON cannot, or too much."""
    try:
        data = json.dumps(description, indent=indent, default=_plain_number).encode()
    except TypeError as error:
        raise ValueError(f"save: {model.describe()} holds something that no file can carry: {error}") from error
    if len(data) > LARGEST_DESCRIPTION:
        raise ValueError(
            f"save: {model.describe()} takes {len(data):,} bytes to describe; files may have {LARGEST_DESCRIPTION:,}"
        )
    return data


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")
