"""What metrics have in common: a state that batches are added to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import as_array
from minicnn.device import array_module, native
from minicnn.registry import Configurable, Registry, snake_case

registry = Registry("metric")


class Metric(Configurable):
    """Base of the metrics.

    Args:
        name: the class's own in snake case unless given.

    Attributes:
        direction: "up" where more is better, "down" where less is, None where nobody can say.
    """

    direction: str | None = None
    # Whether batches may come as arrays on a GPU, which `update_state` then does not wait for; else they are copied.
    on_device = False

    def __init__(self, name: str | None = None):
        self.name = name or snake_case(type(self).__name__)
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: targets.
            y_pred: predictions (N, ..., K).
            sample_weight: None, or the weights (N,) of the samples, or (N, ...).

        Raises:
            ValueError: they do not fit together.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_state(y_true, y_pred, sample_weight)")

    def result(self) -> Any:
        """Give the figure of all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must define result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} must define reset_state()")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch and give the figure of all so far; arguments and errors as for `update_state`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()


class _Average(Metric):
    """A weighted mean over samples: sum of ``weight * value`` over sum of weights; 0 without any."""

    def reset_state(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0.0

    def result(self) -> float:
        """Give the mean over all batches since the last reset."""
        self.total, self.count = float(self.total), float(self.count)
        return self.total / self.count if self.count else 0.0

    def _add(self, values: Any, sample_weight: Any) -> None:
        # float64, so that an epoch of many batches does not lose the last ones.
        values = native(values, np.float64)
        weights = None
        if sample_weight is not None:
            values, weights = weighted(self.name, values, sample_weight)
        if values.ndim > 1:
            values = values.mean(axis=tuple(range(1, values.ndim)))
        self.total = self.total + _as_total(values.sum())
        self.count = self.count + (float(values.size) if weights is None else _as_total(weights.sum()))


def _as_total(x: Any) -> Any:
    """A number; a sum on a GPU stays there until somebody wants the result."""
    return float(x) if array_module(x) is np else x


@registry.register()
class Mean(_Average):
    """The (weighted) mean of values.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.update_state([5.0, 7.0], sample_weight=[1, 0])
    >>> mean.result()
    3.0
    """

    # Values have no targets to compare with: the one metric with another signature, as in Keras.
    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add values.

        Args:
            values: a number, or (N, ...), of which each sample counts once.
            sample_weight: None, or weights that fit the values.

        Raises:
            ValueError: the weights do not fit.
        """
        self._add(as_array(values), sample_weight)


class MeanMetric(_Average):
    """The mean of something that each sample has: a subclass defines `values`."""

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give the value of each sample (N, ...), from targets and predictions (N, ..., K)."""
        raise NotImplementedError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        self._add(self.values(as_array(y_true), as_array(y_pred)), sample_weight)


class FunctionMetric(MeanMetric):
    """The mean of what a function ``(y_true, y_pred) -> values`` gives.

    Args:
        function: of targets and predictions (N, ..., K) to values (N, ...).
        name: the function's own unless given.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None):
        super().__init__(name or getattr(function, "__name__", None))
        self.function = function

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Call the function."""
        return np.asarray(as_array(self.function(y_true, y_pred)))


def weighted(operation: str, values: np.ndarray, sample_weight: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight values, and give the weight of each sample, as Keras does.

    Values are averaged over the axes that the weights do not have; weights over all axes but the first.

    Raises:
        ValueError: the weights do not fit.
    """
    weights = native(as_array(sample_weight), np.float64)
    values, weights = same_rank(values, weights)
    if values.ndim > weights.ndim:
        values = values.mean(axis=tuple(range(weights.ndim, values.ndim)))
    try:
        weights = np.broadcast_to(weights, values.shape)
    except ValueError:
        raise ValueError(
            f"{operation}: expected sample_weight that fits values of shape {values.shape}, got {weights.shape}"
        ) from None
    values = values * weights
    if weights.ndim > 1:
        weights = weights.mean(axis=tuple(range(1, weights.ndim)))
    return values, weights


def same_rank(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add or drop a last axis of extent 1 where the ranks of two arrays differ by it, as Keras does."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def paired(operation: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bring targets and predictions to one rank; ValueError unless they then have one shape."""
    given = np.shape(y_true), np.shape(y_pred)
    y_true, y_pred = same_rank(native(y_true), native(y_pred))
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"{operation}: y_true and y_pred must have the same shape, got y_true {given[0]} and y_pred {given[1]}"
        )
    return y_true, y_pred
