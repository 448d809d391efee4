"""How convolutions and dense layers make one number: activation(sum of products + bias)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers as L
from minicnn.device import to_host

from .activations import apply
from .cell import Cell, number_of
from .terms import Arithmetic, Line, Position, Terms, gathered, line_through
from .windows import Windows, as_hwc, cells_at
from .wording import counted, number, signed


def filter_of(layer: Any, f: int) -> np.ndarray:
    """The kernel (KH, KW, C / groups) that makes map f, in float64; a depthwise one has one channel."""
    kernel = layer.kernel.data
    if isinstance(layer, L.DepthwiseConv2D):
        channel, multiple = divmod(f, kernel.shape[3])
        return to_host(kernel[:, :, channel : channel + 1, multiple]).astype(np.float64)
    return to_host(kernel[..., f]).astype(np.float64)


def first_channel(layer: Any, f: int) -> int:
    """The first of the channels that map f is made of."""
    if isinstance(layer, L.DepthwiseConv2D):
        return f // layer.depth_multiplier
    return f // (layer.filters // layer.groups) * layer.kernel.shape[2]


def convolution(cell: Cell) -> Arithmetic:
    """The window (KH, KW, C / groups) times the kernel of the number's map."""
    x = cell.inputs[0]
    windows = Windows.of(cell.layer, x.shape)

    def terms_at(position: Position) -> Terms:
        i, j, f = as_hwc(cell.channels_first, position)
        weights, first = filter_of(cell.layer, f), first_channel(cell.layer, f)
        channels = np.arange(first, first + weights.shape[2])
        return gathered(x, cells_at(cell.channels_first, *windows.taps(i, j), channels), weights)

    return _weighted(cell, terms_at, lambda position: as_hwc(cell.channels_first, position)[2])


def transposed_convolution(cell: Cell) -> Arithmetic:
    """The pixels whose stamps reach the number, each times the tap of its stamp that lies there.

    There are as few as no pixel between stamps that lie apart; then only the bias is left.
    """
    x, kernel = cell.inputs[0], cell.layer.kernel.data
    windows = Windows.of(cell.layer, x.shape)
    H, W, C = as_hwc(cell.channels_first, x.shape)

    def terms_at(position: Position) -> Terms:
        row, column, f = as_hwc(cell.channels_first, position)
        # The last tap comes from the first pixel: pixels are shown as they lie in the picture.
        rows, p = _split(windows.touching(row, 0, H)[::-1])
        columns, q = _split(windows.touching(column, 1, W)[::-1])
        weights = to_host(kernel[:, :, f]).astype(np.float64)[np.ix_(p, q)]
        return gathered(x, cells_at(cell.channels_first, rows, columns, np.arange(C)), weights)

    return _weighted(cell, terms_at, lambda position: as_hwc(cell.channels_first, position)[2])


def _split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(pairs, int).reshape(-1, 2).T
    return first, second


def dense(cell: Cell) -> Arithmetic:
    """All values (C,) along the last axis times the weights of the number's unit."""
    x, kernel = cell.inputs[0], cell.layer.kernel.data

    def terms_at(position: Position) -> Terms:
        weights = to_host(kernel[:, position[-1]]).astype(np.float64)
        return gathered(x, line_through(position, -1, len(weights)), weights)

    return _weighted(cell, terms_at, lambda position: position[-1])


def _weighted(cell: Cell, terms_at: Callable[[Position], Terms], output_of: Callable[[Position], int]) -> Arithmetic:
    layer = cell.layer

    def z_at(position: Position) -> float:
        return float(terms_at(position).products.sum()) + number_of(layer.bias, output_of(position))

    terms, bias = terms_at(cell.position), number_of(layer.bias, output_of(cell.position))
    total = float(terms.products.sum())
    z = total + bias
    lines = [Line(f"sum of {counted(terms.count, 'product')}", "", total)]
    if layer.bias is not None:
        lines += [Line("bias b", "", bias), Line("z = sum + b", f"{number(total)} + {signed(bias)}", z)]
    made, y = apply(layer.activation, z, cell.along(z_at))
    return Arithmetic(
        terms,
        y,
        lines + made,
        magnitude=float(np.abs(terms.products).sum()) + abs(bias),
        bias=None if layer.bias is None else bias,
        pre_activation=z,
    )
