"""Which pixels a cell of a layer sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.functional.geometry import resolve_padding

if TYPE_CHECKING:
    from minicnn.layers import Layer
    from minicnn.models import Model


@dataclass(frozen=True)
class ReceptiveField:
    """The rectangle of the picture that decides the cell (i, j) of a map.

    Attributes:
        size: its height and width.
        stride: how far it moves from one cell to the next, down and right.
        start: where it begins for the cell (0, 0); negative where it reaches into padding.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def corners(self, row: int, column: int) -> tuple[slice, slice]:
        """Rows and columns of the picture that the cell sees; they may reach outside."""
        top, left = self.start[0] + self.stride[0] * row, self.start[1] + self.stride[1] * column
        return slice(top, top + self.size[0]), slice(left, left + self.size[1])

    def cut(self, picture: np.ndarray, row: int, column: int) -> np.ndarray:
        """The patch that the cell sees, with zeros outside the picture."""
        rows, columns = self.corners(row, column)
        H, W = picture.shape[:2]
        patch = np.zeros((*self.size, *picture.shape[2:]), picture.dtype)
        inside = np.s_[max(rows.start, 0) : min(rows.stop, H), max(columns.start, 0) : min(columns.stop, W)]
        top, left = max(-rows.start, 0), max(-columns.start, 0)
        found = picture[inside]
        patch[top : top + found.shape[0], left : left + found.shape[1]] = found
        return patch


def receptive_field(model: Model, layer: Layer | str) -> ReceptiveField:
    """The receptive field of a layer's cells.

    Each convolution or pooling of window k (dilated: d (k - 1) + 1), stride s and padding p in front turns a field of
    size r, stride j and start a into r + (k - 1) j, j s and a - p j. (Araujo, Norris & Sim 2019, Computing receptive
    fields of convolutional neural networks.)

    Args:
        model: Sequential.
        layer: one of its layers, or its name; channels last.

    Raises:
        ValueError: the layer is not in the model, or one up to it mixes all pixels.
    """
    from minicnn.layers.spatial import SpatialLayer

    layer = model.get_layer(layer) if isinstance(layer, str) else layer
    if layer not in model.layers:
        raise ValueError(f"receptive_field: {getattr(layer, 'name', layer)!r} is no layer of {model.name!r}")
    axes = [_Axis(), _Axis()]
    for part in model.layers[: model.layers.index(layer) + 1]:
        if isinstance(part, SpatialLayer) and part.data_format != "channels_last":
            raise ValueError(
                f"receptive_field: {part.name!r} has data_format {part.data_format!r}, expected channels_last"
            )
        for place, (window, stride, before) in enumerate(windows_by_axis(part, part.input_shape[1:3])):
            axes[place].pass_through(window, stride, before)
    rows, columns = axes
    return ReceptiveField((rows.size, columns.size), (rows.stride, columns.stride), (rows.start, columns.start))


@dataclass
class _Axis:
    size: int = 1
    stride: int = 1
    start: int = 0

    def pass_through(self, window: int, stride: int, before: int) -> None:
        self.size += (window - 1) * self.stride
        self.start -= before * self.stride
        self.stride *= stride


def windows_by_axis(layer: Any, size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """What a layer's windows are along rows and columns.

    Args:
        layer: whose cells see a window or a single pixel.
        size: (H, W) of what comes in.

    Returns:
        For each axis the window's reach (dilation included), its stride and the padding in front; an empty list where
        every cell sees the one pixel at its own place.

    Raises:
        ValueError: the layer mixes pixels in another way.
    """
    from minicnn.layers import (
        ELU,
        Activation,
        AveragePooling2D,
        BatchNormalization,
        Conv2D,
        DepthwiseConv2D,
        Dropout,
        InputLayer,
        LeakyReLU,
        LocalResponseNormalization,
        MaxPooling2D,
        ReLU,
        ZeroPadding2D,
    )

    pointwise = (
        Activation, ReLU, LeakyReLU, ELU, BatchNormalization, Dropout, InputLayer, LocalResponseNormalization,
    )  # fmt: skip
    if isinstance(layer, pointwise):
        return []
    if isinstance(layer, ZeroPadding2D):
        (top, _), (left, _) = layer.padding
        return [(1, 1, top), (1, 1, left)]
    if isinstance(layer, (Conv2D, DepthwiseConv2D)):
        kernel, dilation = layer.kernel_size, layer.dilation_rate
    elif isinstance(layer, (MaxPooling2D, AveragePooling2D)):
        kernel, dilation = layer.pool_size, (1, 1)
    else:
        raise ValueError(f"receptive_field: {layer.name!r} ({type(layer).__name__}) is no convolution or pooling")
    padding = resolve_padding(layer.padding, size, kernel, layer.strides, dilation, "receptive_field")
    return [
        (spread * (window - 1) + 1, stride, before)
        for window, spread, stride, (before, _) in zip(kernel, dilation, layer.strides, padding, strict=True)
    ]
