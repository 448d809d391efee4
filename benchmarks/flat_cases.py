"""Kernels that are bound by memory: what they read and write at least, and the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .cases import ConvCase, DenseCase, ProductCase

FLOAT = 4  # bytes

# Floats (and bytes) for each element of `count`, read and written once: what the pass cannot do without.
_COST = {
    "copy": (2, 0), "relu": (2, 0), "relu back": (3, 0), "max pool": (1.25, 0.25), "max pool back": (1.25, 0.25),
    "average pool": (1.25, 0), "average pool back": (1.25, 0), "softmax cross-entropy": (3, 0), "dropout": (3, 0),
    "batch norm": (3, 0), "batch norm back": (5, 0), "sum of rows": (1, 0), "sgd": (5, 0), "adam": (7, 0),
}  # fmt: skip


@dataclass(frozen=True)
class FlatCase:
    """A pass over `count` numbers: pictures of 64 channels, rows of 64 classes, or parameters.

    max pool, average pool: windows of 2x2 side by side; back: of a quarter of the numbers. batch norm: of a batch, its
    moments included. dropout: drawing the mask, and multiplying. sgd: with momentum.
    """

    what: str
    count: int = 2**24
    passes = ("forward",)

    def operations(self, what: str) -> int:
        """Numbers, each of which takes a few operations."""
        return self.count

    def traffic(self, what: str) -> int:
        """Bytes read and written at least."""
        floats, single = _COST[self.what]
        return round(self.count * (floats * FLOAT + single))

    def __str__(self) -> str:
        return f"{self.what}, {self.count // 2**20} Mi"


def traffic(case: Any, what: str) -> int:
    """The bytes that a pass of a case reads and writes at least: every array once."""
    if isinstance(case, ConvCase):
        OH, OW = case.output
        x, y = case.N * case.H * case.W * case.C, case.N * OH * OW * case.F
        w = case.kernel[0] * case.kernel[1] * case.C * case.F
        pooled = y // 4 if case.pool else y
        winners = pooled if case.pool else 0
        if what == "block":
            return FLOAT * (x + w + pooled) + winners
        if what == "block back":
            # Picture, its gradient, the kernel and its gradient, the output and its gradient.
            return FLOAT * (2 * x + 2 * w + 2 * pooled) + winners
        return FLOAT * (x + w + y)
    if isinstance(case, DenseCase):
        sizes = case.M * case.K + case.K * case.N + case.M * case.N
        return FLOAT * sizes * (2 if what == "block back" else 1)
    return 3 * FLOAT * case.size**2 if isinstance(case, ProductCase) else int(case.traffic(what))


FLAT: dict[str, FlatCase] = {str(case): case for case in map(FlatCase, _COST)}
COPY = FlatCase("copy")
# Large enough to keep all of a large GPU busy.
LARGE_PRODUCT = ProductCase(8192)
GPU_CASES: dict[str, Any] = {str(LARGE_PRODUCT): LARGE_PRODUCT, **FLAT}
