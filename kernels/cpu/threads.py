"""Sharing the tiles of a kernel among threads.

A kernel cuts its work into tiles and its compiled code takes them one by one from a shared counter until none is left
(`fetch_add`: no two threads get the same). The caller works too, so a helper that comes late, because the processor was
busy elsewhere, only means that the others take more tiles: nothing waits for the slowest core.

Waking a sleeping thread takes as long as a small kernel, and so does getting Python's lock while another thread holds
it. So a helper that has nothing to do first listens for a moment, in compiled code and without that lock: it looks at a
counter (the bell) that tells of the next call, and at whether that call's kernel has begun, because then its caller has
let go of the lock. Only then, or when nothing came for a while, it goes back to Python, to take part or to sleep. Its
part is told to be done in the same way, from where it listens for the next.

Numba's own `prange` is not used: its OpenMP layer spins after each kernel and kills forked children, its fallback layer
`workqueue` aborts the process when two Python threads enter at once, and both compile every loop twice. Here any number
of Python threads may call kernels at the same time: each takes part in its own work, and helpers serve who asks first.

Which thread computes which tile is left to chance, so tiles must not depend on each other: every sum is made within
one tile, in an order that is a function of the shape. So results are equal, bit for bit, for any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np

from ..noting import note, under_way
from ..varying import present
from .atomics import fetch_add, look, pause
from .cache import compiled, inlined

# Waking a helper takes some 60 microseconds, in which one core does this many multiply-adds (or moves as many bytes).
WORTH_WAKING = 2_500_000
# How often a helper looks before it sleeps, some 300 microseconds: calls made one after the other come sooner.
LOOKS = 12000
# Calls that may be under way at once, each with counters in a cache line of its own.
CALLS, LINE = 64, 8
DONE = 2
# In what is recorded, helpers are awake when a kernel's turn comes (`program`).
WORTH_JOINING = 50_000


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Helped(Protocol):
    """What helpers are asked to help with."""

    def help(self) -> Any:
        """Do a part, or nothing if there is nothing left to do."""


class _Job:
    """One call of a kernel: whoever gets a seat runs it once, and opens the seat's lock when done.

    Attributes:
        ticket: what the kernel counts with; at `DONE` those who had a seat and have let go of Python's lock again.
    """

    def __init__(
        self, kernel: Callable[..., None], ticket: np.ndarray, arguments: tuple[Any, ...], helpers: int
    ) -> None:
        self.kernel = kernel
        self.ticket = ticket
        self.arguments = arguments
        self.error: BaseException | None = None
        self.seats = [threading.Lock() for _ in range(helpers)]
        for seat in self.seats:
            seat.acquire()
        self.free_seats = list(self.seats)

    def help(self) -> bool:
        """Take part; whether there was a seat."""
        try:
            seat = self.free_seats.pop()
        except IndexError:  # the caller has finished without us
            return False
        try:
            self.kernel(self.ticket, *self.arguments)
        except BaseException as error:
            self.error = error
        finally:
            seat.release()
        return True

    def finish(self) -> None:
        """Close the seats nobody took, and wait for those who did."""
        untaken = set()
        while self.free_seats:
            try:
                untaken.add(self.free_seats.pop())
            except IndexError:
                break
        taken = [seat for seat in self.seats if seat not in untaken]
        if taken and not _await(self.ticket, len(taken), LOOKS):
            for seat in taken:
                seat.acquire()
            while self.ticket[DONE] < len(taken):
                time.sleep(0)
        # A helper that has not even seen the job yet would keep its arrays from being used again.
        self.arguments = ()


@compiled
def _listen(bell, tickets, heard, done, looks):
    """Say that a job is done, and listen for another one: the number of the call whose kernel has begun, or `heard`."""
    fetch_add(done, DONE)
    for _ in range(looks):
        call = look(bell, 0)
        if call != heard and look(tickets, call % CALLS * LINE) > 0:
            return call
        pause()
    return heard


@compiled
def _await(ticket, count, looks):
    """Whether so many are done within so many looks."""
    for _ in range(looks):
        if look(ticket, DONE) >= count:
            return True
        pause()
    return False


class _Pool:
    """Helper threads that listen for a while, then sleep until a job comes."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Helped] = SimpleQueue()  # for those who sleep
        self.called: deque[Helped] = deque()  # for those who listen
        self.listeners: set[int] = set()
        self.helpers = 0
        self.lock = threading.Lock()
        self._bell = np.zeros(1, np.int64)
        self._tickets = np.zeros(CALLS * LINE, np.int64)
        self._tickets[0] = 1  # of calls without a ticket, for which nobody need wait
        self._free = list(range(1, CALLS))
        self._calls = 0

    def grow(self, helpers: int) -> None:
        with self.lock:
            while self.helpers < helpers:
                threading.Thread(target=self._serve, name="minicnn-kernels", daemon=True).start()
                self.helpers += 1

    def _serve(self) -> None:
        me = threading.get_ident()
        nobodys = np.zeros(LINE, np.int64)
        done, heard = nobodys, 0
        while True:
            self.listeners.add(me)
            call = _listen(self._bell, self._tickets, heard, done, LOOKS)
            self.listeners.discard(me)
            done = nobodys
            job = self._next(sleeps=call == heard)
            heard = call
            if job is not None and job.help() and isinstance(job, _Job):
                done = job.ticket
            del job

    def _next(self, sleeps: bool) -> Helped | None:
        try:
            return self.called.popleft()
        except IndexError:
            pass
        try:
            return self.jobs.get(block=sleeps)
        except Empty:
            return None

    def take_ticket(self) -> tuple[np.ndarray, int]:
        """Counters for a call, all zero, and their place; no place where all have been given away."""
        try:
            place = self._free.pop()
        except IndexError:
            return np.zeros(LINE, np.int64), 0
        ticket = self._tickets[place * LINE : (place + 1) * LINE]
        ticket[:] = 0
        return ticket, place

    def give_back(self, place: int) -> None:
        """Let a ticket's place be used again."""
        if place:
            self._free.append(place)

    def call(self, job: Helped, helpers: int, place: int = 0) -> None:
        """Call so many helpers: first those who listen, and then wake others."""
        if self.helpers < helpers:
            self.grow(helpers)
        listening = min(helpers, len(self.listeners))
        self.called.extend([job] * listening)
        for _ in range(listening - len(self.listeners)):
            # Went to sleep in between; unless another has found the job there by now, wake it.
            with contextlib.suppress(ValueError):
                self.called.remove(job)
                self.jobs.put(job)
        self._calls += 1
        self._bell[0] = self._calls * CALLS + place
        for _ in range(helpers - listening):
            self.jobs.put(job)


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
    """Call so many helpers, who will call `job.help()` sooner or later."""
    _pool.call(job, helpers)


def share(kernel: Callable[..., None], tiles: int, threads: int, *arguments: Any) -> None:
    """Run `kernel(ticket, tiles, *arguments)` on up to `threads` threads.

    ticket[0] counts the tiles taken, ticket[1] the threads that came (a number for each, for its own scratch memory).
    """
    if note(share, kernel, tiles, threads, *arguments):
        arguments = tuple(present(arguments))
    helpers = min(threads, tiles) - 1
    if helpers <= 0:
        kernel(np.zeros(2, np.int64), tiles, *arguments)
        return
    pool = _pool
    ticket, place = pool.take_ticket()
    job = _Job(kernel, ticket, (tiles, *arguments), helpers)
    pool.call(job, helpers, place)
    try:
        kernel(ticket, tiles, *arguments)
    finally:
        job.finish()
        pool.give_back(place)
    if job.error is not None:
        raise job.error


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
