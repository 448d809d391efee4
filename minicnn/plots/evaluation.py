"""What a network gets right and wrong: confusion matrix, scatter of predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import GRID, INK, TRAINING, VALIDATION, dress, new_figure, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    matrix: Any,
    *,
    classes: Sequence[str] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a confusion matrix: rows are the true classes, columns what the network said; the shade is a row's share.

    Args:
        matrix: (K, K) counts, as `minicnn.metrics.confusion_matrix` gives them.
        classes: K names; numbers are shown without.
        title: over the picture. path: where to write it, if anywhere.

    Raises:
        ValueError: the matrix is not square, or the names are not K.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"plots.confusion_matrix: expected a matrix (K, K), got shape {counts.shape}")
    K = len(counts)
    names = [str(number) for number in range(K)] if classes is None else list(classes)
    if len(names) != K:
        raise ValueError(f"plots.confusion_matrix: expected {K} classes, got {len(names)}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(1.8 + 0.55 * K, 1.5 + 0.5 * K, title)
    panel = figure.subplots()
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(K):
        for column in range(K):
            shade = "white" if shares[row, column] > 0.6 else INK if counts[row, column] else GRID
            panel.text(column, row, f"{counts[row, column]:,.0f}", ha="center", va="center", fontsize=8, color=shade)
    panel.set_xticks(range(K), names, rotation=0 if max(map(len, names)) < 4 else 45, ha="center")
    panel.set_yticks(range(K), names)
    panel.set_xlabel("predicted", color=INK)
    panel.set_ylabel("true", color=INK)
    return write(figure, path)


def scatter(
    probabilities: Any,
    labels: Any,
    *,
    classes: Sequence[str] = ("0", "1"),
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw predicted probabilities of class 1 against the true class, with Pearson's correlation in the title.

    Args:
        probabilities: (N,) or (N, 1) in 0..1. labels: (N,) of 0 and 1.
        classes: names of class 0 and class 1. title, path: as for `confusion_matrix`.

    Raises:
        ValueError: other shapes, or labels other than 0 and 1.
    """
    x, y = np.asarray(probabilities, float).reshape(-1), np.asarray(labels).reshape(-1)
    if x.shape != y.shape or len(x) == 0:
        raise ValueError(f"plots.scatter: expected as many probabilities as labels, got {x.shape} and {y.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"plots.scatter: labels must be 0 or 1, got {np.unique(y)[:5].tolist()}")
    varies = x.std() > 0 and y.std() > 0
    correlation = f"correlation {np.corrcoef(x, y)[0, 1]:.3f}" if varies else "one value for all: no correlation"
    figure = new_figure(6, 2.6, f"{title}: {correlation}" if title else correlation)
    panel = figure.subplots()
    # Points of the same class are spread over a band, by their place in it, so that they do not hide each other.
    for number, color in ((0, TRAINING), (1, VALIDATION)):
        chosen = x[y == number]
        heights = number + np.linspace(-0.3, 0.3, len(chosen))
        panel.scatter(chosen, heights, s=6, color=color, alpha=0.5, linewidths=0)
    panel.set_yticks((0, 1), classes)
    panel.set_xlim(-0.02, 1.02)
    panel.set_xlabel(f"predicted probability of {classes[1]}", color=INK)
    dress(panel)
    return write(figure, path)
