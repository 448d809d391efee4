"""Launching compiled kernels: arguments by value and by pointer, as CuPy hands them over, and much more suspicious."""

from __future__ import annotations

import ctypes
import itertools
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tests.cuda_on_host import builder, streams

ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
# Fewer fibers than this are not worth a second thread.
WORTH_A_THREAD = 2048


class LaunchError(AssertionError):
    """A kernel did what it must not do: a race, a barrier that is not reached, an index outside memory."""


class Settings:
    """How launches run. thorough: in all three orders, each from the same memory, and the results must be the same."""

    thorough = True
    #: What was launched, by source and name, since somebody last cleared it.
    launched: set[str] = set()
    #: Instead of a source, this one: how a test spoils a kernel.
    replaced: dict[str, str] = {}


_turn = itertools.count()


class Function:
    """One kernel, launched as CuPy's `Function` is: ``function(grid, block, arguments)``."""

    def __init__(self, source: str, name: str, kernels: Sequence[str]) -> None:
        self.source, self.name, self.kernels = source, name, tuple(kernels)

    def _compiled(self) -> _Compiled:
        spoilt = Settings.replaced.get(self.source)
        if spoilt is not None:
            return _compiled(spoilt, (self.name,), self.name)
        return _compiled(self.source, self.kernels, self.name)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: Sequence[Any]) -> None:
        """Run all blocks to their end; while a stream is captured, note that they shall run."""
        Settings.launched.add(self.name)
        grid, block = _three(grid), _three(block)
        _check_sizes(self.name, grid, block)
        compiled = self._compiled()
        if len(arguments) != len(compiled.parameters):
            raise LaunchError(f"{self.name} takes {len(compiled.parameters)} arguments, {len(arguments)} came")
        pairs = zip(compiled.parameters, arguments, strict=True)
        kept = [_value(self.name, number, *parameter, value) for number, (parameter, value) in enumerate(pairs)]
        memories = list({id(a.memory): a.memory for a in arguments if hasattr(a, "memory")}.values())
        graph = streams.capturing()
        if graph is not None:
            graph.note(lambda: self._run(compiled, grid, block, kept, memories), memories, self.name)
            return
        streams.use(memories)
        self._run(compiled, grid, block, kept, memories)

    def _run(self, compiled: _Compiled, grid: Any, block: Any, kept: list[Any], memories: Sequence[Any]) -> None:
        pointers = (ctypes.c_void_p * len(kept))(*[ctypes.addressof(value) for value in kept])
        if Settings.thorough:
            self._run_in_all_orders(compiled, grid, block, pointers, memories)
        else:
            compiled.run(grid, block, pointers, memories, next(_turn) % 3)
        for memory in memories:
            if not memory.is_fenced():
                raise LaunchError(f"{self.name} wrote beside an array")

    def _run_in_all_orders(
        self, compiled: _Compiled, grid: Any, block: Any, pointers: Any, memories: Sequence[Any]
    ) -> None:
        before = [memory.read() for memory in memories]
        expected: list[bytes] | None = None
        for order, number in ORDERS.items():
            for memory, content in zip(memories, before, strict=True):
                memory.write(content)
            compiled.run(grid, block, pointers, memories, number)
            results = [memory.read() for memory in memories]
            if expected is not None and results != expected:
                raise LaunchError(f"{self.name} gives other results when its threads run in {order} order: a race")
            expected = results


class _Compiled:
    """A kernel in a library."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.library, self.name = library, name
        self.number = library.find_kernel(name.encode())
        if self.number < 0:
            raise KeyError(f"the source has no kernel {name}")
        self.parameters: list[tuple[str, int]] = []
        kind, size = ctypes.c_char_p(), ctypes.c_size_t()
        while library.parameter(self.number, len(self.parameters), ctypes.byref(kind), ctypes.byref(size)):
            self.parameters.append(((kind.value or b"").decode(), size.value))

    def run(
        self, grid: tuple[int, ...], block: tuple[int, ...], pointers: Any, memories: Sequence[Any], order: int
    ) -> None:
        """All blocks, in one order of their threads."""
        message = ctypes.create_string_buffer(1000)
        blocks, fibers = math.prod(grid), math.prod(block)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(threads, blocks) if blocks * fibers >= WORTH_A_THREAD else 1
        sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block)
        arrays = np.array([memory.span() for memory in memories], np.uintp)
        launched = self.number, *sizes, pointers, arrays.ctypes.data, len(arrays)
        if self.library.launch_kernel(*launched, order, threads, message, len(message)):
            raise LaunchError(f"{self.name}: {message.value.decode()}")


@lru_cache(maxsize=4096)
def _compiled(source: str, kernels: tuple[str, ...], name: str) -> _Compiled:
    return _Compiled(builder.library(source, kernels), name)


def _three(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*(int(size) for size in sizes), 1, 1)[:3]


def _check_sizes(name: str, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    """The limits of every GPU since 2012 (CUDA C++ Programming Guide, "Compute Capabilities")."""
    limits = (2**31 - 1, 65535, 65535)
    if any(not 1 <= size <= most for size, most in zip(grid, limits, strict=True)):
        raise LaunchError(f"{name}: a grid of {grid} blocks")
    if any(size < 1 for size in block) or math.prod(block) > 1024 or block[2] > 64:
        raise LaunchError(f"{name}: a block of {block} threads")


def _value(name: str, number: int, kind: str, size: int, argument: Any) -> Any:
    """The bytes of one argument, which must be exactly what the kernel's parameter takes."""
    if kind.startswith("*"):
        return ctypes.c_void_p(_address(name, number, kind[1:], argument))
    if isinstance(argument, np.ndarray) and argument.size == 1:
        data = argument.tobytes()  # a structure by value
        came = "struct"
    elif isinstance(argument, np.generic):
        data, came = argument.tobytes(), "f" if argument.dtype.kind == "f" else "i"
    else:
        raise LaunchError(f"{name}: argument {number} is {argument!r}, whose size in a kernel is not plain to see")
    if came != kind or len(data) != size:
        raise LaunchError(f"{name}: argument {number} is {argument!r}, the parameter is {kind} of {size} bytes")
    return ctypes.create_string_buffer(data, size)


def _address(name: str, number: int, element: str, argument: Any) -> int:
    if argument is None:
        return 0
    if not hasattr(argument, "memory"):
        raise LaunchError(f"{name}: argument {number} is no array on the device but {type(argument).__name__}")
    if argument.dtype.str[1:] != element:
        raise LaunchError(f"{name}: argument {number} is an array of {argument.dtype}, expected elements of {element}")
    return int(argument.data.ptr)
