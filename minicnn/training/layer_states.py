"""What training steps change in layers, to take it back: a step that is made again must find what it found before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers import BatchNormalization, Dropout

if TYPE_CHECKING:
    from minicnn.parameter import Parameter

Masks = list[tuple[Dropout, dict[str, int]]]


class LayerStates:
    """What training steps change in layers, as it is now: which masks dropouts draw next, and moving averages.

    Args:
        layers: of a model.

    Attributes:
        averages: the arrays of the moving averages.
        kept: what is in them now.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        layers = list(layers)
        self._masks = next_masks(layers)
        self.averages = [parameter.data for parameter in moving_averages(layers)]
        self.kept = [array.copy() for array in self.averages]

    def restore(self) -> None:
        """Take back what was trained since."""
        draw_again(self._masks)
        for array, kept in zip(self.averages, self.kept, strict=True):
            np.copyto(array, kept)


def moving_averages(layers: Iterable[Any]) -> list[Parameter]:
    """The weights of layers that a training step moves by itself."""
    normalizing = [layer for layer in layers if isinstance(layer, BatchNormalization)]
    return [weight for layer in normalizing for weight in (layer.moving_mean, layer.moving_variance)]


def next_masks(layers: Iterable[Any]) -> Masks:
    """Which masks the dropouts among these layers draw next, for `draw_again`."""
    return [(layer, layer.get_state()) for layer in layers if isinstance(layer, Dropout)]


def draw_again(masks: Masks) -> None:
    """Let the dropouts draw what they drew since `next_masks` was asked: for the same step, made once more."""
    for layer, state in masks:
        layer.set_state(state)
