"""Networks: `Sequential` (a chain), `Model(inputs, outputs)` (any graph) and subclasses of `Model` with a `call`."""

from __future__ import annotations

from minicnn.models.model import Model
from minicnn.models.sequential import Sequential

__all__ = ["Model", "Sequential"]
