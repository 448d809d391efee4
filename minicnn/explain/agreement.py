"""Whether a number that a model computed is what its explanation gives."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.floats import epsilon


def check_agreement(what: str, value: float, computed: float, magnitude: float, beside: np.ndarray) -> None:
    """Refuse an explanation that gives another number than the model, beyond the rounding of the dtype.

    Args:
        what: begins the message.
        value: what the model computed. computed: what the terms give in float64.
        magnitude: the sum of the terms' sizes, which the rounding of a sum grows with.
        beside: the numbers among which this one stands, in the coarsest dtype that they went through: the errors of
            Winograd's convolutions grow with the largest.

    Raises:
        RuntimeError: they do not agree.
    """
    peak = float(np.abs(beside[np.isfinite(beside)]).max(initial=0))
    with np.errstate(over="ignore"):
        stored = float(np.asarray(computed).astype(beside.dtype))
    if np.array_equal(value, stored, equal_nan=True):
        return
    tolerance = epsilon(beside.dtype) * (64 * magnitude * (1 + abs(value)) + 128 * peak)
    if not (np.isfinite(value) and abs(value - stored) <= tolerance):
        raise RuntimeError(
            f"{what}: the model computed {value:.9g}, but the terms give {computed:.9g}; does a subclass compute "
            "something else than its base?"
        )
