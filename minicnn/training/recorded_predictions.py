"""Predictions, and measuring, without the Python between the kernels.

For a few small pictures, what chooses the kernels takes longer than the kernels do. So where batches of one shape come
again and again, the kernels of one batch are recorded and called again for the next, on the same memory
(`minicnn.kernels.recording`); see `replay` for training. The results are copies, so they are the caller's own.

Recorded is what consists of kernels alone, and only after a test: every operation must have been made of kernels that
were noted (`kernels.noting`), and on noise, the recording must give every bit that the model gives. Whatever a model or
one of its layers is made of is compared with what it was then, at the beginning of every prediction, and another thread
that predicts at the same time goes through the model itself.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from minicnn.autograd import as_array
from minicnn.kernels import current_kernels, get_num_threads
from minicnn.kernels.recording import record
from minicnn.parameter import Parameter
from minicnn.training.repeated import alike, noise_like
from minicnn.training.replay import is_repeatable, parts

if TYPE_CHECKING:
    from minicnn.models import Model

# Batches of one shape before one is recorded, which takes about as long as some tens of them.
COMMON = 8
# The memory that a model's recordings may keep. Where arrays are large, the kernels take so long that Python does not
# matter.
MOST_BYTES = 64 * 2**20


Forward = Callable[["Model", Any], Any]


def _output(model: Model, x: Any) -> Any:
    return model(x, training=False)


class Predictions:
    """The recorded ways through one model, by shape of batch: the ones that were used last, in bounded memory.

    Args:
        forward: gives what is to be computed of a model and a batch: its one output, or that before its softmax.
    """

    def __init__(self, forward: Forward = _output) -> None:
        self._forward = forward
        self._lock = threading.Lock()
        self._circumstances: list[Any] = []
        self._is_possible = False
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._recorded: OrderedDict[tuple[int, ...], _Recorded | None] = OrderedDict()

    def begin(self, model: Model) -> None:
        """Forget what was recorded under other circumstances."""
        now = _circumstances(model)
        with self._lock:
            if alike(now, self._circumstances):
                return
            self._circumstances = now
            self._seen.clear()
            self._recorded.clear()
            self._is_possible = is_repeatable(model) and model.device == "cpu" and current_kernels() == "cpu"

    def compute(self, model: Model, arrays: Sequence[np.ndarray]) -> np.ndarray | None:
        """The model's output for a batch, None where it has to be computed in full."""
        if not self._is_possible or not self._lock.acquire(blocking=False):
            return None
        try:
            (x,) = arrays
            recorded = self._find(model, x)
            return None if recorded is None else recorded.run(x)
        finally:
            self._lock.release()

    def _find(self, model: Model, x: np.ndarray) -> _Recorded | None:
        shape = x.shape
        if shape not in self._recorded:
            self._seen[shape] += 1
            if self._seen[shape] < COMMON:
                return None
            self._recorded[shape] = _record(self._forward, model, x)
            while sum([each.bytes for each in self._recorded.values() if each is not None]) > MOST_BYTES:
                oldest, _ = self._recorded.popitem(last=False)
                del self._seen[oldest]
        self._recorded.move_to_end(shape)
        return self._recorded.get(shape)


class _Recorded:
    """The kernels from one batch to its output."""

    def __init__(self, forward: Forward, model: Model, x: np.ndarray) -> None:
        self._x = np.array(x)
        with record() as self._recording:
            self._output = as_array(forward(model, self._x))
        self.is_whole = self._recording.is_whole
        self.bytes = sum(owner.nbytes for owner in self._recording.owners().values())

    def run(self, x: np.ndarray) -> np.ndarray:
        """The output for a batch of the same shape, in memory of its own."""
        np.copyto(self._x, x)
        self._recording.replay()
        return self._output.copy()


def _record(forward: Forward, model: Model, x: np.ndarray) -> _Recorded | None:
    """Record a batch; None where the arrays would be large, or a replay gives anything else than the model."""
    graph = model.graph
    if graph is None or x.dtype != graph.inputs[0].dtype or graph.output_bytes(len(x), model.fused) > MOST_BYTES:
        return None
    recorded = _Recorded(forward, model, x)
    if recorded.bytes > MOST_BYTES or not recorded.is_whole:
        return None
    noise = noise_like(x)
    expected = as_array(forward(model, noise))
    return recorded if recorded.run(noise).tobytes() == expected.tobytes() else None


def _circumstances(model: Model) -> list[Any]:
    """What a recording depends on, to be compared by identity."""
    made_of = parts(model)
    return [get_num_threads(), *made_of, *(part.data for part in made_of if isinstance(part, Parameter))]


_predictions: WeakKeyDictionary[Model, Predictions] = WeakKeyDictionary()


def predictions_of(model: Model) -> Predictions:
    """What is recorded of a model, none of it under other circumstances than now."""
    predictions = _predictions.setdefault(model, Predictions())
    predictions.begin(model)
    return predictions
