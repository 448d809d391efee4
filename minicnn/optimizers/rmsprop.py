"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.optimizers.arguments import check_fraction, check_number
from minicnn.optimizers.base import Optimizer, registry


@registry.register()
class RMSprop(Optimizer):
    """Divide the gradient by the root of its running mean square (Hinton 2012, lecture 6e).

    ::

        v = rho * v + (1 - rho) * g^2
        p -= learning_rate * g / sqrt(v + epsilon)

    With momentum ``m = momentum * m + learning_rate * g / sqrt(v + epsilon)`` and ``p -= m``.

    Args:
        learning_rate: a number > 0 or a schedule.
        rho: weight of the past in the running mean, in [0, 1).
        momentum: how much an earlier step weighs in the one after it, in [0, 1].
        epsilon: keeps the root from 0; above 0.
        centered: divide by the root of the running variance, ``v - mean(g)^2``, instead (Graves 2013, eq. 38-41).
        options: see `Optimizer`.

    Raises:
        TypeError, ValueError: as `Optimizer` does.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.rho = check_fraction(self.name, "rho", rho)
        self.momentum = check_fraction(self.name, "momentum", momentum, below_one=False)
        self.epsilon = check_number(self.name, "epsilon", epsilon)
        self.centered = centered

    def slot_values(self) -> dict[str, float]:
        """Give the running mean square, and what momentum and centering need."""
        optional = {"momentum": self.momentum, "average_gradient": self.centered}
        return dict.fromkeys(["velocity", *(name for name, used in optional.items() if used)], 0.0)

    def update(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        """Take one step."""
        kernels.rmsprop_step(
            p,
            g,
            slots["velocity"],
            slots.get("momentum"),
            slots.get("average_gradient"),
            learning_rate=learning_rate,
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
        )
