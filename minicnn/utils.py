"""Helpers under the names Keras gives them."""

from __future__ import annotations

from minicnn.data.labels import to_categorical

__all__ = ["set_random_seed", "to_categorical"]


def set_random_seed(seed: int) -> None:
    """Start all of the package's randomness from `seed`; the same as `minicnn.set_seed`."""
    from minicnn.random import set_seed

    set_seed(seed)
