"""Recorded calls made several times over as one program, without any Python from one round to the next.

What varies from replay to replay (`varying`) varies from round to round, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .varying import Number, Numbers


class _InRound(Number):
    """A number as it is in one round of `Rounds`."""

    def __init__(self, number: Number, shown: list[tuple[Number, np.ndarray]]) -> None:
        self.number = number
        self.shown = shown
        self.function, self.numbers, self.value = number.function, number.numbers, number.value

    def show(self, cell: np.ndarray) -> None:
        self.shown.append((self.number, cell))


class Rounds:
    """Recorded calls made several times over, as one program: in each round with the numbers of its turn.

    Args:
        numbers: those of the recordings that the calls are from, in the order in which these would be replayed.
    """

    def __init__(self, numbers: Sequence[Numbers]) -> None:
        self._numbers = numbers
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._shown: list[list[tuple[Number, np.ndarray]]] = []
        self._program: Any = None

    def add(self, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
        """Add a round."""
        shown: list[tuple[Number, np.ndarray]] = []
        self._shown.append(shown)
        for function, arguments in calls:
            in_round = [_InRound(value, shown) if isinstance(value, Number) else value for value in arguments]
            self._calls.append((function, tuple(in_round)))

    def assemble(self) -> bool:
        """Make one program of all rounds; whether they are nothing but kernels, so that it can be made."""
        from .cpu.program import as_program

        self._program = as_program(self._calls)
        return self._program is not None

    def run(self, after_each: Callable[[], None]) -> None:
        """Make all calls. One thread at a time.

        Args:
            after_each: called when a round's numbers have been asked for, before those of the next are.
        """
        for shown in self._shown:
            for numbers in self._numbers:
                numbers.renew()
            for number, cell in shown:
                cell[0] = number.value
            after_each()
        self._program.run()

    def finish(self) -> None:
        """Come to the end of what an interrupt cut off, if it did."""
        self._program.finish()
