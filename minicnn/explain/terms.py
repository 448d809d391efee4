"""What an explanation is made of: the terms of a sum, and the lines of arithmetic that follow it.

The letters: x what a layer takes, w and b its weights, z = w x + b what its activation is applied to, y what it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minicnn.functional.geometry import is_whole

Position = tuple[int, ...]


class Line(NamedTuple):
    """One step of arithmetic: ``label   formula = value``."""

    label: str
    formula: str
    value: float


@dataclass(frozen=True)
class Terms:
    """The values that one number is made of, and what each is multiplied by.

    All arrays have the shape of the window: (KH, KW, C) of a convolution, (PH, PW) of a pooling, (C,) of a dense layer,
    () where there is one value.

    Attributes:
        values: float64; 0 in the padding.
        positions: (..., axes) where each value stands in its layer's output; outside of it in the padding.
        inside: False in the padding.
        weights: float64, or None where nothing is multiplied.
        sources: which of the layer's inputs the value comes from.
    """

    values: np.ndarray
    positions: np.ndarray
    inside: np.ndarray
    weights: np.ndarray | None
    sources: np.ndarray

    @property
    def products(self) -> np.ndarray:
        """Values times weights; the values where there are none."""
        return self.values if self.weights is None else self.values * self.weights

    @property
    def count(self) -> int:
        """How many there are, padding included."""
        return int(self.values.size)

    @property
    def winner(self) -> int:
        """The number of the largest value, the first among equals; padding is minus infinity, NaN wins."""
        return int(np.argmax(np.where(self.inside, self.values, -np.inf)))

    @property
    def smallest(self) -> int:
        """The number of the smallest value, likewise; for terms without padding."""
        return int(np.argmin(self.values))

    def position(self, number: int) -> Position | None:
        """Where the term of this number stands, counted in C order; None in the padding."""
        if not self.inside.reshape(-1)[number]:
            return None
        return tuple(int(index) for index in self.positions.reshape(self.count, -1)[number])


def checked(position: Any, shape: tuple[int, ...], what: str, axes: Sequence[str] = ()) -> Position:
    """A position as a tuple of ints; one number will do where there is one axis.

    Args:
        position: given by the user.
        shape: what it must lie within.
        what: begins the message.
        axes: what the axes are called, if they have names.

    Raises:
        ValueError: it is something else, or outside; the message says the range.
    """
    given = (position,) if is_whole(position) else position.tolist() if isinstance(position, np.ndarray) else position
    fits = isinstance(given, (tuple, list)) and len(given) == len(shape) and all(map(is_whole, given))
    if fits and all(0 <= int(index) < size for index, size in zip(given, shape, strict=True)):
        return tuple(int(index) for index in given)
    names = axes or [f"axis {axis}" for axis in range(len(shape))]
    ranges = ", ".join(f"{name} 0 to {size - 1}" for name, size in zip(names, shape, strict=True))
    raise ValueError(f"{what} must be whole numbers ({ranges}), but {position!r} came")


def gathered(x: np.ndarray, positions: np.ndarray, weights: np.ndarray | None = None, source: int = 0) -> Terms:
    """The terms at positions (..., axes) of an array, 0 outside of it."""
    inside = np.all((positions >= 0) & (positions < x.shape), axis=-1)
    values = np.zeros(inside.shape)
    values[inside] = x[tuple(positions[inside].T)]
    return Terms(values, positions, inside, weights, np.full(inside.shape, source))


def single(x: np.ndarray, position: Position, weight: float | None = None, source: int = 0) -> Terms:
    """The only term of a number that is made of one value."""
    return gathered(x, np.array(position, int), None if weight is None else np.array(weight), source)


def axis_of(axis: int, rank: int) -> int:
    """The axis of one sample of `rank` axes that is `axis` of a batch.

    >>> axis_of(-1, 3), axis_of(1, 3)
    (2, 0)
    """
    return axis % (rank + 1) - 1


def line_through(position: Position, axis: int, size: int) -> np.ndarray:
    """The positions (size, axes) that run along an axis through one of them."""
    positions = np.empty((size, len(position)), int)
    positions[:] = position
    positions[:, axis] = np.arange(size)
    return positions


@dataclass(frozen=True)
class Arithmetic:
    """How a layer makes one number, in float64.

    Attributes:
        terms: what goes in; none into a number of the picture itself.
        result: what comes out.
        lines: the steps behind the terms, the last of which gives the result.
        magnitude: the sum of the sizes of all that is added up; rounding errors are in proportion to it.
        bias: added to the sum, None where there is none.
        pre_activation: what the activation is applied to, None in layers without.
        winner: number of the term that a maximum or a minimum takes.
        own: number of the term at the number's own place, where the others only scale it.
    """

    terms: Terms
    result: float
    lines: list[Line] = field(default_factory=list)
    magnitude: float = 0.0
    bias: float | None = None
    pre_activation: float | None = None
    winner: int | None = None
    own: int | None = None


def copied(text: str, x: np.ndarray, position: Position, source: int = 0) -> Arithmetic:
    """A number that a layer only takes from somewhere."""
    terms = single(x, position, source=source)
    value = float(terms.values)
    return Arithmetic(terms, value, [Line(text, "", value)], magnitude=abs(value))
