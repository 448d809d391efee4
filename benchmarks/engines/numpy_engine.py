"""NumPy's matrix product: what its BLAS reaches on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cases import ProductCase


class Engine:
    def __init__(self, threads: int) -> None:
        # The number of threads is set for BLAS by the driver, before NumPy is imported.
        self.threads = threads

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def layer(self, case: Any, what: str) -> Callable[[], Any] | None:
        if not isinstance(case, ProductCase):
            return None
        a, b = (np.random.default_rng(seed).random((case.size, case.size), np.float32) for seed in (0, 1))
        return lambda: a @ b
