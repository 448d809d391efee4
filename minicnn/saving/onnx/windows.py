"""Layers on pictures, in ONNX's operators, which see them channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers as L
from minicnn.functional.convolution import transposed_axis
from minicnn.functional.geometry import resolve_padding
from minicnn.saving.onnx.builder import Builder, Value, in_order
from minicnn.saving.onnx.converters import CONVERTERS, Converter, activated, converts
from minicnn.saving.onnx.functions import flatten

# The axes of the model's (N, H, W, C) in the order in which ONNX has them.
_CHANNELS_FIRST = (0, 3, 1, 2)


@converts(L.Conv2D)
def _convolution(builder: Builder, layer: Any, x: Value) -> Value:
    names = _pictures_and_weights(builder, layer, x, lambda: layer.kernel.numpy().transpose(3, 2, 0, 1))
    return activated(builder, layer, _window(builder, layer, "Conv", names, x, group=layer.groups))


@converts(L.DepthwiseConv2D)
def _depthwise(builder: Builder, layer: Any, x: Value) -> Value:
    def kernel() -> np.ndarray:
        # (KH, KW, C, M) as C groups of M filters: (C M, 1, KH, KW).
        kh, kw, channels, multiplier = layer.kernel.shape
        return layer.kernel.numpy().transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, kh, kw)

    names = _pictures_and_weights(builder, layer, x, kernel)
    return activated(builder, layer, _window(builder, layer, "Conv", names, x, group=layer.kernel.shape[2]))


@converts(L.Conv2DTranspose)
def _transposed_convolution(builder: Builder, layer: Any, x: Value) -> Value:
    names = _pictures_and_weights(builder, layer, x, lambda: layer.kernel.numpy().transpose(3, 2, 0, 1))
    extra, before, after = zip(*(_cut(layer, axis) for axis in (0, 1)), strict=True)
    name = builder.node(
        "ConvTranspose",
        names,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        kernel_shape=layer.kernel_size,
        pads=[*before, *after],
        output_padding=extra,
    )
    return activated(builder, layer, _pictures(layer, x, name))


def _cut(layer: Any, axis: int) -> tuple[int, int, int]:
    """What a transposed convolution adds at the end, and what it cuts off before and after, along an axis.

    None of it depends on the size of the picture: a few pixels tell as much as many.
    """
    size, stride = 64, layer.strides[axis]
    reach = layer.dilation_rate[axis] * (layer.kernel_size[axis] - 1) + 1
    out, (before, after) = transposed_axis(
        axis, size, layer.kernel_size[axis], layer.strides, layer.padding, layer.output_padding, layer.dilation_rate
    )
    return out + before + after - (size - 1) * stride - reach, before, after


@converts(L.LocalResponseNormalization)
def _local_response_normalization(builder: Builder, layer: Any, x: Value) -> Value:
    size = 2 * layer.depth_radius + 1
    # There alpha is divided by the number of channels summed.
    return builder.apply(
        "LRN",
        _as_pictures(builder, layer, x),
        size=size,
        alpha=layer.alpha * size,
        beta=layer.beta,
        bias=layer.bias,
    )


@converts(L.ZeroPadding2D)
def _zero_padding(builder: Builder, layer: Any, x: Value) -> Value:
    rows, columns = (2, 3) if layer.data_format == "channels_first" else (1, 2)
    sides = {rows: layer.padding[0], columns: layer.padding[1]}
    before, after = ([sides.get(axis, (0, 0))[end] for axis in x.order] for end in (0, 1))
    return builder.apply("Pad", x, builder.constant([*before, *after], "pads", np.int64))


@converts(L.MaxPooling2D)
def _max_pooling(builder: Builder, layer: Any, x: Value) -> Value:
    return _window(builder, layer, "MaxPool", [_as_pictures(builder, layer, x).name], x)


@converts(L.AveragePooling2D)
def _average_pooling(builder: Builder, layer: Any, x: Value) -> Value:
    return _window(builder, layer, "AveragePool", [_as_pictures(builder, layer, x).name], x, count_include_pad=0)


def _global_pooling(operator: str) -> Converter:
    def convert(builder: Builder, layer: Any, x: Value) -> Value:
        y = _pictures(layer, x, builder.node(operator, [_as_pictures(builder, layer, x).name]))
        return y if layer.keepdims else flatten(builder, y)

    return convert


CONVERTERS[L.GlobalMaxPooling2D] = _global_pooling("GlobalMaxPool")
CONVERTERS[L.GlobalAveragePooling2D] = _global_pooling("GlobalAveragePool")


def _as_pictures(builder: Builder, layer: Any, x: Value) -> Value:
    """Let x lie channels first."""
    return builder.arranged(x, in_order(4) if layer.data_format == "channels_first" else _CHANNELS_FIRST)


def _pictures(layer: Any, x: Value, name: str) -> Value:
    """What lies channels first, as the layer's data format calls its axes."""
    return Value(name, x.shape, in_order(4) if layer.data_format == "channels_first" else _CHANNELS_FIRST)


def _pictures_and_weights(builder: Builder, layer: Any, x: Value, kernel: Callable[[], Any]) -> list[str]:
    names = [_as_pictures(builder, layer, x).name, builder.weight(layer, "kernel", kernel)]
    return names if layer.bias is None else [*names, builder.weight(layer, "bias", layer.bias.numpy)]


def _window(builder: Builder, layer: Any, operator: str, names: list[str], x: Value, **attributes: Any) -> Value:
    """Add a node whose windows slide over pictures."""
    window = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    pads = _pads(layer, window, x)
    name = builder.node(
        operator,
        names,
        kernel_shape=window,
        strides=layer.strides,
        dilations=layer.dilation_rate if operator == "Conv" else None,
        pads=pads,
        auto_pad="SAME_UPPER" if pads is None else None,
        **attributes,
    )
    return _pictures(layer, x, name)


def _pads(layer: Any, window: tuple[int, int], x: Value) -> list[int] | None:
    """(top, left, bottom, right), or None where "same" needs a size that is open."""
    size = layer.split_shape(x.shape)[1:3]
    if layer.padding == "same" and any(n is None and stride > 1 for n, stride in zip(size, layer.strides, strict=True)):
        return None
    # With a stride of 1 the padding is that of the window, whatever the size.
    known = tuple(64 * reach if n is None else n for n, reach in zip(size, layer.span, strict=True))
    (top, bottom), (left, right) = resolve_padding(
        layer.padding, known, window, layer.strides, layer.dilation_rate, "export"
    )
    return [top, left, bottom, right]
