"""Single layers to measure kernels on: those of the articles' networks, and a sweep over channels and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .workloads import WORKLOADS, Conv, Dense, Pool, Workload

# What is asked of a layer; a block is the layer with its activation and the pooling behind it, back and forth.
CONVOLUTION_PASSES = ("forward", "by x", "by w", "block", "block back")
DENSE_PASSES = ("forward", "by x", "by w", "block", "block back")


@dataclass(frozen=True)
class ConvCase:
    """A convolution with stride 1 on N pictures (H, W, C), and its block."""

    N: int
    H: int
    W: int
    C: int
    F: int
    kernel: tuple[int, int]
    padding: str = "same"
    activation: str = "relu"
    pool: bool = True
    passes = CONVOLUTION_PASSES

    @property
    def output(self) -> tuple[int, int]:
        """OH, OW."""
        KH, KW = self.kernel
        return (self.H, self.W) if self.padding == "same" else (self.H - KH + 1, self.W - KW + 1)

    def operations(self, what: str) -> int:
        """Additions and multiplications, padding counted; of a block's way back as if nothing were pooled."""
        OH, OW = self.output
        KH, KW = self.kernel
        return 2 * self.N * OH * OW * KH * KW * self.C * self.F * (2 if what == "block back" else 1)

    def __str__(self) -> str:
        return f"{self.N} x {self.H}x{self.W}x{self.C}, {self.F} of {self.kernel[0]}x{self.kernel[1]} {self.padding}"


@dataclass(frozen=True)
class DenseCase:
    """A dense layer: (M, K) @ (K, N)."""

    M: int
    K: int
    N: int
    activation: str = "relu"
    passes = DENSE_PASSES

    def operations(self, what: str) -> int:
        """Additions and multiplications."""
        return 2 * self.M * self.K * self.N * (2 if what == "block back" else 1)

    def __str__(self) -> str:
        return f"{self.M} x {self.K} @ {self.K} x {self.N}"


@dataclass(frozen=True)
class ProductCase:
    """The product of two square matrices: what the machine's BLAS makes of its arithmetic units."""

    size: int = 2048
    passes = ("forward",)

    def operations(self, what: str) -> int:
        """Additions and multiplications."""
        return 2 * self.size**3

    def __str__(self) -> str:
        return f"{self.size} x {self.size} matrix product"


def _layers(work: Workload) -> list[Any]:
    H, W, C = work.input_shape
    H, W, flat = H + 2 * work.border, W + 2 * work.border, 0
    found: list[Any] = []
    for layer, behind in zip(work.layers, (*work.layers[1:], None), strict=True):
        if isinstance(layer, Conv):
            pooled = isinstance(behind, Pool) and behind.kind == "max"
            case = ConvCase(
                work.batch_size, H, W, C, layer.filters, layer.kernel, layer.padding, layer.activation, pooled
            )
            (H, W), C = case.output, layer.filters
            found.append(case)
        elif isinstance(layer, Pool):
            H, W = H // 2, W // 2
        elif isinstance(layer, Dense):
            found.append(DenseCase(work.batch_size, flat or H * W * C, layer.units, layer.activation or "linear"))
            flat = layer.units
    return found


PRODUCT = ProductCase()
ARTICLES = [case for work in WORKLOADS.values() for case in _layers(work)]
SWEEP = [
    *(ConvCase(16, 28, 28, channels, channels, (3, 3)) for channels in (8, 16, 32, 64, 128)),
    *(ConvCase(16, size, size, 32, 32, (3, 3)) for size in (7, 14, 56, 112)),
    *(ConvCase(16, 28, 28, 32, 32, kernel) for kernel in ((1, 1), (5, 5), (7, 7))),
    *(DenseCase(rows, 1024, 512) for rows in (1, 8, 32, 256)),
]
CASES: dict[str, Any] = {str(case): case for case in (PRODUCT, *ARTICLES, *SWEEP)}
