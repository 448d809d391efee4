"""The networks that every engine trains, described so that no engine's own words are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Conv:
    """A convolution with stride 1 and its activation."""

    filters: int
    kernel: tuple[int, int]
    padding: str = "same"
    activation: str = "relu"


@dataclass(frozen=True)
class Pool:
    """Windows of 2x2 side by side: "max" or "avg"."""

    kind: str = "max"


@dataclass(frozen=True)
class Dropout:
    """Each value to 0 with this probability."""

    rate: float


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; the last one gives logits, and softmax goes with the loss."""

    units: int
    activation: str | None = "relu"


@dataclass(frozen=True)
class Workload:
    """A network of the articles, its input, its batch size and its optimiser."""

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Any, ...]
    batch_size: int
    optimizer: str
    learning_rate: float
    samples: int
    momentum: float = 0.0
    # Rows and columns of zeros around the picture, as LeNet5 wants 32x32 and MNIST has 28x28.
    border: int = 0

    @property
    def classes(self) -> int:
        """Units of the last layer."""
        return self.layers[-1].units

    def data(self, samples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (N, H, W, C) in [0, 1) and labels, the same in every process."""
        generator = np.random.default_rng(7)
        N = samples or self.samples
        x = generator.random((N, *self.input_shape), dtype=np.float32)
        return x, generator.integers(0, self.classes, N)

    def weights(self) -> Iterator[np.ndarray]:
        """Initial kernels (KH, KW, C, F) or (inputs, units) and biases in turn, the same in every process."""
        generator = np.random.default_rng(11)
        H, W, C = self.input_shape
        H, W = H + 2 * self.border, W + 2 * self.border
        flat = False
        for layer in self.layers:
            if isinstance(layer, Conv):
                shape: tuple[int, ...] = (*layer.kernel, C, layer.filters)
                if layer.padding == "valid":
                    H, W = H - layer.kernel[0] + 1, W - layer.kernel[1] + 1
                C = layer.filters
            elif isinstance(layer, Dense):
                shape = (C if flat else H * W * C, layer.units)
                C, flat = layer.units, True
            else:
                H, W = (H // 2, W // 2) if isinstance(layer, Pool) else (H, W)
                continue
            fan_in = int(np.prod(shape[:-1]))
            yield (generator.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
            yield (0.1 * generator.standard_normal(shape[-1])).astype(np.float32)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "eastmount",
            (28, 28, 1),
            (Conv(32, (5, 5)), Pool(), Conv(64, (5, 5)), Pool(), Dense(1024), Dense(10, None)),
            batch_size=64,
            optimizer="adam",
            learning_rate=1e-4,
            samples=2560,
        ),
        Workload(
            "khuyen",
            (28, 28, 1),
            (
                Conv(32, (5, 5)), Conv(32, (5, 5)), Pool(), Conv(64, (3, 3)), Conv(64, (3, 3)), Pool(),
                Dense(128), Dense(10, None),
            ),
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.01,
            samples=2560,
        ),
        Workload(
            "lenet5",
            (28, 28, 1),
            (
                Conv(6, (5, 5), "valid", "tanh"), Pool("avg"), Conv(16, (5, 5), "valid", "tanh"), Pool("avg"),
                Dense(120, "tanh"), Dense(84, "tanh"), Dense(10, None),
            ),
            batch_size=128,
            optimizer="adam",
            learning_rate=1e-3,
            samples=10240,
            border=2,
        ),
        Workload(
            "fashion-conv1x3",
            (28, 28, 1),
            (Conv(5, (1, 3)), Dense(10, None)),
            batch_size=128,
            optimizer="adam",
            learning_rate=1e-3,
            samples=20480,
        ),
        Workload(
            "besbes",
            (150, 150, 3),
            (
                Conv(32, (3, 3)), Pool(), Conv(32, (3, 3)), Pool(), Conv(64, (3, 3)), Pool(), Dropout(0.25),
                Dense(64), Dropout(0.5), Dense(2, None),
            ),
            batch_size=32,
            optimizer="sgd",
            learning_rate=0.01,
            momentum=0.9,
            samples=320,
        ),
    )
}
