"""The arithmetic behind any number of one's own model, forward and backward.

>>> import numpy as np
>>> from minicnn import Sequential, explain, layers
>>> first = layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1))
>>> model = Sequential([first, layers.MaxPooling2D(2, name="pool")])
>>> pooled = explain.pixel(model, np.ones((8, 8, 1)), "pool", (1, 2, 3))
>>> winner = pooled.back()
>>> winner.position, winner.products.shape, str(winner.receptive_field)
((2, 4, 3), (3, 3, 1), 'rows 2 to 4, columns 4 to 6')
"""

from __future__ import annotations

from .explanation import Explanation, Input, pixel
from .field import Field
from .gradients import GradientExplanation, GradientTerm, pixel_gradient, weight_gradient

__all__ = [
    "Explanation",
    "Field",
    "GradientExplanation",
    "GradientTerm",
    "Input",
    "pixel",
    "pixel_gradient",
    "weight_gradient",
]
