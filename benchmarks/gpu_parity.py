"""How far a training on a GPU is from the same training on the processor.

Both begin with the same weights and train on the same batches, without dropout. Losses are those of two trainings side
by side. Gradients are compared step by step from the same weights, those of the processor's training, so that no
difference is that of the step before.

A gradient jumps where a ReLU or a maximum turns to another side, and near the edge the last bit of a sum decides: the
compiled kernels and NumPy's, both on the processor and in float32, are apart by 8e-3 of a gradient's largest value in
`khuyen`, and by 3e-6 in its smooth twin, which has tanh and averages in their place. So how exact the arithmetic is
shows in the twins.

Losses jump, too, some steps later. How far they can be apart for nothing but that, the processor tells by itself: it
trains again, each time with its weights moved by about half of their last bit before every step. `python -m
benchmarks.gpu_parity NAME...` measures that, without a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import kernels, losses
from minicnn.device import place, to_host

from . import driver, engines
from .workloads import WORKLOADS, Conv, Dense, Pool, Workload

STEPS = 10
# How often the processor trains again, and how far its weights are moved: half a float32's last bit, over its value.
TRAININGS, HALF_A_BIT = 16, 2.0**-24
# What is computed how, by the names that the tables give it.
HOW = {"strict float32": False, "TF32": True}
ALONE = "the processor, half a bit aside"


def measure(options: argparse.Namespace, about: dict[str, Any], found: dict[str, Any]) -> Iterator[None]:
    """Network, and its twin -> arithmetic -> furthest `losses` and `gradients`; see `deviations`."""
    for done, (name, work) in enumerate(WORKLOADS.items()):
        if options.only and name not in options.only:
            continue
        twin = smooth(work)
        both = {name: work} if twin == work else {name: work, twin.name: twin}
        for each, network in both.items():
            found[each] = {how: deviations(network, tf32) for how, tf32 in HOW.items()}
            found[each] |= {ALONE: {"losses": sensitivity(network)}, "smooth": network == twin}
            yield
        driver.progress("parity", done, len(WORKLOADS), "network")


def smooth(work: Workload) -> Workload:
    """The network with tanh for its activations and averages for its maxima; itself, if it has no others."""
    layers = tuple(map(_smooth, work.layers))
    return work if layers == work.layers else replace(work, name=f"{work.name}, smooth", layers=layers)


def _smooth(layer: Any) -> Any:
    if isinstance(layer, Pool):
        return Pool("avg")
    has_activation = isinstance(layer, (Conv, Dense)) and layer.activation
    return replace(layer, activation="tanh") if has_activation else layer


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


def sensitivity(work: Workload, steps: int = STEPS, trainings: int = TRAININGS) -> float:
    """How far the processor's losses are at most from those of trainings with weights half a bit aside."""
    plain = _losses(work, steps, None)
    aside = (_losses(work, steps, np.random.default_rng(seed)) for seed in range(trainings))
    return max(float(np.abs(losses - plain).max()) for losses in aside)


def _losses(work: Workload, steps: int, generator: np.random.Generator | None) -> np.ndarray:
    host, found = _engine(work, "cpu"), []
    x, y = work.data(steps * work.batch_size)
    for step in range(steps):
        if generator is not None:
            weights = host.model.get_weights()
            moved = [w * (1 + HALF_A_BIT * generator.standard_normal(w.shape)) for w in weights]
            host.model.set_weights([w.astype(np.float32) for w in moved])
        part = slice(step * work.batch_size, (step + 1) * work.batch_size)
        found.append(_train(host, x[part], y[part]))
    return np.array(found)


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


def main() -> int:
    """Print how far half a bit takes the losses of each network named, or of all."""
    for name in sys.argv[1:] or WORKLOADS:
        print(f"{name}: {sensitivity(WORKLOADS[name]):.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
