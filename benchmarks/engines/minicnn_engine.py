"""minicnn itself, through its public API."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn
from minicnn import kernels, layers
from minicnn.device import place, why_no_gpu
from minicnn.kernels.capture import Graph
from minicnn.kernels.varying import DeviceNumbers

from ..cases import ConvCase, DenseCase, ProductCase
from ..flat_cases import FlatCase
from ..workloads import Conv, Dense, Dropout, Pool, Workload

# That change from step to step, of one pass.
MOST_NUMBERS = 8


class Engine:
    def __init__(self, threads: int, kernels: str, device: str = "cpu") -> None:
        reason = why_no_gpu() if device == "cuda" else None
        if reason is not None:
            raise ImportError(reason)
        minicnn.use_kernels(kernels)
        minicnn.set_num_threads(threads)
        minicnn.set_seed(1)
        self.kernels, self.device = kernels, device
        # Loops in Python take seconds for one picture.
        self.most_pictures = 1 if kernels == "naive" else None

    def versions(self) -> dict[str, str]:
        found = {"minicnn": minicnn.__version__, "numpy": np.__version__, "kernels": self.kernels}
        return found if self.device == "cpu" else found | {"kernels": "cuda", "cupy": _cupy().__version__}

    def wait(self) -> None:
        _cupy().cuda.Device().synchronize()

    def repeated(self, run: Callable[[], Any], times: int) -> Callable[[], Any]:
        # What could be another number next time, as a learning rate, is read from there.
        numbers = DeviceNumbers(_cupy().empty(MOST_NUMBERS * times * DeviceNumbers.WORD, np.uint8))
        graph = Graph(lambda: [run() for _ in range(times)], numbers)
        numbers.device.set(numbers.host)
        return graph.launch

    def device_memory(self) -> float:
        return (_cupy().get_default_memory_pool().total_bytes() + self.model.trainer.graph_bytes) / 2**20

    def build(self, workload: Workload, dropout: bool) -> None:
        stack: list[Any] = [minicnn.Input(shape=workload.input_shape)]
        if workload.border:
            stack.append(layers.ZeroPadding2D(workload.border))
        for layer in workload.layers:
            stack.extend(_layers(layer, dropout, flat=any(isinstance(each, layers.Flatten) for each in stack)))
        self.model = minicnn.Sequential([*stack, layers.Softmax()])
        self.model.set_weights(list(workload.weights()))
        self.model.to(self.device)
        optimizers = minicnn.optimizers
        optimizer: Any = (
            optimizers.Adam(workload.learning_rate)
            if workload.optimizer == "adam"
            else optimizers.SGD(workload.learning_rate, momentum=workload.momentum)
        )
        self.model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        self.batch_size = workload.batch_size

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        if getattr(self, "_cached_for", None) is not x:
            self._cached_for, self._data = x, (place(x, self.device), place(y, self.device))
        self.model.fit(*self._data, batch_size=self.batch_size, epochs=1, verbose=0)

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
            return _convolution(case, what, self.device)
        if isinstance(case, FlatCase):
            return _flat(case, self.device)
        if isinstance(case, ProductCase) and self.device == "cuda":
            a, b = _random(self.device, (case.size, case.size), (case.size, case.size))
            return lambda: kernels.matmul(a, b)
        return _dense(case, what, self.device) if isinstance(case, DenseCase) else None


def _cupy() -> Any:
    return importlib.import_module("cupy")


def _random(device: str, *shapes: tuple[int, ...]) -> list[Any]:
    # Some of the arrays are so large that drawing each number would take longer than all measuring.
    numbers = np.random.default_rng(0).standard_normal(2**20, np.float32)
    return [place(np.resize(numbers, shape), device) for shape in shapes]


def _flat(case: FlatCase, device: str) -> Callable[[], Any]:
    rows, pictures = (case.count // 64, 64), (case.count // 64 // 64 // 64, 64, 64, 64)
    if "pool" in case.what:
        (x,) = _random(device, pictures)
        options: Any = {"pool_size": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
        y, winners = kernels.max_pool2d(x, **options)
        size = {"input_size": (64, 64)}
        return {
            "max pool": lambda: kernels.max_pool2d(x, **options),
            "max pool back": lambda: kernels.max_pool2d_gradient(y, winners, **size, **options),
            "average pool": lambda: kernels.avg_pool2d(x, **options),
            "average pool back": lambda: kernels.avg_pool2d_gradient(y, **size, **options),
        }[case.what]
    if case.what in ("sgd", "adam"):
        p, g, m, v = _random(device, *[(case.count,)] * 4)
        v = v * v
        adam: Any = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0, "step": 1}
        if case.what == "adam":
            return lambda: kernels.adam_step(p, g, m, v, learning_rate=1e-3, **adam)
        return lambda: kernels.sgd_step(p, g, m, learning_rate=1e-3, momentum=0.9, nesterov=False)
    x, gy, scale, shift = _random(device, rows, rows, (64,), (64,))
    targets = place(np.repeat(np.eye(1, 64, dtype=np.float32), rows[0], axis=0), device)
    ones = place(np.full(rows[0], 1 / rows[0], np.float32), device)
    mean, variance = kernels.batch_moments(x)

    def cross_entropy() -> Any:
        losses, probabilities = kernels.softmax_cross_entropy(x, targets)
        return kernels.softmax_cross_entropy_gradient(ones, probabilities, targets)

    return {
        "copy": lambda: np.copyto(gy, x),
        "relu": lambda: kernels.relu(x),
        "relu back": lambda: kernels.relu_gradient(gy, x),
        "dropout": lambda: x * kernels.dropout_mask(x, 0.5, key=1, step=1),
        "softmax cross-entropy": cross_entropy,
        "batch norm": lambda: kernels.batch_norm(x, scale, shift, *kernels.batch_moments(x), epsilon=1e-3),
        "batch norm back": lambda: kernels.batch_norm_gradients(gy, x, scale, mean, variance, epsilon=1e-3),
        "sum of rows": lambda: kernels.sum_rows(x),
    }[case.what]


def _convolution(case: ConvCase, what: str, device: str) -> Callable[[], Any]:
    (KH, KW), (OH, OW) = case.kernel, case.output
    x, w, b, gy = _random(
        device, (case.N, case.H, case.W, case.C), (KH, KW, case.C, case.F), (case.F,), (case.N, OH, OW, case.F)
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
    (g,) = _random(device, y.shape)
    needs: Any = dict.fromkeys(("needs_x", "needs_w", "needs_b"), True)
    return lambda: kernels.conv2d_block_gradients(g, y, winners, x, w, **needs, **block)


def _dense(case: DenseCase, what: str, device: str) -> Callable[[], Any]:
    x, w, b, gy = _random(device, (case.M, case.K), (case.K, case.N), (case.N,), (case.M, case.N))
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
