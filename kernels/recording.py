"""Kernels with the memory that they were called on, to be called again without the Python in between.

A small network's training step is the same kernels on the same arrays in every step; what chooses them, shape by shape
and layer by layer, takes longer than they do. Whoever knows that the work will be the same may record it once
(`minicnn.training.replay`).

On a GPU the driver notes kernels itself (`capture`), NumPy's kind of arithmetic included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .noting import noted_by
from .varying import Numbers, collect


class Recording:
    """Calls in their order, and the memory that they were made with, which nobody else is given.

    Attributes:
        calls: functions with their arguments.
        numbers: what `vary` gave them.
        is_whole: whether all that operations made meanwhile is made again by a replay.
        memory: where the "cpu" kernels' arrays come from while the calls are recorded (`cpu.memory`). What an array
            leaves there that nobody holds any more goes to a later one, then and in a replay; what shall be read after
            a replay must be held.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.numbers = Numbers()
        self.memory: Any = None
        self.is_whole = True
        self._steps: list[Callable[[], None]] | None = None

    def replay(self) -> None:
        """Make all calls again, on what is in the arrays now. One thread at a time."""
        if self._steps is None:
            # Only the "cpu" kernels note their calls, and not everybody has Numba.
            from .cpu.program import assemble

            self._steps = assemble(self.calls)
        self.numbers.renew()
        for step in self._steps:
            step()

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Note a call."""
        self.calls.append((function, arguments if self.memory is None else tuple(map(self.memory.untied, arguments))))

    def expect(self, since: int, made: Iterable[Any], given: Iterable[Any]) -> None:
        """See whether arrays lie where a call since the `since`-th writes or reads, or in one of the given arrays."""
        known = [*given, *(argument for _, arguments in self.calls[since:] for argument in arguments)]
        known = [array for array in known if isinstance(array, np.ndarray)]
        for array in made:
            if np.size(array) and not any(np.may_share_memory(array, other) for other in known):
                self.is_whole = False

    def owners(self) -> dict[int, Any]:
        """What owns the memory of all arguments, by identity; each knows its `nbytes`."""
        found = {}
        for _, arguments in self.calls:
            for owner in arguments:
                if isinstance(owner, np.ndarray):
                    while isinstance(owner.base, np.ndarray):
                        owner = owner.base
                    owner = owner.base if hasattr(owner.base, "nbytes") else owner
                    found[id(owner)] = owner
        return found


@contextmanager
def record() -> Iterator[Recording]:
    """Record what this thread calls within the block, with the numbers that `vary` gives."""
    recording = Recording()
    with noted_by(recording), collect(recording.numbers):
        yield recording
