"""How a network makes one number, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .arithmetic import bars, bars_for, caption, outline, profile, table
from .style import MAPS, new_figure, show, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicnn.explain import Explanation


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
    return write(draws(explained, title) if explained.window.size else _output_alone(explained, title), path)


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
    outline(panels[0], first, last)
    of_many = f", channel {channel} of {terms.values.shape[2]}" if terms.values.ndim == 3 else ""
    caption(panels[0], f"{explained.trace.name(source)}{of_many}")
    for panel, (name, values, seen) in zip(panels[1:-1], tables, strict=True):
        table(panel, values, seen)
        total = f": sum {values.sum():.4g}" if name == "products" else ""
        caption(panel, name + total)
    _output(panels[-1], explained)
    return figure


def _bar_panels(explained: Explanation, title: str) -> Figure:
    products, inputs = explained.products.reshape(-1), explained.inputs
    several = len({given.layer for given in inputs}) > 1
    names = [f"{given.layer} " * several + ", ".join(map(str, given.position or ["border"])) for given in inputs]
    figure = new_figure(7.5, max(2.6, 0.22 * bars_for(len(names)) + 0.9), title)
    left, right = figure.subplots(1, 2)
    bars(left, names, products)
    before = "what meets" if several else inputs[0].layer
    caption(left, f"{before}{'' if explained.kernel is None else ', times weights'}")
    _output(right, explained)
    return figure


def _output_alone(explained: Explanation, title: str) -> Figure:
    """Of a number that nothing of the layer before reaches."""
    figure = new_figure(3.5, 2.9, title)
    _output(figure.subplots(), explained)
    return figure


def _output(panel: Axes, explained: Explanation) -> None:
    """What the layer gives: the map with the cell outlined, or its values with the one in another colour."""
    if len(explained.position) == 3:
        pixels, row, column = explained.trace.map_of(explained.slot, explained.position)
        show(panel, pixels, cmap=MAPS)
        outline(panel, (row, column), (row, column))
    else:
        profile(panel, explained.trace.array(explained.slot)[explained.position[:-1]], explained.position[-1])
    caption(panel, f"{explained.layer}: {explained.value:.4g}")
