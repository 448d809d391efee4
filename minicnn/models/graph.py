"""The walk through a model: which layer runs when, on which values, and when a value may go.

The nodes between a model's inputs and outputs are sorted once, when the model is made. Running it is then a plain loop
over `Step`s without recursion; a value is dropped after the last step that reads it, so that memory can be reused while
the walk goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.device import DeviceMemoryError
from minicnn.fusion import fuse
from minicnn.layers import InputLayer, Layer, Node, SymbolicTensor
from minicnn.models.diagnosis import explain_failure, full_memory


class Step(NamedTuple):
    """One layer applied to the values in some slots.

    Attributes:
        node: what the model's author wrote down.
        layer: the layer of the node.
        inputs, outputs: slots of the values read and written.
        takes_list, gives_list: whether the layer takes and gives a list.
        training: True or False where the author fixed it.
        drops: slots that nobody reads after this step.
    """

    node: Node
    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    takes_list: bool
    gives_list: bool
    training: bool | None
    drops: tuple[int, ...]


class Graph:
    """The steps from some symbolic tensors to others.

    Args:
        inputs: where values come in; outputs of `Input`, or any tensors inside a larger graph.
        outputs: the tensors wanted.
        owner: how error messages call the model.

    Attributes:
        steps: in the order in which they run.
        output_slots: where the outputs' values lie after the last step.
        layers: each once, in the order in which they run.

    Raises:
        ValueError: an output depends on an `Input` that is not among the inputs.
    """

    def __init__(self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor], owner: str) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.owner = owner
        nodes = _nodes_between(self.inputs, self.outputs, owner)
        self._slots = {id(tensor): slot for slot, tensor in enumerate(self.inputs)}
        for node in nodes:
            for tensor in node.outputs:
                self._slots.setdefault(id(tensor), len(self._slots))
        self.output_slots = tuple(self._slots[id(tensor)] for tensor in self.outputs)
        self.steps = self._make_steps(nodes)
        self.fused_steps = fuse(self.steps, self.output_slots)
        self.layers = self._collect_layers()
        # For each output the step that makes it, where that is a step's only output.
        makers = {step.outputs[0]: index for index, step in enumerate(self.steps) if not step.gives_list}
        self._output_makers = tuple(makers.get(slot) for slot in self.output_slots)
        read = {slot for step in self.steps for slot in step.inputs}
        self._is_read = tuple(slot in read for slot in self.output_slots)

    def _make_steps(self, nodes: Sequence[Node]) -> list[Step]:
        last_reader: dict[int, int] = {}
        for index, node in enumerate(nodes):
            for tensor in (*node.inputs, *node.outputs):
                last_reader[self._slots[id(tensor)]] = index
        kept = set(self.output_slots)
        drops: list[list[int]] = [[] for _ in nodes]
        for slot, index in last_reader.items():
            if slot not in kept:
                drops[index].append(slot)
        return [
            Step(
                node,
                node.layer,
                tuple(self._slots[id(tensor)] for tensor in node.inputs),
                tuple(self._slots[id(tensor)] for tensor in node.outputs),
                node.takes_list,
                node.gives_list,
                node.training,
                tuple(dropped),
            )
            for node, dropped in zip(nodes, drops, strict=True)
        ]

    def _collect_layers(self) -> list[Layer]:
        entries = [tensor.node for tensor in self.inputs if isinstance(tensor.node.layer, InputLayer)]
        nodes = sorted([*entries, *(step.node for step in self.steps)], key=lambda node: node.number)
        return list({id(node.layer): node.layer for node in nodes}.values())

    def run(
        self, values: Sequence[Tensor], training: bool, logits: Collection[int] = (), fused: bool = False
    ) -> list[Tensor]:
        """Run the layers.

        Args:
            values: one tensor (N, ...) for each input.
            training: what the layers are told.
            logits: indices of the outputs wanted before their layer's activation.
            fused: let blocks of layers run as one, see `minicnn.fusion`.

        Returns:
            One tensor for each output.

        Raises:
            ValueError: a layer refuses its input; the message lists the shapes up to there.
        """
        slots: list[Any] = [None] * len(self._slots)
        for slot, (value, tensor) in enumerate(zip(values, self.inputs, strict=True)):
            slots[slot] = value if value.dtype == tensor.dtype else F.cast(value, tensor.dtype)
        raw = {self.output_slots[index]: index for index in logits}
        results: dict[int, Tensor] = {}
        steps = self.fused_steps if fused else self.steps
        step = None
        try:
            for step in steps:
                read = step.inputs
                x = [slots[slot] for slot in read] if step.takes_list else slots[read[0]]
                mode = training if step.training is None else step.training
                if step.outputs[0] in raw:
                    y = self._run_to_logits(step, x, mode, raw[step.outputs[0]], results)
                else:
                    y = step.layer(x, training=mode)
                if step.gives_list:
                    for slot, value in zip(step.outputs, y, strict=True):
                        slots[slot] = value
                else:
                    slots[step.outputs[0]] = y
                for slot in step.drops:
                    slots[slot] = None
        except (ValueError, TypeError) as error:
            if step is None:
                raise
            raise explain_failure(error, self.owner, self._trace(step.node), step.node.layer) from error
        except MemoryError as error:
            if step is None or step.node.layer.device == "cpu" or isinstance(error, DeviceMemoryError):
                raise
            raise self.explain_memory(step.layer.name, len(values[0])) from error
        return [results.get(i, slots[slot]) for i, slot in enumerate(self.output_slots)]

    def explain_memory(self, where: str, batch: int) -> DeviceMemoryError:
        """Make the error to raise where the GPU's memory did not suffice for a batch."""
        return full_memory(self.owner, where, batch, self.layers, [_shapes_of(step.node) for step in self.steps])

    def _run_to_logits(self, step: Step, x: Any, training: bool, output: int, results: dict[int, Tensor]) -> Any:
        z = run_to_logits(step.layer, x, training)
        results[output] = z
        activation = activation_of(step.layer)
        return activation(z) if self._is_read[output] and activation is not None else None

    def output_activation(self, index: int) -> Callable[[Any], Any] | None:
        """Give the function that makes the output at `index` of its logits, None where no layer can tell."""
        maker = self._output_makers[index]
        return None if maker is None else activation_of(self.steps[maker].layer)

    def _trace(self, failed: Node) -> list[tuple[str, Any]]:
        shapes = [(tensor.name, tensor.shape) for tensor in self.inputs]
        before = (step for step in self.steps if step.node.number < failed.number)
        return shapes + [(step.layer.name, _shapes_of(step.node)) for step in before]

    def compute_output_shapes(self, input_shapes: Sequence[tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
        """Give the outputs' shapes for other input shapes than the graph was drawn with."""
        shapes: dict[int, Any] = dict(enumerate(tuple(shape) for shape in input_shapes))
        for step in self.steps:
            read = [shapes[slot] for slot in step.inputs]
            made = step.layer.compute_output_shape(read if step.takes_list else read[0])
            shapes.update(zip(step.outputs, made if step.gives_list else [made], strict=True))
        return [shapes[slot] for slot in self.output_slots]

    def output_bytes(self, samples: int, fused: bool) -> float:
        """Bytes of what all layers (or blocks, if `fused`) give for so many samples; infinite where sizes are open."""
        tensors = {self._slots[id(tensor)]: tensor for step in self.steps for tensor in step.node.outputs}
        made = [tensors[slot] for step in (self.fused_steps if fused else self.steps) for slot in step.outputs]
        if any(None in tensor.shape[1:] for tensor in made):
            return math.inf
        elements = [math.prod([size or 0 for size in tensor.shape[1:]]) for tensor in made]
        return samples * sum(
            count * np.dtype(tensor.dtype).itemsize for count, tensor in zip(elements, made, strict=True)
        )

    def wiring(self) -> dict[str, Any]:
        """Describe the graph by numbers alone: what `from_wiring` and files need beside the layers.

        Returns:
            `nodes`: for each node its layer's place in `layers`, the (node, output) pairs it reads, its flags and its
            output shapes; the model's inputs come first, with no layer where they lie inside a larger graph.
            `outputs`: (node, output) pairs.
        """
        places = {id(layer): place for place, layer in enumerate(self.layers)}
        nodes: list[dict[str, Any]] = []
        origin: dict[int, tuple[int, int]] = {}
        for slot, tensor in enumerate(self.inputs):
            origin[slot] = (len(nodes), 0)
            entry = places.get(id(tensor.node.layer)) if isinstance(tensor.node.layer, InputLayer) else None
            nodes.append({"layer": entry, "shape": list(tensor.shape), "dtype": tensor.dtype, "name": tensor.name})
        for step in self.steps:
            for index, slot in enumerate(step.outputs):
                origin[slot] = (len(nodes), index)
            nodes.append(
                {
                    "layer": places[id(step.layer)],
                    "inputs": [list(origin[slot]) for slot in step.inputs],
                    "takes_list": step.takes_list,
                    "gives_list": step.gives_list,
                    "training": step.training,
                    "shapes": [list(tensor.shape) for tensor in step.node.outputs],
                }
            )
        return {"nodes": nodes, "outputs": [list(origin[slot]) for slot in self.output_slots]}


def activation_of(layer: Any) -> Callable[[Any], Any] | None:
    """Give the last function that a layer, or the last layer of a model within it, applies; None if it has none."""
    if hasattr(layer, "final_activation"):
        return layer.final_activation()
    return getattr(layer, "activation", None) if hasattr(layer, "pre_activation") else None


def run_to_logits(layer: Any, x: Tensor, training: bool) -> Tensor:
    """Run a layer that `activation_of` knows a function of, up to that function."""
    if hasattr(layer, "final_activation"):
        return layer.run_to_logits(x, training)
    return layer.pre_activation(layer.cast(x), training=training)


def from_wiring(
    wiring: dict[str, Any], layers: Sequence[Layer], *, connect: bool
) -> tuple[list[SymbolicTensor], list[SymbolicTensor]]:
    """Draw a graph again from `Graph.wiring`.

    Args:
        wiring: what `Graph.wiring` gave.
        layers: in the order of `Graph.layers`.
        connect: call the layers, which builds them and checks every shape (a file's word is not trusted); False takes
            the shapes as they are written, for layers that come with their weights.

    Returns:
        The inputs and the outputs of the graph.
    """
    made: list[list[SymbolicTensor]] = []
    inputs: list[SymbolicTensor] = []
    for entry in wiring["nodes"]:
        if "inputs" not in entry:
            tensor = _enter(entry, layers)
            inputs.append(tensor)
            made.append([tensor])
            continue
        layer = layers[entry["layer"]]
        read = [made[node][index] for node, index in entry["inputs"]]
        if connect:
            result = layer(read if entry["takes_list"] else read[0], training=entry["training"])
            made.append(result if isinstance(result, list) else [result])
        else:
            shapes = [tuple(shape) for shape in entry["shapes"]]
            flags = {name: entry[name] for name in ("takes_list", "gives_list", "training")}
            made.append(Node(layer, read, shapes, dtype=layer.dtype, **flags).outputs)
    return inputs, [made[node][index] for node, index in wiring["outputs"]]


def _enter(entry: dict[str, Any], layers: Sequence[Layer]) -> SymbolicTensor:
    batch_size, *shape = entry["shape"]
    if entry["layer"] is None:
        return InputLayer(shape, batch_size, dtype=entry["dtype"], name=entry["name"]).inbound_nodes[0].outputs[0]
    layer = layers[entry["layer"]]
    if not layer.inbound_nodes:
        Node(layer, [], [(batch_size, *shape)], dtype=layer.dtype)
    return layer.inbound_nodes[0].outputs[0]


def _nodes_between(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor], owner: str) -> list[Node]:
    given = {id(tensor) for tensor in inputs}
    found: dict[int, Node] = {}
    waiting = [tensor for tensor in outputs if id(tensor) not in given]
    while waiting:
        tensor = waiting.pop()
        node = tensor.node
        if id(node) in found:
            continue
        if not node.inputs:
            raise ValueError(
                f"{owner}: the outputs depend on the input '{tensor.name}' of shape {tensor.shape}, which is not "
                f"among the model's inputs ({', '.join(repr(given.name) for given in inputs)})"
            )
        found[id(node)] = node
        waiting.extend(source for source in node.inputs if id(source) not in given)
    # A node can only read tensors that existed before it, so the order of making is an order of running.
    return sorted(found.values(), key=lambda node: node.number)


def _shapes_of(node: Node) -> Any:
    shapes = [tensor.shape for tensor in node.outputs]
    return shapes if node.gives_list else shapes[0]
