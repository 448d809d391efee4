"""Numbers that may be others whenever recorded work is done again.

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
    numbers: Numbers | None = None


_current = _Current()


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
