"""Several training steps as one walk through their kernels, where nobody looks in between.

A step of a small network takes milliseconds, in which its kernels push everything out of the nearest caches that Python
needs for the next one, whose lines then take twice their time, and helping threads fall asleep meanwhile. So where
recorded steps (`WholeStep`, and the optimizer's `Update`) follow each other, some are made at once: their calls in one
list, each step with a batch of its own and with the numbers that it would have been given, learning rate, step count
and dropout masks. The same kernels on the same numbers give the same bits. (Keras does as much where `compile` is given
`steps_per_execution`.)

Something may come up that the user must hear of in its place: a loss that is not finite, a label that is no class, a
schedule that fails. Then all is taken back, and the steps are made one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.kernels.rounds import Rounds
from minicnn.training.layer_states import LayerStates

if TYPE_CHECKING:
    from minicnn.training.batch import Batch, BatchRun
    from minicnn.training.repeated import WholeStep

STEPS = 16
# How long a step takes is known after so many.
PRACTICE = 8
# And so many are made one by one where some had to be taken back: the next ones might have to be, too.
PATIENCE = 64
# Seconds for an execution at most, so that Ctrl-C is heard and a bar of progress moves.
LONGEST = 0.2
# Runs are counted in float32, where whole numbers are exact so far.
MOST_RUNS = 2**24
# Bytes of the batches that lie ready for an execution, at most.
MOST_BYTES = 16 * 2**20


def pays(step: WholeStep) -> bool:
    """Whether a recorded step, of which a few have been made, is worth being made several times at once."""
    return (
        step.updater.trusted
        and not step.is_single
        and step.replayed >= PRACTICE
        and step.seconds * STEPS <= LONGEST
        and step.x.nbytes * STEPS <= MOST_BYTES
    )


class Execution:
    """So many steps of one kind.

    Args:
        step: the kind; it and its update are trusted.

    Attributes:
        x: where the inputs of all steps are read from, one batch after the other.
        targets: and their targets, as `WholeStep.targets` are.
        possible: whether a step is nothing but kernels.
    """

    def __init__(self, step: WholeStep) -> None:
        self._step = step
        self._layers = step.model.layers
        self.x, self.targets = _repeated(step.x), _repeated(step.targets)
        logits, self._losses = _stacked(step.predicted.data), _stacked(step.losses.data)
        self._predictions = [[Tensor.wrap(array, False)] for array in logits]
        self._changed = step.updater.optimizer.arrays()
        self._kept = [np.empty_like(array) for array in self._changed]
        # Which run is under way, and of which the weights were kept last: kernels do it, by the way.
        self._number, self._number_kept = np.zeros(1, np.float32), np.zeros(1, np.float32)
        kept = [*zip(self._kept, self._changed, strict=True), (self._number_kept, self._number)]
        calls: list[Any] = [(np.copyto, pair) for pair in kept]
        update = step.updater.recording
        self._rounds = Rounds([step.recording.numbers, update.numbers])
        size = len(step.x)
        for k in range(STEPS):
            part = slice(k * size, (k + 1) * size)
            elsewhere = [(step.x, self.x[part]), (step.targets, self.targets[part])]
            calls += [(function, _moved(arguments, elsewhere)) for function, arguments in step.recording.calls]
            calls += [(np.copyto, (logits[k], step.predicted.data)), (np.copyto, (self._losses[k], step.losses.data))]
            self._rounds.add([*calls, *update.calls])
            calls = []
        self.possible = self._rounds.assemble()

    def run(self, batches: BatchRun) -> list[tuple[Batch, list[Tensor], float]] | None:
        """Make the steps of these batches.

        Returns:
            For each batch itself, its logits and its loss. None where its steps must be made one by one: then nothing
            has changed.
        """
        self._remember()
        try:
            losses = self._make(batches)
        except Exception:
            losses = [math.nan]  # the step that it comes from raises it again
        except BaseException:
            self._take_back()
            raise
        if self._step.saw_no_class() or not all(map(math.isfinite, losses)):
            self._take_back()
            self._step.replayed = -PATIENCE
            return None
        self._step.updater.note()
        self._step.note()
        return list(zip(batches.split(), self._predictions, losses, strict=True))

    def _make(self, batches: BatchRun) -> list[float]:
        step = self._step
        if batches.x[0] is not self.x:
            np.copyto(self.x, batches.x[0])
        step.take_targets(batches.y[0], self.targets)  # type: ignore[index]
        self._rounds.run(self._count)
        losses: list[float] = step.loss_of(self._losses).tolist()
        return losses

    def _count(self) -> None:
        self._step.updater.optimizer.iterations += 1

    def _remember(self) -> None:
        """Keep what steps change, but for the weights, and for what every step makes anew."""
        self._states, self._iterations = LayerStates(self._layers), self._step.updater.optimizer.iterations
        self._number[0] = (self._number[0] + 1) % MOST_RUNS

    def _take_back(self) -> None:
        self._rounds.finish()
        self._states.restore()
        self._step.updater.optimizer.iterations = self._iterations
        if self._number_kept[0] == self._number[0]:  # else they have not been changed
            for array, kept in zip(self._changed, self._kept, strict=True):
                np.copyto(array, kept)


def _repeated(array: np.ndarray) -> np.ndarray:
    """Room for as many rows for each step."""
    return np.empty((STEPS * len(array), *array.shape[1:]), array.dtype)


def _stacked(array: np.ndarray) -> np.ndarray:
    return np.empty((STEPS, *array.shape), array.dtype)


def _moved(value: Any, places: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    """An argument of a call, or a tuple of them, with arrays that lie in the first of two places in the second."""
    if isinstance(value, np.ndarray):
        for here, there in places:
            offset = value.ctypes.data - here.ctypes.data
            if 0 <= offset < here.nbytes:
                return np.ndarray(value.shape, value.dtype, there, offset, value.strides)
    elif isinstance(value, tuple):
        parts = [_moved(part, places) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
