"""Telling whoever records a thread's work of each call of a kernel, and of the memory that it is made with.

Only what goes through `note` is recorded: all compiled kernels do (`cpu.threads.share`). NumPy's own arithmetic between
two kernels is not, and would keep the numbers of the recorded call, so a recording must be compared with the real thing
before it is trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .dispatch import array_module


class Recorder(Protocol):
    """Whoever is told.

    Attributes:
        memory: where the "cpu" kernels' arrays come from meanwhile (`cpu.memory`), once they have asked for any.
    """

    memory: Any

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Note a call."""


class _Current(threading.local):
    recorder: Recorder | None = None


_current = _Current()


@contextmanager
def noted_by(recorder: Recorder) -> Iterator[None]:
    """Tell this one of what this thread calls within the block, and nobody else."""
    before, _current.recorder = _current.recorder, recorder
    try:
        yield
    finally:
        _current.recorder = before


def note(function: Callable[..., Any], *arguments: Any) -> bool:
    """Tell of a call, which the caller makes itself; whether anybody records."""
    if _current.recorder is None:
        return False
    _current.recorder.add(function, arguments)
    return True


def under_way() -> Recorder | None:
    """Whoever records what this thread does, if anybody does."""
    return _current.recorder


def copy(target: Any, source: Any) -> None:
    """Fill an array with another's numbers, now and in a replay."""
    array_module(target).copyto(target, source)
    note(array_module(target).copyto, target, source)
