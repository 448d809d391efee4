"""How a training went."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .style import INK, REPORTED, TEST, TRAINING, VALIDATION, dress, new_figure, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicnn.callbacks import History

# Not curves over the epochs: how long they took, and where they end.
_NO_CURVES = {"seconds", "epoch", "learning_rate", "lr"}


def history(
    curves: Mapping[str, Sequence[float]] | History,
    *,
    steps: Mapping[str, Sequence[float]] | None = None,
    test: Mapping[str, float] | None = None,
    reported: Mapping[str, float] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw how loss and metrics went over the epochs, one panel each.

    Args:
        curves: what `fit` returned, or its `history`: for each measure its value after every epoch; a measure named
            ``val_x`` is drawn in the panel of x. Measures that are arrays, such as a confusion matrix, are left out.
        steps: finer training curves: ``"epoch"``, the points in time, counted in epochs, and a list of the same length
            for each measure.
        test: the test result by measure, drawn as a star at the end.
        reported: what an article reports by measure, drawn as a dashed line.
        title: over the whole picture.
        path: where to write it, if anywhere; the ending decides the format.

    Returns:
        The figure.

    Raises:
        ValueError: there is nothing to draw; or a ``val_x`` has not as many values as x, and only what `fit` returned
            says of which epochs they are.
    """
    values, epochs = (curves, {}) if isinstance(curves, Mapping) else (curves.history, curves.epochs_of)
    measures = [name for name in values if not name.startswith("val_") and name not in _NO_CURVES]
    measures = [name for name in measures if not any(map(np.ndim, values[name]))]
    if not measures or not len(values[measures[0]]):
        raise ValueError("plots.history: expected curves with at least one measure and one epoch, got none")
    points = {name: _points(name, values, epochs) for name in values if name.removeprefix("val_") in measures}
    figure = new_figure(4.8 * len(measures), 3.6, title)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for panel, name in zip(panels, measures, strict=True):
        _panel(panel, name, points, steps or {}, (test or {}).get(name), (reported or {}).get(name))
    return write(figure, path)


def loss_curves(
    curves: Mapping[str, Sequence[float]], *, title: str = "", path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw the losses of two trainings, batch by batch, in one panel: each batch faint, their running mean strong.

    Args:
        curves: for each training its name and the loss of each batch.
        title, path: as for `history`.

    Returns:
        The figure.

    Raises:
        ValueError: there are not one or two curves, or one is empty.
    """
    if not 1 <= len(curves) <= 2 or any(not len(losses) for losses in curves.values()):
        raise ValueError(f"plots.loss_curves: expected one or two curves with at least one batch, got {list(curves)}")
    figure = new_figure(7.2, 3.8, title)
    panel = figure.subplots()
    # The second one is broken, so that the first shows where they coincide.
    styles = ((TRAINING, "-"), (VALIDATION, (0, (4, 3))))
    for (name, losses), (color, line) in zip(curves.items(), styles, strict=False):
        panel.plot(range(1, len(losses) + 1), losses, color=color, linewidth=0.6, alpha=0.3)
        width = max(1, len(losses) // 50)
        means = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        panel.plot(range(width, len(losses) + 1), means, color=color, linestyle=line, linewidth=1.6, label=name)
    panel.set_xlabel("batches", color=INK)
    panel.set_ylim(bottom=0)
    dress(panel)
    panel.legend(frameon=False, fontsize=9, labelcolor=INK)
    return write(figure, path)


def _points(
    name: str, values: Mapping[str, Sequence[float]], epochs: Mapping[str, Sequence[int]]
) -> tuple[list[int], list[float]]:
    """The epochs of a measure, counted from 1, and its values after them."""
    curve, training = values[name], values[name.removeprefix("val_")]
    if name in epochs:
        return [epoch + 1 for epoch in epochs[name]], [float(value) for value in curve]
    if len(curve) != len(training):
        raise ValueError(
            f"plots.history: {name!r} has {len(curve)} values for {len(training)} epochs, and nothing says for which "
            "ones; give what fit returned, not its history"
        )
    return list(range(1, len(curve) + 1)), [float(value) for value in curve]


def _panel(
    panel: Axes,
    name: str,
    points: Mapping[str, tuple[list[int], list[float]]],
    steps: Mapping[str, Sequence[float]],
    test: float | None,
    reported: float | None,
) -> None:
    epochs, values = points[name]
    # A mean over an epoch belongs to no moment of it; where finer points exist they tell the story better.
    if name in steps:
        panel.plot(steps["epoch"], steps[name], color=TRAINING, linewidth=1.6, label="training")
    else:
        panel.plot(epochs, values, color=TRAINING, linewidth=1.8, marker="o", markersize=3.5, label="training")
    if f"val_{name}" in points:
        panel.plot(
            *points[f"val_{name}"], color=VALIDATION, linewidth=1.8, marker="o", markersize=4, label="validation"
        )
    if reported is not None:
        panel.axhline(reported, color=REPORTED, linewidth=1.4, linestyle=(0, (5, 3)), label=f"article: {reported:.4g}")
    if test is not None:
        panel.plot(
            [epochs[-1]], [test], color=TEST, marker="*", markersize=13, linestyle="none", zorder=5,
            clip_on=False, label=f"test: {test:.4g}",
        )  # fmt: skip
    _label(panel, name, epochs)


def _label(panel: Axes, name: str, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title(name.replace("_", " "), loc="left", color=INK, fontsize=11)
    panel.set_xlabel("epochs", color=INK)
    panel.set_xlim(epochs[0] - 1 if len(epochs) < 3 else None, epochs[-1] + 0.02 * len(epochs))
    if name == "loss" or "entropy" in name or "error" in name:
        panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=len(epochs) > 2))
    dress(panel)
    panel.legend(frameon=False, fontsize=9, labelcolor=INK)
