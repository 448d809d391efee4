"""How far a training on a GPU is from the same training on the processor.

Both begin with the same weights and train on the same batches, without dropout. Losses are those of two trainings side
by side. Gradients are compared step by step from the same weights, those of the processor's training, so that no
difference is that of the step before.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import kernels, losses
from minicnn.device import place, to_host

from . import driver, engines
from .workloads import WORKLOADS, Workload

STEPS = 10
# What is computed how, by the names that the tables give it.
HOW = {"strict float32": False, "TF32": True}


def measure(options: argparse.Namespace, about: dict[str, Any], found: dict[str, Any]) -> Iterator[None]:
    """Network -> arithmetic -> furthest `losses` and `gradients`; see `deviations`."""
    for done, name in enumerate(WORKLOADS):
        if not options.only or name in options.only:
            found[name] = {how: deviations(WORKLOADS[name], tf32) for how, tf32 in HOW.items()}
            driver.progress("parity", done, len(WORKLOADS), "network")
            yield


def deviations(work: Workload, tf32: bool, steps: int = STEPS) -> dict[str, float]:
    """The furthest that two losses are apart, and a gradient from the processor's, over its largest value."""
    host, device, probe = (_engine(work, where) for where in ("cpu", "cuda", "cuda"))
    x, y = work.data(steps * work.batch_size)
    found: dict[str, float] = {"losses": 0.0, "gradients": 0.0}
    with kernels.use_tf32(tf32):
        for step in range(steps):
            part = slice(step * work.batch_size, (step + 1) * work.batch_size)
            batch = x[part], y[part]
            probe.model.set_weights(host.model.get_weights())
            pairs = zip(_gradients(probe, *batch), _gradients(host, *batch), strict=True)
            apart = max(float(np.abs(there - here).max() / np.abs(here).max()) for there, here in pairs)
            difference = abs(_train(device, *batch) - _train(host, *batch))
            found = {"losses": max(found["losses"], difference), "gradients": max(found["gradients"], apart)}
    return found


def _engine(work: Workload, device: str) -> Any:
    engine = engines.load("minicnn", 4, device)
    engine.build(work, dropout=False)
    return engine


def _train(engine: Any, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.ravel(engine.model.train_on_batch(x, y))[0])


def _gradients(engine: Any, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Of the mean loss of a batch, by the weights."""
    model = engine.model
    x, y = place(x, engine.device), place(y, engine.device)
    losses.SparseCategoricalCrossentropy()(y, model(x, training=True)).backward()
    found = [to_host(weight.grad.data).copy() for weight in model.trainable_weights]
    for weight in model.trainable_weights:
        weight.grad = None
    return found
