"""Keras 3 on TensorFlow, JAX or PyTorch, through `compile` and `fit`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..workloads import Conv, Dense, Dropout, Pool, Workload


class Engine:
    def __init__(self, threads: int, backend: str, device: str = "cpu") -> None:
        os.environ["KERAS_BACKEND"] = backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if device == "cpu":
            _limit_threads(backend, threads)
        else:
            # JAX would take three quarters of the GPU's memory at once.
            os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        import keras

        if device == "cuda":
            _require_jax_gpu()
        self.keras, self.backend = keras, backend
        keras.utils.set_random_seed(1)

    def versions(self) -> dict[str, str]:
        name = "torch" if self.backend == "torch" else self.backend
        return {"keras": self.keras.__version__, name: __import__(name).__version__}

    def wait(self) -> None:
        import jax

        jax.effects_barrier()

    def device_memory(self) -> float:
        import jax

        found = jax.devices()[0].memory_stats()
        # What its pool has taken, like the others' figures, where it tells.
        return found.get("peak_pool_bytes", found["peak_bytes_in_use"]) / 2**20

    def build(self, workload: Workload, dropout: bool) -> None:
        keras, flat = self.keras, False
        stack: list[Any] = [keras.Input(workload.input_shape)]
        stack += [keras.layers.ZeroPadding2D(workload.border)] if workload.border else []
        for layer in workload.layers:
            if isinstance(layer, Conv):
                stack.append(
                    keras.layers.Conv2D(
                        layer.filters, layer.kernel, padding=layer.padding, activation=layer.activation
                    )
                )
            elif isinstance(layer, Pool):
                stack.append(keras.layers.MaxPooling2D() if layer.kind == "max" else keras.layers.AveragePooling2D(2))
            elif isinstance(layer, Dropout):
                stack += [keras.layers.Dropout(layer.rate)] if dropout else []
            elif isinstance(layer, Dense):
                stack += [] if flat else [keras.layers.Flatten()]
                stack.append(keras.layers.Dense(layer.units, activation=layer.activation))
                flat = True
        self.model = keras.Sequential([*stack, keras.layers.Softmax()])
        self.model.set_weights(list(workload.weights()))
        optimizers = keras.optimizers
        optimizer = (
            optimizers.Adam(workload.learning_rate)
            if workload.optimizer == "adam"
            else optimizers.SGD(workload.learning_rate, momentum=workload.momentum)
        )
        self.model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile="auto")
        self.batch_size = workload.batch_size

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.fit(x, y, batch_size=self.batch_size, epochs=1, verbose=0)

    def losses(self, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
        return [float(np.ravel(self.model.train_on_batch(x, y))[0]) for _ in range(steps)]

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        return np.asarray(self.model.predict(x, batch_size=batch_size, verbose=0))


def _require_jax_gpu() -> None:
    import jax

    if jax.default_backend() != "gpu":
        raise ImportError("this JAX sees no GPU")


def _limit_threads(backend: str, threads: int) -> None:
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        # XLA's thread pool has one thread for each processor that the process may use.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        __import__(backend)
