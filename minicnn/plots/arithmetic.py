"""The parts of the pictures that take a number apart: tables of numbers, bars, outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import INK, SIGNED, TRAINING, WRONG, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Cells in a row up to which numbers are legible, bars in a column and in a row, and where the middle of a colour scale
# begins.
_NUMBERED, _BARS, _SEPARATE, _DARK = 7, 12, 200, 0.6


def bars_for(count: int) -> int:
    """How many bars `bars` draws of so many numbers."""
    return min(count, _BARS + 1)


def bars(panel: Axes, names: Sequence[str], numbers: np.ndarray) -> None:
    """The largest numbers as named bars, and one for the sum of all others."""
    order = np.argsort(-np.abs(numbers), kind="stable")
    shown = order[:_BARS].tolist()
    labels, lengths = [names[k] for k in shown], numbers[shown].tolist()
    if len(order) > _BARS:
        labels.append(f"{len(order) - _BARS} more")
        lengths.append(float(numbers[order[_BARS:]].sum()))
    panel.barh(range(len(labels)), lengths, color=[TRAINING if length >= 0 else WRONG for length in lengths])
    panel.set_yticks(range(len(labels)), labels, fontsize=7)
    panel.invert_yaxis()
    dress(panel)


def profile(panel: Axes, values: np.ndarray, place: int) -> None:
    """Values side by side, the one at a place in another colour."""
    if len(values) <= _SEPARATE:
        colors = [TRAINING] * len(values)
        colors[place] = WRONG
        panel.bar(range(len(values)), values, color=colors)
    else:
        # Thousands of bars take seconds.
        panel.vlines(range(len(values)), 0, values, colors=TRAINING, linewidth=0.5)
        panel.vlines(place, 0, values[place], colors=WRONG, linewidth=2)
    dress(panel)


def outline(panel: Axes, first: Any, last: Any) -> None:
    """A frame around the cells from the first (row, column) to the last; the panel grows where it lies outside."""
    from matplotlib.patches import Rectangle

    (top, left), (bottom, right) = first, last
    height, width = bottom - top + 1, right - left + 1
    panel.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=WRONG, linewidth=1.5))
    (west, east), (south, north) = panel.get_xlim(), panel.get_ylim()
    panel.set_xlim(min(west, left - 0.6), max(east, right + 0.6))
    panel.set_ylim(max(south, bottom + 0.6), min(north, top - 0.6))
    panel.set_xticks([])
    panel.set_yticks([])


def signed(panel: Axes, values: np.ndarray) -> float:
    """A map in colours with 0 in their middle; gives the number that the outermost colour stands for."""
    limit = float(np.abs(values).max()) or 1.0
    panel.imshow(values, interpolation="nearest", cmap=SIGNED, vmin=-limit, vmax=limit)
    panel.set_xticks([])
    panel.set_yticks([])
    return limit


def table(panel: Axes, values: np.ndarray, inside: np.ndarray) -> None:
    """Numbers in cells shaded by their size; padding is empty and says so."""
    limit = signed(panel, np.where(inside, values, 0.0))
    if max(values.shape) > _NUMBERED:
        return
    size = 8 if values.shape[1] <= 3 else 6 if values.shape[1] <= 5 else 4
    for (row, column), value in np.ndenumerate(values):
        # Adding 0 makes 0 of -0.
        text = f"{value + 0.0:.2g}" if inside[row, column] else "pad"
        color = "white" if abs(value) > _DARK * limit else INK
        panel.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def caption(panel: Axes, text: str) -> None:
    """What a panel shows."""
    panel.set_title(text, fontsize=8, color=INK)
