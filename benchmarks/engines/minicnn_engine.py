"""minicnn itself, through its public API."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn
from minicnn import layers

from ..workloads import Conv, Dense, Dropout, Pool, Workload


class Engine:
    def __init__(self, threads: int, kernels: str) -> None:
        minicnn.use_kernels(kernels)
        minicnn.set_num_threads(threads)
        minicnn.set_seed(1)
        self.kernels = kernels

    def versions(self) -> dict[str, str]:
        return {"minicnn": minicnn.__version__, "numpy": np.__version__, "kernels": self.kernels}

    def build(self, workload: Workload, dropout: bool) -> None:
        stack: list[Any] = [minicnn.Input(shape=workload.input_shape)]
        if workload.border:
            stack.append(layers.ZeroPadding2D(workload.border))
        for layer in workload.layers:
            stack.extend(_layers(layer, dropout, flat=any(isinstance(each, layers.Flatten) for each in stack)))
        self.model = minicnn.Sequential([*stack, layers.Softmax()])
        self.model.set_weights(list(workload.weights()))
        optimizers = minicnn.optimizers
        optimizer: Any = (
            optimizers.Adam(workload.learning_rate)
            if workload.optimizer == "adam"
            else optimizers.SGD(workload.learning_rate, momentum=workload.momentum)
        )
        self.model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        self.batch_size = workload.batch_size

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.fit(x, y, batch_size=self.batch_size, epochs=1, verbose=0)

    def losses(self, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
        return [float(np.ravel(self.model.train_on_batch(x, y))[0]) for _ in range(steps)]

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        return self.model.predict(x, batch_size=batch_size, verbose=0)


def _layers(layer: Any, dropout: bool, flat: bool) -> list[Any]:
    if isinstance(layer, Conv):
        return [layers.Conv2D(layer.filters, layer.kernel, padding=layer.padding, activation=layer.activation)]
    if isinstance(layer, Pool):
        return [layers.MaxPooling2D() if layer.kind == "max" else layers.AveragePooling2D()]
    if isinstance(layer, Dropout):
        return [layers.Dropout(layer.rate)] if dropout else []
    if isinstance(layer, Dense):
        return [*([] if flat else [layers.Flatten()]), layers.Dense(layer.units, activation=layer.activation)]
    raise TypeError(f"no minicnn layer for {layer!r}")
