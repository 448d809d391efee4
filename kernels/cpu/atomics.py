"""What threads in compiled code say to each other: counters that no two of them can change at once."""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .vectors import INT64, emitted, origin

# Says to the processor that a thread only waits.
_PAUSE = "llvm.x86.sse2.pause" if platform.machine().lower() in ("x86_64", "amd64", "i386", "i686") else ""


@emitted
def fetch_add(typingctx, counters, index):
    """Add 1 to counters[index] in one step that no other thread can split, and return the value before."""

    def codegen(context, builder, signature, args):
        counter = origin(context, builder, signature, args, 0, 1)
        return builder.atomic_rmw("add", counter, INT64(1), "seq_cst")

    return types.int64(counters, types.intp), codegen


@emitted
def look(typingctx, counters, index):
    """counters[index] now, and whatever a thread did before it counted there is done."""

    def codegen(context, builder, signature, args):
        counter = origin(context, builder, signature, args, 0, 1)
        return builder.load_atomic(counter, "seq_cst", 8)

    return types.int64(counters, types.intp), codegen


@emitted
def pause(typingctx):
    """Leave the core to its other thread for a moment."""

    def codegen(context, builder, signature, args):
        if _PAUSE:
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, _PAUSE), [])
        return context.get_dummy_value()

    return types.void(), codegen
