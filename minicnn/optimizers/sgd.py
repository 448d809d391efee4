"""Gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.optimizers.arguments import check_fraction
from minicnn.optimizers.base import Optimizer, registry


@registry.register()
class SGD(Optimizer):
    """``p -= learning_rate * g``; with momentum ``v = momentum * v - learning_rate * g`` and ``p += v`` (Polyak 1964).

    Args:
        learning_rate: a number > 0 or a schedule.
        momentum: how much an earlier step weighs in the one after it, in [0, 1].
        nesterov: with momentum, ``p += momentum * v - learning_rate * g`` instead: the gradient as it will be further
            on (Sutskever, Martens, Dahl, Hinton 2013, section 2).
        options: see `Optimizer`.

    Raises:
        TypeError, ValueError: as `Optimizer` does.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.momentum = check_fraction(self.name, "momentum", momentum, below_one=False)
        self.nesterov = nesterov

    def slot_values(self) -> dict[str, float]:
        """Give the slot that momentum needs."""
        return {"velocity": 0.0} if self.momentum else {}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        """Take one step."""
        kernels.sgd_step(
            p,
            g,
            slots.get("velocity"),
            learning_rate=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
        )
