"""How a derivative of the loss comes about, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .arithmetic import bars, bars_for, caption, outline, profile, signed, table
from .style import MAPS, new_figure, show, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicnn.explain import GradientExplanation, GradientTerm
    from minicnn.explain.terms import Position


def gradient_explanation(explained: GradientExplanation, *, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the arithmetic behind one derivative of the loss.

    gz is the derivative by what a layer computes before its activation. Where one layer of maps leads to the loss: the
    map of gz with the part outlined that the number takes part in, or for a weight the map that the weight runs over;
    gz there, what it is multiplied by and the products as shaded tables; and the derivatives beside the number's, with
    the number's cell outlined. Of several maps of gz the one whose products are the largest is drawn. Elsewhere the
    largest products as bars.

    Args:
        explained: what `minicnn.explain.pixel_gradient` or `weight_gradient` gave.
        path: where to write the picture, if anywhere.
    """
    title = f"derivative by {explained.what}: {explained.value:.4g}"
    part = _largest_part(explained)
    return write(_bar_panels(explained, title) if part is None else _map_panels(explained, part, title), path)


class _Part(NamedTuple):
    """The terms that come from one map, laid out as they lie there.

    Attributes:
        slot, channel: of the tape, and which of the maps in it.
        terms: by row and column of the map.
    """

    slot: int
    channel: int
    terms: dict[tuple[int, int], GradientTerm]

    @property
    def rows(self) -> list[int]:
        """The rows that terms come from, in order."""
        return sorted({row for row, _ in self.terms})

    @property
    def columns(self) -> list[int]:
        """The columns that terms come from, in order."""
        return sorted({column for _, column in self.terms})

    @property
    def met(self) -> list[Position]:
        """What a weight meets in the layer before; nothing of other numbers, and of a bias."""
        return [term.met for term in self.terms.values() if term.met is not None]

    def layout(self, name: str) -> np.ndarray:
        """An attribute of the terms as a table (rows, columns), 0 where there is no term."""
        return np.array([[getattr(self.terms.get((i, j)), name, 0.0) for j in self.columns] for i in self.rows])

    @property
    def inside(self) -> np.ndarray:
        """Where there are terms, (rows, columns)."""
        return np.array([[(i, j) in self.terms for j in self.columns] for i in self.rows])


def _largest_part(explained: GradientExplanation) -> _Part | None:
    """The map whose products are the largest; None unless all terms are of one layer's maps, each of another place."""
    terms = explained.terms
    places = {(term.slot, term.position): term for term in terms if term.position and len(term.position) == 3}
    slots = {slot for slot, _ in places if slot is not None}
    if not terms or len(places) < len(terms) or len(slots) > 1:
        return None
    (slot,) = slots
    maps: dict[int, dict[tuple[int, int], GradientTerm]] = {}
    for (_, position), term in places.items():
        row, column, channel = explained.tape.hwc(slot, position or ())
        maps.setdefault(channel, {})[row, column] = term
    return max((_Part(slot, *one) for one in maps.items()), key=lambda part: np.abs(part.layout("product")).sum())


def _map_panels(explained: GradientExplanation, part: _Part, title: str) -> Figure:
    tables = {"gradient": "gz", "factor": "x" if part.met else "weights", "product": "products"}
    if explained.slot is None and not part.met:
        # A bias is multiplied by 1 everywhere.
        tables = {"gradient": "gz"}
    figure = new_figure(2.3 * (len(tables) + 2), 2.9, title)
    panels = list(figure.subplots(1, len(tables) + 2))
    _ground(panels[0], explained, part)
    for panel, (attribute, name) in zip(panels[1:-1], tables.items(), strict=True):
        table(panel, part.layout(attribute), part.inside)
        caption(panel, name)
    caption(panels[-2], f"{name}: sum {part.layout(attribute).sum():.4g}")
    _beside(panels[-1], explained)
    return figure


def _ground(panel: Axes, explained: GradientExplanation, part: _Part) -> None:
    """The map that the terms come from; of a weight that meets numbers, the map that these lie in."""
    tape = explained.tape
    step = tape.makers[part.slot]
    if part.met:
        (source,) = step.inputs
        places = [tape.hwc(source, position) for position in part.met]
        show(panel, tape.map_of(source, part.met[0])[0], cmap=MAPS)
        caption(panel, f"x: {tape.name(source)}, channel {places[0][2]}")
    else:
        places = [(row, column, part.channel) for row, column in part.terms]
        maps = tape.before_activation(step)
        signed(panel, maps[part.channel] if tape.channels_first(part.slot) else maps[..., part.channel])
        caption(panel, f"gz of {step.layer.name}, map {part.channel} of {tape.hwc(part.slot, maps.shape)[2]}")
    rows, columns, _ = zip(*places, strict=True)
    outline(panel, (min(rows), min(columns)), (max(rows), max(columns)))


def _bar_panels(explained: GradientExplanation, title: str) -> Figure:
    names = [" ".join([term.layer, ", ".join(map(str, term.position or []))]).rstrip() for term in explained.terms]
    figure = new_figure(7.5, max(2.6, 0.22 * bars_for(len(names)) + 0.9), title)
    left, right = figure.subplots(1, 2)
    bars(left, names, np.array([term.product for term in explained.terms]))
    caption(left, f"gz times {'x' if explained.slot is None else 'weights'}")
    _beside(right, explained)
    return figure


def _beside(panel: Axes, explained: GradientExplanation) -> None:
    """The derivatives by the numbers beside the explained one: of its map, its filter's channel, or its row."""
    gradients, position = explained.gradients, explained.position
    if len(position) == 4 or (explained.slot is not None and len(position) == 3):
        if explained.slot is None:
            row, column, *others = position
            of_filter: Any = (..., *others)
            values = gradients[of_filter]
        else:
            values, row, column = explained.tape.map_of(explained.slot, position, gradients)
        signed(panel, values)
        outline(panel, (row, column), (row, column))
    elif explained.slot is None and len(position) == 2:
        # A unit's weights lie in a column.
        profile(panel, gradients[:, position[1]], position[0])
    else:
        profile(panel, gradients[position[:-1]], position[-1])
    caption(panel, f"derivatives by {explained.owner}: {explained.value:.4g}")
