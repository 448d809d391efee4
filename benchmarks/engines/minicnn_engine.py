"""minicnn itself, through its public API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn
from minicnn import kernels, layers

from ..cases import ConvCase, DenseCase
from ..workloads import Conv, Dense, Dropout, Pool, Workload


class Engine:
    def __init__(self, threads: int, kernels: str) -> None:
        minicnn.use_kernels(kernels)
        minicnn.set_num_threads(threads)
        minicnn.set_seed(1)
        self.kernels = kernels
        # Loops in Python take seconds for one picture.
        self.most_pictures = 1 if kernels == "naive" else None

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

    def changed_pictures(self, folder: str) -> Any:
        """Batches of a folder's pictures as besbes has them: 150x150, sheared, zoomed and flipped."""
        from minicnn.articles.besbes import AUGMENTATION
        from minicnn.preprocessing.image import ImageDataGenerator

        changes: Any = AUGMENTATION
        generator = ImageDataGenerator(rescale=1 / 255, **changes)
        return generator.flow_from_directory(folder, target_size=(150, 150), class_mode="sparse")

    def layer(self, case: Any, what: str) -> Callable[[], Any] | None:
        if isinstance(case, ConvCase):
            return _convolution(case, what)
        return _dense(case, what) if isinstance(case, DenseCase) else None


def _random(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, np.float32) for shape in shapes]


def _convolution(case: ConvCase, what: str) -> Callable[[], Any]:
    (KH, KW), (OH, OW) = case.kernel, case.output
    x, w, b, gy = _random(
        (case.N, case.H, case.W, case.C), (KH, KW, case.C, case.F), (case.F,), (case.N, OH, OW, case.F)
    )  # fmt: skip
    sides = (((KH - 1) // 2, KH // 2), ((KW - 1) // 2, KW // 2)) if case.padding == "same" else ((0, 0), (0, 0))
    geometry: Any = {"strides": (1, 1), "padding": sides, "dilation": (1, 1), "groups": 1}
    if what == "forward":
        return lambda: kernels.conv2d(x, w, b, **geometry)
    if what == "by x":
        return lambda: kernels.conv2d_input_gradient(gy, w, input_size=(case.H, case.W), **geometry)
    if what == "by w":
        return lambda: kernels.conv2d_kernel_gradient(x, gy, kernel_size=case.kernel, **geometry)
    pair, no_padding = ((2, 2), ((0, 0), (0, 0))) if case.pool else (None, None)
    block: Any = {
        **geometry, "activation": case.activation, "alpha": 1.0, "pool_size": pair, "pool_strides": pair,
        "pool_padding": no_padding,
    }  # fmt: skip
    if what == "block":
        return lambda: kernels.conv2d_block(x, w, b, **block)
    y, winners = kernels.conv2d_block(x, w, b, **block)
    (g,) = _random(y.shape)
    needs: Any = dict.fromkeys(("needs_x", "needs_w", "needs_b"), True)
    return lambda: kernels.conv2d_block_gradients(g, y, winners, x, w, **needs, **block)


def _dense(case: DenseCase, what: str) -> Callable[[], Any]:
    x, w, b, gy = _random((case.M, case.K), (case.K, case.N), (case.N,), (case.M, case.N))
    options: Any = {"activation": case.activation, "alpha": 1.0}
    needs: Any = dict.fromkeys(("needs_x", "needs_w", "needs_b"), True)
    y = kernels.dense_block(x, w, b, **options)
    return {
        "forward": lambda: kernels.matmul(x, w, b),
        "by x": lambda: kernels.matmul(gy, w.T),
        "by w": lambda: kernels.matmul(x.T, gy),
        "block": lambda: kernels.dense_block(x, w, b, **options),
        "block back": lambda: kernels.dense_block_gradients(gy, y, x, w, **needs, **options),
    }[what]


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
