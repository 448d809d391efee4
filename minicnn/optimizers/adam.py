"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.kernels.varying import vary
from minicnn.optimizers.arguments import check_fraction, check_number
from minicnn.optimizers.base import Optimizer, registry


@registry.register()
class Adam(Optimizer):
    """Steps of about one learning rate, whatever the gradient's scale (Kingma, Ba 2015).

    ::

        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g^2 - v)
        p -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    with t = 1 at the first step: the form before section 2.1 of the paper, so that epsilon is its "epsilon hat".

    Args:
        learning_rate: a number > 0 or a schedule.
        beta_1: weight of the past in the running mean of the gradient, in [0, 1).
        beta_2: the same for the mean of its square.
        epsilon: keeps the divisor from 0; above 0.
        amsgrad: divide by the root of the largest v so far instead (Reddi, Kale, Kumar 2018, algorithm 2).
        options: see `Optimizer`.

    Raises:
        TypeError, ValueError: as `Optimizer` does.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.beta_1 = check_fraction(self.name, "beta_1", beta_1)
        self.beta_2 = check_fraction(self.name, "beta_2", beta_2)
        self.epsilon = check_number(self.name, "epsilon", epsilon)
        self.amsgrad = amsgrad

    decays_weights = True

    def slot_values(self) -> dict[str, float]:
        """Give the running means of the gradient and its square, and amsgrad's maximum."""
        names = ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")
        return dict.fromkeys(names, 0.0)

    def update(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        """Take one step."""
        if self.amsgrad:
            self._update_amsgrad(p, g, slots, learning_rate)
            return
        kernels.adam_step(
            p,
            g,
            slots["momentum"],
            slots["velocity"],
            learning_rate=learning_rate,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay or 0.0,
            step=vary(lambda: self.iterations + 1),
        )

    def _update_amsgrad(self, p: np.ndarray, g: np.ndarray, slots: Mapping[str, Any], learning_rate: float) -> None:
        m, v, largest, t = slots["momentum"], slots["velocity"], slots["velocity_hat"], self.iterations + 1
        if self.weight_decay:
            p *= 1.0 - self.weight_decay * learning_rate
        m += (1.0 - self.beta_1) * (g - m)
        v += (1.0 - self.beta_2) * (g * g - v)
        np.maximum(largest, v, out=largest)
        rate = learning_rate * (1.0 - self.beta_2**t) ** 0.5 / (1.0 - self.beta_1**t)
        p -= rate * m / (np.sqrt(largest) + self.epsilon)


@registry.register()
class AdamW(Adam):
    """Adam with weight decay that the running means do not see (Loshchilov, Hutter 2019, algorithm 2).

    Before each step ``p -= weight_decay * learning_rate * p``.

    Args:
        weight_decay: at least 0.
        learning_rate, beta_1, beta_2, epsilon, amsgrad, options: see `Adam`.

    Raises:
        TypeError, ValueError: as `Adam` does; a weight_decay of None.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ):
        if weight_decay is None:
            raise ValueError("AdamW: expected weight_decay to be a number, got None; use Adam for none")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)
