"""Whether a number that a model computed is what its explanation gives."""

from __future__ import annotations

import numpy as np

from minicnn.autograd import Tensor
from minicnn.device import to_host


def check_agreement(what: str, value: float, computed: float, magnitude: float, beside: Tensor) -> None:
    """Refuse an explanation that gives another number than the model, beyond the rounding of the model's dtype.

    Args:
        what: begins the message.
        value: what the model computed. computed: what the terms give in float64.
        magnitude: the sum of the terms' sizes, which the rounding of a sum grows with.
        beside: the numbers among which this one stands: the errors of Winograd's convolutions grow with the largest.

    Raises:
        RuntimeError: they do not agree.
    """
    numbers = to_host(beside.data)
    peak = float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0))
    with np.errstate(over="ignore"):
        stored = float(np.asarray(computed).astype(numbers.dtype))
    tolerance = float(np.finfo(numbers.dtype).eps) * (64 * magnitude * (1 + abs(value)) + 128 * peak)
    if not np.isclose(value, stored, rtol=0, atol=tolerance, equal_nan=True):
        raise RuntimeError(
            f"{what}: the model computed {value:.9g}, but the terms give {computed:.9g}; does a subclass compute "
            "something else than its base?"
        )
