"""Layers as dictionaries, the way files hold them, and back; a model is a layer that has others in its dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.layers import Layer, registry
from minicnn.models.network import Network


def serialize_layer(layer: Layer) -> dict[str, Any]:
    """Give the class and the configuration of a layer, as files hold them."""
    try:
        class_name = registry.name_of(type(layer))
    except ValueError:
        # A user's own class: loading finds it among the custom objects.
        class_name = type(layer).__name__
    return {"class_name": class_name, "config": layer.get_config()}


def deserialize_layer(description: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Make a layer, or a model within a model, of what `serialize_layer` gave."""
    found = registry.find(str(description["class_name"]), custom_objects)
    if isinstance(found, type) and issubclass(found, Network):
        return found.from_config(dict(description["config"]), custom_objects)
    layer = registry.get(description, custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"{description['class_name']!r} is no layer, but {type(layer).__name__}")
    return layer
