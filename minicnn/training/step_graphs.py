"""Training steps on a GPU, each asked for as one graph.

From its second batch of a shape on, a step (forward, backward, optimizer, running means) is captured once and then
launched as a whole (`minicnn.kernels.capture`): in a small network asking for the kernels takes longer than running
them. What differs from step to step lies on the device: the batch, in memory that stays the same, and the learning
rate, the step count and which dropout masks are drawn (`minicnn.kernels.varying.DeviceNumbers`), brought there in one
copy with the batch. Where the data stay on the device whole, only these numbers are brought there, where the batch
begins in the epoch's order among them, and the graph begins with kernels that take its samples. The same kernels on the
same numbers give the same bits as a step in full.

This is done only where a step is known to be nothing but work on the device that is the same in each step: layers,
losses, metrics and optimizers of this library, exactly those classes, without regularizers and constraints. Steps of
other models, the first batch of each shape, and shapes beyond the first few are made in full.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import optimizers
from minicnn.device import array_module, device_of
from minicnn.kernels.capture import Graph
from minicnn.kernels.dispatch import choose
from minicnn.kernels.samples import take_rows
from minicnn.kernels.tf32 import tf32_is_used
from minicnn.kernels.varying import DeviceNumbers
from minicnn.metrics.base import MeanMetric
from minicnn.training.batch import Batch, Taken
from minicnn.training.checks import explained_memory
from minicnn.training.layer_states import draw_again, next_masks
from minicnn.training.layout import ON_THE_WAY
from minicnn.training.ours import has_our_activation, is_ours
from minicnn.training.repeated import alike
from minicnn.training.update import is_updated_by_kernels, settings
from minicnn.training.uploads import Uploads, offsets, unpack

if TYPE_CHECKING:
    from minicnn.training.trainer import Trainer

# Each keeps the memory of a whole step.
MOST_GRAPHS = 2
# Bytes for the numbers that change: eight each, for every layer of dropout and a few of the optimizer.
ROOM = 2048
# Bytes that a kernel copies at once at most.
WORD = 16


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
        self._generation = 1

    def invalidate(self) -> None:
        """Check the graphs before they are used again: others may have changed weights or settings."""
        self._generation += 1

    def step(self, batch: Batch) -> None:
        """Make one step, by its graph where there is one."""
        if self.possible:
            parts = batch.parts()
            shape = tuple(map(_form, parts))
            graph = self._find(shape, batch, parts)
            if graph is not None:
                graph.step(parts)
                return
        self.trainer.full_step(self._on_device(batch))
        self.invalidate()
        if self.possible:
            self._by_shape[shape] = _Circumstances(self.trainer)

    def _on_device(self, batch: Batch) -> Batch:
        there = batch.arrays()
        sent = [array for array in there if device_of(array) == "cpu"]
        with explained_memory(self.trainer.model, ON_THE_WAY, batch.size):
            came = iter(unpack(self._uploads.send(sent), sent) if sent else ())
        return batch.like([next(came) if device_of(array) == "cpu" else array for array in there])

    def _find(self, shape: Any, batch: Batch, parts: Sequence[Any]) -> StepGraph | None:
        known = self._by_shape.get(shape)
        if isinstance(known, StepGraph):
            if known.checked != self._generation and not known.circumstances.hold():
                return None
            known.checked = self._generation
            return known
        # A step in full puts everything in its place, memory and kernels. That must not be captured: a shape that
        # comes once is not worth it, and moments that start at zero would start there in every step.
        if known is None or not known.hold():
            return None
        self.possible = _is_capturable(self.trainer)
        if not self.possible or len(self._graphs()) >= MOST_GRAPHS:
            return None
        try:
            graph = self._by_shape[shape] = StepGraph(known, batch, parts, self._uploads)
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
        batch, parts: such a batch; what of it lies on the host is sent before a launch, the rest the graph takes.
        uploads: bring batches to the device.

    Attributes:
        checked: the generation in which its circumstances were last seen to hold.
    """

    checked = 0

    def __init__(self, circumstances: _Circumstances, batch: Batch, parts: Sequence[Any], uploads: Uploads) -> None:
        self.circumstances = circumstances
        self.trainer = trainer = circumstances.trainer
        self._uploads = uploads
        cupy = array_module(circumstances.weights[0].data)
        packed = [*_sent(parts), np.empty(ROOM, np.uint8)]
        # What is sent lies there as it lies where it arrives: one copy, from the one place to the other.
        self._memory = cupy.empty(offsets(packed)[1], np.uint8)
        *inputs, numbers = unpack(self._memory, packed)
        self._numbers = DeviceNumbers(numbers)
        came = iter(inputs)
        inputs = [cupy.empty(p.shape, p.dtype) if isinstance(p, Taken) else next(came) for p in parts]
        self._batch = batch.like(inputs)
        self._takes = [(p.rows, room) for p, room in zip(parts, inputs, strict=True) if isinstance(p, Taken)]
        self._sums = [_Sum(owner, name, cupy.zeros((), np.float64)) for owner, name in _running_sums(trainer)]
        self._capture()

    def _capture(self) -> None:
        """Note a step, without making it: nothing that counts steps may know of it."""
        trainer, optimizer = self.trainer, self.trainer.optimizer
        masks = next_masks(trainer.model.layers)
        iterations, last = optimizer.iterations, trainer.means.last
        before = [total.value for total in self._sums]
        try:
            self._graph = Graph(self._work, self._numbers)
        finally:
            for total, value in zip(self._sums, before, strict=True):
                total.value = value
            draw_again(masks)
            optimizer.iterations, trainer.means.last = iterations, last
            optimizer.zero_grad()

    def _work(self) -> None:
        for total in self._sums:
            total.value = _Nothing()
        for rows, room in self._takes:
            take_rows(rows, room)
        self.trainer.full_step(self._batch)
        for total in self._sums:
            total.note()

    @property
    def nbytes(self) -> int:
        """Bytes of the GPU's memory that it keeps for itself."""
        return self._graph.nbytes

    def step(self, parts: Sequence[Any]) -> None:
        """Make a step on a batch of these parts: bring it, or where it lies, and the numbers there; launch all."""
        taken = [part.rows for part in parts if isinstance(part, Taken)]
        for (rows, _), now in zip(self._takes, taken, strict=True):
            rows.source, rows.order, rows.begin = now.source, now.order, now.begin
        self._numbers.renew()
        sent = [*_sent(parts), self._numbers.host]
        if len(sent) > 1:
            self._memory[...] = self._uploads.send(sent)
        else:
            self._uploads.send_small(sent, self._memory)
        for total in self._sums:
            total.prepare()
        self._graph.launch()
        for rows, _ in self._takes:
            # The data live as long as their owner keeps them.
            rows.source = rows.order = None
        for total in self._sums:
            total.advance()
        self.trainer.means.last = self._batch
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
    """A running sum, of losses or of a metric: counted on the host as before, or added to by the graph."""

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
        """See what a step has made of nothing; let the graph add it where it lies on the device."""
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


class _Nothing:
    """A sum before anything is added: no kernel has to add to zero."""

    def __add__(self, value: Any) -> Any:
        return value


def _form(part: Any) -> tuple[Any, ...]:
    """What a graph depends on of a part of a batch, apart from its numbers and where they lie."""
    if isinstance(part, Taken):
        source = part.rows.source
        return part.shape, part.dtype, source.dtype, source.data.ptr % WORD
    return part.shape, part.dtype


def _sent(parts: Sequence[Any]) -> list[np.ndarray]:
    """Those that lie on the host."""
    return [part for part in parts if not isinstance(part, Taken)]


def _running_sums(trainer: Trainer) -> Iterator[tuple[Any, str]]:
    yield trainer.means, "loss_total"
    yield trainer.means, "samples"
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
    return is_ours(layer, "layers") and has_our_activation(layer)


def _is_measured_there(output: Any) -> bool:
    loss, measured = output.loss, [metric for _, metric in output.metrics]
    return (
        is_ours(loss, "losses")
        # Divides by a sum of weights, which the host has to know.
        and loss.reduction != "mean_with_sample_weight"
        and all(
            isinstance(metric, MeanMetric) and metric.on_device and is_ours(metric, "metrics") for metric in measured
        )
    )
