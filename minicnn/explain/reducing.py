"""How poolings, and reductions such as a Lambda layer's, make one number of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import layers as L
from minicnn.functional.geometry import is_whole

from .cell import Cell
from .terms import Arithmetic, Line, Terms, axis_of, gathered
from .windows import Windows, as_hwc, cells_at
from .wording import counted, number


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


def reduces(layer: L.Lambda) -> bool:
    """Whether a Lambda layer is one of the reductions that can be explained."""
    return any(layer.function is function for function in REDUCTIONS)


def reduced_axes(layer: Any, rank: int) -> tuple[int, ...]:
    """The axes, of a sample of `rank` axes, that a Lambda layer's reduction works along; -1 is the batch."""
    axis = layer.arguments.get("axis")
    given = range(rank + 1) if axis is None else (axis,) if is_whole(axis) else axis
    return tuple(sorted(axis_of(one, rank) for one in given))


def reduced_line(cell: Cell) -> Terms:
    """All values that a Lambda layer's reduction sees, in C order.

    Raises:
        ValueError: they are of several samples.
    """
    x = cell.inputs[0]
    axes = reduced_axes(cell.layer, x.ndim)
    if -1 in axes:
        raise ValueError(f"explain: {cell.layer.describe()} works along the batch, but one sample is explained")
    position = iter(cell.position)
    kept = len(cell.position) == x.ndim
    spans = []
    for axis, size in enumerate(x.shape):
        index = next(position) if kept or axis not in axes else 0
        spans.append(np.arange(size) if axis in axes else np.array([index]))
    return gathered(x, np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, x.ndim))


def maximum(terms: Terms) -> Arithmetic:
    """The largest value; padding never wins."""
    return _extreme(terms, terms.winner, "largest")


def minimum(terms: Terms) -> Arithmetic:
    """The smallest value."""
    return _extreme(terms, terms.smallest, "smallest")


def _extreme(terms: Terms, winner: int, word: str) -> Arithmetic:
    value = float(terms.values.reshape(-1)[winner])
    line = Line(f"{word} of {counted(int(terms.inside.sum()), 'value')}", "", value)
    return Arithmetic(terms, value, [line], magnitude=abs(value), winner=winner)


def total(terms: Terms) -> Arithmetic:
    """The sum of the values."""
    y = float(terms.values.sum())
    line = Line(f"sum of {counted(int(terms.inside.sum()), 'value')}", "", y)
    return Arithmetic(terms, y, [line], magnitude=float(np.abs(terms.values).sum()))


def mean(terms: Terms) -> Arithmetic:
    """The sum of the values by their number; padding is not counted."""
    summed, count = total(terms), int(terms.inside.sum())
    y = summed.result / count
    line = Line("mean", f"{number(summed.result)} / {count}", y)
    return Arithmetic(terms, y, [*summed.lines, line], magnitude=summed.magnitude / count)


#: What a Lambda layer's function makes of all that it sees.
REDUCTIONS: dict[Callable[..., Any], Callable[[Terms], Arithmetic]] = {
    F.max: maximum,
    F.min: minimum,
    F.sum: total,
    F.mean: mean,
}


def reduction(cell: Cell) -> Arithmetic:
    """What a Lambda layer's function makes of all that it sees."""
    return REDUCTIONS[cell.layer.function](reduced_line(cell))
