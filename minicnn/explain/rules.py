"""How each kind of layer makes one number: one function for each, in the table `RULES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers as L

from . import merging, reducing, weighted
from .activations import apply, takes_several, works_along
from .cell import Cell, number_of
from .terms import Arithmetic, Line, axis_of, copied, gathered, line_through, single
from .windows import as_hwc, cells_at
from .wording import counted, number, signed, summands


def _activation(cell: Cell) -> Arithmetic:
    x = cell.inputs[0]
    z = float(x[cell.position])
    lines, y = apply(cell.layer.activation, z, cell.along(lambda position: float(x[position])))
    if not takes_several(cell.layer.activation):
        return Arithmetic(single(x, cell.position), y, lines, magnitude=abs(z), pre_activation=z)
    axis = axis_of(works_along(cell.layer.activation), x.ndim)
    terms = gathered(x, line_through(cell.position, axis, x.shape[axis]))
    magnitude = float(np.abs(terms.values).max())
    return Arithmetic(terms, y, lines, magnitude=magnitude, pre_activation=z, own=cell.position[axis])


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


def _local_response_normalization(cell: Cell) -> Arithmetic:
    """x / (bias + alpha * sum of squares)^beta, over the pixel's channels up to depth_radius away."""
    layer, x = cell.layer, cell.inputs[0]
    channel = 0 if cell.channels_first else 2
    c, radius = cell.position[channel], layer.depth_radius
    first = max(c - radius, 0)
    terms = gathered(x, line_through(cell.position, channel, x.shape[channel])[first : c + radius + 1])
    squares = np.square(terms.values)
    own, total = x[cell.position], float(squares.sum())
    base = f"({number(layer.bias)} + {number(layer.alpha)} * {number(total)})"
    with np.errstate(all="ignore"):
        divisor = np.power(layer.bias + layer.alpha * total, layer.beta)
        y = float(own / divisor)
    lines = [
        Line(f"sum of {counted(terms.count, 'square')}", summands(squares), total),
        Line("divisor", f"(bias + alpha * sum)^beta = {base}^{signed(layer.beta)}", float(divisor)),
        Line("normalised", f"{number(own)} / {number(divisor)}", y),
    ]
    return Arithmetic(terms, y, lines, magnitude=abs(y), own=c - first)


def _reshape(cell: Cell) -> Arithmetic:
    """The value of the same number, counted in C order; a flatten layer may count the channels last."""
    taken, place = cell.inputs[0].shape, np.ravel_multi_index(cell.position, cell.shape)
    if isinstance(cell.layer, L.Flatten) and cell.channels_first and len(taken) > 1:
        *pixel, channel = np.unravel_index(place, (*taken[1:], taken[0]))
        position = (channel, *pixel)
    else:
        position = np.unravel_index(place, taken)
    return copied("the same value", cell.inputs[0], tuple(int(index) for index in position))


def _dropout(cell: Cell) -> Arithmetic:
    return copied("nothing is dropped outside training", cell.inputs[0], cell.position)


def _zero_padding(cell: Cell) -> Arithmetic:
    (top, _), (left, _) = cell.layer.padding
    i, j, c = as_hwc(cell.channels_first, cell.position)
    position = cells_at(cell.channels_first, np.array([i - top]), np.array([j - left]), np.array([c]))[0, 0, 0]
    return copied("the border is 0, the rest as it is", cell.inputs[0], tuple(map(int, position)))


#: The rule of each kind of layer, and of the functions that a Lambda layer may have; a subclass goes by its base's.
RULES: dict[Any, Callable[[Cell], Arithmetic]] = {
    L.Conv2D: weighted.convolution,
    L.DepthwiseConv2D: weighted.convolution,
    L.Conv2DTranspose: weighted.transposed_convolution,
    L.Dense: weighted.dense,
    L.MaxPooling2D: lambda cell: reducing.maximum(reducing.pooled_window(cell)),
    L.AveragePooling2D: lambda cell: reducing.mean(reducing.pooled_window(cell)),
    L.GlobalMaxPooling2D: lambda cell: reducing.maximum(reducing.pooled_window(cell)),
    L.GlobalAveragePooling2D: lambda cell: reducing.mean(reducing.pooled_window(cell)),
    L.BatchNormalization: _batch_normalization,
    L.LocalResponseNormalization: _local_response_normalization,
    L.Activation: _activation,
    L.ReLU: _activation,
    L.LeakyReLU: _activation,
    L.ELU: _activation,
    L.Softmax: _activation,
    L.Flatten: _reshape,
    L.Reshape: _reshape,
    L.Dropout: _dropout,
    L.ZeroPadding2D: _zero_padding,
    L.Add: merging.added,
    L.Subtract: merging.added,
    L.Average: merging.added,
    L.Multiply: merging.multiplied,
    L.Maximum: lambda cell: reducing.maximum(merging.one_of_each(cell)),
    L.Minimum: lambda cell: reducing.minimum(merging.one_of_each(cell)),
    L.Concatenate: merging.concatenated,
    **dict.fromkeys(reducing.REDUCTIONS, reducing.reduction),
}

#: The layers that have no rule, and why.
UNEXPLAINED: dict[type, str] = {
    L.InputLayer: "the numbers of the picture are made of nothing",
    L.Lambda: "its function may be anything; an elementwise one can be explained as an Activation",
}


def rule_of(layer: Any, table: dict[Any, Any], operation: str) -> Any:
    """What a table has for a Lambda layer's function, for the layer's class, or for the nearest of its bases.

    Raises:
        ValueError: it has nothing; the message says for which layers it has something.
    """
    function = layer.function if isinstance(layer, L.Lambda) else None
    # A function of one's own may have no hash.
    if any(function is known for known in table):
        return table[function]
    for kind in type(layer).__mro__:
        if kind in table:
            return table[kind]
    if hasattr(layer, "graph"):
        raise ValueError(
            f"{operation}: {layer.describe()} is a model of its own; explain its layers by passing that model and what "
            "it takes"
        )
    what = "the model's input" if layer is None else layer.describe()
    raise ValueError(
        f"{operation}: {what} cannot be explained{_reason(layer, table)}; these layers can: {_known(table)}"
    )


def _reason(layer: Any, table: dict[Any, Any]) -> str:
    reasons = [reason for kind, reason in UNEXPLAINED.items() if isinstance(layer, kind)]
    return f": {reasons[0]}" if reasons else ""


def _known(table: dict[Any, Any]) -> str:
    kinds = sorted(kind.__name__ for kind in table if isinstance(kind, type))
    functions = sorted(kind.__name__ for kind in table if not isinstance(kind, type))
    return ", ".join([*kinds, *([f"Lambda of {', '.join(functions)}"] if functions else [])])
