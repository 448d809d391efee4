"""The walk through a model, layer by layer, that writes it in ONNX's operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicnn.models import Model
from minicnn.saving.onnx import layers as _layers  # noqa: F401 - registers what writes them
from minicnn.saving.onnx import windows as _windows  # noqa: F401 - likewise
from minicnn.saving.onnx.builder import Builder, Value, in_order
from minicnn.saving.onnx.converters import convert_layer

if TYPE_CHECKING:
    from minicnn.models.graph import Graph


def convert_model(model: Model) -> Any:
    """Give a built model as an ONNX ModelProto."""
    graph = _graph_of(model)
    builder = Builder()
    inputs = [(builder.free(name), tensor.shape) for name, tensor in zip(model.input_names, graph.inputs, strict=True)]
    names = [builder.free(name) for name in model.output_names]
    values = [Value(name, shape, in_order(len(shape))) for name, shape in inputs]
    results = _walk(builder, graph, values, training=False)
    for name, value in zip(names, results, strict=True):
        builder.give(name, value)
    return builder.finish(model.name, inputs, [(name, y.shape) for name, y in zip(names, results, strict=True)])


def _graph_of(model: Model) -> Graph:
    if model.graph is None or not model.runs_graph:
        raise ValueError(
            f"export: {model.describe()} computes by a call of its own, which cannot be read; draw it with Input"
        )
    return model.graph


def _walk(builder: Builder, graph: Graph, inputs: Sequence[Value], training: bool) -> list[Value]:
    values = dict(enumerate(inputs))
    outer = builder.scope
    for step in graph.steps:
        read = [values[slot] for slot in step.inputs]
        mode = training if step.training is None else step.training
        builder.scope = f"{outer}/{step.layer.name}" if outer else step.layer.name
        if isinstance(step.layer, Model):
            made = _walk(builder, _graph_of(step.layer), read, mode)
        else:
            made = [convert_layer(builder, step.layer, read if step.takes_list else read[0], mode)]
        # A model within the model may be drawn for more sizes than it sees here, but never for other ones.
        for slot, value, tensor in zip(step.outputs, made, step.node.outputs, strict=True):
            values[slot] = value._replace(shape=tensor.shape)
    builder.scope = outer
    return [values[slot] for slot in graph.output_slots]
