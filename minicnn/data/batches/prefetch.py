"""Work done a little ahead by threads, and handed over in order.

Decoding and the compiled kernels let go of Python's lock, so threads serve as well as processes would, share memory and
cost nothing to start. Results come in the order of the jobs however many threads there are, and a job is only begun
when there is room for its result.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

Result = TypeVar("Result")


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Waiting:
    """How long who takes the results waited for them.

    Attributes:
        seconds: spent waiting.
        total: seconds from asking for a first result to coming back from a last one, the taker's own work included.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.total = 0.0

    @property
    def share(self) -> float:
        """The share of the time that was spent waiting, 0 to 1."""
        return self.seconds / self.total if self.total else 0.0

    def __repr__(self) -> str:
        return f"Waiting({self.seconds:.3f} s of {self.total:.3f} s, {self.share:.1%})"


class Job(NamedTuple, Generic[Result]):
    """Parts that threads do in any order, and what their results make together.

    Attributes:
        parts: called by the threads, without arguments.
        finish: called by who takes the job's result, with the parts' results in order.
    """

    parts: Sequence[Callable[[], Any]]
    finish: Callable[[list[Any]], Result]


def in_order(
    jobs: Iterator[Job[Result]], workers: int, ahead: int, waiting: Waiting | None = None
) -> Generator[Result, None, None]:
    """Do the jobs, and give their results in order.

    The threads end with the iterator: when it is exhausted, closed or thrown away, and when a job fails.

    Args:
        jobs: what to do; one is asked for when there is room for its result.
        workers: threads; with 0, who asks for a result does its job.
        ahead: jobs begun beyond the one whose result is asked for.
        waiting: where to keep how long the results were waited for.

    Raises:
        whatever a part raised, when it is its job's turn.
    """
    waiting = Waiting() if waiting is None else waiting
    begun: deque[tuple[Job[Result], list[Future[Any]]]] = deque()
    pool = ThreadPoolExecutor(workers, "minicnn-loader") if workers else None
    last = time.perf_counter()
    try:
        while True:
            asked = time.perf_counter()
            if pool is None:
                job = next(jobs, None)
                results = [] if job is None else [part() for part in job.parts]
            else:
                while len(begun) <= ahead and (job := next(jobs, None)) is not None:
                    begun.append((job, [pool.submit(part) for part in job.parts]))
                job, futures = begun.popleft() if begun else (None, [])
                results = [future.result() for future in futures]
            if job is None:
                return
            result = job.finish(results)
            waiting.seconds += time.perf_counter() - asked
            yield result
            # Not kept for as long as the next one takes: results are large.
            del result, results, job
            waiting.total += time.perf_counter() - last
            last = time.perf_counter()
    finally:
        waiting.total += time.perf_counter() - last
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
