"""What a model carries beside its layers, weights and optimizer: how far it is, what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn.saving.weights import walk_layers

if TYPE_CHECKING:
    from minicnn.models import Model


def describe_extras(model: Model) -> dict[str, Any]:
    """Give class names, preprocessing, the number of finished epochs, and the random state as JSON can hold them.

    The random state is where the shuffling stands and how many masks each dropout drew.
    """
    return {
        "class_names": None if model.class_names is None else list(model.class_names),
        "preprocessing": _describe_preprocessing(model.preprocessing),
        "epoch": model.epoch,
        "state": {
            "shuffler": model.shuffler.bit_generator.state,
            "layers": {path: layer.get_state() for path, layer in walk_layers(model) if layer.get_state()},
        },
    }


def restore_extras(model: Model, description: Mapping[str, Any]) -> None:
    """Put back what `describe_extras` gave."""
    model.epoch = int(description["epoch"])
    model.class_names = description["class_names"]
    model.preprocessing = _make_preprocessing(description["preprocessing"])
    model.shuffler.bit_generator.state = description["state"]["shuffler"]
    states = description["state"]["layers"]
    for path, layer in walk_layers(model):
        if path in states:
            layer.set_state(states[path])


def _describe_preprocessing(preprocessing: Any) -> Any:
    if preprocessing is None or isinstance(preprocessing, Mapping):
        return preprocessing
    return {"class_name": type(preprocessing).__name__, "config": preprocessing.get_config()}


def _make_preprocessing(description: Any) -> Any:
    if not isinstance(description, Mapping) or description.get("class_name") != "Preprocessing":
        return description
    from minicnn.data.pictures.preprocessing import Preprocessing

    return Preprocessing.from_config(description["config"])
