"""What a training will take, before it starts: memory by counting, minutes from a few timed steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from . import machine

if TYPE_CHECKING:
    from minicnn.models import Sequential

TIMED_STEPS = 3
# A weight, its gradient, and the two running means of the optimisers that keep the most.
COPIES_OF_WEIGHTS = 4
# What a layer hands on is kept for the way back, where a gradient of the same size meets it.
COPIES_OF_ACTIVATIONS = 2
# Never plan to fill memory to the last byte: the system and the interpreter need some too.
SHARE_OF_MEMORY = 0.9


@dataclass(frozen=True)
class Estimate:
    """What a training is expected to take.

    Attributes:
        seconds: for all epochs, measuring after them included.
        memory: bytes that the process holds at its peak.
    """

    seconds: float
    memory: int

    def __str__(self) -> str:
        return f"{describe_duration(self.seconds)} and {describe_bytes(self.memory)} of memory"


def describe_bytes(count: float) -> str:
    """Bytes in the unit a reader thinks in: "320 MB", "1.5 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def describe_duration(seconds: float) -> str:
    """Seconds as minutes, or hours where there are many: "0.3 minutes", "12 minutes", "2.5 hours"."""
    minutes = seconds / 60
    if minutes >= 90:
        return f"{minutes / 60:.1f} hours"
    return f"{minutes:.0f} minutes" if minutes >= 9.5 else f"{max(minutes, 0.1):.1f} minutes"


def bytes_for_weights(model: Sequential) -> int:
    """Bytes of the weights with all that training keeps beside them."""
    return COPIES_OF_WEIGHTS * sum(weight.size * np.dtype(weight.dtype).itemsize for weight in model.weights)


def bytes_per_picture(model: Sequential) -> int:
    """Bytes that one more picture in the batch takes during a training step."""
    shapes = [model.layers[0].input_shape, *(layer.output_shape for layer in model.layers)]
    return COPIES_OF_ACTIVATIONS * sum(math.prod(shape[1:]) for shape in shapes) * np.dtype(np.float32).itemsize


def check_memory(model: Sequential, batch_size: int, available: int | None) -> int:
    """Refuse a batch that cannot fit.

    Args:
        model: built; its weights need not exist yet.
        batch_size: pictures a step.
        available: bytes that may be allocated, or None if unknown (then nothing is refused).

    Returns:
        The bytes that training will allocate.

    Raises:
        ValueError: it does not fit; names the batch size that does, if there is one.
    """
    fixed, each = bytes_for_weights(model), bytes_per_picture(model)
    needed = fixed + batch_size * each
    room = math.inf if available is None else SHARE_OF_MEMORY * available
    if needed <= room:
        return needed
    problem = (
        f"training {model.name} on batches of {batch_size} pictures needs about {describe_bytes(needed)} of memory, "
        f"but {describe_bytes(max(room, 0))} can be had"
    )
    largest = int((room - fixed) // each)
    if largest < 1:
        raise ValueError(f"{problem}: its weights alone need {describe_bytes(fixed)}, so no batch size fits")
    raise ValueError(f"{problem}: --batch-size {2 ** int(math.log2(largest))} fits")


def time_training(
    make_model: Callable[[], Sequential], x: np.ndarray, y: np.ndarray, batch_size: int
) -> tuple[float, float]:
    """Time steps of a model that is thrown away afterwards, so that the real one starts as if nothing had happened.

    Args:
        make_model: makes a compiled model.
        x: pictures as the model takes them; y: labels as its loss takes them.
        batch_size: pictures a step.

    Returns:
        Seconds a training step, and seconds to predict one batch.
    """
    model = make_model()
    x, y = x[:batch_size], y[:batch_size]
    # The first step compiles kernels and allocates the weights; it says nothing of those that follow.
    model.train_on_batch(x, y)
    step = median(_seconds(lambda: model.train_on_batch(x, y)) for _ in range(TIMED_STEPS))
    model.predict_on_batch(x)
    return step, _seconds(lambda: model.predict_on_batch(x))


def estimate(
    timings: tuple[float, float], *, pictures: int, measured: int, batch_size: int, epochs: int, memory: int
) -> Estimate:
    """Extrapolate from timed steps.

    Args:
        timings: seconds a training step and seconds to predict one batch, from `time_training`.
        pictures: trained on in each epoch; measured: only predicted, over the whole run.
        batch_size: pictures a step.
        epochs: how often the pictures are gone through.
        memory: bytes expected from counting; what the process held during the timed steps corrects it upwards.
    """
    step, prediction = timings
    seconds = epochs * math.ceil(pictures / batch_size) * step + math.ceil(measured / batch_size) * prediction
    return Estimate(seconds, max(memory, machine.resident_memory() or 0))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
