"""How layers that several branches meet in make one number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import layers as L

from .cell import Cell
from .terms import Arithmetic, Line, Position, Terms, axis_of, copied
from .wording import counted, number, signed


def meeting(inputs: list[np.ndarray], position: Position) -> tuple[np.ndarray, np.ndarray]:
    """The values (inputs,) that meet at a position of the output, and where each stands (inputs, axes).

    An axis of 1 is stretched.
    """
    positions = [[min(index, size - 1) for index, size in zip(position, x.shape, strict=True)] for x in inputs]
    values = [x[tuple(place)] for x, place in zip(inputs, positions, strict=True)]
    return np.array(values), np.array(positions, int)


def one_of_each(cell: Cell, weights: np.ndarray | None = None) -> Terms:
    """One value from each input."""
    count = len(cell.inputs)
    return Terms(*meeting(cell.inputs, cell.position), np.ones(count, bool), weights, np.arange(count))


def merging_weights(layer: Any, count: int) -> list[float]:
    """What each of the inputs is multiplied by before they are added."""
    if isinstance(layer, L.Subtract):
        return [1.0, -1.0]
    return [1.0 / count if isinstance(layer, L.Average) else 1.0] * count


def added(cell: Cell) -> Arithmetic:
    """A weighted sum."""
    terms = one_of_each(cell, np.array(merging_weights(cell.layer, len(cell.inputs))))
    y = float(terms.products.sum())
    line = Line(f"sum of {counted(terms.count, 'product')}", "", y)
    return Arithmetic(terms, y, [line], magnitude=float(np.abs(terms.products).sum()))


def multiplied(cell: Cell) -> Arithmetic:
    """The product of all values."""
    terms = one_of_each(cell)
    first, *others = terms.values.tolist()
    y = math.prod(others, start=first)
    formula = " * ".join([number(first), *map(signed, others)])
    return Arithmetic(terms, y, [Line(f"product of {counted(terms.count, 'value')}", formula, y)], magnitude=abs(y))


def concatenated(cell: Cell) -> Arithmetic:
    """The number of the input that lies at its place."""
    axis = axis_of(cell.layer.axis, len(cell.shape))
    ends = np.cumsum([x.shape[axis] for x in cell.inputs])
    source = int(np.searchsorted(ends, cell.position[axis], side="right"))
    index = cell.position[axis] - int(ends[source]) + cell.inputs[source].shape[axis]
    position = (*cell.position[:axis], index, *cell.position[axis + 1 :])
    return copied("the same value", cell.inputs[source], position, source)
