"""Which outputs of a layer one of its inputs reaches, and by what factor: the rules of `rules`, read backward.

What a factor is multiplied by is the loss' derivative by what the layer computes before its own activation, z.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minicnn
import minicnn.functional as F
from minicnn import layers as L
from minicnn.autograd import Tensor
from minicnn.device import to_host

from .activations import along_last, takes_several, works_along
from .cell import Cell, number_of
from .merging import meeting, merging_weights
from .reducing import pooled_window, reduced_axes, reduced_line
from .terms import Position, Terms, axis_of, line_through
from .windows import Windows, as_hwc, is_channels_first

Reached = list[tuple[Position, float]]


class Reader(NamedTuple):
    """A layer that reads one number.

    Attributes:
        layer: the layer.
        inputs: all that it takes, of one sample, float64.
        source: which of them holds the number.
        position: where it stands there.
        shape: of what the layer gives.
    """

    layer: Any
    inputs: list[np.ndarray]
    source: int
    position: Position
    shape: tuple[int, ...]

    @property
    def channels_first(self) -> bool:
        """Whether the layer counts (channel, row, column)."""
        return is_channels_first(self.layer)

    def cell(self, position: Position) -> Cell:
        """One number that the layer makes."""
        return Cell(self.layer, self.inputs, position, self.shape)

    def output(self, i: int, j: int, f: int) -> Position:
        """A cell of the output in the layer's own layout."""
        return (f, i, j) if self.channels_first else (i, j, f)


def _windows(reader: Reader) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """All (window, tap) that touch the number, by rows and by columns."""
    row, column, _ = as_hwc(reader.channels_first, reader.position)
    OH, OW, _ = as_hwc(reader.channels_first, reader.shape)
    windows = Windows.of(reader.layer, reader.inputs[0].shape)
    return windows.touching(row, 0, OH), windows.touching(column, 1, OW)


def _convolution(reader: Reader) -> Reached:
    layer, kernel = reader.layer, reader.layer.kernel.data
    channel = as_hwc(reader.channels_first, reader.position)[2]
    depthwise = isinstance(layer, L.DepthwiseConv2D)
    # The maps that see the channel are those of its group.
    in_group = 1 if depthwise else kernel.shape[2]
    maps = layer.depth_multiplier if depthwise else layer.filters // layer.groups
    first = channel // in_group * maps
    reached: Reached = []
    for (i, p), (j, q) in itertools.product(*_windows(reader)):
        taps = kernel[p, q, channel] if depthwise else kernel[p, q, channel % in_group, first : first + maps]
        weights = to_host(taps).astype(np.float64).tolist()
        reached += [(reader.output(i, j, first + number), weight) for number, weight in enumerate(weights)]
    return reached


def _transposed_convolution(reader: Reader) -> Reached:
    """All places that the number's stamp reaches, in all maps; what is cut off counts for nothing."""
    row, column, channel = as_hwc(reader.channels_first, reader.position)
    OH, OW, _ = as_hwc(reader.channels_first, reader.shape)
    stamp = to_host(reader.layer.kernel.data[..., channel]).astype(np.float64)
    rows, columns = Windows.of(reader.layer, reader.inputs[0].shape).taps(row, column)
    reached: Reached = []
    for (p, i), (q, j) in itertools.product(enumerate(rows.tolist()), enumerate(columns.tolist())):
        if 0 <= i < OH and 0 <= j < OW:
            reached += [(reader.output(i, j, f), weight) for f, weight in enumerate(stamp[p, q].tolist())]
    return reached


def _dense(reader: Reader) -> Reached:
    weights = to_host(reader.layer.kernel.data[reader.position[-1]]).astype(np.float64)
    return [((*reader.position[:-1], unit), weight) for unit, weight in enumerate(weights.tolist())]


def _pooling(reader: Reader, factor: Callable[[Terms, int], float]) -> Reached:
    channel = as_hwc(reader.channels_first, reader.position)[2]
    reached = []
    for (i, p), (j, q) in itertools.product(*_windows(reader)):
        position = reader.output(i, j, channel)
        window = pooled_window(reader.cell(position))
        reached.append((position, factor(window, p * window.values.shape[1] + q)))
    return reached


def _global_pooling(reader: Reader, factor: Callable[[Terms, int], float]) -> Reached:
    row, column, channel = as_hwc(reader.channels_first, reader.position)
    position = (channel,) if len(reader.shape) == 1 else reader.output(0, 0, channel)
    window = pooled_window(reader.cell(position))
    return [(position, factor(window, row * window.values.shape[1] + column))]


def _first_winner(window: Terms, number: int) -> float:
    """1 where the number is the largest, the first among equals: all of the gradient goes there."""
    return float(window.winner == number)


def _one_of_the_largest(window: Terms, number: int) -> float:
    return _share_of_equals(window, number, window.winner)


def _one_of_the_smallest(window: Terms, number: int) -> float:
    return _share_of_equals(window, number, window.smallest)


def _share_of_equals(window: Terms, number: int, winner: int) -> float:
    """The share of the gradient that the winner gets; equals share it, and NaN gets nothing."""
    values = window.values.reshape(-1)
    equals = values == values[winner]
    return float(equals[number] / max(equals.sum(), 1))


def _share(window: Terms, number: int) -> float:
    return 1.0 / float(window.inside.sum())


def _summand(window: Terms, number: int) -> float:
    return 1.0


def _reduction(reader: Reader, factor: Callable[[Terms, int], float]) -> Reached:
    """The one value that a Lambda layer's reduction makes of the number and those beside it."""
    sizes, place = reader.inputs[0].shape, reader.position
    axes = reduced_axes(reader.layer, len(sizes))
    kept = [0 if axis in axes else index for axis, index in enumerate(place)]
    if len(reader.shape) < len(sizes):
        kept = [index for axis, index in enumerate(place) if axis not in axes]
    number = np.ravel_multi_index([place[axis] for axis in axes], [sizes[axis] for axis in axes])
    return [(tuple(kept), factor(reduced_line(reader.cell(tuple(kept))), int(number)))]


def _batch_normalization(reader: Reader) -> Reached:
    layer = reader.layer
    c = reader.position[axis_of(layer.axis, len(reader.shape))]
    gamma = 1.0 if layer.gamma is None else number_of(layer.gamma, c)
    return [(reader.position, gamma / math.sqrt(number_of(layer.moving_variance, c) + layer.epsilon))]


def _local_response_normalization(reader: Reader) -> Reached:
    """By (1 if k is c) d^-beta - 2 alpha beta x[k] x[c] d^(-beta - 1) at each channel k in reach of the number's, c.

    d = bias + alpha s, where s is the sum of the squares around k: the response is y[k] = x[k] d^-beta.
    """
    layer, x = reader.layer, reader.inputs[0]
    channel = 0 if reader.channels_first else 2
    c, radius = reader.position[channel], layer.depth_radius
    line = line_through(reader.position, channel, x.shape[channel])
    values = x[tuple(line.T)]
    reached = []
    for k in range(max(c - radius, 0), min(c + radius + 1, len(line))):
        squares = np.square(values[max(k - radius, 0) : k + radius + 1])
        with np.errstate(all="ignore"):
            d = layer.bias + layer.alpha * squares.sum()
            scale = np.power(d, -layer.beta)
            factor = (scale if k == c else 0.0) - 2 * layer.alpha * layer.beta * values[k] * values[c] * scale / d
        reached.append((tuple(line[k].tolist()), float(factor)))
    return reached


def _activation(reader: Reader) -> Reached:
    """One number for an elementwise function, one for each value along the axis of a softmax."""
    function, x = reader.layer.activation, reader.inputs[0]
    if not takes_several(function):
        return [(reader.position, _column(function, x[reader.position].reshape(1), 0)[0])]
    axis = axis_of(works_along(function), x.ndim)
    positions = line_through(reader.position, axis, x.shape[axis])
    factors = _column(along_last(function), x[tuple(positions.T)], reader.position[axis])
    return [(tuple(place), factor) for place, factor in zip(positions.tolist(), factors, strict=True)]


def _column(function: Any, row: np.ndarray, index: int) -> list[float]:
    """A column of the Jacobian: d function(row)[k] / d row[index] for every k."""
    column = []
    for k in range(len(row)):
        z = Tensor(row[np.newaxis], requires_grad=True)
        column.append(float(minicnn.grad(function(z)[0, k], [z])[0].numpy()[0, index]))
    return column


def _reshape(reader: Reader) -> Reached:
    taken, position = reader.inputs[0].shape, reader.position
    if isinstance(reader.layer, L.Flatten) and reader.layer.data_format == "channels_first" and len(taken) > 1:
        taken, position = (*taken[1:], taken[0]), (*position[1:], position[0])
    number = np.ravel_multi_index(position, taken)
    return [(tuple(int(index) for index in np.unravel_index(number, reader.shape)), 1.0)]


def _same_place(reader: Reader) -> Reached:
    return [(reader.position, 1.0)]


def _zero_padding(reader: Reader) -> Reached:
    (top, _), (left, _) = reader.layer.padding
    row, column, channel = as_hwc(reader.channels_first, reader.position)
    return [(reader.output(row + top, column + left, channel), 1.0)]


def _stretched(reader: Reader) -> list[Position]:
    """An axis of 1 is stretched: one number reaches all along it."""
    sizes = reader.inputs[reader.source].shape
    axes = [
        range(size) if own == 1 else (index,)
        for index, own, size in zip(reader.position, sizes, reader.shape, strict=True)
    ]
    return list(itertools.product(*axes))


def _added(reader: Reader) -> Reached:
    weight = merging_weights(reader.layer, len(reader.inputs))[reader.source]
    return [(position, weight) for position in _stretched(reader)]


def _multiplied(reader: Reader) -> Reached:
    """By the product of what the number is multiplied with."""

    def others(position: Position) -> float:
        return float(np.delete(meeting(reader.inputs, position)[0], reader.source).prod())

    return [(position, others(position)) for position in _stretched(reader)]


def _extreme(reader: Reader, choose: Callable[[float, float], float]) -> Reached:
    """By 1 where the number is taken; two are compared at a time, from left to right, and equals share alike."""

    def share(values: np.ndarray) -> float:
        taken, share = values[0], float(reader.source == 0)
        for number, value in enumerate(values[1:], start=1):
            chosen = choose(taken, value)
            left = 0.5 if taken == value else float(chosen == taken)
            share = 1 - left if number == reader.source else share * left
            taken = chosen
        return share

    return [(position, share(meeting(reader.inputs, position)[0])) for position in _stretched(reader)]


def _concatenate(reader: Reader) -> Reached:
    axis = axis_of(reader.layer.axis, len(reader.shape))
    before = sum(x.shape[axis] for x in reader.inputs[: reader.source])
    position = (*reader.position[:axis], reader.position[axis] + before, *reader.position[axis + 1 :])
    return [(position, 1.0)]


#: What reads backward how, as in `rules.RULES`.
REACHED: dict[Any, Callable[[Reader], Reached]] = {
    L.Conv2D: _convolution,
    L.DepthwiseConv2D: _convolution,
    L.Conv2DTranspose: _transposed_convolution,
    L.Dense: _dense,
    L.MaxPooling2D: functools.partial(_pooling, factor=_first_winner),
    L.AveragePooling2D: functools.partial(_pooling, factor=_share),
    L.GlobalMaxPooling2D: functools.partial(_global_pooling, factor=_one_of_the_largest),
    L.GlobalAveragePooling2D: functools.partial(_global_pooling, factor=_share),
    L.BatchNormalization: _batch_normalization,
    L.LocalResponseNormalization: _local_response_normalization,
    L.Activation: _activation,
    L.ReLU: _activation,
    L.LeakyReLU: _activation,
    L.ELU: _activation,
    L.Softmax: _activation,
    L.Flatten: _reshape,
    L.Reshape: _reshape,
    L.Dropout: _same_place,
    L.ZeroPadding2D: _zero_padding,
    L.Add: _added,
    L.Subtract: _added,
    L.Average: _added,
    L.Multiply: _multiplied,
    L.Maximum: functools.partial(_extreme, choose=np.maximum),
    L.Minimum: functools.partial(_extreme, choose=np.minimum),
    L.Concatenate: _concatenate,
    F.max: functools.partial(_reduction, factor=_one_of_the_largest),
    F.min: functools.partial(_reduction, factor=_one_of_the_smallest),
    F.sum: functools.partial(_reduction, factor=_summand),
    F.mean: functools.partial(_reduction, factor=_share),
}
