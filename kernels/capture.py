"""Work on a GPU noted once and launched as one: a CUDA graph.

Launching a kernel costs the host some microseconds, and a small network's kernels take less. While a stream is being
captured nothing runs: every kernel and copy that is asked for becomes a node of a graph, with the arguments it was
asked for with, and the graph is then launched at once, as often as wanted. (CUDA C++ Programming Guide, "CUDA Graphs".)

Arguments by value stay what they were, so what changes from launch to launch has to lie in memory: the arrays that the
work reads, and `varying.DeviceNumbers`. Addresses stay, too. So what the work allocates comes from a pool of its own,
which lives as long as the graph: nobody else is given that memory. And the graph keeps the work, whose arrays it reads.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from .varying import DeviceNumbers, collect


class Graph:
    """What `work` asks the current GPU for, to be launched.

    Args:
        work: asks for kernels, waits for nothing and copies nothing from or to the host; it should have run once
            before, so that all kernels are loaded.
        numbers: what the kernels read of the numbers that change.

    Raises:
        RuntimeError: the work did something that cannot be captured.
    """

    def __init__(self, work: Callable[[], Any], numbers: DeviceNumbers) -> None:
        cupy = importlib.import_module("cupy")
        # The work has run before, and what it used then lies idle there; it may need as much again.
        cupy.get_default_memory_pool().free_all_blocks()
        self._pool = cupy.cuda.MemoryPool()
        self._kept = work, numbers
        # The default stream cannot be captured.
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, cupy.cuda.using_allocator(self._pool.malloc):
            stream.begin_capture()
            try:
                with collect(numbers):
                    work()
            except BaseException:
                with contextlib.suppress(Exception):  # a capture that was broken off says so once more
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()

    def launch(self) -> None:
        """Ask for all of it again, behind what was asked for before."""
        self._graph.launch()

    @property
    def nbytes(self) -> int:
        """Bytes of the GPU's memory that it keeps."""
        return int(self._pool.total_bytes())
