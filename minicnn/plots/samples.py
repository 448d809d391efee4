"""Pictures of a data set, with what they are and what a network takes them for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import INK, WRONG, check_pictures, show, tiles, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def samples(
    pictures: Any,
    labels: Any = None,
    *,
    predictions: Any = None,
    classes: Sequence[str] | None = None,
    columns: int = 5,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw pictures side by side, each under its class; a wrong prediction stands in red.

    Args:
        pictures: (N, H, W), (N, H, W, 1) or (N, H, W, 3).
        labels: (N,) class numbers, or None for no text.
        predictions: (N,) class numbers that a network found, or None.
        classes: their names; numbers are shown without.
        columns: pictures in a row.
        title: over the whole picture. path: where to write it, if anywhere.

    Returns:
        The figure.

    Raises:
        ValueError: other shapes, or lengths that differ.
    """
    pixels = check_pictures(pictures, "plots.samples")
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values is not None and np.shape(values) != (len(pixels),):
            raise ValueError(
                f"plots.samples: {name} must have shape ({len(pixels)},), one for each picture, got {np.shape(values)}"
            )
    figure, panels = tiles(len(pixels), columns, 1.5, title)
    for place, panel in enumerate(panels):
        show(panel, pixels[place])
        wrong = labels is not None and predictions is not None and labels[place] != predictions[place]
        text = [_name(values[place], classes) for values in (predictions, labels) if values is not None]
        caption = f"{text[0]}, is {text[1]}" if wrong else text[0] if text else ""
        panel.set_title(caption, fontsize=8, color=WRONG if wrong else INK)
    return write(figure, path)


def misclassified(
    pictures: Any,
    labels: Any,
    probabilities: Any,
    *,
    classes: Sequence[str] | None = None,
    count: int = 20,
    columns: int = 5,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the pictures that a network gets wrong, the surest mistakes first, with its two largest probabilities.

    Args:
        pictures: (N, H, W), (N, H, W, 1) or (N, H, W, 3).
        labels: (N,) class numbers.
        probabilities: (N, classes) as `predict` gives them, or (N,) or (N, 1) of class 1 where there are two.
        classes: names. count: at most so many. columns, title, path: as for `samples`.

    Returns:
        The figure; each panel's title names its place among the N pictures.

    Raises:
        ValueError: other shapes, or nothing is misclassified.
    """
    pixels = check_pictures(pictures, "plots.misclassified")
    truth, shares = np.asarray(labels), _by_class(probabilities)
    if len(shares) != len(pixels) or truth.shape != (len(pixels),):
        raise ValueError(
            f"plots.misclassified: expected {len(pixels)} labels and rows of probabilities, one for each picture, "
            f"got shapes {truth.shape} and {shares.shape}"
        )
    wrong = np.flatnonzero(shares.argmax(axis=1) != truth)
    if len(wrong) == 0:
        raise ValueError("plots.misclassified: every picture is classified rightly: there is nothing to draw")
    wrong = wrong[np.argsort(-shares[wrong].max(axis=1), kind="stable")][:count]
    figure, panels = tiles(len(wrong), columns, 1.9, title)
    for panel, place in zip(panels, wrong, strict=True):
        show(panel, pixels[place])
        first, second = np.argsort(-shares[place], kind="stable")[:2]
        panel.set_title(
            f"#{place} is {_name(truth[place], classes)}\n"
            f"{_name(first, classes)} {shares[place, first]:.0%}, {_name(second, classes)} {shares[place, second]:.0%}",
            fontsize=7,
            color=INK,
        )
    return write(figure, path)


def _name(number: Any, classes: Sequence[str] | None) -> str:
    return str(number) if classes is None else classes[int(number)]


def _by_class(probabilities: Any) -> np.ndarray:
    """Rows of a probability for each class, also where the network gives only that of class 1."""
    shares = np.asarray(probabilities)
    if shares.ndim == 1:
        shares = shares[:, None]
    return np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares
