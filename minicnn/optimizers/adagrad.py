"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.optimizers.arguments import check_number
from minicnn.optimizers.base import Optimizer, registry


@registry.register()
class Adagrad(Optimizer):
    """Divide the gradient by the root of the sum of its squares so far (Duchi, Hazan, Singer 2011, figure 1).

    ::

        a += g^2                        (from initial_accumulator_value)
        p -= learning_rate * g / sqrt(a + epsilon)

    Args:
        learning_rate: a number > 0 or a schedule.
        initial_accumulator_value: what the sums start from, at least 0.
        epsilon: keeps the root from 0; above 0.
        options: see `Optimizer`.

    Raises:
        TypeError, ValueError: as `Optimizer` does.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = check_number(
            self.name, "initial_accumulator_value", initial_accumulator_value, allow_zero=True
        )
        self.epsilon = check_number(self.name, "epsilon", epsilon)

    def slot_values(self) -> dict[str, float]:
        """Give the sum of squares."""
        return {"accumulator": self.initial_accumulator_value}

    def update(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        """Take one step."""
        kernels.adagrad_step(p, g, slots["accumulator"], learning_rate=learning_rate, epsilon=self.epsilon)
