"""How weights follow their gradients: optimizers under Keras' names, with Keras' defaults and values.

By hand::

    optimizer = Adam(1e-3, parameters=model.trainable_weights)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn import schedules
from minicnn.optimizers.adagrad import Adagrad
from minicnn.optimizers.adam import Adam, AdamW
from minicnn.optimizers.base import Optimizer, registry
from minicnn.optimizers.loss_scale import LossScaleOptimizer
from minicnn.optimizers.rmsprop import RMSprop
from minicnn.optimizers.sgd import SGD

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "LossScaleOptimizer", "Optimizer", "RMSprop", "get", "registry", "schedules",
    "serialize",
]  # fmt: skip

serialize = registry.serialize


def get(identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Turn a name, class, configuration or Optimizer into an Optimizer; None stays None.

    Args:
        identifier: what is meant.
        custom_objects: further classes by name, for this call only.

    Raises:
        TypeError: it is something else.
        ValueError: nothing has that name.

    >>> get("adam").learning_rate
    0.001
    >>> get("adm")
    Traceback (most recent call last):
    ValueError: unknown optimizer 'adm'; did you mean 'Adam' or 'AdamW'?
    """
    optimizer = registry.get(identifier, custom_objects)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected an Optimizer, a name or a configuration, got {type(optimizer).__name__}")
    return optimizer
