"""Recorded calls as one: a list of kernels that threads walk through together, without Python in between.

A call from Python costs some ten microseconds: its arguments are looked at, taken apart and put together again, and
helpers are woken. A small network's kernels take no longer than that. So the arguments of each recorded call are stored
once, the way compiled code takes them, beside a few instructions that load them again and call the kernel (`callers`),
and compiled code walks through the list (`_walk`). NumPy's copies, products and sums between the kernels are walked
through, too (`array_calls`).

Helpers walk along. They are woken once, and may come late or not at all: whoever is there takes tiles, and goes on to
the next kernel when no tile is left and nobody is inside the last one any more. Until then a thread looks again and
again for some microseconds, and then sleeps for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from ..varying import present
from .array_calls import as_shared
from .atomics import fetch_add, look, pause
from .cache import compiled, inlined
from .callers import Callers, call_stored, stored
from .threads import ask

PATIENCE = 1500  # looks at a counter before a thread sleeps
NAP = 50e-6  # seconds
# Lets other processes run; where there is no such call, the shortest sleep does.
_yield: Callable[[], Any] = getattr(os, "sched_yield", partial(time.sleep, 0))

# What is known of each call, in a row of so many numbers (a cache line), ...
ROW = 8
CODE, ARGUMENTS, TILES, THREADS = range(4)
# ... what happened in it so far (`threads.share` calls the first two numbers its ticket), ...
TICKET, ENTERED, LEFT = 0, 2, 3
# ... and, in one row more, in all walks so far. One is under way while the first number is odd.
BEGUN_OR_ENDED, CAME, WENT, FAILED = range(4)

Call = tuple[Callable[..., Any], tuple[Any, ...]]

_callers = Callers()


@inlined
def _is_over(state, row, tiles):
    # Left before entered: whoever comes in between only makes them differ.
    return look(state, row + TICKET) >= tiles and look(state, row + LEFT) == look(state, row + ENTERED)


@inlined
def _go_on(calls, state, helps):
    """Take part in the calls that are not over; give the one that somebody else is still inside, or their number."""
    count = calls.size // ROW
    for k in range(count):
        row, tiles = k * ROW, calls[k * ROW + TILES]
        seats = calls[row + THREADS]
        if look(state, row + TICKET) < tiles and not (helps and seats == 1):
            if fetch_add(state, row + ENTERED) < seats and call_stored(calls[row + CODE], calls[row + ARGUMENTS]):
                fetch_add(state, count * ROW + FAILED)
                while fetch_add(state, row + TICKET) < tiles:
                    pass  # nobody will take the tiles that are left
            fetch_add(state, row + LEFT)
        looks = 0
        while not _is_over(state, row, tiles):
            looks += 1
            if looks == PATIENCE:
                return k
            pause()
    return count


@compiled
def _walk(calls, state):
    """The caller's way, which begins a walk or goes on with the one under way; whether it has come to its end."""
    whole = state.size - ROW
    if look(state, whole + BEGUN_OR_ENDED) % 2 == 0:
        state[:whole] = 0
        fetch_add(state, whole + BEGUN_OR_ENDED)
    if _go_on(calls, state, False) * ROW < calls.size:
        return False
    fetch_add(state, whole + BEGUN_OR_ENDED)
    # Helpers that still look around: the next walk's first act would confuse them.
    while look(state, whole + WENT) != look(state, whole + CAME):
        pause()
    return True


@compiled
def _help(calls, state):
    """A helper's way; whether there is nothing more to do."""
    whole = state.size - ROW
    fetch_add(state, whole + CAME)
    is_over = look(state, whole + BEGUN_OR_ENDED) % 2 == 0 or _go_on(calls, state, True) * ROW == calls.size
    fetch_add(state, whole + WENT)
    return is_over


def assemble(calls: Sequence[Call]) -> list[Callable[[], None]]:
    """The same calls in the same order, those of kernels together in programs."""
    steps: list[Callable[[], None]] = []
    for is_shared, group in groupby(((as_shared(*call), call) for call in calls), lambda pair: pair[0] is not None):
        if is_shared:
            steps.append(Program([shared for shared, _ in group if shared is not None]).run)
        else:
            steps += [partial(function, *arguments) for _, (function, arguments) in group]
    return steps


def as_program(calls: Sequence[Call]) -> Program | None:
    """The same calls in the same order as one program; None where one of them is no kernel's."""
    shared = [as_shared(*call) for call in calls]
    return None if any(call is None for call in shared) else Program([call for call in shared if call is not None])


class Program:
    """Calls of `threads.share`, made ready to be made again and again on the same memory."""

    def __init__(self, calls: Sequence[tuple[Any, ...]]) -> None:
        self._helpers = max(1, *(min(call[1], call[2]) for call in calls)) - 1
        self._calls = np.zeros(len(calls) * ROW, np.int64)
        self._state = np.zeros((len(calls) + 1) * ROW, np.int64)
        self._kept = [self._store(k * ROW, *call) for k, call in enumerate(calls)]
        self._lock = threading.Lock()
        # The process whose helpers were asked and have not come yet: a forked one has others.
        self._asked_in = 0

    def _store(self, row: int, kernel: Any, tiles: int, threads: int, *arguments: Any) -> Any:
        arguments = (self._state[row : row + 2], tiles, *arguments)
        memory, code = stored(arguments), _callers.find(kernel, tuple(present(arguments)))
        self._calls[row : row + 4] = code, memory.ctypes.data, tiles, threads
        return memory, arguments

    def run(self) -> None:
        """Make all calls.

        Raises:
            RuntimeError: a kernel failed.
        """
        with self._lock:
            if self._state[BEGUN_OR_ENDED - ROW] % 2:
                self._walk_to_the_end()  # what an interrupt cut off
            if self._helpers and self._asked_in != os.getpid():
                self._asked_in = os.getpid()
                ask(self, self._helpers)
            self._walk_to_the_end()
            if self._state[FAILED - ROW]:
                self._state[FAILED - ROW] = 0
                raise RuntimeError("Program: a kernel that was called again failed")

    def finish(self) -> None:
        """Come to the end of a run that an interrupt cut off, if one did."""
        with self._lock:
            if self._state[BEGUN_OR_ENDED - ROW] % 2:
                self._walk_to_the_end()

    def _walk_to_the_end(self) -> None:
        while not _walk(self._calls, self._state):
            _yield()

    def help(self) -> None:
        """Take part in the run under way, if there is one."""
        self._asked_in = 0
        while not _help(self._calls, self._state):
            time.sleep(NAP)
