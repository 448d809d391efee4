"""Telling whoever records a thread's work of each call of a kernel, and of the memory that it is made with.

Only what goes through `note` is recorded: all compiled kernels do (`cpu.threads.share`). NumPy's own arithmetic between
two kernels is not, and would keep the numbers of the recorded call. So operations say what they made of what
(`expect_noted`), and a recording knows whether it is whole; it is compared with the real thing, too, before it is
trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .dispatch import array_module


class Recorder(Protocol):
    """Whoever is told.

    Attributes:
        memory: where the "cpu" kernels' arrays come from meanwhile (`cpu.memory`), once they have asked for any.
        calls: what was noted so far.
    """

    memory: Any
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Note a call."""

    def expect(self, since: int, made: Iterable[Any], given: Iterable[Any]) -> None:
        """See whether arrays were made of given ones by calls that were noted since there were so many."""


class _Current(threading.local):
    recorder: Recorder | None = None


_current = _Current()


@contextmanager
def noted_by(recorder: Recorder | None) -> Iterator[None]:
    """Tell this one of what this thread calls within the block, and nobody else; None tells nobody."""
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


def noted_so_far() -> int | None:
    """How many calls whoever records was told of; None where nobody does."""
    return None if _current.recorder is None else len(_current.recorder.calls)


def expect_noted(since: int, made: Iterable[Any], given: Iterable[Any]) -> None:
    """Tell whoever records what an operation made of what.

    Args:
        since: `noted_so_far` before it began.
        made: the arrays that it made.
        given: the arrays that it was given, which what it made may be views of.
    """
    if _current.recorder is not None:
        _current.recorder.expect(since, made, given)


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """An array in another shape: a view, or where that cannot be, a copy that a replay fills again."""
    y = x.reshape(shape)
    if not (x.flags.c_contiguous or array_module(x).may_share_memory(x, y)):
        note(array_module(x).copyto, y.reshape(x.shape), x)
    return y


def copy(target: Any, source: Any) -> None:
    """Fill an array with another's numbers, now and in a replay."""
    array_module(target).copyto(target, source)
    note(array_module(target).copyto, target, source)
