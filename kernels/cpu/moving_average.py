"""Moving averages: see `minicnn.kernels.moving_average`."""

from __future__ import annotations

import numpy as np

from .arrays import flat
from .cache import compiled
from .threads import share, take


@compiled
def _move_average(ticket, tiles, average, latest, momentum):
    if take(ticket) < tiles:
        keep = average.dtype.type(momentum)
        add = average.dtype.type(1 - momentum)
        for i in range(average.size):
            average[i] = average[i] * keep + latest[i] * add


def move_average(average: np.ndarray, latest: np.ndarray, momentum: float) -> None:
    """average = momentum * average + (1 - momentum) * latest, in place; C-contiguous, of one shape and dtype."""
    share(_move_average, 1, 1, average.reshape(-1), flat(latest, average.dtype), float(momentum))
