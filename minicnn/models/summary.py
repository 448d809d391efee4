"""The table that `model.summary()` prints: what each layer gives, holds and costs, for one sample.

Everything is computed from shapes, so that the summary of a network too large for the machine allocates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.fusion import Block
from minicnn.layers import InputLayer, Layer

if TYPE_CHECKING:
    from minicnn.models.network import Network

_HEADINGS = ("Layer (type)", "Output shape", "Parameters", "Bytes", "Multiply-adds")
_GAP = "  "


class Row(NamedTuple):
    """One layer of the table.

    Attributes:
        title: name and class.
        shape: of the output; None where it is not known.
        parameters: number of scalars in its weights; None before they exist; 0 where an earlier row counts them.
        bytes: of one sample's output; None where a size is open.
        multiply_adds: for one sample; None where it cannot be told.
    """

    title: str
    shape: Any
    parameters: int | None
    bytes: int | None
    multiply_adds: int | None


def print_summary(
    model: Network,
    line_length: int | None,
    print_fn: Callable[[str], Any],
    expand_nested: bool = False,
    fused: bool = False,
) -> None:
    """Print the table and the totals, line by line."""
    rows = list(summary_rows(model, expand_nested))
    table = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEADINGS))]
    if line_length is not None:
        widths[0] = max(8, widths[0] - (sum(widths) + len(_GAP) * (len(widths) - 1) - line_length))
    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    print_fn(f'{type(model).__name__} "{model.name}"')
    print_fn(rule)
    print_fn(_line(_HEADINGS, widths))
    print_fn(rule)
    for row in rows:
        print_fn(_line(_cells(row), widths))
    print_fn(rule)
    for line in _totals(model, rows):
        print_fn(line)
    if fused:
        for line in _blocks(model):
            print_fn(line)


def summary_rows(model: Network, expand_nested: bool = False) -> Iterator[Row]:
    """Give one row for each use of a layer, in the order in which they run."""
    counted: set[int] = set()
    graph = model.graph
    if graph is None:
        for layer in model.layers:
            yield _lone_row(layer, counted)
        return
    yield from _graph_rows(graph, expand_nested, counted, "")


def _lone_row(layer: Layer, counted: set[int]) -> Row:
    """Tell of a layer in a model that defines `call` what it knows itself: how it is wired, nobody does."""
    if not layer.built:
        return Row(_title(layer), None, _parameters(layer, counted), None, None)
    shape = layer.output_shape
    shapes = shape if isinstance(shape, list) else [shape]
    work = _multiply_adds(layer, layer.input_shape)
    return Row(_title(layer), shape, _parameters(layer, counted), _bytes(shapes, layer.dtype), work)


def _graph_rows(graph: Any, expand_nested: bool, counted: set[int], indent: str) -> Iterator[Row]:
    for tensor in graph.inputs:
        layer = tensor.node.layer
        if isinstance(layer, InputLayer):
            yield Row(indent + _title(layer), tensor.shape, 0, _bytes([tensor.shape], tensor.dtype), 0)
    for step in graph.steps:
        inner = getattr(step.layer, "graph", None)
        shapes = [tensor.shape for tensor in step.node.outputs]
        shown = shapes if step.gives_list else shapes[0]
        if expand_nested and inner is not None:
            yield Row(indent + _title(step.layer), shown, 0, 0, 0)
            yield from _graph_rows(inner, expand_nested, counted, indent + "  ")
            continue
        read = [tensor.shape for tensor in step.node.inputs]
        yield Row(
            indent + _title(step.layer),
            shown,
            _parameters(step.layer, counted),
            _bytes(shapes, step.layer.dtype),
            _multiply_adds(step.layer, read if step.takes_list else read[0]),
        )


def _title(layer: Layer) -> str:
    return f"{layer.name} ({type(layer).__name__})"


def _parameters(layer: Layer, counted: set[int]) -> int | None:
    if not layer.built and not layer.weights:
        return None
    fresh = {id(weight): weight.size for weight in layer.weights if id(weight) not in counted}
    counted.update(fresh)
    return sum(fresh.values())


def _bytes(shapes: list[tuple[int | None, ...]], dtype: Any) -> int | None:
    sizes = [size for shape in shapes for size in shape[1:]]
    if any(size is None for size in sizes):
        return None
    return sum(math.prod(size or 0 for size in shape[1:]) for shape in shapes) * np.dtype(dtype).itemsize


def _multiply_adds(layer: Layer, input_shape: Any) -> int | None:
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    if any(size is None for shape in shapes for size in shape[1:]):
        return None
    return layer.multiply_adds(input_shape)


def _cells(row: Row) -> tuple[str, ...]:
    shape = "?" if row.shape is None else str(row.shape)
    return (row.title, shape, *(_number(value) for value in (row.parameters, row.bytes, row.multiply_adds)))


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    title = cells[0] if len(cells[0]) <= widths[0] else cells[0][: widths[0] - 1] + "~"
    parts = [f"{title:{widths[0]}s}", f"{cells[1]:{widths[1]}s}"]
    parts += [f"{cell:>{width}s}" for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return _GAP.join(parts).rstrip()


def _totals(model: Network, rows: list[Row]) -> Iterator[str]:
    weights = model.weights
    if not weights and any(row.parameters is None for row in rows):
        yield "The weights come with the first data, or with build(input_shape)."
        return
    trainable = {id(weight) for weight in model.trainable_weights}
    for label, chosen in (
        ("Total parameters", weights),
        ("Trainable parameters", [weight for weight in weights if id(weight) in trainable]),
        ("Non-trainable parameters", [weight for weight in weights if id(weight) not in trainable]),
    ):
        count = sum(weight.size for weight in chosen)
        size = sum(weight.size * weight.dtype.itemsize for weight in chosen)
        yield f"{label}: {count:,} ({readable_bytes(size)})"
    held, work = _sum(row.bytes for row in rows), _sum(row.multiply_adds for row in rows)
    yield f"Activations per sample: {'?' if held is None else readable_bytes(held)}"
    yield f"Multiply-adds per sample: {_number(work)}"


def _blocks(model: Network) -> Iterator[str]:
    """The blocks of layers that run as one."""
    blocks = [] if model.graph is None else [s.layer for s in model.graph.fused_steps if isinstance(s.layer, Block)]
    if not model.fused or not blocks:
        yield f"Fused blocks: none{'' if model.fused else ' (model.fused is False)'}"
        return
    yield "Fused blocks:"
    for block in blocks:
        yield f"  {block.name}"


def _sum(values: Iterator[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def readable_bytes(size: float) -> str:
    """Give a number of bytes as a reader wants it: "812 B", "3.40 KB", "12.49 MB" (1 KB = 1024 B).

    >>> readable_bytes(13098536)
    '12.49 MB'
    """
    units = ("B", "KB", "MB", "GB", "TB")
    for unit in units:
        if size < 1024 or unit == units[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.2f} {unit}"
        size /= 1024
    raise ValueError(f"readable_bytes: size must be a number, got {size!r}")
