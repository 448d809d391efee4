"""What an optimizer holds weights to after each step: callables ``constraint(array) -> array``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.registry import Configurable, Registry

registry = Registry("constraint")
serialize = registry.serialize

# Keeps a weight vector of zeros from being divided by zero, as in Keras.
EPSILON = 1e-7


def get(identifier: Any) -> Any:
    """Turn a name, class, configuration or callable into a constraint; None stays None.

    Raises:
        TypeError: for anything else.
        ValueError: an unknown name.
    """
    return registry.get(identifier)


class Constraint(Configurable):
    """Base of the constraints."""

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Give the nearest array that the constraint allows, of the same shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(w)")


class _Norm(Constraint):
    axis: int | Sequence[int]

    def norms(self, w: np.ndarray) -> np.ndarray:
        """Give the Euclidean norm of each weight vector, its axes kept with extent 1."""
        axis = tuple(self.axis) if isinstance(self.axis, Sequence) else self.axis
        return np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True))


@registry.register()
class MaxNorm(_Norm):
    """Scale each weight vector to a Euclidean norm of at most `max_value` (Srivastava et al. 2014, section 5.1).

    Args:
        max_value: the largest norm.
        axis: the axis or axes that a vector runs along: 0 for the units of a Dense kernel, [0, 1, 2] for the filters
            of a convolution.

    >>> MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0):
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Scale the vectors that are too long."""
        norms = self.norms(w)
        return w * (np.clip(norms, 0, self.max_value) / (EPSILON + norms))


@registry.register()
class UnitNorm(_Norm):
    """Scale each weight vector to a norm of 1.

    Args:
        axis: see `MaxNorm`.
    """

    def __init__(self, axis: int | Sequence[int] = 0):
        self.axis = axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Scale every vector."""
        return w / (EPSILON + self.norms(w))


@registry.register()
class MinMaxNorm(_Norm):
    """Scale each weight vector towards a norm between `min_value` and `max_value`.

    Args:
        min_value, max_value: the smallest and the largest norm.
        rate: the part of the way that one application goes, 1 for all of it.
        axis: see `MaxNorm`.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ):
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Scale the vectors that are too short or too long."""
        norms = self.norms(w)
        desired = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (desired / (EPSILON + norms))


@registry.register()
class NonNeg(Constraint):
    """Set negative weights to zero."""

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Give max(w, 0)."""
        return np.maximum(w, 0)
