"""Learning rates that change as training goes on: callables ``schedule(step) -> float``.

The step counts the batches that an optimizer has finished, from 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.registry import Configurable, Registry

registry = Registry("learning rate schedule")
serialize = registry.serialize


def get(identifier: Any) -> Any:
    """Turn a configuration, class or callable into a schedule; None stays None.

    Raises:
        TypeError: for anything else.
        ValueError: an unknown name.
    """
    return registry.get(identifier)


class LearningRateSchedule(Configurable):
    """Base of the schedules."""

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step, a whole number from 0."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")


@registry.register()
class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``, in whole powers with `staircase`.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps to a decay by the whole rate, above 0.
        decay_rate: what is left of the learning rate after them.
        staircase: round step / decay_steps down.
        name: as Keras has it; carried along in files.

    Raises:
        ValueError: decay_steps is not above 0.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = check_steps(type(self).__name__, "decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        progress = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(progress) if self.staircase else progress)


@registry.register()
class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``, in whole steps with `staircase`.

    Args:
        initial_learning_rate, decay_steps, staircase, name: see `ExponentialDecay`.
        decay_rate: what the divisor grows by in `decay_steps` steps.

    Raises:
        ValueError: decay_steps is not above 0.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = check_steps(type(self).__name__, "decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        progress = step / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (math.floor(progress) if self.staircase else progress)
        )


@registry.register()
class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including step ``boundaries[i]``, the last value after the last boundary.

    Args:
        boundaries: steps, rising.
        values: learning rates, one more than there are boundaries.
        name: as Keras has it; carried along in files.

    Raises:
        ValueError: another number of values, or boundaries that fall.

    >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    >>> [schedule(step) for step in (10, 11, 21)]
    [0.1, 0.01, 0.001]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float], name: str = "PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                f"PiecewiseConstantDecay: expected one value more than boundaries, "
                f"got {len(values)} values and {len(boundaries)} boundaries"
            )
        if list(boundaries) != sorted(boundaries):
            raise ValueError(f"PiecewiseConstantDecay: expected rising boundaries, got {list(boundaries)}")
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


@registry.register()
class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``, and `end_learning_rate` ever after.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps to the end, above 0.
        end_learning_rate: at the end.
        power: 1 for a straight line.
        cycle: start again, over the next multiple of decay_steps, instead of staying at the end.
        name: as Keras has it; carried along in files.

    Raises:
        ValueError: decay_steps is not above 0.

    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps = check_steps("PolynomialDecay", "decay_steps", decay_steps)
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / self.decay_steps))
        remaining = 1 - min(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * remaining**self.power + self.end_learning_rate


@registry.register()
class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to `alpha` times it (Loshchilov, Hutter 2016, SGDR, equation 5).

    ``rate * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)``, and ``rate * alpha`` ever after.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps of the decay, above 0.
        alpha: the lowest rate, as a part of the one that the decay begins with.
        name: as Keras has it; carried along in files.
        warmup_target: rise to this rate first, in a straight line, and decay from it; None does without.
        warmup_steps: steps of that rise.

    Raises:
        ValueError: decay_steps is not above 0.

    >>> CosineDecay(0.1, decay_steps=10)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = check_steps("CosineDecay", "decay_steps", decay_steps)
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        peak = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return peak + (self.warmup_target - peak) * (step / self.warmup_steps)
            peak, step = self.warmup_target, step - self.warmup_steps
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return peak * ((1 - self.alpha) * cosine + self.alpha)


@registry.register()
class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine, then again and again, each time `t_mul` times longer (Loshchilov, Hutter 2016, SGDR, section 3).

    Args:
        initial_learning_rate: at step 0.
        first_decay_steps: steps of the first decay, above 0.
        t_mul: how much longer each decay is than the one before, at least 1.
        m_mul: what each restart's rate is of the one before.
        alpha: the lowest rate, as a part of the initial one.
        name: as Keras has it; carried along in files.

    Raises:
        ValueError: first_decay_steps is not above 0, or t_mul below 1.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ):
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.first_decay_steps = check_steps("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        if not t_mul >= 1:
            raise ValueError(f"CosineDecayRestarts: expected t_mul >= 1, got {t_mul}")
        self.t_mul, self.m_mul = t_mul, m_mul

    def __call__(self, step: int) -> float:
        """Give the learning rate of a step."""
        restarts, begin, length = 0, 0.0, float(self.first_decay_steps)
        if self.t_mul == 1:
            restarts = int(step // length)
            begin = restarts * length
        while step >= begin + length:
            restarts, begin, length = restarts + 1, begin + length, length * self.t_mul
        cosine = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * (step - begin) / length))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


def check_steps(operation: str, name: str, value: int) -> int:
    """Give a number of steps; ValueError where it is not above zero."""
    if not value > 0:
        raise ValueError(f"{operation}: expected {name} > 0, got {value}")
    return value
