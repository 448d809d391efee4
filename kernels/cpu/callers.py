"""Machine code that calls a kernel with arguments that were stored beforehand.

Compiled code cannot call a list of kernels that each take something else. So each gets a few instructions around it
that take nothing but an address, load the arguments from there and call the kernel; they look the same from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target

from ..varying import Number, present
from .array_calls import copy_strided
from .vectors import INT64, emitted

# What a compiled function returns that gives nothing and has not failed: RETCODE_OK and RETCODE_NONE of Numba.
_GOOD = (INT64(0), INT64(-2))


def _flattened(value: Any) -> Iterator[Any]:
    """A kernel's argument as compiled code takes it: one number after the other, an array without its owners."""
    if isinstance(value, np.ndarray):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(value, tuple):
        for part in value:
            yield from _flattened(part)
    else:
        yield value


def stored(arguments: tuple[Any, ...]) -> np.ndarray:
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


class Callers:
    """Code that calls a kernel with stored arguments, made once for each kernel and the types of its arguments."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._lock = threading.Lock()

    def find(self, kernel: Any, arguments: tuple[Any, ...]) -> int:
        """The address of the code."""
        kinds = tuple(map(kernel.typeof_pyval, arguments))
        if kernel is copy_strided:
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


@emitted
def call_stored(typingctx, code, arguments):
    """Call the code that `Callers.find` gave, with what was `stored`; whether the kernel failed."""

    def codegen(context, builder, signature, args):
        function = builder.inttoptr(args[0], ir.FunctionType(INT64, [INT64]).as_pointer())
        status = builder.call(function, [args[1]])
        return builder.not_(builder.or_(*(builder.icmp_signed("==", status, good) for good in _GOOD)))

    return types.boolean(code, arguments), codegen
