"""Sharing the tiles of a kernel among threads.

A kernel cuts its work into tiles and its compiled code takes them one by one from a shared counter until none is left
(`fetch_add`: no two threads get the same). The caller works too, so a helper that comes late, because the processor was
busy elsewhere, only means that the others take more tiles: nothing waits for the slowest core, and nobody spins.

Numba's own `prange` is not used: its OpenMP layer spins after each kernel and kills forked children, its fallback layer
`workqueue` aborts the process when two Python threads enter at once, and both compile every loop twice. Here any number
of Python threads may call kernels at the same time: each takes part in its own work, and helpers serve who asks first.

Which thread computes which tile is left to chance, so tiles must not depend on each other: every sum is made within
one tile, in an order that is a function of the shape. So results are equal, bit for bit, for any number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from ..recording import note, present, under_way
from .cache import inlined
from .simd import fetch_add

# Waking a helper and waiting for its end takes some 60 microseconds, in which one core does this many multiply-adds (or
# moves as many bytes).
WORTH_WAKING = 2_500_000
# In what is recorded, helpers are awake when a kernel's turn comes (`program`).
WORTH_JOINING = 50_000


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Helped(Protocol):
    """What helpers are asked to help with."""

    def help(self) -> None:
        """Do a part, or nothing if there is nothing left to do."""


class _Job:
    """One call of a kernel: whoever gets a seat runs it once, and opens the seat's lock when done."""

    def __init__(self, kernel: Callable[..., None], arguments: tuple[Any, ...], helpers: int) -> None:
        self.kernel = kernel
        self.arguments = arguments
        self.error: BaseException | None = None
        self.seats = [threading.Lock() for _ in range(helpers)]
        for seat in self.seats:
            seat.acquire()
        self.free_seats = list(self.seats)

    def help(self) -> None:
        try:
            seat = self.free_seats.pop()
        except IndexError:  # the caller has finished without us
            return
        try:
            self.kernel(*self.arguments)
        except BaseException as error:
            self.error = error
        finally:
            seat.release()

    def finish(self) -> None:
        """Close the seats nobody took, wait for those who did, and pass on an error of theirs."""
        untaken = set()
        while self.free_seats:
            try:
                untaken.add(self.free_seats.pop())
            except IndexError:
                break
        for seat in self.seats:
            if seat not in untaken:
                seat.acquire()
        # A helper that has not even seen the job yet would keep its arrays from being used again.
        self.arguments = ()
        if self.error is not None:
            raise self.error


class _Pool:
    """Helper threads that sleep until a job comes."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Helped] = SimpleQueue()
        self.helpers = 0
        self.lock = threading.Lock()

    def grow(self, helpers: int) -> None:
        with self.lock:
            while self.helpers < helpers:
                threading.Thread(target=self._serve, name="minicnn-kernels", daemon=True).start()
                self.helpers += 1

    def _serve(self) -> None:
        while True:
            self.jobs.get().help()


_pool = _Pool()
_num_threads = _available_cores()


def _forget_pool() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child starts its own when it needs them.
    os.register_at_fork(after_in_child=_forget_pool)


def set_num_threads(n: int) -> None:
    """Use `n` threads (the caller included) in every kernel from now on. Results do not depend on it."""
    global _num_threads
    if n < 1:
        raise ValueError(f"set_num_threads: expected at least 1 thread, got {n}")
    _num_threads = n


def get_num_threads() -> int:
    """The number of threads kernels use; at first as many as this process may use cores."""
    return _num_threads


def ask(job: Helped, helpers: int) -> None:
    """Wake so many helpers, who will call `job.help()` sooner or later."""
    if _pool.helpers < helpers:
        _pool.grow(helpers)
    for _ in range(helpers):
        _pool.jobs.put(job)


def share(kernel: Callable[..., None], tiles: int, threads: int, *arguments: Any) -> None:
    """Run `kernel(ticket, tiles, *arguments)` on up to `threads` threads.

    ticket[0] counts the tiles taken, ticket[1] the threads that came (a number for each, for its own scratch memory).
    """
    if note(share, kernel, tiles, threads, *arguments):
        arguments = tuple(present(arguments))
    ticket = np.zeros(2, np.int64)
    helpers = min(threads, tiles) - 1
    if helpers <= 0:
        kernel(ticket, tiles, *arguments)
        return
    job = _Job(kernel, (ticket, tiles, *arguments), helpers)
    ask(job, helpers)
    try:
        kernel(ticket, tiles, *arguments)
    finally:
        job.finish()


def threads_for(work: float) -> int:
    """How many threads so many multiply-adds (or bytes moved) are worth."""
    return max(1, min(_num_threads, int(work // (WORTH_WAKING if under_way() is None else WORTH_JOINING))))


@inlined
def take(ticket):
    """The next tile, for compiled code."""
    return fetch_add(ticket, 0)


@inlined
def enter(ticket):
    """This thread's number within the call, for compiled code."""
    return fetch_add(ticket, 1)
