"""Layers and weights in the order in which Keras counts them, which is how its files tell them apart.

Keras lists the layers of a graph by their distance from the outputs, the farthest first, and those at one distance in
the order in which a walk back from the outputs meets them; here they are listed as they were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicnn.layers import Layer, Node
from minicnn.models import Model, Sequential
from minicnn.models.graph import Graph
from minicnn.parameter import Parameter


def keras_layers(layer: Layer) -> list[Layer]:
    """Give a model's layers, or what a layer keeps in its attributes, as Keras' `layers` lists them.

    Inputs are among the layers of a graph, and not among those of a chain.
    """
    if not isinstance(layer, Model):
        return layer.sublayers
    graph = layer.graph
    if graph is None or not layer.runs_graph or isinstance(layer, Sequential):
        return layer.layers
    return _by_depth(graph)


def keras_weights(layer: Layer) -> list[Parameter]:
    """Give a layer's weights as Keras' `weights` lists them: its own, then those of its layers, each once."""
    return [weight for _, weight in named_keras_weights(layer)]


def named_keras_weights(layer: Layer, prefix: str = "") -> list[tuple[str, Parameter]]:
    """Give a layer's weights with their paths: names of layers, then the weight's own name.

    A path that comes twice is told apart by a number.
    """
    found: dict[int, tuple[str, Parameter]] = {}
    taken: set[str] = set()
    for path, weight in _walk_weights(layer, prefix + layer.name):
        if id(weight) in found:
            continue
        free, count = path, 0
        while free in taken:
            count += 1
            free = f"{path}_{count}"
        taken.add(free)
        found[id(weight)] = (free, weight)
    return list(found.values())


def legacy_order(layer: Layer) -> list[tuple[str, Parameter]]:
    """Give a layer's weights as HDF5 files of Keras 1 and 2 list them: those that are trained before the others."""
    named = named_keras_weights(layer)
    trained = {id(weight) for weight in layer.trainable_weights}
    return [pair for pair in named if id(pair[1]) in trained] + [pair for pair in named if id(pair[1]) not in trained]


def trained_weights(model: Layer) -> list[Parameter]:
    """Give the weights that Keras' optimizers keep slots for, in their order."""
    trained = {id(weight) for weight in model.trainable_weights}
    return [weight for weight in keras_weights(model) if id(weight) in trained]


def _walk_weights(layer: Layer, path: str) -> Iterator[tuple[str, Parameter]]:
    inner = keras_layers(layer)
    theirs = {id(weight) for child in inner for weight in child.weights}
    for weight in layer.weights:
        if id(weight) not in theirs:
            yield f"{path}/{weight.name.rpartition('/')[2]}", weight
    for child in inner:
        yield from _walk_weights(child, f"{path}/{child.name}")


def _by_depth(graph: Graph) -> list[Layer]:
    """Order the layers of a graph as Keras does (keras/src/ops/function.py, map_graph)."""
    nodes, met = _walk_back(graph)
    inside = {id(node) for node in nodes}
    entries = {id(tensor) for tensor in graph.inputs}
    depth_of_node: dict[int, int] = {}
    depth_of_layer: dict[int, int] = {}
    for node in reversed(nodes):
        depth = max(depth_of_node.get(id(node), 0), depth_of_layer.get(id(node.layer), 0))
        depth_of_node[id(node)] = depth_of_layer[id(node.layer)] = depth
        for tensor in node.inputs:
            source = tensor.node
            if id(source) in inside and (not source.inputs or id(tensor) not in entries):
                depth_of_node[id(source)] = max(depth + 1, depth_of_node.get(id(source), 0))
    layers = {id(node.layer): node.layer for node in nodes}
    for layer in graph.layers:
        if id(layer) not in layers:
            # An input that no output depends on.
            layers[id(layer)] = layer
            depth_of_layer[id(layer)], met[id(layer)] = 0, -1
    return sorted(layers.values(), key=lambda layer: (-depth_of_layer[id(layer)], met[id(layer)]))


def _walk_back(graph: Graph) -> tuple[Sequence[Node], dict[int, int]]:
    """Walk from the outputs to the inputs, depth first.

    Returns:
        The nodes, each after those that it reads, and when each layer was met first, by its id.
    """
    entries = {id(tensor) for tensor in graph.inputs}
    met: dict[int, int] = {}
    finished: dict[int, Node] = {}
    stack: list[tuple[Node, bool]] = []
    for output in graph.outputs:
        if not output.node.inputs or id(output) not in entries:
            stack.append((output.node, False))
        while stack:
            node, left = stack.pop()
            if left:
                finished.setdefault(id(node), node)
                continue
            if id(node) in finished:
                continue
            met.setdefault(id(node.layer), len(met))
            stack.append((node, True))
            sources = [tensor.node for tensor in node.inputs if not tensor.node.inputs or id(tensor) not in entries]
            stack.extend((source, False) for source in reversed(sources))
    return list(finished.values()), met
