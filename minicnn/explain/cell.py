"""One number that a layer makes, as its rule sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .activations import Along
from .terms import Position, axis_of
from .windows import is_channels_first


class Cell(NamedTuple):
    """One number that a layer makes.

    Attributes:
        layer: the layer.
        inputs: what it takes, each of one sample, float64.
        position: where the number stands in what it gives, in the layer's own layout: (row, column, channel), or
            (channel, row, column) with channels first.
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

    def along(self, z_at: Callable[[Position], float]) -> Along:
        """All z along an axis of the layer's output, from what gives the z at a position."""

        def along(axis: int) -> tuple[np.ndarray, int]:
            place = axis_of(axis, len(self.shape))
            before, after = self.position[:place], self.position[place + 1 :]
            return np.array([z_at((*before, k, *after)) for k in range(self.shape[place])]), self.position[place]

        return along


def number_of(parameter: Any, index: Any) -> float:
    """One number of a layer's weight; of no weight 0."""
    return 0.0 if parameter is None else float(parameter.data[index])
