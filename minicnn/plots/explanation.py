"""How a network makes one number, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import INK, MAPS, SIGNED, TRAINING, WRONG, dress, new_figure, show, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicnn.explain import Explanation

# Cells in a row up to which numbers are legible, bars in a column, and where the middle of a colour scale begins.
_NUMBERED, _BARS, _DARK = 7, 12, 0.6


def explanation(explained: Explanation, *, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the arithmetic behind one number of a network.

    Of a convolution or a pooling: the map with the window outlined, the window, the kernel and the products as shaded
    tables, and what comes out with the number's cell outlined. Of several channels the one whose products are the
    largest is drawn, which the titles say. Of any other layer: the largest terms as bars, and what comes out.

    Args:
        explained: what `minicnn.explain.pixel` gave.
        path: where to write the picture, if anywhere.

    Raises:
        ValueError: it is a number of the picture itself, which nothing is behind.
    """
    if explained.kind == "Input":
        raise ValueError(f"plots.explanation: {explained.layer!r} is the picture: nothing lies behind it")
    place = explained.trace.place(explained.slot, explained.position)
    title = f"{explained.layer}, {place}: {explained.value:.4g}"
    draws = _window_panels if explained.window.ndim >= 2 else _bar_panels
    return write(draws(explained, title), path)


def _window_panels(explained: Explanation, title: str) -> Figure:
    terms = explained.arithmetic.terms
    channel = 0
    if terms.values.ndim == 3:
        channel = int(np.abs(terms.products).sum(axis=(0, 1)).argmax())
    pick: Any = (..., channel) if terms.values.ndim == 3 else ...
    inside = terms.inside[pick]
    tables = [("window", terms.values[pick], inside)]
    if terms.weights is not None:
        tables += [("kernel", terms.weights[pick], np.ones_like(inside)), ("products", terms.products[pick], inside)]
    figure = new_figure(2.3 * (len(tables) + 2), 2.9, title)
    panels = list(figure.subplots(1, len(tables) + 2))
    corners = terms.positions[pick if terms.values.ndim == 2 else (slice(None), slice(None), channel)]
    source = explained.sources[0]
    pixels, *first = explained.trace.map_of(source, tuple(corners[0, 0].tolist()))
    _, *last = explained.trace.map_of(source, tuple(corners[-1, -1].tolist()))
    show(panels[0], pixels, cmap=MAPS)
    _outline(panels[0], first, last)
    of_many = f", channel {channel} of {terms.values.shape[2]}" if terms.values.ndim == 3 else ""
    panels[0].set_title(f"{explained.trace.name(source)}{of_many}", fontsize=8, color=INK)
    for panel, (name, values, seen) in zip(panels[1:-1], tables, strict=True):
        _table(panel, values, seen)
        total = f": sum {values.sum():.4g}" if name == "products" else ""
        panel.set_title(name + total, fontsize=8, color=INK)
    _output(panels[-1], explained)
    return figure


def _bar_panels(explained: Explanation, title: str) -> Figure:
    terms = explained.arithmetic.terms
    products, inputs = terms.products.reshape(-1), explained.inputs
    order = np.argsort(-np.abs(products), kind="stable")
    shown = order[:_BARS].tolist()
    names = [", ".join(map(str, inputs[k].position or ["border"])) for k in shown]
    lengths = products[shown].tolist()
    if len(order) > _BARS:
        names.append(f"{len(order) - _BARS} more")
        lengths.append(float(products[order[_BARS:]].sum()))
    figure = new_figure(7.5, max(2.6, 0.22 * len(names) + 0.9), title)
    left, right = figure.subplots(1, 2)
    left.barh(range(len(names)), lengths, color=[TRAINING if length >= 0 else WRONG for length in lengths])
    left.set_yticks(range(len(names)), names, fontsize=7)
    left.invert_yaxis()
    left.set_title(f"{inputs[0].layer}{', times weights' if terms.weights is not None else ''}", fontsize=8, color=INK)
    dress(left)
    _output(right, explained)
    return figure


def _output(panel: Axes, explained: Explanation) -> None:
    """What the layer gives: the map with the cell outlined, or its values with the one in another colour."""
    if len(explained.position) == 3:
        pixels, row, column = explained.trace.map_of(explained.slot, explained.position)
        show(panel, pixels, cmap=MAPS)
        _outline(panel, (row, column), (row, column))
    else:
        values = explained.trace.array(explained.slot)[explained.position[:-1]]
        colors = [TRAINING] * len(values)
        colors[explained.position[-1]] = WRONG
        panel.bar(range(len(values)), values, color=colors)
        dress(panel)
    panel.set_title(f"{explained.layer}: {explained.value:.4g}", fontsize=8, color=INK)


def _outline(panel: Axes, first: Any, last: Any) -> None:
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


def _table(panel: Axes, values: np.ndarray, inside: np.ndarray) -> None:
    """Numbers in cells shaded by their size; padding is empty and says so."""
    limit = float(np.abs(values).max()) or 1.0
    panel.imshow(np.where(inside, values, 0.0), cmap=SIGNED, vmin=-limit, vmax=limit)
    panel.set_xticks([])
    panel.set_yticks([])
    if max(values.shape) > _NUMBERED:
        return
    size = 8 if values.shape[1] <= 3 else 6 if values.shape[1] <= 5 else 4
    for (row, column), value in np.ndenumerate(values):
        # Adding 0 makes 0 of -0.
        text = f"{value + 0.0:.2g}" if inside[row, column] else "pad"
        color = "white" if abs(value) > _DARK * limit else INK
        panel.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
