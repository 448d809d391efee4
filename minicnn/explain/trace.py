"""A sample's way through a model with every value on it kept, each under the slot of the graph that it fills."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor, no_grad
from minicnn.device import native, place, to_host
from minicnn.functional.geometry import is_whole
from minicnn.kernels import use_tf32
from minicnn.layers import BatchNormalization, Dropout, InputLayer, Layer
from minicnn.layers.spatial import SpatialLayer
from minicnn.models.graph import Graph, Step

from .terms import Position, checked
from .windows import as_hwc, is_channels_first

if TYPE_CHECKING:
    from minicnn.models import Model


class Trace:
    """What a model makes of one sample in inference, layer by layer, without fused blocks, on a GPU without TF32.

    Args:
        model: built; Sequential or functional.
        x: one sample as the model takes it, with or without a batch axis of 1; a list of them for several inputs.
        operation: how error messages call what is done.
        taped: keep what gradients need.

    Attributes:
        steps: the graph's, in the order in which they run.
        tensors: by slot, with the batch axis.
        makers: the step that fills a slot; the model's inputs have none.
        outputs: the slots of the model's outputs.

    Raises:
        ValueError: the model has no graph or the sample does not fit.
    """

    def __init__(self, model: Model, x: Any, operation: str, *, taped: bool = False) -> None:
        self.model = model
        self.operation = operation
        graph = _graph_of(model, operation)
        self.steps: list[Step] = graph.steps
        self.tensors = dict(enumerate(self._entries(graph, x, taped)))
        # Rounded operands would make other numbers than the ones shown.
        with use_tf32(False), contextlib.nullcontext() if taped else no_grad():
            for step in self.steps:
                self._run(step)
        self.makers = {slot: step for step in self.steps for slot in step.outputs}
        self.outputs = graph.output_slots
        self._inputs = graph.inputs

    def _run(self, step: Step) -> None:
        read = [self.tensors[slot] for slot in step.inputs]
        made = step.layer(read if step.takes_list else read[0], training=bool(step.training))
        for slot, value in zip(step.outputs, made if step.gives_list else [made], strict=True):
            # What a layer hands on as it is gets a tensor of its own, lest the two share their gradient.
            handed_on = any(value is taken for taken in read)
            self.tensors[slot] = F.reshape(value, value.shape) if handed_on else value

    def _entries(self, graph: Graph, x: Any, taped: bool) -> list[Tensor]:
        listed = list(x) if self.model.takes_list and isinstance(x, (list, tuple)) else [x]
        arrays = [native(value.data if isinstance(value, Tensor) else value) for value in listed]
        ranks = [len(tensor.shape) for tensor in graph.inputs]
        if len(arrays) == len(ranks):
            arrays = [a[np.newaxis] if a.ndim == rank - 1 else a for a, rank in zip(arrays, ranks, strict=True)]
        for array in arrays:
            if array.ndim and array.dtype.kind not in "biuf":
                raise TypeError(f"{self.operation}: x must be an array of numbers, but came with dtype {array.dtype}")
        self.model.check_input([(None, *array.shape[1:]) for array in arrays])
        for array in arrays:
            if len(array) != 1:
                raise ValueError(
                    f"{self.operation}: x must be one sample, but a batch of {len(array)} came: shape {array.shape}"
                )
        return [
            Tensor(place(array.astype(tensor.dtype), self.model.device), requires_grad=taped)
            for array, tensor in zip(arrays, graph.inputs, strict=True)
        ]

    def check_inference(self, step: Step) -> None:
        """Refuse a layer that does what it does in training; ValueError says which."""
        if step.training and isinstance(step.layer, (Dropout, BatchNormalization)):
            raise ValueError(
                f"{self.operation}: {step.layer.describe()} is called with training=True, but only what it does in "
                "inference can be explained"
            )

    # ---------------------------------------------------------------------- values

    def array(self, slot: int) -> np.ndarray:
        """The values in a slot, without the batch axis, float64."""
        return to_host(self.tensors[slot].data)[0].astype(np.float64)

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of the values in a slot, without the batch axis."""
        return tuple(self.tensors[slot].shape[1:])

    def map_of(self, slot: int, position: Position, maps: np.ndarray | None = None) -> tuple[np.ndarray, int, int]:
        """The map (H, W) that a position lies in, and its row and column there; of other maps than the values."""
        row, column, channel = self.hwc(slot, position)
        maps = self.array(slot) if maps is None else maps
        return maps[channel] if self.channels_first(slot) else maps[..., channel], row, column

    def hwc(self, slot: int, position: Position) -> tuple[int, int, int]:
        """A position in maps as (row, column, channel)."""
        return as_hwc(self.channels_first(slot), position)

    # ---------------------------------------------------------------------- places

    def slot_of(self, layer: Layer | str | int) -> int:
        """The slot that a layer fills; of an `Input` the one that the model is entered by.

        Raises:
            ValueError: there is no such layer, or it gives several values or runs several times.
        """
        if isinstance(layer, str):
            entered = [slot for slot, tensor in enumerate(self._inputs) if tensor.name == layer]
            if entered:
                return entered[0]
        found: Any = layer
        if isinstance(layer, str):
            found = self.model.get_layer(layer)
        elif is_whole(layer):
            found = self.model.get_layer(index=int(found))
        if isinstance(found, InputLayer):
            slots = [slot for slot, tensor in enumerate(self._inputs) if tensor.node.layer is found]
        else:
            slots = [slot for step in self.steps for slot in step.outputs if step.layer is found]
        if len(slots) == 1:
            return slots[0]
        if not isinstance(found, Layer) or not slots:
            raise ValueError(f"{self.operation}: {layer!r} is no layer of {self.model.describe()}")
        raise ValueError(
            f"{self.operation}: {found.describe()} gives {len(slots)} values in {self.model.describe()}; explain a "
            "layer behind it and go back from there"
        )

    def name(self, slot: int) -> str:
        """The name of the layer, or of the input, that fills a slot."""
        step = self.makers.get(slot)
        return self._inputs[slot].name if step is None else step.layer.name

    def position(self, slot: int, position: Any) -> Position:
        """A position as a tuple of ints, once it is found to lie inside.

        Raises:
            ValueError: it does not; the message says the range.
        """
        what = f"{self.operation}: position in {self.name(slot)!r}"
        return checked(position, self.shape(slot), what, self.axes(slot))

    def axes(self, slot: int) -> tuple[str, ...]:
        """What the axes of the values in a slot are called."""
        rank = len(self.shape(slot))
        if rank == 3:
            first = self.channels_first(slot)
            return ("channel", "row", "column") if first else ("row", "column", "channel")
        return {1: ("unit",), 2: ("row", "column")}.get(rank, tuple(f"axis {axis}" for axis in range(rank)))

    def channels_first(self, slot: int) -> bool:
        """Whether the maps in a slot have their channels in front; layers that do not say follow what they take."""
        step = self.makers.get(slot)
        while step is not None and not isinstance(step.layer, SpatialLayer):
            slot = step.inputs[0]
            step = self.makers.get(slot)
        if step is not None:
            return is_channels_first(step.layer)
        readers = (step.layer for step in self.steps if isinstance(step.layer, SpatialLayer))
        return is_channels_first(next(readers, None))

    def place(self, slot: int, position: Position) -> str:
        """A position in words: "row 4, column 7, channel 2"."""
        return ", ".join(f"{axis} {index}" for axis, index in zip(self.axes(slot), position, strict=True))


def _graph_of(model: Any, operation: str) -> Graph:
    from minicnn.models import Model

    if not isinstance(model, Model):
        raise TypeError(f"{operation}: model must be a minicnn model, but {type(model).__name__} came")
    if type(model).call is not Model.call:
        raise ValueError(
            f"{operation}: {model.describe()} defines call itself, so there is no walk through its layers to explain; "
            "draw it with Input and Model(inputs, outputs), or use Sequential"
        )
    if model.graph is None:
        raise ValueError(f"{operation}: {model.describe()} is not built: call build(input_shape) or fit first")
    return model.graph
