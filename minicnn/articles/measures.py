"""The articles' own measures of a trained network, from labels and predictions alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.metrics import BinaryAccuracy, PearsonCorrelation, Precision, confusion_matrix

#: Strika's thresholds: a tenth, two tenths, and so on; nine of them, though the text says ten.
THRESHOLDS = tuple(number / 10 for number in range(1, 10))


class Threshold(NamedTuple):
    """What a decision at one threshold is worth.

    Attributes:
        threshold: a picture counts as positive where its probability is larger.
        accuracy: the share of right decisions.
        precision: the share of positives among the pictures called positive; None where none is.
    """

    threshold: float
    accuracy: float
    precision: float | None


class Mistake(NamedTuple):
    """A picture that a network takes for something else.

    Attributes:
        picture: its place among those measured.
        label: its class.
        first, second: the two most probable classes, and what probability each has.
    """

    picture: int
    label: int
    first: tuple[int, float]
    second: tuple[int, float]


def correlation(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Pearson's correlation of labels 0 and 1 with the probabilities of class 1, -1 to 1; 0 where one is constant.

    r = cov(y, p) / (std(y) std(p)) (Pearson 1895)
    """
    y, p = _pairs(labels, probabilities)
    if not (y.std() and p.std()):
        return 0.0
    metric = PearsonCorrelation(axis=0)
    metric.update_state(y[:, None], p[:, None])
    return float(metric.result())


def threshold_sweep(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Threshold]:
    """Decide at several thresholds.

    Accuracy counts right answers of both classes; precision looks at the positive ones alone. Strika's article sweeps
    the second and calls it the first.

    Args:
        labels: (N,) of 0 and 1.
        probabilities: (N,) or (N, 1), of class 1.
        thresholds: each from 0 to 1.
    """
    y, p = _pairs(labels, probabilities)
    rows = []
    for threshold in thresholds:
        accuracy, precision = BinaryAccuracy(threshold=threshold), Precision(thresholds=threshold)
        accuracy.update_state(y, p)
        precision.update_state(y, p)
        called = bool((p > threshold).any())
        rows.append(
            Threshold(threshold, float(accuracy.result()), float(np.ravel(precision.result())[0]) if called else None)
        )
    return rows


def mean_by_class(labels: ArrayLike, probabilities: ArrayLike) -> dict[int, float]:
    """The mean probability of class 1 among the pictures of each class."""
    y, p = _pairs(labels, probabilities)
    return {int(label): float(p[y == label].mean()) for label in np.unique(y)}


def guesses(labels: ArrayLike) -> dict[str, float]:
    """The mean squared errors of guessing: by it, "better than guessing" depends on which guess is meant.

    Args:
        labels: (N,) of 0 and 1.

    >>> guesses([0, 1])
    {'always 0': 0.5, 'evenly at random': 0.3333333333333333, 'always 0.5': 0.25}
    """
    y = np.asarray(labels, np.float64)
    # The mean of (y - u)^2 over u even in 0..1 is 1/3 for either label.
    return {"always 0": float((y**2).mean()), "evenly at random": 1 / 3, "always 0.5": float(((y - 0.5) ** 2).mean())}


def mistakes(labels: ArrayLike, probabilities: ArrayLike) -> list[Mistake]:
    """The pictures whose most probable class is not theirs, the surest mistakes first.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, classes), at least two classes.

    Raises:
        ValueError: the shapes do not belong together.
    """
    y, p = np.asarray(labels), np.asarray(probabilities)
    if p.ndim != 2 or p.shape[1] < 2 or y.shape != (len(p),):
        raise ValueError(f"mistakes: expected labels (N,) and probabilities (N, classes), got {y.shape} and {p.shape}")
    order = np.argsort(-p, axis=1, kind="stable")[:, :2]
    wrong = np.flatnonzero(order[:, 0] != y)
    wrong = wrong[np.argsort(-p[wrong, order[wrong, 0]], kind="stable")]
    return [Mistake(int(n), int(y[n]), *((int(c), float(p[n, c])) for c in order[n])) for n in wrong]


def measure(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """All measures that make sense for these predictions, ready for JSON.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, 1) or (N,) of class 1, or (N, classes).

    Returns:
        "accuracy" and "confusion matrix" (rows: true classes) always; for two classes also "correlation",
        "mean by class", "thresholds" and "best accuracy", the largest over the thresholds; for several outputs
        "mistakes", how many there are.
    """
    y, p = np.asarray(labels), np.asarray(probabilities)
    several = p.ndim == 2 and p.shape[1] > 1
    decided = p.argmax(1) if several else (p.reshape(len(p)) > 0.5).astype(int)
    classes = p.shape[1] if several else 2
    found: dict[str, Any] = {
        "accuracy": float((decided == y).mean()),
        "confusion matrix": np.asarray(confusion_matrix(y, decided, classes), int).tolist(),
    }
    if several:
        found["mistakes"] = len(mistakes(y, p))
    if classes == 2:
        positive = p[:, 1] if several else p
        sweep = threshold_sweep(y, positive)
        found["correlation"] = correlation(y, positive)
        found["mean by class"] = {str(label): mean for label, mean in mean_by_class(y, positive).items()}
        found["thresholds"] = [row._asdict() for row in sweep]
        found["best accuracy"] = max(row.accuracy for row in sweep)
    return found


def _pairs(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, p = np.asarray(labels, np.float64).ravel(), np.asarray(probabilities, np.float64)
    if p.size != y.size or not y.size:
        raise ValueError(f"expected a probability for each label, got {p.shape} for {y.size} labels")
    return y, p.ravel()
