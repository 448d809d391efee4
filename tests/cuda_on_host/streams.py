"""Streams, events and graphs of the stand-in for CuPy.

What is asked for on the current stream is done at once. What could go wrong on a GPU, where it is done later, is an
error here: a copy on another stream is put off to the last moment at which it may happen, and must not go to memory
that somebody may still read. While a stream is captured nothing is done, and a graph refuses to be launched on memory
that was given back since.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np


class StreamError(AssertionError):
    """What would be a race, or a crash, on a GPU."""


class Event:
    """A moment of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None
        self.moment = 0
        self.under_way: set[int] = set()

    def record(self, stream: Any = None) -> None:
        """Mark what was asked for on the stream so far."""
        self.stream = current() if stream is None else stream
        self.moment = clock.now
        self.under_way = set(self.stream.under_way)

    def synchronize(self) -> None:
        """Wait for what is marked."""
        if self.stream is not None:
            self.stream.catch_up()
            self.stream.under_way -= self.under_way


class clock:  # noqa: N801 - reads as a name
    """Counts what is done on the default stream."""

    now = 0


class Stream:
    """A stream; the current one is that of the innermost `with`."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else id(self)
        self.put_off: list[Callable[[], None]] = []
        self.under_way: set[int] = set()  # memory of the host that copies may still be reading, which were done at once
        self.seen = 0  # the moment of the default stream that it has waited for
        self.graph: Graph | None = None

    def __enter__(self) -> Stream:
        _stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _stack.pop()

    def wait_event(self, event: Event) -> None:
        """Do nothing more before what the event marks is done."""
        if event.stream is not None and event.stream is not self:
            event.stream.catch_up()
            self.seen = max(self.seen, event.moment)

    def synchronize(self) -> None:
        """Wait for all that was asked for."""
        if self.graph is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
        self.catch_up()

    def catch_up(self) -> None:
        """Do what was put off."""
        waiting, self.put_off = self.put_off, []
        for work in waiting:
            work()

    def read_from_host(self, address: int) -> None:
        """Note a copy of what lies there, which nobody may change before the copy was waited for."""
        if address in self.under_way:
            raise StreamError("memory of the host was filled anew while its last copy may have been under way")
        self.under_way.add(address)

    def begin_capture(self, mode: int | None = None) -> None:
        """From now on only note what is asked for."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.graph = Graph()

    def end_capture(self) -> Graph:
        """What was noted."""
        if self.graph is None:
            raise RuntimeError("cudaErrorIllegalState: the stream is not capturing")
        graph, self.graph = self.graph, None
        return graph


class Graph:
    """What was asked for while a stream was captured."""

    #: How many were launched, of how many nodes each.
    launched: list[int] = []

    def __init__(self) -> None:
        self._nodes: list[Callable[[], Any]] = []
        self._memories: dict[int, tuple[Any, str]] = {}

    def note(self, work: Callable[[], Any], memories: list[Any], what: str) -> None:
        """Add a node, and the memory that it reads and writes."""
        self._nodes.append(work)
        for memory in memories:
            if memory is not None:
                self._memories[id(memory)] = memory, what

    def launch(self, stream: Any = None) -> None:
        """Do it all, in its order."""
        for memory, what in self._memories.values():
            if memory.is_given_back():
                raise StreamError(f"a graph's {what} is in memory that somebody else may have been given since")
        Graph.launched.append(len(self._nodes))
        use([memory for memory, _ in self._memories.values()])
        with np.errstate(all="ignore"):
            for node in self._nodes:
                node()


class MemoryPool:
    """Where memory is taken from; what comes from the default one is given back with its last array."""

    def __init__(self) -> None:
        self.total = 0

    def malloc(self, size: int) -> Any:
        """Is passed to `using_allocator`, never called."""
        raise NotImplementedError

    def free_all_blocks(self) -> None:
        """There are none."""

    def total_bytes(self) -> int:
        """Bytes taken from it."""
        return self.total


class using_allocator:  # noqa: N801 - CuPy's name
    """Take memory from another pool inside the block."""

    def __init__(self, allocator: Any) -> None:
        self.pool = allocator.__self__

    def __enter__(self) -> None:
        _pools.append(self.pool)

    def __exit__(self, *_: object) -> None:
        _pools.pop()


class Lease:
    """Held by all arrays that look into a piece of memory: when the last is gone, so is the memory."""

    def __init__(self, size: int) -> None:
        pool = _pools[-1]
        pool.total += size
        self.pool = weakref.ref(pool)


DEFAULT = Stream(null=True)
default_pool = MemoryPool()
_stack = [DEFAULT]
_pools = [default_pool]


def current() -> Stream:
    """The stream that work is asked for on."""
    return _stack[-1]


def capturing() -> Graph | None:
    """The graph that the current stream is captured into."""
    return _stack[-1].graph


def use(memories: list[Any]) -> None:
    """Mark that something was asked for on the default stream that reads or writes there."""
    clock.now += 1
    for memory in memories:
        if memory is not None:
            memory.last_use = clock.now


def refuse_to_wait(what: str) -> None:
    """Raise the error of CUDA where the host would have to wait for what is only noted."""
    if capturing() is not None:
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is captured")
