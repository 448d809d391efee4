"""Noting which kernels were called on which memory, to call them again without the Python in between.

A small network's training step is the same kernels on the same arrays in every step; what chooses them, shape by shape
and layer by layer, takes longer than they do. Whoever knows that the work will be the same may record it once
(`minicnn.training.replay`).

Only what goes through `note` is recorded: all compiled kernels do (`cpu.threads.share`). NumPy's own arithmetic between
two kernels is not, and would keep the numbers of the recorded call, so a recording must be compared with the real thing
before it is trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


class _Current(threading.local):
    recording: Recording | None = None


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
