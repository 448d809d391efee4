"""Recorded calls as one: a list of kernels that threads walk through together, without Python in between.

A call from Python costs some ten microseconds: its arguments are looked at, taken apart and put together again, and
helpers are woken. A small network's kernels take no longer than that. So the arguments of each recorded call are stored
once, the way compiled code takes them, beside a few instructions that load them again and call the kernel (`_caller`),
and compiled code walks through the list (`_walk`).

Helpers walk along. They are woken once, and may come late or not at all: whoever is there takes tiles, and goes on to
the next kernel when no tile is left and nobody is inside the last one any more. Until then a thread looks again and
again for some microseconds, and then sleeps for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target

from ..varying import Number, present
from .atomics import fetch_add, look, pause
from .cache import compiled, inlined
from .threads import ask, share, take, threads_for
from .vectors import INT64, emitted

COPIED = 64 * 1024  # numbers to a tile of a copy, a product or a sum
PATIENCE = 1500  # looks at a counter before a thread sleeps
NAP = 50e-6  # seconds
# Lets other processes run; where there is no such call, the shortest sleep does.
_yield: Callable[[], Any] = getattr(os, "sched_yield", partial(time.sleep, 0))

# What a compiled function returns that gives nothing and has not failed: RETCODE_OK and RETCODE_NONE of Numba.
_GOOD = (INT64(0), INT64(-2))

# What is known of each call, in a row of so many numbers (a cache line), ...
ROW = 8
CODE, ARGUMENTS, TILES, THREADS = range(4)
# ... what happened in it so far (`threads.share` calls the first two numbers its ticket), ...
TICKET, ENTERED, LEFT = 0, 2, 3
# ... and, in one row more, in all walks so far. One is under way while the first number is odd.
BEGUN_OR_ENDED, CAME, WENT, FAILED = range(4)

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def _flattened(value: Any) -> Iterator[Any]:
    """A kernel's argument as compiled code takes it: one number after the other, an array without its owners."""
    if isinstance(value, np.ndarray):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(value, tuple):
        for part in value:
            yield from _flattened(part)
    else:
        yield value


def _stored(arguments: tuple[Any, ...]) -> np.ndarray:
    """Arguments in memory, eight bytes to each number."""
    numbers = list(_flattened(arguments))
    memory = np.zeros(len(numbers), np.int64)
    for place, (number, value) in enumerate(zip(numbers, present(numbers), strict=True)):
        dtype = np.result_type(value) if isinstance(value, (float, np.floating, np.uint64)) else np.int64
        cell = memory[place : place + 1].view(dtype)
        cell[0] = value
        if isinstance(number, Number):
            number.show(cell)
    return memory


class _Callers:
    """Code that calls a kernel with stored arguments, made once for each kernel and the types of its arguments."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._lock = threading.Lock()

    def find(self, kernel: Any, arguments: tuple[Any, ...]) -> int:
        """The address of the code."""
        kinds = tuple(map(kernel.typeof_pyval, arguments))
        if kernel is _copy_strided:
            # One machine code for all layouts.
            kinds = (*kinds[:2], *(types.Array(kind.dtype, kind.ndim, "A") for kind in kinds[2:]))
        with self._lock:
            if (kernel, kinds) not in self._made:
                kernel.compile(kinds)
                self._made[kernel, kinds] = _caller(kernel.overloads[kinds])
            return self._made[kernel, kinds][0]


def _caller(compiled_kernel: Any) -> tuple[int, Any]:
    """The address of a function that gives a kernel its arguments, and the engine that keeps its code.

    Not by Numba, which would optimise for a long time what is done in a moment: each argument is loaded from its place.
    """
    library, name = compiled_kernel.library, compiled_kernel.fndesc.llvm_func_name
    convention = cpu_target.target_context.call_conv
    kernel = convention.get_function_type(types.none, compiled_kernel.signature.args)
    results, numbers = kernel.args[:2], kernel.args[2:]
    lines = ["define i64 @call(i64 %memory) {"]
    lines += [f"%r{i} = alloca {kind.pointee}" for i, kind in enumerate(results)]
    for i, kind in enumerate(numbers):
        pointer = kind.as_pointer()
        lines += [f"%a{i} = add i64 %memory, {8 * i}", f"%p{i} = inttoptr i64 %a{i} to {pointer}"]
        lines += [f"%v{i} = load {kind}, {pointer} %p{i}"]
    given = [f"{kind} %r{i}" for i, kind in enumerate(results)] + [f"{kind} %v{i}" for i, kind in enumerate(numbers)]
    lines += [
        f"%kernel = inttoptr i64 {library.get_pointer_to_function(name)} to {kernel.as_pointer()}",
        f"%status = call i32 %kernel({', '.join(given)})", "%wide = sext i32 %status to i64", "ret i64 %wide", "}",
    ]  # fmt: skip
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0, jit=True, codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("\n".join(lines)), machine)
    engine.finalize_object()
    return engine.get_function_address("call"), engine


_callers = _Callers()


@emitted
def _call(typingctx, code, arguments):
    """Call what `_caller` gave, with what was stored; whether the kernel failed."""

    def codegen(context, builder, signature, args):
        function = builder.inttoptr(args[0], ir.FunctionType(INT64, [INT64]).as_pointer())
        status = builder.call(function, [args[1]])
        return builder.not_(builder.or_(*(builder.icmp_signed("==", status, good) for good in _GOOD)))

    return types.boolean(code, arguments), codegen


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
            if fetch_add(state, row + ENTERED) < seats and _call(calls[row + CODE], calls[row + ARGUMENTS]):
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


@compiled
def _copy(ticket, tiles, target, source):
    tile = take(ticket)
    while tile < tiles:
        target[tile * COPIED : (tile + 1) * COPIED] = source[tile * COPIED : (tile + 1) * COPIED]
        tile = take(ticket)


@compiled
def _multiply(ticket, tiles, a, b, product):
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * COPIED, min((tile + 1) * COPIED, product.size)):
            product[i] = a[i] * b[i]
        tile = take(ticket)


@compiled
def _add(ticket, tiles, a, b, total):
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * COPIED, min((tile + 1) * COPIED, total.size)):
            total[i] = a[i] + b[i]
        tile = take(ticket)


_OF_TWO = {np.multiply: _multiply, np.add: _add}


@compiled
def _copy_strided(ticket, tiles, target, source):
    tile = take(ticket)
    while tile < tiles:
        for j in range(target.shape[1]):
            for k in range(target.shape[2]):
                for m in range(target.shape[3]):
                    target[tile, j, k, m] = source[tile, j, k, m]
        tile = take(ticket)


def _as_shared(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What `share` was given, or would be given for NumPy's copies, products and sums; None for any other call."""
    if function is share:
        return arguments
    if function in _OF_TWO and all(array.flags.c_contiguous for array in arguments):
        result = arguments[-1]
        flat = [array.reshape(-1) for array in arguments]
        return _OF_TWO[function], -(-result.size // COPIED), threads_for(3 * result.nbytes), *flat
    return _as_shared_copy(*arguments) if function is np.copyto else None


def _as_shared_copy(target: Any, source: Any) -> tuple[Any, ...] | None:
    if target.shape != source.shape or target.dtype != source.dtype:
        return None
    if target.flags.c_contiguous and source.flags.c_contiguous and source.flags.writeable:
        return _copy, -(-target.size // COPIED), 1, target.reshape(-1), source.reshape(-1)
    if target.ndim > 4 or target.size > COPIED:
        return None
    axes = (..., *(None,) * (4 - target.ndim))
    target, source = target[axes], source[axes]
    return _copy_strided, len(target), threads_for(4 * target.nbytes), target, source


def assemble(calls: Sequence[Call]) -> list[Callable[[], None]]:
    """The same calls in the same order, those of kernels together in programs."""
    steps: list[Callable[[], None]] = []
    for is_shared, group in groupby(((_as_shared(*call), call) for call in calls), lambda pair: pair[0] is not None):
        if is_shared:
            steps.append(Program([shared for shared, _ in group if shared is not None]).run)
        else:
            steps += [partial(function, *arguments) for _, (function, arguments) in group]
    return steps


def as_program(calls: Sequence[Call]) -> Program | None:
    """The same calls in the same order as one program; None where one of them is no kernel's."""
    shared = [_as_shared(*call) for call in calls]
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
        memory, code = _stored(arguments), _callers.find(kernel, tuple(present(arguments)))
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
