"""Weights of classes as weights of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.device import device_of, place
from minicnn.kernels.floats import is_real
from minicnn.training.layout import Layout

_MOST = np.iinfo(np.int64).max


class ClassWeights:
    """A weight for each class number; 1 for classes that are not named."""

    def __init__(self, layout: Layout, weights: Mapping[int, float]) -> None:
        for label, weight in weights.items():
            if not isinstance(label, (int, np.integer)) or not 0 <= label <= _MOST:
                raise ValueError(
                    f"{layout.operation}: class_weight maps class numbers to weights, but {label!r} is no class"
                )
            number = np.asarray(weight)
            if number.ndim or not is_real(number.dtype) or not np.isfinite(number):
                raise ValueError(f"{layout.operation}: class_weight[{label}] must be a finite number, got {weight!r}")
        self._row_rank = layout.row_rank
        self._classes = np.array(sorted(weights), np.int64)
        self._weights = np.array([weights[label] for label in self._classes.tolist()], layout.dtype)

    def times(self, y: Any, weights: list[Any] | None) -> list[Any]:
        """Give the samples' weights, times those that came with them, where y lies."""
        labels = self._class_numbers(y).astype(np.int64)
        classes, factors = place(self._classes, device_of(y)), place(self._weights, device_of(y))
        nearest = np.clip(np.searchsorted(classes, labels), 0, len(classes) - 1)
        factors = np.where(classes[nearest] == labels, factors[nearest], factors.dtype.type(1))
        given = weights[0] if weights else None
        if given is None:
            return [factors]
        given = place(given, device_of(y))
        return [factors * given.reshape(given.shape + (1,) * (factors.ndim - given.ndim)).astype(factors.dtype)]

    def _class_numbers(self, y: Any) -> Any:
        if y.ndim > 1 and y.shape[-1] == 1:
            return y[..., 0]
        return y if y.ndim < self._row_rank else np.argmax(y, axis=-1)


def class_weights(
    layout: Layout, weights: Mapping[int, float] | ClassWeights | None, y: Sequence[np.ndarray] | None
) -> ClassWeights | None:
    """Check what `Model.fit` takes as class_weight for a model of these targets; None where they are not known."""
    if weights is None or isinstance(weights, ClassWeights):
        return weights
    if not isinstance(weights, Mapping):
        raise TypeError(
            f"{layout.operation}: class_weight must be a dictionary {{class number: weight}}, but "
            f"{type(weights).__name__} came: {weights!r}"
        )
    if not weights:
        return None
    if y is not None and len(y) > 1:
        raise ValueError(f"{layout.operation}: class_weight is for models of one output, this one has {len(y)}")
    return ClassWeights(layout, weights)
