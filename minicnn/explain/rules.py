"""How each kind of layer makes one number: one function for each, in the table `RULES`.

Positions are in the layer's own layout: (row, column, channel), or (channel, row, column) with channels first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as L
from minicnn.device import to_host

from .activations import Along, apply, takes_several, works_along
from .terms import Arithmetic, Line, Position, Terms, axis_of, gathered, line_through, single
from .windows import Windows, as_hwc, cells_at, is_channels_first
from .wording import counted, number, signed


class Cell(NamedTuple):
    """One number that a layer makes.

    Attributes:
        layer: the layer.
        inputs: what it takes, each of one sample, float64.
        position: where the number stands in what it gives.
        shape: of what it gives.
    """

    layer: Any
    inputs: list[np.ndarray]
    position: Position
    shape: tuple[int, ...]

    @property
    def channels_first(self) -> bool:
        """Whether the layer counts (channel, row, column)."""
        return is_channels_first(self.layer)


def number_of(parameter: Any, index: Any) -> float:
    """One number of a layer's weight; of no weight 0."""
    return 0.0 if parameter is None else float(parameter.data[index])


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


def _convolution(cell: Cell) -> Arithmetic:
    x = cell.inputs[0]
    windows = Windows.of(cell.layer, x.shape)

    def terms_at(position: Position) -> Terms:
        i, j, f = as_hwc(cell.channels_first, position)
        weights, first = filter_of(cell.layer, f), first_channel(cell.layer, f)
        channels = np.arange(first, first + weights.shape[2])
        return gathered(x, cells_at(cell.channels_first, *windows.taps(i, j), channels), weights)

    return _weighted(cell, terms_at, lambda position: as_hwc(cell.channels_first, position)[2])


def _dense(cell: Cell) -> Arithmetic:
    x, kernel = cell.inputs[0], cell.layer.kernel.data

    def terms_at(position: Position) -> Terms:
        weights = to_host(kernel[:, position[-1]]).astype(np.float64)
        return gathered(x, line_through(position, -1, len(weights)), weights)

    return _weighted(cell, terms_at, lambda position: position[-1])


def _weighted(cell: Cell, terms_at: Callable[[Position], Terms], output_of: Callable[[Position], int]) -> Arithmetic:
    """activation(sum of products + bias)."""
    layer = cell.layer

    def z_at(position: Position) -> float:
        return float(terms_at(position).products.sum()) + number_of(layer.bias, output_of(position))

    terms, bias = terms_at(cell.position), number_of(layer.bias, output_of(cell.position))
    total = float(terms.products.sum())
    z = total + bias
    lines = [Line(f"sum of {counted(terms.count, 'product')}", "", total)]
    if layer.bias is not None:
        lines += [Line("bias b", "", bias), Line("z = sum + b", f"{number(total)} + {signed(bias)}", z)]
    made, y = apply(layer.activation, z, _along(cell, z_at))
    return Arithmetic(
        terms,
        y,
        lines + made,
        magnitude=float(np.abs(terms.products).sum()) + abs(bias),
        bias=None if layer.bias is None else bias,
        pre_activation=z,
    )


def _along(cell: Cell, z_at: Callable[[Position], float]) -> Along:
    """All z along an axis of the layer's output."""

    def along(axis: int) -> tuple[np.ndarray, int]:
        place = axis_of(axis, len(cell.shape))
        before, after = cell.position[:place], cell.position[place + 1 :]
        return np.array([z_at((*before, k, *after)) for k in range(cell.shape[place])]), cell.position[place]

    return along


def _activation(cell: Cell) -> Arithmetic:
    x = cell.inputs[0]
    z = float(x[cell.position])
    lines, y = apply(cell.layer.activation, z, _along(cell, lambda position: float(x[position])))
    if not takes_several(cell.layer.activation):
        return Arithmetic(single(x, cell.position), y, lines, magnitude=abs(z), pre_activation=z)
    axis = axis_of(works_along(cell.layer.activation), x.ndim)
    terms = gathered(x, line_through(cell.position, axis, x.shape[axis]))
    return Arithmetic(terms, y, lines, magnitude=float(np.abs(terms.values).max()), pre_activation=z)


def pooled_window(cell: Cell) -> Terms:
    """The window (PH, PW) that a pooling sees, (H, W) of a global one."""
    x, first = cell.inputs[0], cell.channels_first
    i, j, c = (0, 0, cell.position[0]) if len(cell.position) == 1 else as_hwc(first, cell.position)
    if isinstance(cell.layer, (L.GlobalMaxPooling2D, L.GlobalAveragePooling2D)):
        H, W, _ = as_hwc(first, x.shape)
        rows, columns = np.arange(H), np.arange(W)
    else:
        rows, columns = Windows.of(cell.layer, x.shape).taps(i, j)
    return gathered(x, cells_at(first, rows, columns, np.array([c]))[:, :, 0])


def _maximum(cell: Cell) -> Arithmetic:
    terms = pooled_window(cell)
    value = float(terms.values.reshape(-1)[terms.winner])
    line = Line(f"largest of {counted(int(terms.inside.sum()), 'value')}", "", value)
    return Arithmetic(terms, value, [line], magnitude=abs(value), winner=terms.winner)


def _mean(cell: Cell) -> Arithmetic:
    terms = pooled_window(cell)
    count, total = int(terms.inside.sum()), float(terms.values.sum())
    y = total / count
    lines = [Line(f"sum of {counted(count, 'value')}", "", total), Line("mean", f"{number(total)} / {count}", y)]
    return Arithmetic(terms, y, lines, magnitude=float(np.abs(terms.values).sum()) / count)


def _batch_normalization(cell: Cell) -> Arithmetic:
    layer, x = cell.layer, float(cell.inputs[0][cell.position])
    c = cell.position[axis_of(layer.axis, len(cell.shape))]
    mean, variance = (number_of(moving, c) for moving in (layer.moving_mean, layer.moving_variance))
    scale = 1.0 if layer.gamma is None else number_of(layer.gamma, c)
    shift = number_of(layer.beta, c)
    deviation = math.sqrt(variance + layer.epsilon)
    y = (x - mean) / deviation
    lines = [
        Line("moving mean", "", mean),
        Line("deviation", f"sqrt(variance + epsilon) = sqrt({number(variance)} + {number(layer.epsilon)})", deviation),
        Line("normalised", f"({number(x)} - {signed(mean)}) / {number(deviation)}", y),
    ]
    if layer.gamma is not None or layer.beta is not None:
        formula = f"gamma * normalised + beta = {number(scale)} * {signed(y)} + {signed(shift)}"
        y = scale * y + shift
        lines.append(Line("scaled, shifted", formula, y))
    size = abs(scale / deviation) * (abs(x) + abs(mean)) + abs(shift)
    return Arithmetic(single(cell.inputs[0], cell.position), y, lines, magnitude=size)


def _copied(cell: Cell, text: str, position: Position, source: int = 0) -> Arithmetic:
    """A number that a layer only takes from somewhere."""
    terms = single(cell.inputs[source], position, source=source)
    value = float(terms.values)
    return Arithmetic(terms, value, [Line(text, "", value)], magnitude=abs(value))


def _reshape(cell: Cell) -> Arithmetic:
    """The value of the same number, counted in C order; a flatten layer may count the channels last."""
    taken, place = cell.inputs[0].shape, np.ravel_multi_index(cell.position, cell.shape)
    if isinstance(cell.layer, L.Flatten) and cell.channels_first and len(taken) > 1:
        *pixel, channel = np.unravel_index(place, (*taken[1:], taken[0]))
        position = (channel, *pixel)
    else:
        position = np.unravel_index(place, taken)
    return _copied(cell, "the same value", tuple(int(index) for index in position))


def _dropout(cell: Cell) -> Arithmetic:
    return _copied(cell, "nothing is dropped outside training", cell.position)


def _zero_padding(cell: Cell) -> Arithmetic:
    (top, _), (left, _) = cell.layer.padding
    i, j, c = as_hwc(cell.channels_first, cell.position)
    position = cells_at(cell.channels_first, np.array([i - top]), np.array([j - left]), np.array([c]))[0, 0, 0]
    return _copied(cell, "the border is 0, the rest as it is", tuple(map(int, position)))


def merging_weights(layer: Any, count: int) -> list[float]:
    """What each of the inputs is multiplied by before they are added."""
    if isinstance(layer, L.Subtract):
        return [1.0, -1.0]
    return [1.0 / count if isinstance(layer, L.Average) else 1.0] * count


def _added(cell: Cell) -> Arithmetic:
    """A weighted sum of one value from each input; an axis of 1 is stretched."""
    count = len(cell.inputs)
    positions = [
        [min(index, size - 1) for index, size in zip(cell.position, x.shape, strict=True)] for x in cell.inputs
    ]
    values = np.array([x[tuple(position)] for x, position in zip(cell.inputs, positions, strict=True)])
    weights = np.array(merging_weights(cell.layer, count))
    terms = Terms(values, np.array(positions), np.ones(count, bool), weights, np.arange(count))
    y = float(terms.products.sum())
    line = Line(f"sum of {counted(count, 'product')}", "", y)
    return Arithmetic(terms, y, [line], magnitude=float(np.abs(terms.products).sum()))


def _concatenate(cell: Cell) -> Arithmetic:
    axis = axis_of(cell.layer.axis, len(cell.shape))
    ends = np.cumsum([x.shape[axis] for x in cell.inputs])
    source = int(np.searchsorted(ends, cell.position[axis], side="right"))
    index = cell.position[axis] - int(ends[source]) + cell.inputs[source].shape[axis]
    position = (*cell.position[:axis], index, *cell.position[axis + 1 :])
    return _copied(cell, "the same value", position, source)


#: The rule of each kind of layer; a subclass goes by its base's.
RULES: dict[type, Callable[[Cell], Arithmetic]] = {
    L.Conv2D: _convolution,
    L.DepthwiseConv2D: _convolution,
    L.Dense: _dense,
    L.MaxPooling2D: _maximum,
    L.AveragePooling2D: _mean,
    L.GlobalMaxPooling2D: _maximum,
    L.GlobalAveragePooling2D: _mean,
    L.BatchNormalization: _batch_normalization,
    L.Activation: _activation,
    L.ReLU: _activation,
    L.LeakyReLU: _activation,
    L.ELU: _activation,
    L.Softmax: _activation,
    L.Flatten: _reshape,
    L.Reshape: _reshape,
    L.Dropout: _dropout,
    L.ZeroPadding2D: _zero_padding,
    L.Add: _added,
    L.Subtract: _added,
    L.Average: _added,
    L.Concatenate: _concatenate,
}


def rule_of(layer: Any, table: dict[type, Any], operation: str) -> Any:
    """What a table has for the layer's class, or for the nearest of its bases.

    Raises:
        ValueError: it has nothing; the message says for which layers it has something.
    """
    for kind in type(layer).__mro__:
        if kind in table:
            return table[kind]
    if hasattr(layer, "graph"):
        raise ValueError(
            f"{operation}: {layer.describe()} is a model of its own; explain its layers by passing that model and what "
            "it takes"
        )
    known = ", ".join(sorted({kind.__name__ for kind in table}))
    what = "the model's input" if layer is None else layer.describe()
    raise ValueError(f"{operation}: {what} cannot be explained; these layers can: {known}")
