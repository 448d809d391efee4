"""Noting which kernels were called on which memory, to call them again without the Python in between.

A small network's training step is the same kernels on the same arrays in every step; what chooses them, shape by shape
and layer by layer, takes longer than they do. Whoever knows that the work will be the same may record it once
(`minicnn.training.replay`).

Only what goes through `note` is recorded: all compiled kernels do (`cpu.threads.share`). NumPy's own arithmetic between
two kernels is not, and would keep the numbers of the recorded call, so a recording must be compared with the real thing
before it is trusted.

On a GPU the driver notes kernels itself (`capture`), NumPy's kind of arithmetic included.

What is noted by value, like a learning rate, would stay as it was. `vary` marks such numbers: the processor's kernels
are given what they are at the time of the replay, and a GPU's read them from memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from .dispatch import array_module


class Recording:
    """Calls in their order, and the memory that they were made with, which nobody else is given.

    Attributes:
        calls: functions with their arguments.
        numbers: what `vary` gave them.
        memory: where the "cpu" kernels' arrays come from while the calls are recorded (`cpu.memory`). What an array
            leaves there that nobody holds any more goes to a later one, then and in a replay; what shall be read after
            a replay must be held.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.numbers = Numbers()
        self.memory: Any = None
        self._steps: list[Callable[[], None]] | None = None

    def replay(self) -> None:
        """Make all calls again, on what is in the arrays now. One thread at a time."""
        if self._steps is None:
            # Only the "cpu" kernels note their calls.
            from .cpu.program import assemble

            self._steps = assemble(self.calls)
        self.numbers.renew()
        for step in self._steps:
            step()

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Note a call."""
        self.calls.append((function, arguments if self.memory is None else tuple(map(self.memory.untied, arguments))))

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


class Number:
    """A number that may be another one in every replay: what `function` gives at its time.

    Attributes:
        value: what it gave last.
    """

    def __init__(self, function: Callable[[], Any], numbers: Any) -> None:
        self.function = function
        self.numbers = numbers
        self.value = function()

    def show(self, cell: np.ndarray) -> None:
        """Put it there now and whenever it is asked for again; an array of one number."""
        self.numbers.show(self, cell)

    def place(self, dtype: Any) -> int:
        """Where on the device it lies, in this dtype, when the work is replayed."""
        return int(self.numbers.place(self, np.dtype(dtype)))


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


class Numbers:
    """The numbers of recorded work that may be other ones in every replay."""

    def __init__(self) -> None:
        self._all: list[Number] = []
        self._shown: list[tuple[Number, np.ndarray]] = []

    def add(self, function: Callable[[], Any]) -> Number:
        """Ask the function now, and again in every `renew`."""
        self._all.append(Number(function, self))
        return self._all[-1]

    def show(self, number: Number, cell: np.ndarray) -> None:
        """See `Number.show`."""
        self._shown.append((number, cell))
        cell[0] = number.value

    def renew(self) -> None:
        """Ask all functions again, in their order, and put what they give where it is read."""
        for number in self._all:
            number.value = number.function()
        for number, cell in self._shown:
            cell[0] = number.value


class DeviceNumbers(Numbers):
    """Numbers side by side in memory of a GPU that its kernels read them from.

    Args:
        device: their memory, an array of bytes.

    Attributes:
        host: the same bytes, to be brought there before every replay.
    """

    WORD = 8

    def __init__(self, device: Any) -> None:
        super().__init__()
        self.device = device
        self.host = np.zeros(device.nbytes, np.uint8)

    def place(self, number: Number, dtype: np.dtype) -> int:
        """Give a number a place.

        Raises:
            RuntimeError: they are more than there is room for.
        """
        offset = len(self._shown) * self.WORD
        if offset + self.WORD > len(self.host):
            raise RuntimeError(f"a recorded step may have {len(self.host) // self.WORD} numbers that change, not more")
        number.show(self.host[offset : offset + dtype.itemsize].view(dtype))
        return int(self.device.data.ptr) + offset


class _Current(threading.local):
    recording: Recording | None = None
    numbers: Numbers | None = None


_current = _Current()


@contextmanager
def record() -> Iterator[Recording]:
    """Record what this thread calls within the block, with the numbers that `vary` gives."""
    before, recording = _current.recording, Recording()
    _current.recording = recording
    try:
        with collect(recording.numbers):
            yield recording
    finally:
        _current.recording = before


def note(function: Callable[..., Any], *arguments: Any) -> bool:
    """Add a call, which the caller makes itself, to the recording under way; whether there is one."""
    if _current.recording is None:
        return False
    _current.recording.add(function, arguments)
    return True


def under_way() -> Recording | None:
    """The recording that this thread makes, if it makes one."""
    return _current.recording


def copy(target: Any, source: Any) -> None:
    """Fill an array with another's numbers, now and in a replay."""
    array_module(target).copyto(target, source)
    note(array_module(target).copyto, target, source)


@contextmanager
def collect(numbers: Numbers) -> Iterator[None]:
    """Let what this thread calls within the block read from there what `vary` gives."""
    before, _current.numbers = _current.numbers, numbers
    try:
        yield
    finally:
        _current.numbers = before


def vary(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), which may be another number in the next step; where one is recorded, as a `Number`.

    Arguments may be such numbers themselves.

    >>> vary(max, 2, 3)
    3
    """
    if _current.numbers is None:
        return function(*arguments)
    varies = any(isinstance(argument, Number) for argument in arguments)
    return _current.numbers.add((lambda: function(*present(arguments))) if varies else partial(function, *arguments))


def present(values: Sequence[Any]) -> list[Any]:
    """The values, each `Number` among them as it is now."""
    return [value.value if isinstance(value, Number) else value for value in values]
