"""`keras.mixed_precision`, and the names that it had while it was experimental."""

from __future__ import annotations

from typing import Any

from minicnn import mixed_precision
from minicnn.optimizers import LossScaleOptimizer

from .notes import note


def names() -> dict[str, Any]:
    """Of `keras.mixed_precision`."""
    found = {name: getattr(mixed_precision, name) for name in mixed_precision.__all__}
    return {**found, "LossScaleOptimizer": LossScaleOptimizer, "Policy": mixed_precision.DTypePolicy}


def experimental_names() -> dict[str, Any]:
    """Of `keras.mixed_precision.experimental`, as until TensorFlow 2.3."""
    return {
        "Policy": mixed_precision.DTypePolicy,
        "global_policy": mixed_precision.global_policy,
        "set_policy": set_policy,
    }


def set_policy(policy: str | mixed_precision.DTypePolicy) -> None:
    """See `minicnn.mixed_precision.set_dtype_policy`."""
    note("mixed_precision.experimental.set_policy()", "mixed_precision.set_global_policy()")
    mixed_precision.set_dtype_policy(policy)
