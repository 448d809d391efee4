"""Losses that compare numbers or distributions entry by entry.

Targets and predictions are (N, ..., K), of one shape but for a last axis of 1; anything else raises ValueError. Where
a class names no arguments, they are those of `Loss`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.losses.base import Loss, matched, registry

# What keeps logarithms finite, as in Keras.
EPSILON = 1e-7


@registry.register("mse")
class MeanSquaredError(Loss):
    """``mean((y_pred - y_true)^2)`` over the last axis.

    >>> float(MeanSquaredError()(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])))
    0.5
    """

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean squared difference over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        return F.mean(F.square(y_pred - y_true), axis=-1)


@registry.register("mae")
class MeanAbsoluteError(Loss):
    """``mean(|y_pred - y_true|)`` over the last axis."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean absolute difference over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        return F.mean(F.abs(y_pred - y_true), axis=-1)


@registry.register()
class Huber(Loss):
    """``e^2 / 2`` where ``e = |y_pred - y_true| <= delta``, else ``delta*e - delta^2 / 2``; mean over the last axis.

    (Huber 1964, Robust estimation of a location parameter.)

    Args:
        delta: the error from which on the loss grows in a straight line.
        reduction, name: see `Loss`.
    """

    def __init__(self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str | None = None):
        super().__init__(reduction, name)
        self.delta = delta

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        error = F.abs(y_pred - y_true)
        # The part of the error up to delta, squared, plus what is beyond, straight.
        inner = F.minimum(error, self.delta)
        return F.mean(0.5 * F.square(inner) + self.delta * (error - inner), axis=-1)


@registry.register("logcosh")
class LogCosh(Loss):
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis, without overflow."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        difference = y_pred - y_true
        return F.mean(difference + F.softplus(-2.0 * difference) - math.log(2.0), axis=-1)


@registry.register("kld")
class KLDivergence(Loss):
    """``sum(y_true * log(y_true / y_pred))`` over the last axis, both clipped to [1e-7, 1] (Kullback, Leibler 1951)."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the divergence of each distribution along the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        y_true, y_pred = F.clip(y_true, EPSILON, 1.0), F.clip(y_pred, EPSILON, 1.0)
        return F.sum(y_true * F.log(y_true / y_pred), axis=-1)


@registry.register()
class Poisson(Loss):
    """``mean(y_pred - y_true * log(y_pred + 1e-7))`` over the last axis."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        return F.mean(y_pred - y_true * F.log(y_pred + EPSILON), axis=-1)


@registry.register()
class Hinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis; targets are -1 and 1, also given as 0 and 1."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        return F.mean(F.maximum(1.0 - signed(y_true) * y_pred, 0.0), axis=-1)


@registry.register()
class SquaredHinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0)^2)`` over the last axis; targets are -1 and 1, also given as 0 and 1."""

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        y_true, y_pred = matched(self.name, y_true, y_pred)
        return F.mean(F.square(F.maximum(1.0 - signed(y_true) * y_pred, 0.0)), axis=-1)


def signed(labels: Any) -> Any:
    """Turn labels that are all 0 or 1 into -1 and 1, and leave others as they are, as in Keras."""
    values = labels.data if isinstance(labels, Tensor) else labels
    return 2.0 * labels - 1.0 if np.isin(values, (0, 1)).all() else labels
