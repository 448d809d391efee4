"""Which pixels of the picture a number depends on."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn import layers as L
from minicnn.plots.receptive_field import windows_by_axis

from .activations import takes_several, works_along
from .reducing import reduced_axes, reduces
from .terms import Position, axis_of
from .trace import Trace
from .windows import Windows, as_hwc, is_channels_first

# Layers that `windows_by_axis` leaves to us: their cells see what stands at their own place, in each of the inputs,
# unless they mix pixels.
_AT_THEIR_PLACE = (
    L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Softmax, L.Concatenate, L.Lambda,
)  # fmt: skip


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
        (a, b), (c, d) = self.starts, other.starts
        (e, f), (g, h) = self.stops, other.stops
        return _Box((min(a, c), min(b, d)), (max(e, g), max(f, h)))


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
        for output in reached.intersection(step.outputs):
            for source in step.inputs:
                reached.add(source)
                if len(trace.shape(source)) == 3:
                    boxes[source] = _seen(trace, step.layer, boxes.get(output), source).joined(boxes.get(source))
    pictures = [entry for entry in range(len(trace.model.inputs)) if entry in boxes]
    if not pictures:
        return None
    starts, stops = boxes[pictures[0]]
    return Field(slice(starts[0], stops[0]), slice(starts[1], stops[1]))


def _seen(trace: Trace, layer: Any, box: _Box | None, source: int) -> _Box:
    """What the cells in a box see of what their layer takes."""
    H, W, _ = as_hwc(trace.channels_first(source), trace.shape(source))
    whole = _Box((0, 0), (H, W))
    if box is None or _mixes_pixels(trace, layer, source):
        return whole
    if isinstance(layer, L.Conv2DTranspose):
        return _stamping(layer, box, trace.shape(source))
    try:
        at_its_place = isinstance(layer, _AT_THEIR_PLACE)
        axes = [] if at_its_place else windows_by_axis(layer, (H, W))
    except ValueError:
        return whole
    starts, stops = [], []
    for size, first, last, (reach, stride, before) in zip((H, W), *box, axes or [(1, 1, 0)] * 2, strict=True):
        starts.append(min(max(first * stride - before, 0), size - 1))
        stops.append(max(min((last - 1) * stride - before + reach, size), 1))
    return _Box((starts[0], starts[1]), (stops[0], stops[1]))


def _stamping(layer: L.Conv2DTranspose, box: _Box, shape: tuple[int, ...]) -> _Box:
    """Pixels whose stamps reach a box; where none does, the first one."""
    windows, sizes = Windows.of(layer, shape), as_hwc(is_channels_first(layer), shape)
    spans = []
    for axis, (first, last) in enumerate(zip(*box, strict=True)):
        pixels = [i for cell in range(first, last) for i, _ in windows.touching(cell, axis, sizes[axis])] or [0]
        spans.append((min(pixels), max(pixels) + 1))
    (top, bottom), (left, right) = spans
    return _Box((top, left), (bottom, right))


def _mixes_pixels(trace: Trace, layer: Any, source: int) -> bool:
    """Whether a layer works along rows or columns, as a softmax or a concatenation may."""
    channels = 0 if trace.channels_first(source) else 2
    if isinstance(layer, L.Concatenate):
        return axis_of(layer.axis, 3) != channels
    if isinstance(layer, L.Lambda):
        return not reduces(layer) or reduced_axes(layer, 3) != (channels,)
    activation = getattr(layer, "activation", None)
    return takes_several(activation) and axis_of(works_along(activation), 3) != channels
