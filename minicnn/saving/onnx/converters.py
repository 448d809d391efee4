"""From a layer's class to what writes it in ONNX's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.layers import BatchNormalization, Dropout, Layer
from minicnn.saving.onnx.builder import Builder, Value
from minicnn.saving.onnx.functions import convert_function

Converter = Callable[[Builder, Any, Any], Value]

CONVERTERS: dict[type, Converter] = {}
"""By exact class: a subclass may compute something else. Models within models are their layers."""

_DIFFERENT_IN_TRAINING = (BatchNormalization, Dropout)


def converts(*classes: type) -> Callable[[Converter], Converter]:
    """Make a decorator that registers what writes layers of these classes."""

    def register(converter: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(classes, converter))
        return converter

    return register


def convert_layer(builder: Builder, layer: Layer, x: Any, training: bool) -> Value:
    """Apply a layer to a value, or to a list of them.

    Raises:
        ValueError: ONNX has no counterpart for it.
    """
    converter = CONVERTERS.get(type(layer))
    if converter is None:
        known = ", ".join(sorted(known.__name__ for known in CONVERTERS))
        raise ValueError(f"export: {layer.describe()} has no ONNX counterpart; layers that have one: {known}")
    if training and type(layer) in _DIFFERENT_IN_TRAINING:
        raise ValueError(f"export: {layer.describe()} is always called with training=True, which no file can say")
    return converter(builder, layer, x)


def activated(builder: Builder, layer: Any, x: Value) -> Value:
    """Apply a layer's activation, which may be a layer itself."""
    if isinstance(layer.activation, Layer):
        return convert_layer(builder, layer.activation, x, training=False)
    return convert_function(builder, layer.describe(), layer.activation, x)
