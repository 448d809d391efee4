"""Training steps without the Python between the kernels.

In a small network most of a step's time goes into finding out, layer by layer, what the step before found out: shapes,
paddings, which kernel on which memory. So the kernels of one step are recorded and then called again, on the same
memory, for every further batch of that shape, and so are the optimizer's (`update`). The same kernels on the same
numbers give the same bits.

This is done only where a step is nothing but kernels: layers without state, but for moving averages and how many masks
a dropout has drawn (exactly the classes below), no activation of the user's, one input, one output, no regularizer, the
"cpu" kernels. And it is tested before it is trusted: every operation must have been made of kernels that were noted
(`kernels.noting`), and after the second step the same batch is taken with other weights, once in full and once by a
recording made of yet other numbers, which is thrown away where outputs, gradients or averages differ in a single bit.

The cross-entropy of a softmax consists of kernels, too: with it, a step is one recording (`WholeStep`). Other losses,
and weighted samples, are computed in between (`Replay`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.kernels import current_kernels
from minicnn.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    InputLayer,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    ZeroPadding2D,
)
from minicnn.training import executions, repeated
from minicnn.training.executions import Execution
from minicnn.training.ours import has_our_activation
from minicnn.training.repeated import Replay, WholeStep, alike

if TYPE_CHECKING:
    from minicnn.models import Model
    from minicnn.training.batch import Batch, BatchRun
    from minicnn.training.outputs import Output

_REPEATABLE = (
    InputLayer, ZeroPadding2D, Conv2D, DepthwiseConv2D, BatchNormalization, MaxPooling2D, AveragePooling2D,
    GlobalAveragePooling2D, Flatten, Reshape, Dense, Activation, ReLU, LeakyReLU, ELU, Softmax, Dropout, Add,
    Concatenate,
)  # fmt: skip
# What a layer keeps of its last call and its next one does not depend on, or asks for anew in a replay, too.
_REMEMBERED = ("_admitted_shape", "_step", "_key")


class Replays:
    """The recorded steps of a model's training, one for each shape of batch.

    Args:
        model, optimizer, logits: as for `Repeated`.
        output: the model's one output, if its loss is a cross-entropy of logits, else None.
    """

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...], output: Output | None = None) -> None:
        self.model = model
        self.optimizer = optimizer
        self.logits = logits
        self.output = output
        self.possible = False
        self._parts: list[Any] = []
        self._by_shape: dict[tuple[Any, ...], Replay | WholeStep | None] = {}
        self._generation = 1
        self._checked = 0

    def invalidate(self) -> None:
        """Check what was recorded before it is used again: others may have changed layers, weights or settings."""
        self._generation += 1

    def _look(self) -> None:
        """Forget what was recorded of other layers than the model has now."""
        if self._checked == self._generation:
            return
        self._checked = self._generation
        now = parts(self.model)
        if not alike(now, self._parts):
            self._parts = now
            self._by_shape.clear()
            self.possible = self._is_possible()

    def _is_possible(self) -> bool:
        return is_repeatable(self.model) and self.model.device == "cpu" and current_kernels() == "cpu"

    def find(self, batch: Batch) -> Replay | WholeStep | None:
        """The replay that serves a batch, None where the step has to be made in full.

        The first batch of a shape gets none: shapes that come once are not worth recording, and only after the first
        step are the weights where the optimizer keeps them.
        """
        self._look()
        if not self.possible or batch.y is None:
            return None
        (x,), (y,), is_weighted = batch.x, batch.y, batch.weights is not None
        key = (x.shape, y.shape, y.dtype, is_weighted)
        if key not in self._by_shape:
            self._by_shape[key] = None
            return None
        replay = self._by_shape[key]
        if replay is not None and replay.failed:
            self._give_up()
            return None
        if replay is None or (replay.checked != self._generation and not replay.fits()):
            self._by_shape[key] = None
            if not self._is_possible():
                self._give_up()
                return None
            if not self._is_room_for(len(x)):
                return None
            replay = self._by_shape[key] = self._new(is_weighted)
        replay.checked = self._generation
        return replay

    def _give_up(self) -> None:
        self.possible = False
        self._by_shape.clear()

    def _is_room_for(self, samples: int) -> bool:
        """Whether so many may be recorded beside what there is, going by what that takes for each sample."""
        known = self._trusted()
        for_each = max([replay.nbytes / len(replay.x) for replay in known], default=0)
        return sum(replay.nbytes for replay in known) + for_each * samples <= repeated.MOST_BYTES

    def room(self, size: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The arrays that the replay for so many samples reads them and their labels from, as far as there are such."""
        for replay in self._trusted():
            if len(replay.x) == size:
                return replay.x, replay.labels
            execution = replay.execution if isinstance(replay, WholeStep) else None
            if execution is not None and len(execution.x) == size:
                return execution.x, None if replay.labels is None else execution.targets
        return None, None

    def _trusted(self) -> list[Replay | WholeStep]:
        return [replay for replay in self._by_shape.values() if replay is not None and replay.trusted]

    def ahead(self, size: int) -> int:
        """How many batches of so many samples may be trained on at once from now on."""
        for step in sorted(self._trusted(), key=lambda step: -step.checked):
            if len(step.x) == size and isinstance(step, WholeStep) and executions.pays(step):
                execution = step.execution or Execution(step)
                step.is_single = not execution.possible
                # What cannot be used must not keep its memory.
                step.execution = None if step.is_single else execution
                return 1 if step.is_single else executions.STEPS
        return 1

    def find_run(self, batches: BatchRun) -> Execution | None:
        """What trains on these batches at once, if something may."""
        self._look()
        (x,), (y,) = batches.x, batches.y or (None,)
        size = batches.size // batches.count
        step = None if y is None else self._by_shape.get(((size, *x.shape[1:]), (size, *y.shape[1:]), y.dtype, False))
        if not isinstance(step, WholeStep) or step.execution is None:
            return None
        if step.checked != self._generation and not step.fits():
            return None
        step.checked = self._generation
        return step.execution

    def _new(self, is_weighted: bool) -> Replay | WholeStep:
        if is_weighted or self.output is None:
            return Replay(self.model, self.optimizer, self.logits)
        return WholeStep(self.model, self.optimizer, self.logits, self.output)


def parts(model: Model) -> list[Any]:
    """What a model's way through its layers is made of, as far as it is the same from call to call."""
    found = [model.graph, model.fused, model.device, current_kernels(), type(model).call]
    for layer in model.layers:
        found += [value for name, value in vars(layer).items() if name not in _REMEMBERED]
    return found


def is_repeatable(model: Model) -> bool:
    """Whether a model may be nothing but kernels: a graph with one input and one output, of layers known for it."""
    graph = model.graph
    return (
        graph is not None
        and model.runs_graph
        and len(graph.inputs) == len(graph.outputs) == 1
        and all(type(layer) in _REPEATABLE and has_our_activation(layer) for layer in graph.layers)
    )
