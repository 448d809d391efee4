"""Noting which kernels were called on which memory, to call them again without the Python in between.

A small network's training step is the same kernels on the same arrays in every step; what chooses them, shape by shape
and layer by layer, takes longer than they do. Whoever knows that the work will be the same may record it once
(`minicnn.training.replay`).

Only what goes through `note` is recorded: all compiled kernels do (`cpu.threads.share`). NumPy's own arithmetic between
two kernels is not, and would keep the numbers of the recorded call, so a recording must be compared with the real thing
before it is trusted.

On a GPU the driver notes kernels itself (`capture`), NumPy's kind of arithmetic included. What it notes by value, like
a learning rate, stays as it was; `vary` marks such numbers, and the kernels read them from memory instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .dispatch import array_module


class Recording:
    """Calls in their order. It keeps the arrays that they were made with, which no other call is then given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._steps: list[Callable[[], None]] | None = None

    def replay(self) -> None:
        """Make all calls again, on what is in the arrays now. One thread at a time."""
        if self._steps is None:
            # Only the "cpu" kernels note their calls.
            from .cpu.program import assemble

            self._steps = assemble(self.calls)
        for step in self._steps:
            step()

    def roots(self) -> dict[int, Any]:
        """The arrays that own the memory of all arguments, by identity."""
        found = {}
        for _, arguments in self.calls:
            for argument in arguments:
                if hasattr(argument, "nbytes"):
                    while isinstance(getattr(argument, "base", None), type(argument)):
                        argument = argument.base
                    found[id(argument)] = argument
        return found


class Number:
    """A number that may be another one in every replay: what `function` gives at its time.

    Attributes:
        value: what it gave last.
    """

    def __init__(self, function: Callable[[], Any], numbers: Numbers) -> None:
        self.function = function
        self.numbers = numbers
        self.value = function()

    def place(self, dtype: Any) -> int:
        """Where on the device it lies, in this dtype, when the work is replayed."""
        return self.numbers.place(self, np.dtype(dtype))


class Numbers:
    """The numbers of work that is recorded on a GPU, side by side in memory that the kernels read them from.

    Args:
        device: their memory, an array of bytes.

    Attributes:
        host: the same bytes, to be brought there before every replay.
    """

    WORD = 8

    def __init__(self, device: Any) -> None:
        self.device = device
        self.host = np.zeros(device.nbytes, np.uint8)
        self._all: list[Number] = []
        self._placed: list[tuple[Number, np.ndarray]] = []

    def add(self, function: Callable[[], Any]) -> Number:
        """Ask the function now, and again in every `renew`."""
        self._all.append(Number(function, self))
        return self._all[-1]

    def place(self, number: Number, dtype: np.dtype) -> int:
        """Give a number a place.

        Raises:
            RuntimeError: they are more than there is room for.
        """
        offset = len(self._placed) * self.WORD
        if offset + self.WORD > len(self.host):
            raise RuntimeError(f"a recorded step may have {len(self.host) // self.WORD} numbers that change, not more")
        self._placed.append((number, self.host[offset : offset + dtype.itemsize].view(dtype)))
        return int(self.device.data.ptr) + offset

    def renew(self) -> None:
        """Ask all functions again, in their order, and put what they give into `host`."""
        for number in self._all:
            number.value = number.function()
        for number, cell in self._placed:
            cell[0] = number.value


class _Current(threading.local):
    recording: Recording | None = None
    numbers: Numbers | None = None


_current = _Current()


@contextmanager
def record() -> Iterator[Recording]:
    """Record what this thread calls within the block."""
    before, _current.recording = _current.recording, Recording()
    try:
        yield _current.recording
    finally:
        _current.recording = before


def note(function: Callable[..., Any], *arguments: Any) -> None:
    """Add a call, which the caller makes itself, to the recording under way, if there is one."""
    if _current.recording is not None:
        _current.recording.calls.append((function, arguments))


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
    return _current.numbers.add(lambda: function(*(a.value if isinstance(a, Number) else a for a in arguments)))
