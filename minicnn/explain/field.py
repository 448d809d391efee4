"""Which pixels of the picture a number depends on."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn import layers as L
from minicnn.plots.receptive_field import windows_by_axis

from .terms import Position
from .trace import Trace
from .windows import as_hwc

# Layers of several inputs whose cells see the cells at their own place.
_MERGING = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate)


class Field(NamedTuple):
    """A rectangle of the picture: ``picture[field.rows, field.columns]``."""

    rows: slice
    columns: slice

    def __str__(self) -> str:
        return f"{_range('row', self.rows)}, {_range('column', self.columns)}"


def _range(name: str, part: slice) -> str:
    return f"{name} {part.start}" if part.stop - part.start == 1 else f"{name}s {part.start} to {part.stop - 1}"


class _Box(NamedTuple):
    """From the first row or column to behind the last, by axis; of several boxes the smallest that holds them."""

    starts: tuple[int, int]
    stops: tuple[int, int]

    def joined(self, other: _Box | None) -> _Box:
        if other is None:
            return self
        low, high = zip(self.starts, other.starts, strict=True), zip(self.stops, other.stops, strict=True)
        return _Box(*(tuple(map(choose, part)) for choose, part in ((min, low), (max, high))))


def receptive_field(trace: Trace, slot: int, position: Position) -> Field | None:
    """The part of the first input with rows and columns that can change a number; None where there is none.

    The walk goes from the number's layer to the picture, by the windows of `minicnn.plots.receptive_field`; a layer
    that mixes pixels in another way (dense, or one that is not known) counts as seeing all of them.
    """
    boxes: dict[int, _Box] = {}
    if len(trace.shape(slot)) == 3:
        row, column, _ = as_hwc(trace.channels_first(slot), position)
        boxes[slot] = _Box((row, column), (row + 1, column + 1))
    reached = {slot}
    for step in reversed(trace.steps):
        behind = [output for output in step.outputs if output in reached]
        for output in behind:
            for source in step.inputs:
                reached.add(source)
                if len(trace.shape(source)) == 3:
                    seen = _seen(trace, step.layer, boxes.get(output), source)
                    boxes[source] = seen.joined(boxes.get(source))
    pictures = [entry for entry in range(len(trace.model.inputs)) if entry in boxes]
    if not pictures:
        return None
    starts, stops = boxes[pictures[0]]
    return Field(slice(starts[0], stops[0]), slice(starts[1], stops[1]))


def _seen(trace: Trace, layer: Any, box: _Box | None, source: int) -> _Box:
    """What the cells in a box see of what their layer takes."""
    H, W, _ = as_hwc(trace.channels_first(source), trace.shape(source))
    whole = _Box((0, 0), (H, W))
    if box is None or isinstance(layer, _MERGING):
        return whole if box is None else box
    try:
        axes = windows_by_axis(layer, (H, W)) or [(1, 1, 0)] * 2
    except ValueError:
        return whole
    starts, stops = [], []
    for size, first, last, (reach, stride, before) in zip((H, W), *box, axes, strict=True):
        starts.append(min(max(first * stride - before, 0), size - 1))
        stops.append(max(min((last - 1) * stride - before + reach, size), 1))
    return _Box((starts[0], starts[1]), (stops[0], stops[1]))
