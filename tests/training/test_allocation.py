"""In the steady state a training step takes no new memory: buffers of the steps before are used again."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.callbacks import Callback
from minicnn.training import replay

resource = pytest.importorskip("resource", reason="page faults are counted through getrusage, which Windows lacks")
pytest.importorskip("numba", reason="only the compiled kernels use memory again", exc_type=ImportError)

SIDE, BATCH = 32, 64


def network(dropout: bool) -> minicnn.Model:
    """Activations of megabytes, weights of half a megabyte."""
    minicnn.set_seed(1)
    stack = [
        layers.ZeroPadding2D(2), layers.Conv2D(16, 5, activation="tanh"), layers.AveragePooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        *([layers.Dropout(0.3)] if dropout else []),
        layers.Dense(100, activation="relu"), layers.Dense(10, activation="softmax"),
    ]  # fmt: skip
    model = minicnn.Sequential([minicnn.Input((SIDE, SIDE, 1)), *stack])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Watch(Callback):
    """Measures each step from the first one wanted: the largest growth of traced memory, and page faults."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.growth: list[int] = []
        self.faults: list[int] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        tracemalloc.reset_peak()
        self.before = tracemalloc.get_traced_memory()[0]
        self.faults_before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self.faults_before
        if batch >= self.first:
            self.growth.append(tracemalloc.get_traced_memory()[1] - self.before)
            self.faults.append(faults)


@pytest.mark.parametrize("way", ["replayed", "in full", "with dropout"])
def test_a_steady_step_allocates_no_array_of_64_kib(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replayed step allocates less than one such array in all. In a full one small arrays and Python's objects add up
    to up to 64 KiB more, beside which a single large array would show.
    """
    if way == "in full":
        monkeypatch.setattr(replay, "is_repeatable", lambda model: False)
    model = network(dropout=way == "with dropout")
    generator = np.random.default_rng(0)
    x = generator.random((BATCH * 14, SIDE, SIDE, 1), dtype="float32")
    y = generator.integers(0, 10, len(x))
    model.fit(x[: BATCH * 3], y[: BATCH * 3], batch_size=BATCH, verbose=0)  # compiles
    watch = Watch(first=6)
    gc.disable()
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[watch])
    finally:
        tracemalloc.stop()
        gc.enable()
    small = 0 if way == "replayed" else 64 * 1024
    assert max(watch.growth) - small < 64 * 1024
    # An array of 64 KiB that is new touches 16 pages.
    assert sorted(watch.faults)[len(watch.faults) // 2] < 16
