"""Seeds: one tree of them, so that the same seed gives the same bits whatever runs beside.

`set_seed` plants the root. Every model spawns a child when it is made and draws its initial weights, its shuffling and
its dropout masks from that child alone, so that a second model, a data loader or a user's own NumPy code cannot shift
them (NumPy's `SeedSequence` keeps the children apart).
"""

from __future__ import annotations

import threading

import numpy as np

_lock = threading.Lock()
_root = np.random.SeedSequence()


def set_seed(seed: int | None) -> None:
    """Plant the root of all randomness; None takes fresh entropy from the system.

    Args:
        seed: a whole number of at least 0.

    Raises:
        ValueError: the seed is negative or no whole number.
    """
    global _root
    if seed is not None and (not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"set_seed: seed must be a whole number of at least 0 or None, got {seed!r}")
    with _lock:
        _root = np.random.SeedSequence(seed if seed is None else int(seed))


def spawn() -> np.random.SeedSequence:
    """The next child of the root: for a model, or for whatever else owns its own randomness."""
    with _lock:
        return _root.spawn(1)[0]


def generator(seeds: np.random.SeedSequence) -> np.random.Generator:
    """A generator (PCG64) that starts from these seeds."""
    return np.random.Generator(np.random.PCG64(seeds))


def counter_key(seeds: np.random.SeedSequence) -> int:
    """64 bits that key a counter-based stream, as dropout masks draw from."""
    return int(seeds.generate_state(1, np.uint64)[0])
