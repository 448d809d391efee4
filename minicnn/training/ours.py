"""What is the library's own, and so known to do nothing but what it says.

What users write may look at anything, and change from call to call: it is not recorded, and no step runs ahead of it.
"""

from __future__ import annotations

from typing import Any

from minicnn import layers, losses
from minicnn.metrics.base import FunctionMetric
from minicnn.metrics.regression import LossMetric

# Classes of the library's own that call a function of the user's.
_OTHERS = (layers.Lambda, losses.FunctionLoss, FunctionMetric)


def is_ours(thing: Any, package: str) -> bool:
    """Whether it is of one of the library's own classes, and not one that calls a function of the user's."""
    return type(thing).__module__.startswith(f"minicnn.{package}.") and not isinstance(thing, _OTHERS)


def is_our_metric(metric: Any) -> bool:
    """Whether a metric looks at nothing but what it is given, and keeps none of it."""
    return is_ours(metric, "metrics") and (not isinstance(metric, LossMetric) or is_ours(metric.loss, "losses"))


def has_our_activation(layer: layers.Layer) -> bool:
    """Whether a layer applies no function but the library's own."""
    activation = getattr(layer, "activation", None)
    function = getattr(activation, "func", activation)  # of a partial
    if function is None:
        return True
    # A layer in its place may have a state that nobody else knows of.
    return not isinstance(function, layers.Layer) and str(getattr(function, "__module__", "")).startswith("minicnn.")
