"""Layers that do not care where the channels of a picture lie, in ONNX's operators."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import layers as L
from minicnn.saving.onnx.builder import Builder, Value, in_order
from minicnn.saving.onnx.converters import CONVERTERS, Converter, activated, converts
from minicnn.saving.onnx.functions import concatenate, convert_function, flatten


@converts(L.InputLayer, L.Dropout)
def _unchanged(builder: Builder, layer: L.Layer, x: Value) -> Value:
    return x


@converts(L.Activation, L.ELU, L.LeakyReLU, L.Softmax)
def _activation(builder: Builder, layer: Any, x: Value) -> Value:
    if isinstance(layer.activation, functools.partial):
        return convert_function(builder, layer.describe(), layer.activation.func, x, **layer.activation.keywords)
    return activated(builder, layer, x)


@converts(L.ReLU)
def _relu(builder: Builder, layer: Any, x: Value) -> Value:
    if layer.threshold:
        y = builder.apply("ThresholdedRelu", x, alpha=layer.threshold)
    else:
        y = builder.apply("Relu", x)
    if layer.max_value is not None:
        y = builder.apply("Min", y, builder.constant(layer.max_value, "max_value"))
    if layer.negative_slope:
        below = Value(builder.node("Sub", [builder.constant(layer.threshold, "threshold"), x.name]), x.shape, x.order)
        below = builder.apply("Relu", below)
        below = builder.apply("Mul", below, builder.constant(layer.negative_slope, "negative_slope"))
        y = builder.apply("Sub", y, below.name)
    return y


@converts(L.Lambda)
def _lambda(builder: Builder, layer: Any, x: Any) -> Value:
    return convert_function(builder, layer.describe(), layer.function, x, **layer.arguments)


@converts(L.Flatten)
def _flatten(builder: Builder, layer: Any, x: Value) -> Value:
    order = in_order(x.rank)
    if layer.data_format == "channels_first" and x.rank > 2:
        order = (0, *range(2, x.rank), 1)
    return flatten(builder, builder.arranged(x, order))


@converts(L.Reshape)
def _reshape(builder: Builder, layer: Any, x: Value) -> Value:
    # A size of 0 stands for that of the input: here the batch.
    target = builder.constant([0, *layer.target_shape], "shape", np.int64)
    name = builder.node("Reshape", [builder.arranged(x).name, target])
    return Value(name, x.shape, in_order(1 + len(layer.target_shape)))


# ------------------------------------------------------------------------------------------------ many into one


def _merge(operator: str) -> Converter:
    def convert(builder: Builder, layer: L.Layer, x: Sequence[Value]) -> Value:
        # Each takes as many as there are, but for the difference; axes of 1 are stretched there too.
        first, *others = (builder.arranged(value, x[0].order) for value in x)
        if operator in ("Add", "Sub", "Mul"):
            return functools.reduce(lambda total, value: builder.apply(operator, total, value.name), others, first)
        return builder.apply(operator, first, *(value.name for value in others))

    return convert


for _class, _operator in {
    L.Add: "Add",
    L.Average: "Mean",
    L.Maximum: "Max",
    L.Minimum: "Min",
    L.Multiply: "Mul",
    L.Subtract: "Sub",
}.items():
    CONVERTERS[_class] = _merge(_operator)


@converts(L.Concatenate)
def _concatenate(builder: Builder, layer: Any, x: Any) -> Value:
    return concatenate(builder, x, layer.axis)


@converts(L.Dense)
def _dense(builder: Builder, layer: Any, x: Value) -> Value:
    x = builder.arranged(x)
    names = [x.name, builder.weight(layer, "kernel", layer.kernel.numpy)]
    if layer.bias is not None:
        names.append(builder.weight(layer, "bias", layer.bias.numpy))
    if x.rank == 2:
        y = x._replace(name=builder.node("Gemm", names))
    else:
        y = x._replace(name=builder.node("MatMul", names[:2]))
        y = builder.apply("Add", y, *names[2:]) if names[2:] else y
    return activated(builder, layer, y)


@converts(L.BatchNormalization)
def _batch_normalization(builder: Builder, layer: Any, x: Value) -> Value:
    axis = layer.axis % x.rank
    x = builder.arranged(x, (0, axis, *(other for other in range(1, x.rank) if other != axis)))
    channels = layer.moving_mean.shape
    names = [
        builder.weight(layer, "gamma", lambda: np.ones(channels) if layer.gamma is None else layer.gamma.numpy()),
        builder.weight(layer, "beta", lambda: np.zeros(channels) if layer.beta is None else layer.beta.numpy()),
        builder.weight(layer, "moving_mean", layer.moving_mean.numpy),
        builder.weight(layer, "moving_variance", layer.moving_variance.numpy),
    ]
    return builder.apply("BatchNormalization", x, *names, epsilon=layer.epsilon)
