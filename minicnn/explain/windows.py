"""Where the windows of convolutions and poolings lie, in whichever layout the layer has."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as L
from minicnn.functional.convolution import transposed_axis
from minicnn.plots.receptive_field import windows_by_axis


class Windows(NamedTuple):
    """The windows of a layer: the tap p of the window i stands at the row ``i stride + p dilation - before``.

    Those of a transposed convolution lie in what it gives: the window i is where the pixel i stamps its kernel.

    Attributes:
        taps_by_axis: (KH, KW).
        strides, dilation, before: by axis; `before` is the padding at the top and the left.
    """

    taps_by_axis: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]

    @classmethod
    def of(cls, layer: Any, input_shape: tuple[int, ...]) -> Windows:
        """The windows of a layer on one sample of this shape, in the layer's own layout."""
        H, W, _ = as_hwc(is_channels_first(layer), input_shape)
        if isinstance(layer, L.Conv2DTranspose):
            top, left = (_cut_off(layer, axis, size) for axis, size in enumerate((H, W)))
        else:
            (_, _, top), (_, _, left) = windows_by_axis(layer, (H, W))
        taps = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
        return cls(taps, layer.strides, layer.dilation_rate, (top, left))

    def taps(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows (KH,) and the columns (KW,) that the window (i, j) touches; they may lie outside."""
        rows, columns = (
            index * stride + np.arange(count) * step - before
            for index, count, stride, step, before in zip((i, j), *self, strict=True)
        )
        return rows, columns

    def along(self, tap: int, axis: int, windows: int) -> np.ndarray:
        """The rows or columns that one tap touches in each of `windows` windows; they may lie outside."""
        _, stride, step, before = (part[axis] for part in self)
        return np.arange(windows) * stride + tap * step - before

    def touching(self, cell: int, axis: int, windows: int) -> list[tuple[int, int]]:
        """All (window, tap) along an axis that touch a row or column; there are `windows` windows."""
        count, stride, step, before = (part[axis] for part in self)
        starts = [(cell + before - tap * step, tap) for tap in range(count)]
        return [(s // stride, tap) for s, tap in starts if s % stride == 0 and 0 <= s // stride < windows]


def _cut_off(layer: Any, axis: int, size: int) -> int:
    """Rows at the top (axis 0) or columns at the left that a transposed convolution cuts off."""
    kernel = layer.kernel_size[axis]
    geometry = layer.strides, layer.padding, layer.output_padding, layer.dilation_rate
    _, (before, _) = transposed_axis(axis, size, kernel, *geometry)
    return before


def is_channels_first(layer: Any) -> bool:
    """Whether a layer counts (channel, row, column)."""
    return getattr(layer, "data_format", None) == "channels_first"


def as_hwc(channels_first: bool, triple: tuple[int, ...]) -> tuple[int, int, int]:
    """A position, or the shape of one sample, as (row, column, channel)."""
    return (triple[1], triple[2], triple[0]) if channels_first else (triple[0], triple[1], triple[2])


def cells_at(channels_first: bool, rows: np.ndarray, columns: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The positions (rows, columns, channels, 3) of a block of cells, in the layout asked for."""
    axes = np.meshgrid(rows, columns, channels, indexing="ij")
    return np.stack([axes[2], *axes[:2]] if channels_first else axes, axis=-1)
