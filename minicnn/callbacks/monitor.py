"""What callbacks that watch one value share: reading it, and judging whether it improved."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import as_array


class Monitor:
    """Reads one value out of the logs and says whether it improved; NaN never improves on anything."""

    def __init__(self, owner: str, name: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{owner}: mode must be "auto", "min" or "max", got {mode!r}')
        self.owner = owner
        self.name = name
        self.maximise = mode == "max" or (mode == "auto" and _grows_when_better(name))
        self.min_delta = abs(min_delta)
        self._warned = False

    def read(self, logs: Mapping[str, Any] | None) -> float | None:
        """Give the watched value; where it is missing, None, and a warning the first time.

        Raises:
            ValueError: it is an array of more than one number.
        """
        if logs and self.name in logs:
            shape = np.shape(as_array(logs[self.name]))
            if math.prod(shape) != 1:
                raise ValueError(
                    f"{self.owner}: monitor must be one number, but {self.name!r} is an array of shape {shape}"
                )
            return float(logs[self.name])
        if not self._warned:
            self._warned = True
            available = ", ".join(logs or {}) or "nothing"
            hint = "; give fit validation_data or validation_split" if self.name.startswith("val_") else ""
            warnings.warn(f"{self.owner} monitors {self.name!r}, but the logs hold {available}{hint}", stacklevel=4)
        return None

    def improved(self, current: float, reference: float | None) -> bool:
        """Say whether `current` is better than `reference` by more than `min_delta`."""
        if math.isnan(current):
            return False
        if reference is None or math.isnan(reference):
            return True
        if self.maximise:
            return current - self.min_delta > reference
        return current + self.min_delta < reference


def _grows_when_better(name: str) -> bool:
    growing = ("acc", "auc", "precision", "recall", "f1", "correlation", "top_k")
    return any(part in name.lower() for part in growing)
