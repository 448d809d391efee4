"""Dropout."""

from __future__ import annotations

import math
from typing import Any

from minicnn import kernels, random
from minicnn.autograd import TensorLike, as_array

from .arithmetic import multiply
from .shaping import as_activations


def dropout(x: TensorLike, rate: float, *, training: bool = True, key: int | None = None, step: int = 0) -> Any:
    """Set each element to 0 with probability `rate` and scale the others by 1 / (1 - rate) (Srivastava et al. 2014).

    Args:
        x: any shape.
        rate: in [0, 1).
        training: if not, x comes back as it is.
        key: 64 bits that name the stream of random numbers; None takes a fresh stream from the global seed.
        step: which mask of that stream; the same key and step give the same mask on any machine.

    Raises:
        ValueError: a rate outside [0, 1).
    """
    if not 0 <= rate < 1 or math.isnan(rate):
        raise ValueError(f"dropout: rate must be at least 0 and below 1, got {rate!r}")
    if not training or rate == 0:
        return x
    stream = random.counter_key(random.spawn()) if key is None else key
    (x,) = as_activations(x)
    return multiply(x, kernels.dropout_mask(as_array(x), rate, key=stream, step=step))
