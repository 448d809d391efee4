"""How often predictions are right, a number from 0 to 1. Shapes that do not fit together raise ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.device import native
from minicnn.functional.geometry import whole
from minicnn.losses.crossentropy import check_class_numbers, is_integer_labels
from minicnn.metrics.base import MeanMetric, paired, registry


@registry.register()
class Accuracy(MeanMetric):
    """How often ``y_pred == y_true``, entry by entry.

    Named "accuracy" in `compile`, the variant that fits the shapes is taken instead: see `metrics.get`.
    """

    direction = "up"
    on_device = True

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where they are equal, else 0."""
        y_true, y_pred = paired(self.name, y_true, y_pred)
        return y_true == y_pred


@registry.register()
class BinaryAccuracy(MeanMetric):
    """How often ``y_pred > threshold`` tells the label, 0 or 1.

    Args:
        threshold: above which a prediction stands for 1.
        name: see `Metric`.
    """

    direction = "up"
    on_device = True

    def __init__(self, threshold: float = 0.5, name: str | None = None):
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where the prediction is on the label's side, else 0."""
        y_true, y_pred = paired(self.name, y_true, y_pred)
        return (y_pred > self.threshold) == y_true


@registry.register()
class CategoricalAccuracy(MeanMetric):
    """How often the largest prediction is that of the class; labels are one-hot, (N, ..., K)."""

    direction = "up"
    on_device = True

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where both are largest at the same place, else 0."""
        check_one_hot(self.name, y_true, y_pred)
        return np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)


@registry.register()
class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest prediction is that of the class; labels are class numbers, (N, ...) or (N, ..., 1).

    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]])
    0.5
    """

    direction = "up"
    on_device = True

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where the largest prediction is at the label, else 0."""
        return class_labels(self.name, y_true, y_pred) == np.argmax(y_pred, axis=-1)


@registry.register()
class TopKCategoricalAccuracy(MeanMetric):
    """How often the class is among the k largest predictions; labels are one-hot, (N, ..., K).

    Args:
        k: at least 1.
        name: see `Metric`.

    Raises:
        TypeError, ValueError: k is no whole number, or below 1.
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.k = whole(k, "k", self.name)

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where the class is among the k largest, else 0."""
        check_one_hot(self.name, y_true, y_pred)
        return in_top_k(np.argmax(y_true, axis=-1), np.asarray(y_pred), self.k)


@registry.register()
class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the class is among the k largest predictions; labels are class numbers, (N, ...) or (N, ..., 1).

    Args:
        k: at least 1.
        name: see `Metric`.

    Raises:
        TypeError, ValueError: k is no whole number, or below 1.
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.k = whole(k, "k", self.name)

    def values(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Give 1 where the class is among the k largest, else 0."""
        labels = class_labels(self.name, y_true, y_pred)
        labels = check_class_numbers(self.name, labels, np.shape(y_pred)[-1])
        return in_top_k(labels, np.asarray(y_pred), self.k)


def in_top_k(labels: np.ndarray, predictions: np.ndarray, k: int) -> np.ndarray:
    """Tell whether predictions[..., label] is at least the k-th largest along the last axis."""
    k = min(k, predictions.shape[-1])
    least = np.partition(predictions, -k, axis=-1)[..., -k]
    chosen = np.take_along_axis(predictions, labels[..., None], axis=-1)[..., 0]
    return chosen >= least


def check_one_hot(operation: str, y_true: Any, y_pred: Any) -> None:
    """Raise ValueError unless labels have the predictions' shape."""
    true, pred = np.shape(y_true), np.shape(y_pred)
    if true != pred:
        hint = f"; for class numbers use sparse_{operation}" if is_integer_labels(true, pred) else ""
        raise ValueError(f"{operation}: y_true must be one-hot, with the shape of y_pred {pred}, got {true}{hint}")


def class_labels(operation: str, y_true: Any, y_pred: Any) -> np.ndarray:
    """Give class numbers without a last axis of 1; ValueError unless they fit the predictions."""
    true, pred = np.shape(y_true), np.shape(y_pred)
    if len(pred) < 2 or not is_integer_labels(true, pred):
        raise ValueError(
            f"{operation}: y_true must hold class numbers, of shape {pred[:-1]} for y_pred {pred}, got {true}"
        )
    return native(y_true).reshape(pred[:-1])
