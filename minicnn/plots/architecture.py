"""A network as boxes and arrows, without Graphviz."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .style import INK, new_figure, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.models import Model

# Inches: a character of a box's text, a line of it, and the gap between two boxes.
_CHARACTER, _LINE, _GAP = 0.085, 0.2, 0.35
_COLORS = {
    "InputLayer": "#edf2f7", "Conv2D": "#bee3f8", "DepthwiseConv2D": "#bee3f8", "Conv2DTranspose": "#bee3f8",
    "MaxPooling2D": "#c6f6d5", "AveragePooling2D": "#c6f6d5", "GlobalAveragePooling2D": "#c6f6d5",
    "GlobalMaxPooling2D": "#c6f6d5", "Dense": "#fed7aa", "Dropout": "#fefcbf", "BatchNormalization": "#e9d8fd",
}  # fmt: skip
_OTHER = "#f7fafc"


class _Box(NamedTuple):
    text: str
    kind: str
    sources: tuple[int, ...]


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] | None = None,
    show_shapes: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    dpi: int = 150,
) -> Figure:
    """Draw a model's layers as boxes, from input to output.

    Arguments as Keras'. Where paths run side by side, boxes of the same depth (the longest way from an input) share a
    row, each near the boxes that it reads.

    Args:
        model: Sequential or functional, built.
        to_file: where to write it, if anywhere; the ending decides the format, such as ``.png`` or ``.svg``.
        show_shapes: say each layer's input and output shape.
        show_layer_names: say each layer's name beside its class.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        dpi: pixels an inch of a PNG.

    Raises:
        ValueError: the model has no graph yet, or another rankdir.
    """
    if rankdir not in ("TB", "LR"):
        raise ValueError(f'plot_model: rankdir must be "TB" or "LR", got {rankdir!r}')
    if model.graph is None:
        raise ValueError(f"plot_model: {model.name!r} is not built: give its first layer an input_shape, or call it")
    boxes = _boxes(model, show_shapes, show_layer_names)
    ranks = _ranks(boxes)
    columns = _columns(boxes, ranks)
    width = max(max(map(len, box.text.split("\n"))) for box in boxes) * _CHARACTER + 0.3
    height = (1 + max(box.text.count("\n") for box in boxes)) * _LINE + 0.15
    across, along = (width, height) if rankdir == "TB" else (height, width)
    span, depth = max(columns) - min(columns) + 1, max(ranks) + 1
    size = (span * (across + _GAP), depth * (along + _GAP))
    figure = new_figure(*(size if rankdir == "TB" else reversed(size)))
    figure.set_dpi(dpi)
    panel = figure.subplots()
    panel.set_axis_off()
    places = [
        _place(column * (across + _GAP), rank * (along + _GAP), rankdir)
        for column, rank in zip(columns, ranks, strict=True)
    ]
    for number, box in enumerate(boxes):
        _draw_box(panel, box, places[number], width, height)
        for source in box.sources:
            # Past the boxes of the rows between, around them.
            bend = 0.35 if ranks[number] - ranks[source] > 1 else 0.0
            _draw_arrow(panel, places[source], places[number], along, rankdir, bend)
    panel.set_aspect("equal")
    panel.autoscale_view()
    return write(figure, to_file)


def _boxes(model: Model, show_shapes: bool, show_layer_names: bool) -> list[_Box]:
    graph: Any = model.graph
    made: dict[int, int] = {}
    boxes: list[_Box] = []
    for tensor in graph.inputs:
        made[id(tensor)] = len(boxes)
        boxes.append(_box(tensor.node.layer, None, tensor.shape, (), show_shapes, show_layer_names))
    for step in graph.steps:
        sources = tuple(dict.fromkeys(made[id(tensor)] for tensor in step.node.inputs))
        inputs, outputs = ([tensor.shape for tensor in tensors] for tensors in (step.node.inputs, step.node.outputs))
        made.update({id(tensor): len(boxes) for tensor in step.node.outputs})
        boxes.append(_box(step.layer, _one(inputs), _one(outputs), sources, show_shapes, show_layer_names))
    return boxes


def _one(shapes: list[Any]) -> Any:
    return shapes[0] if len(shapes) == 1 else shapes


def _box(layer: Any, inputs: Any, outputs: Any, sources: tuple[int, ...], shapes: bool, names: bool) -> _Box:
    kind = type(layer).__name__
    lines = [f"{layer.name} ({kind})" if names else kind]
    if shapes:
        lines.append(f"{inputs} → {outputs}" if inputs is not None else str(outputs))
    return _Box("\n".join(lines), kind, sources)


def _ranks(boxes: list[_Box]) -> list[int]:
    ranks: list[int] = []
    for box in boxes:
        ranks.append(1 + max((ranks[source] for source in box.sources), default=-1))
    return ranks


def _columns(boxes: list[_Box], ranks: list[int]) -> list[float]:
    """Places across: the boxes of a row side by side about the middle, in the order of those that they read."""
    columns = [0.0] * len(boxes)
    for rank in range(max(ranks) + 1):
        row = [number for number, r in enumerate(ranks) if r == rank]
        row.sort(key=lambda number: sum(columns[s] for s in boxes[number].sources) / max(len(boxes[number].sources), 1))
        for place, number in enumerate(row):
            columns[number] = place - (len(row) - 1) / 2
    return columns


def _place(across: float, along: float, rankdir: str) -> tuple[float, float]:
    return (across, -along) if rankdir == "TB" else (along, -across)


def _draw_box(panel: Any, box: _Box, place: tuple[float, float], width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    corner = (x - width / 2, y - height / 2)
    color = _COLORS.get(box.kind, _OTHER)
    panel.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.06", fc=color, ec=INK, lw=0.8))
    panel.text(x, y, box.text, ha="center", va="center", fontsize=8, color=INK, linespacing=1.4)


def _draw_arrow(
    panel: Any, source: tuple[float, float], target: tuple[float, float], along: float, rankdir: str, bend: float
) -> None:
    half = (0, along / 2) if rankdir == "TB" else (-along / 2, 0)
    start = (source[0] - half[0], source[1] - half[1])
    end = (target[0] + half[0], target[1] + half[1])
    style = {"arrowstyle": "-|>", "color": INK, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    panel.annotate("", xy=end, xytext=start, arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"})
