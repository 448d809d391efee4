"""Counts of right and wrong decisions, and what is made of them.

A prediction is positive above a threshold. TP and FP count the positive predictions whose label is 1 and 0, FN and TN
the other ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd import as_array
from minicnn.losses.crossentropy import check_class_numbers
from minicnn.metrics.base import Metric, registry, same_rank

# The width added around [0, 1], so that AUC's first and last threshold hold for predictions of exactly 0 and 1.
EPSILON = 1e-7


class _DecisionCounts(Metric):
    """TP, FP, TN and FN at each of some thresholds."""

    direction = "up"

    def __init__(self, thresholds: np.ndarray, evenly: bool, name: str | None):
        self.levels = thresholds
        self.evenly = evenly
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self.true_positives = np.zeros(len(self.levels))
        self.false_positives = np.zeros(len(self.levels))
        self.true_negatives = np.zeros(len(self.levels))
        self.false_negatives = np.zeros(len(self.levels))

    def count(self, y_true: np.ndarray, y_pred: np.ndarray, weights: np.ndarray | None) -> None:
        """Add a batch: labels, predictions and weights of one shape."""
        labels, ranks = y_true.ravel().astype(bool), self.ranks(y_pred.ravel())
        ones = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
        # ranks[i] thresholds lie below prediction i, so it counts as positive at the first ranks[i] of them.
        above = []
        for kind in (labels, ~labels):
            histogram = np.bincount(ranks, weights=ones * kind, minlength=len(self.levels) + 1)
            above.append(np.cumsum(histogram[::-1])[::-1][1:])
        tp, fp = above
        self.true_positives += tp
        self.false_positives += fp
        self.true_negatives += np.sum(ones * ~labels) - fp
        self.false_negatives += np.sum(ones * labels) - tp

    def ranks(self, y_pred: np.ndarray) -> np.ndarray:
        """Give how many thresholds lie below each prediction; NaN counts as 0."""
        y_pred = np.nan_to_num(y_pred, nan=0.0, posinf=np.inf, neginf=-np.inf)
        if self.evenly:
            last = len(self.levels) - 1
            # The first threshold lies below 0 and the last above 1, so at least 1 and at most `last` of them count.
            return np.clip(np.ceil(np.clip(y_pred, 0.0, 1.0) * last), 1, last).astype(np.intp)
        return np.searchsorted(self.levels.astype(y_pred.dtype), y_pred, side="left")


class _AtThresholds(_DecisionCounts):
    """Precision and recall share their arguments."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ):
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        default = -np.inf if top_k is not None else 0.5
        levels = np.atleast_1d(np.asarray(default if thresholds is None else thresholds, dtype=np.float64))
        if thresholds is not None and not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(f"{type(self).__name__}: expected thresholds within [0, 1], got {thresholds}")
        self._order = np.argsort(levels, kind="stable")
        super().__init__(levels[self._order], evenly=False, name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: labels, 0 or 1.
            y_pred: predictions of the same shape.
            sample_weight: None, (N,), or of that shape.

        Raises:
            ValueError: they do not fit together, or have no class `class_id`.
        """
        y_true, y_pred, weights = aligned(self.name, y_true, y_pred, sample_weight)
        if self.top_k is not None:
            y_pred = only_top_k(self.name, y_pred, self.top_k)
        if self.class_id is not None:
            if y_pred.ndim < 2 or not 0 <= self.class_id < y_pred.shape[-1]:
                raise ValueError(f"{self.name}: y_pred of shape {y_pred.shape} has no class {self.class_id}")
            y_true, y_pred = y_true[..., self.class_id, None], y_pred[..., self.class_id, None]
        self.count(y_true, y_pred, None if weights is None else np.broadcast_to(weights, y_pred.shape))

    def _at_thresholds(self, values: np.ndarray) -> Any:
        """Bring values back to the order in which the thresholds were given; one alone becomes a float."""
        given = np.empty_like(values)
        given[self._order] = values
        return float(given[0]) if len(given) == 1 else given


@registry.register()
class Precision(_AtThresholds):
    """``TP / (TP + FP)``: how many of the positive predictions are right; 0 where there is none.

    Args:
        thresholds: one or several within [0, 1], 0.5 unless given; several give an array.
        top_k: only the k largest predictions along the last axis can be positive (and are, without a threshold).
        class_id: only this class counts.
        name: see `Metric`.

    Raises:
        ValueError: a threshold outside [0, 1].

    >>> Precision()([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    def result(self) -> Any:
        """Give the precision at each threshold."""
        return self._at_thresholds(ratio(self.true_positives, self.true_positives + self.false_positives))


@registry.register()
class Recall(_AtThresholds):
    """``TP / (TP + FN)``: how many of the labels that are 1 were found; 0 where there is none.

    Args:
        thresholds, top_k, class_id, name: see `Precision`.

    Raises:
        ValueError: a threshold outside [0, 1].

    >>> Recall()([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    def result(self) -> Any:
        """Give the recall at each threshold."""
        return self._at_thresholds(ratio(self.true_positives, self.true_positives + self.false_negatives))


# A file may ask for any number, and each threshold takes memory.
MOST_THRESHOLDS = 1_000_000


@registry.register()
class AUC(_DecisionCounts):
    """The area under a curve that a falling threshold draws.

    Args:
        num_thresholds: so many, evenly spaced over [0, 1]; from 2 to a million.
        curve: "ROC" (recall over ``FP / (FP + TN)``) or "PR" (precision over recall).
        summation_method: "interpolation" (the trapezoidal rule; for PR, Davis and Goadrich 2006, section 4),
            "minoring" or "majoring" (rectangles below or above the curve).
        name: see `Metric`.
        thresholds: those between 0 and 1, instead of evenly spaced ones.
        from_logits: predictions go through a sigmoid first.

    Raises:
        ValueError: another curve or summation method, or a num_thresholds out of range.

    >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        from_logits: bool = False,
    ):
        for argument, value, allowed in (
            ("curve", curve, ("ROC", "PR")),
            ("summation_method", summation_method, ("interpolation", "minoring", "majoring")),
        ):
            if value not in allowed:
                raise ValueError(f"AUC: expected {argument} to be one of {allowed}, got {value!r}")
        if thresholds is None and not 2 <= num_thresholds <= MOST_THRESHOLDS:
            raise ValueError(f"AUC: expected num_thresholds from 2 to {MOST_THRESHOLDS:,}, got {num_thresholds}")
        self.num_thresholds = num_thresholds if thresholds is None else len(thresholds) + 2
        self.curve, self.summation_method, self.from_logits = curve, summation_method, from_logits
        self.thresholds = None if thresholds is None else sorted(thresholds)
        even = np.linspace(0.0, 1.0, self.num_thresholds)
        levels = even if thresholds is None else np.array([0.0, *sorted(thresholds), 1.0])
        evenly = bool(np.allclose(levels, even, atol=EPSILON))
        levels[0], levels[-1] = -EPSILON, 1.0 + EPSILON
        super().__init__(levels, evenly, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: labels, 0 or 1.
            y_pred: predictions of the same shape.
            sample_weight: None, (N,), or of that shape.

        Raises:
            ValueError: they do not fit together.
        """
        y_true, y_pred, weights = aligned(self.name, y_true, y_pred, sample_weight)
        if self.from_logits:
            y_pred = 0.5 * (1.0 + np.tanh(0.5 * y_pred))
        self.count(y_true, y_pred, None if weights is None else np.broadcast_to(weights, y_pred.shape))

    def result(self) -> float:
        """Give the area."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated_pr()
        recall = ratio(self.true_positives, self.true_positives + self.false_negatives)
        if self.curve == "ROC":
            x, y = ratio(self.false_positives, self.false_positives + self.true_negatives), recall
        else:
            x, y = recall, ratio(self.true_positives, self.true_positives + self.false_positives)
        left, right = y[:-1], y[1:]
        heights = {
            "interpolation": (left + right) / 2,
            "minoring": np.minimum(left, right),
            "majoring": np.maximum(left, right),
        }[self.summation_method]
        return float(np.sum((x[:-1] - x[1:]) * heights))

    def _interpolated_pr(self) -> float:
        """Let TP and FP vary linearly between two thresholds, and integrate precision over recall."""
        tp, positive = self.true_positives, self.true_positives + self.false_positives
        gained = tp[:-1] - tp[1:]
        slope = ratio(gained, np.maximum(positive[:-1] - positive[1:], 0.0))
        intercept = tp[1:] - slope * positive[1:]
        both = (positive[:-1] > 0) & (positive[1:] > 0)
        growth = np.where(both, ratio(positive[:-1], np.maximum(positive[1:], 0.0)), 1.0)
        area = slope * (gained + intercept * np.log(growth))
        return float(np.sum(ratio(area, np.maximum(tp[1:] + self.false_negatives[1:], 0.0))))


@registry.register()
class ConfusionMatrix(Metric):
    """How often each class was taken for each: rows are the labels, columns the predictions.

    Args:
        num_classes: None takes the number of columns of the predictions, or the largest class seen.
        name: see `Metric`.

    >>> matrix = ConfusionMatrix()
    >>> matrix.update_state([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> matrix.result()
    array([[1, 0],
           [1, 1]])
    """

    def __init__(self, num_classes: int | None = None, name: str | None = None):
        self.num_classes = num_classes
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._matrix = np.zeros((self.num_classes or 0,) * 2, dtype=np.int64)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments and errors as for `confusion_matrix`."""
        batch = confusion_matrix(y_true, y_pred, self.num_classes, sample_weight)
        size = max(len(batch), len(self._matrix))
        total = np.zeros((size, size), dtype=np.result_type(batch, self._matrix))
        total[: len(batch), : len(batch)] += batch
        total[: len(self._matrix), : len(self._matrix)] += self._matrix
        self._matrix = total

    def result(self) -> np.ndarray:
        """Give the matrix (num_classes, num_classes)."""
        return self._matrix.copy()


def confusion_matrix(y_true: Any, y_pred: Any, num_classes: int | None = None, sample_weight: Any = None) -> np.ndarray:
    """Count how often each class was taken for each.

    Args:
        y_true: class numbers (N,) or (N, 1), or one-hot labels (N, K).
        y_pred: class numbers (N,), probabilities (N, K), of which the largest counts, or probabilities (N, 1) of
            class 1.
        num_classes: None for as many as there are.
        sample_weight: None, or weights (N,).

    Returns:
        (num_classes, num_classes), whole numbers unless weighted: row = label, column = prediction.

    Raises:
        ValueError: a class outside 0..num_classes-1, or shapes that do not fit together.

    >>> confusion_matrix([0, 1, 2, 2], [0, 1, 1, 2])
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    y_true, y_pred = np.asarray(as_array(y_true)), np.asarray(as_array(y_pred))
    if num_classes is None and y_pred.ndim == 2:
        num_classes = max(2, y_pred.shape[-1])
    labels, predictions = class_numbers(y_true), class_numbers(decided(y_pred))
    if labels.shape != predictions.shape:
        raise ValueError(
            f"confusion_matrix: y_true and y_pred must have as many samples, "
            f"got shapes {y_true.shape} and {y_pred.shape}"
        )
    if num_classes is None:
        num_classes = 1 + max((int(numbers.max()) for numbers in (labels, predictions) if numbers.size), default=-1)
    labels = check_class_numbers("confusion_matrix: y_true", labels, num_classes).astype(np.int64)
    predictions = check_class_numbers("confusion_matrix: y_pred", predictions, num_classes).astype(np.int64)
    weights = None if sample_weight is None else np.asarray(as_array(sample_weight), dtype=np.float64).ravel()
    counts = np.bincount(labels * num_classes + predictions, weights=weights, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_numbers(y: np.ndarray) -> np.ndarray:
    """Give the class of each sample: as it is, or the largest of several columns."""
    if y.ndim == 2 and y.shape[-1] > 1:
        return np.argmax(y, axis=-1)
    y = y.ravel() if y.ndim == 2 else y
    if y.ndim != 1:
        raise ValueError(f"confusion_matrix: expected shape (N,), (N, 1) or (N, K), got {y.shape}")
    return y


def decided(y_pred: np.ndarray) -> np.ndarray:
    """Turn probabilities of class 1 into class numbers; leave class numbers and several columns as they are."""
    if y_pred.dtype.kind != "f" or (y_pred.ndim == 2 and y_pred.shape[-1] > 1) or np.isnan(y_pred).any():
        return y_pred
    return y_pred if (y_pred == np.floor(y_pred)).all() else (y_pred > 0.5).astype(np.int64)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def aligned(
    operation: str, y_true: Any, y_pred: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Bring labels, predictions and weights to one rank; ValueError where they do not fit together."""
    y_true, y_pred = np.asarray(as_array(y_true)), np.asarray(as_array(y_pred))
    if y_pred.dtype.kind != "f":
        y_pred = y_pred.astype(np.float32)
    given = y_true.shape, y_pred.shape
    y_pred, y_true = same_rank(y_pred, y_true)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"{operation}: y_true and y_pred must have the same shape, got y_true {given[0]} and y_pred {given[1]}"
        )
    if sample_weight is None:
        return y_true, y_pred, None
    weights = np.asarray(as_array(sample_weight), dtype=np.float64)[..., None]
    if weights.ndim == y_true.ndim + 1:
        weights = weights[..., 0]
    try:
        np.broadcast_to(weights, y_true.shape)
    except ValueError:
        raise ValueError(
            f"{operation}: expected sample_weight that fits y_true of shape {y_true.shape}, "
            f"got {np.shape(as_array(sample_weight))}"
        ) from None
    return y_true, y_pred, weights


def only_top_k(operation: str, y_pred: np.ndarray, k: int) -> np.ndarray:
    """Set all but the k largest predictions along the last axis to minus infinity; the first of equals wins."""
    if not 1 <= k <= y_pred.shape[-1]:
        raise ValueError(f"{operation}: expected top_k within 1..{y_pred.shape[-1]}, got {k}")
    best = np.argsort(-y_pred, axis=-1, kind="stable")[..., :k]
    kept = np.full_like(y_pred, -np.inf)
    np.put_along_axis(kept, best, np.take_along_axis(y_pred, best, axis=-1), axis=-1)
    return kept
