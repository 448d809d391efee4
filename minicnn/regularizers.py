"""What training adds to the loss for large weights: callables ``regularizer(tensor) -> scalar tensor``."""

from __future__ import annotations

import math
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.registry import Configurable, Registry

registry = Registry("regularizer")
serialize = registry.serialize


def get(identifier: Any) -> Any:
    """Turn a name, class, configuration or callable into a regularizer; None stays None.

    Raises:
        TypeError: for anything else.
        ValueError: an unknown name.
    """
    return registry.get(identifier)


class Regularizer(Configurable):
    """Base of the regularizers."""

    def __call__(self, x: Tensor) -> Tensor:
        """Give the penalty for a tensor, a scalar that can be differentiated."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(x)")


@registry.register("l1_l2")
class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x^2)`` (Zou, Hastie 2005).

    Args:
        l1, l2: the factors, at least 0.

    Raises:
        ValueError: a factor that is negative or not finite.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = check_factor("L1L2", "l1", l1)
        self.l2 = check_factor("L1L2", "l2", l2)

    def __call__(self, x: Tensor) -> Tensor:
        """Give the penalty."""
        return self.l1 * F.sum(F.abs(x)) + self.l2 * F.sum(F.square(x))


@registry.register()
class L1(Regularizer):
    """``l1 * sum(|x|)`` (Tibshirani 1996).

    Args:
        l1: the factor, at least 0.

    Raises:
        ValueError: it is negative or not finite.
    """

    def __init__(self, l1: float = 0.01):
        self.l1 = check_factor("L1", "l1", l1)

    def __call__(self, x: Tensor) -> Tensor:
        """Give the penalty."""
        return self.l1 * F.sum(F.abs(x))


@registry.register()
class L2(Regularizer):
    """``l2 * sum(x^2)`` (Hoerl, Kennard 1970).

    Args:
        l2: the factor, at least 0.

    Raises:
        ValueError: it is negative or not finite.
    """

    def __init__(self, l2: float = 0.01):
        self.l2 = check_factor("L2", "l2", l2)

    def __call__(self, x: Tensor) -> Tensor:
        """Give the penalty."""
        return self.l2 * F.sum(F.square(x))


# Keras has both spellings, and most scripts say regularizers.l2(0.01).
l1, l2, l1_l2 = L1, L2, L1L2


def check_factor(operation: str, name: str, value: float) -> float:
    """Give a factor as a float.

    Raises:
        ValueError: it is negative, infinite or NaN.
    """
    value = float(value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{operation}: expected {name} to be a finite number >= 0, got {value}")
    return value
