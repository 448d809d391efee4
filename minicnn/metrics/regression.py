"""Metrics that are means of losses, and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import losses
from minicnn.metrics.base import MeanMetric, paired, registry


class LossMetric(MeanMetric):
    """The mean of a loss, without its reduction.

    Args:
        loss: of which `per_sample` is taken.
        name: the loss's own unless given.
    """

    direction = "down"

    def __init__(self, loss: losses.Loss, name: str | None = None):
        super().__init__(name or loss.name)
        self.loss = loss

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give the loss of each sample."""
        return self.loss.per_sample(y_true, y_pred)


@registry.register("mse")
class MeanSquaredError(LossMetric):
    """The mean of ``(y_pred - y_true)^2``."""

    def __init__(self, name: str | None = None):
        super().__init__(losses.MeanSquaredError(), name)


@registry.register("mae")
class MeanAbsoluteError(LossMetric):
    """The mean of ``|y_pred - y_true|``."""

    def __init__(self, name: str | None = None):
        super().__init__(losses.MeanAbsoluteError(), name)


@registry.register("bce")
class BinaryCrossentropy(LossMetric):
    """The mean binary cross-entropy.

    Args:
        name: see `Metric`.
        from_logits, label_smoothing: see `losses.BinaryCrossentropy`.
    """

    def __init__(self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0):
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


@registry.register()
class CategoricalCrossentropy(LossMetric):
    """The mean categorical cross-entropy.

    Args:
        name: see `Metric`.
        from_logits, label_smoothing: see `losses.CategoricalCrossentropy`.
    """

    def __init__(self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0):
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing), name)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


@registry.register()
class SparseCategoricalCrossentropy(LossMetric):
    """The mean sparse categorical cross-entropy.

    Args:
        name: see `Metric`.
        from_logits: see `losses.SparseCategoricalCrossentropy`.
    """

    def __init__(self, name: str | None = None, from_logits: bool = False):
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits), name)
        self.from_logits = from_logits


@registry.register("pearson")
class PearsonCorrelation(MeanMetric):
    """The mean of Pearson's correlation coefficients along `axis`: ``mean(z(y_true) * z(y_pred))``.

    z is the standard score, ``(y - mean(y)) / std(y)``. NaN where targets or predictions do not vary along the axis.

    Args:
        name: see `Metric`.
        axis: one axis or several.

    >>> round(PearsonCorrelation()([[0, 1, 0.5], [1, 1, 0.2]], [[0.1, 0.9, 0.5], [1, 0.9, 0.2]]), 6)
    0.9967
    """

    direction = "up"

    def __init__(self, name: str | None = None, axis: int | Sequence[int] = -1):
        super().__init__(name)
        self.axis = axis

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give the coefficient of each row along the axis."""
        y_true, y_pred = paired(self.name, y_true, y_pred)
        axis = tuple(self.axis) if isinstance(self.axis, Sequence) else self.axis
        scores = [standard_scores(np.asarray(y, dtype=np.float64), axis) for y in (y_true, y_pred)]
        return np.mean(scores[0] * scores[1], axis=axis)


def standard_scores(y: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Give ``(y - mean) / std`` along an axis; NaN where y does not vary."""
    centred = y - y.mean(axis=axis, keepdims=True)
    deviation = centred.std(axis=axis, keepdims=True)
    return centred / np.where(deviation > 0, deviation, np.nan)
