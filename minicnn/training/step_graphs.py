"""Training steps on a GPU, each asked for as one graph.

From its second batch of a shape on, a step (forward, backward, optimizer, running means) is captured once and then
launched as a whole (`minicnn.kernels.capture`): in a small network asking for the kernels takes longer than running
them. What differs from step to step lies on the device: the batch, in memory that stays the same, and the learning
rate, the step count and which dropout masks are drawn (`minicnn.kernels.recording.DeviceNumbers`), brought there in one
copy with the batch. The same kernels on the same numbers give the same bits as a step in full.

This is done only where a step is known to be nothing but work on the device that is the same in each step: layers,
losses, metrics and optimizers of this library, exactly those classes, without regularizers and constraints. Steps of
other models, the first batch of each shape, and shapes beyond the first few are made in full.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import layers, losses, optimizers
from minicnn.device import array_module, device_of
from minicnn.kernels.capture import Graph
from minicnn.kernels.dispatch import choose, tf32_is_used
from minicnn.kernels.recording import DeviceNumbers
from minicnn.layers import Dropout
from minicnn.metrics.base import MeanMetric
from minicnn.training.batches import Batch
from minicnn.training.repeated import alike
from minicnn.training.update import is_updated_by_kernels, settings
from minicnn.training.uploads import Uploads, offsets, unpack

if TYPE_CHECKING:
    from minicnn.training.trainer import Trainer

# Calls the user's code.
_OTHERS = (layers.Lambda, losses.FunctionLoss)
# Each keeps the memory of a whole step.
MOST_GRAPHS = 2
# Bytes for the numbers that change: eight each, for every layer of dropout and a few of the optimizer.
ROOM = 2048


class StepGraphs:
    """Makes the training steps of a model on a GPU.

    Args:
        trainer: whose steps.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.possible = _is_capturable(trainer)
        self._uploads = Uploads()
        # For each shape of batch its graph, or under which circumstances a step was last made in full.
        self._by_shape: dict[Any, StepGraph | _Circumstances] = {}

    def step(self, batch: Batch) -> None:
        """Make one step, by its graph where there is one."""
        shape = tuple((array.shape, array.dtype, device_of(array)) for array in _arrays(batch))
        graph = self._find(shape, batch) if self.possible else None
        if graph is not None:
            graph.step(batch)
            return
        self.trainer.full_step(self._on_device(batch))
        if self.possible:
            self._by_shape[shape] = _Circumstances(self.trainer)

    def _on_device(self, batch: Batch) -> Batch:
        there = _arrays(batch)
        sent = [array for array in there if device_of(array) == "cpu"]
        try:
            came = iter(unpack(self._uploads.send(sent), sent) if sent else ())
        except MemoryError as error:
            graph = self.trainer.model.graph
            raise error if graph is None else graph.explain_memory("the batch's way there", batch.size) from error
        return _like(batch, [next(came) if device_of(array) == "cpu" else array for array in there])

    def _find(self, shape: Any, batch: Batch) -> StepGraph | None:
        known = self._by_shape.get(shape)
        if isinstance(known, StepGraph):
            return known if known.circumstances.hold() else None
        # A step in full puts everything in its place, memory and kernels. That must not be captured: a shape that
        # comes once is not worth it, and moments that start at zero would start there in every step.
        if known is None or not known.hold():
            return None
        self.possible = _is_capturable(self.trainer)
        if not self.possible or len(self._graphs()) >= MOST_GRAPHS:
            return None
        try:
            graph = self._by_shape[shape] = StepGraph(known, batch, self._uploads)
        except (MemoryError, RuntimeError) as error:
            self.possible = False
            warnings.warn(f"training goes on step by step, since no graph could be made of one: {error}", stacklevel=5)
            return None
        return graph

    def _graphs(self) -> list[StepGraph]:
        return [entry for entry in self._by_shape.values() if isinstance(entry, StepGraph)]

    @property
    def nbytes(self) -> int:
        """Bytes of the GPU's memory that the graphs keep for themselves."""
        return sum(graph.nbytes for graph in self._graphs())


class StepGraph:
    """One training step for batches of one shape.

    Args:
        circumstances: those of a step in full that was made of such a batch, which have not changed since.
        batch: gives the shape.
        uploads: bring batches to the device.
    """

    def __init__(self, circumstances: _Circumstances, batch: Batch, uploads: Uploads) -> None:
        self.circumstances = circumstances
        self.trainer = trainer = circumstances.trainer
        self._uploads = uploads
        arrays = _arrays(batch)
        self._here = [index for index, array in enumerate(arrays) if device_of(array) == "cpu"]
        cupy = array_module(circumstances.weights[0].data)
        room = np.empty(ROOM, np.uint8)
        packed = [*(arrays[index] for index in self._here), room]
        # What is sent lies there as it lies where it arrives: one copy, from the one place to the other.
        self._memory = cupy.empty(offsets(packed)[1], np.uint8)
        *inputs, numbers = unpack(self._memory, packed)
        self._numbers = DeviceNumbers(numbers)
        came = iter(inputs)
        self._inputs = [next(came) if i in self._here else cupy.empty(a.shape, a.dtype) for i, a in enumerate(arrays)]
        self._batch = _like(batch, self._inputs)
        self._sums = [_Sum(owner, name, cupy.zeros((), np.float64)) for owner, name in _running_sums(trainer)]
        self._capture()

    def _capture(self) -> None:
        """Note a step, without making it: nothing that counts steps may know of it."""
        trainer, optimizer = self.trainer, self.trainer.optimizer
        dropouts = [(layer, layer.get_state()) for layer in trainer.model.layers if isinstance(layer, Dropout)]
        iterations, last = optimizer.iterations, trainer.last
        before = [total.value for total in self._sums]
        try:
            self._graph = Graph(self._work, self._numbers)
        finally:
            for total, value in zip(self._sums, before, strict=True):
                total.value = value
            for layer, state in dropouts:
                layer.set_state(state)
            optimizer.iterations, trainer.last = iterations, last
            optimizer.zero_grad()

    def _work(self) -> None:
        for total in self._sums:
            total.value = 0.0
        self.trainer.full_step(self._batch)
        for total in self._sums:
            total.note()

    @property
    def nbytes(self) -> int:
        """Bytes of the GPU's memory that it keeps for itself."""
        return self._graph.nbytes

    def step(self, batch: Batch) -> None:
        """Make a step: bring the batch and the numbers there, and launch the graph."""
        self._numbers.renew()
        arrays = _arrays(batch)
        self._memory[...] = self._uploads.send([*(arrays[index] for index in self._here), self._numbers.host])
        for index, array in enumerate(arrays):
            if index not in self._here:
                self._inputs[index][...] = array
        for total in self._sums:
            total.prepare()
        self._graph.launch()
        for total in self._sums:
            total.advance()
        self.trainer.last = self._batch
        self.trainer.optimizer.iterations += 1
        for weight in self.circumstances.weights:
            weight.bump_version()


class _Circumstances:
    """What a graph depends on, beside what lies on the device."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.weights = trainer.model.weights
        self._found = self._observe()

    def hold(self) -> bool:
        """Whether all is as it was."""
        return alike(self._observe(), self._found)

    def _observe(self) -> list[Any]:
        trainer, model = self.trainer, self.trainer.model
        found: list[Any] = [model.graph, model.fused, trainer.outputs, tf32_is_used()]
        for optimizer in {id(o): o for o in (trainer.optimizer, _stepping(trainer.optimizer))}.values():
            found += settings(optimizer)
        for thing in (*model.layers, *(output.loss for output in trainer.outputs or ())):
            found += [value for name, value in vars(thing).items() if name[0] != "_" or name == "_key"]
        for weight in self.weights:
            # Both views are made anew when a weight moves.
            found += [weight.data, weight.gradient_buffer, weight.trainable, weight.regularizer, weight.constraint]
        return found


class _Sum:
    """A running sum of the trainer or of a metric: counted on the host as before, or added to by the graph."""

    def __init__(self, owner: Any, name: str, there: Any) -> None:
        self.owner = owner
        self.name = name
        self.there = there
        self.there += there  # loads the kernel, which a capture should not have to
        self.each_step: float | None = None  # what the host adds; None where the graph does

    @property
    def value(self) -> Any:
        return getattr(self.owner, self.name)

    @value.setter
    def value(self, value: Any) -> None:
        setattr(self.owner, self.name, value)

    def note(self) -> None:
        """See what a step has made of zero; let the graph add it where it lies on the device."""
        if array_module(self.value) is np:
            self.each_step = self.value
        else:
            self.there += self.value

    def prepare(self) -> None:
        """Before a launch: let it go on from where the sum stands, whoever has added to it or read it since."""
        if self.each_step is None and self.value is not self.there:
            self.there[...] = self.value
            self.value = self.there

    def advance(self) -> None:
        """After a launch."""
        if self.each_step is not None:
            self.value += self.each_step


def _arrays(batch: Batch) -> list[Any]:
    return [*batch.x, *(batch.y or ()), *(w for w in batch.weights or () if w is not None)]


def _like(batch: Batch, arrays: Sequence[Any]) -> Batch:
    """A batch of these arrays in place of its own."""
    rest = iter(arrays)
    x, y = [next(rest) for _ in batch.x], None if batch.y is None else [next(rest) for _ in batch.y]
    weights = batch.weights and [None if w is None else next(rest) for w in batch.weights]
    return Batch(x, y, weights, batch.size, batch.samples)


def _running_sums(trainer: Trainer) -> Iterator[tuple[Any, str]]:
    yield trainer, "loss_total"
    yield trainer, "samples"
    for output in trainer.outputs or ():
        for _, metric in output.metrics:
            yield metric, "total"
            yield metric, "count"


def _is_capturable(trainer: Trainer) -> bool:
    model, outputs = trainer.model, trainer.outputs or []
    weights = model.weights
    return (
        model.runs_graph
        and model.graph is not None
        and len(outputs) == 1
        and all(map(_is_known, model.graph.layers))
        and all(_is_measured_there(output) for output in outputs)
        and is_updated_by_kernels(_stepping(trainer.optimizer))
        and bool(weights)
        and all(weight.regularizer is None and weight.constraint is None for weight in weights)
        and choose(weights[0].data).__name__.endswith(".cuda")
    )


def _stepping(optimizer: Any) -> Any:
    """What makes the steps, below a scaling of the loss."""
    return optimizer.inner_optimizer if type(optimizer) is optimizers.LossScaleOptimizer else optimizer


def _is_known(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    function = getattr(activation, "func", activation)  # of a partial
    known = function is None or str(getattr(function, "__module__", "")).startswith("minicnn.")
    return known and _is_ours(layer, "layers")


def _is_ours(thing: Any, package: str) -> bool:
    """Whether it is of one of the library's own classes, and not one that calls a function of the user's."""
    return type(thing).__module__.startswith(f"minicnn.{package}.") and not isinstance(thing, _OTHERS)


def _is_measured_there(output: Any) -> bool:
    loss, measured = output.loss, [metric for _, metric in output.metrics]
    return (
        _is_ours(loss, "losses")
        # Divides by a sum of weights, which the host has to know.
        and loss.reduction != "mean_with_sample_weight"
        and all(isinstance(metric, MeanMetric) and metric.on_device and _is_ours(metric, "metrics")
                for metric in measured)
    )
