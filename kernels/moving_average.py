"""Moving averages, in NumPy's terms: compiled where the "cpu" kernels serve, so that a recorded step has them in it.

Not part of the contract, since NumPy's operators mean the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import current_kernels, load


def move_average(average: Any, latest: Any, momentum: float) -> None:
    """average = momentum * average + (1 - momentum) * latest, in place.

    Args:
        average, latest: arrays of one shape.
        momentum: how much of the average stays, 0..1.
    """
    plain = type(average) is type(latest) is np.ndarray and average.dtype == latest.dtype
    if plain and average.dtype in (np.float32, np.float64) and average.flags.carray and current_kernels() == "cpu":
        load("cpu").move_average(average, latest, momentum)
    else:
        average[...] = average * momentum + latest * (1.0 - momentum)
