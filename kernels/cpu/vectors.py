"""Emitting LLVM vector instructions: what the intrinsics of this package are written with.

Vector width: that of the processor; the environment variable MINICNN_VECTOR_WIDTH (4, 8 or 16 float32 lanes) forces a
narrower one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

# Intrinsics take the compiler's context first, which their callers do not pass: no type checker can know that.
emitted: Any = intrinsic

INT64, INT32 = ir.IntType(64), ir.IntType(32)


def host_lanes() -> int:
    """float32 lanes of the processor's widest vectors."""
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


def _chosen_lanes() -> int:
    wanted = os.environ.get("MINICNN_VECTOR_WIDTH", str(host_lanes()))
    if wanted not in ("4", "8", "16"):
        raise ValueError(f"MINICNN_VECTOR_WIDTH: expected 4, 8 or 16 (float32 lanes), got {wanted!r}")
    return min(host_lanes(), int(wanted))


VECTOR_BYTES = 4 * _chosen_lanes()
# What comes from memory at once.
CACHE_LINE = 64


class Vectors:
    """Emits vector instructions for arrays of one element type; `lanes` elements to a vector."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.type = ir.VectorType(element, lanes)
        self._bits = 64 if isinstance(element, ir.DoubleType) else 32

    def load(self, pointer: ir.Value) -> ir.Value:
        """One vector from memory."""
        vector = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        vector.align = 4  # arrays are aligned to an element, not to a vector
        return vector

    def store(self, vector: ir.Value, pointer: ir.Value) -> None:
        """One vector to memory."""
        stored = self.builder.store(vector, self.builder.bitcast(pointer, self.type.as_pointer()))
        stored.align = 4

    def prefetch(self, pointer: ir.Value) -> None:
        """Ask for the cache line there, which may lie outside of any array."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0i8")
        reading, all_caches, data = INT32(0), INT32(3), INT32(1)
        self.builder.call(function, [self.builder.bitcast(pointer, byte), reading, all_caches, data])

    def prefetch_vectors(self, pointer: ir.Value, count: int) -> None:
        """Ask for all cache lines of so many vectors there."""
        for vector in range(0, count, max(1, CACHE_LINE // VECTOR_BYTES)):
            self.prefetch(self.builder.gep(pointer, [INT64(vector * self.lanes)]))

    def spread(self, scalar: ir.Value) -> ir.Value:
        """The same number in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, INT32(0))
        first = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, first)

    def exchange(self, upper: ir.Value, lower: ir.Value, half: int) -> tuple[ir.Value, ir.Value]:
        """Two rows of a transposition: the upper one's right halves change places with the lower one's left halves."""
        lanes = range(self.lanes)
        to_upper = [self.lanes + j - half if j & half else j for j in lanes]
        to_lower = [self.lanes + j if j & half else j + half for j in lanes]
        indices = ir.VectorType(INT32, self.lanes)
        return (
            self.builder.shuffle_vector(upper, lower, ir.Constant(indices, to_upper)),
            self.builder.shuffle_vector(upper, lower, ir.Constant(indices, to_lower)),
        )

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z."""
        name = f"llvm.fmuladd.v{self.lanes}f{self._bits}"
        function = ir.FunctionType(self.type, [self.type] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), [x, y, z])


def copy_pieces(
    builder: ir.IRBuilder, element: ir.Type, sources: list[ir.Value], targets: list[ir.Value], width: int,
    count: ir.Value,
) -> None:  # fmt: skip
    """Copy `count` < `width` elements in pieces of half the width, a quarter, ... 1, as the bits of `count` say."""
    piece = width // 2
    while piece:
        wanted = builder.icmp_signed("!=", builder.and_(count, INT64(piece)), INT64(0))
        lane = builder.and_(count, INT64(-2 * piece))
        with builder.if_then(wanted):
            vector = ir.VectorType(element, piece).as_pointer()
            for source, target in zip(sources, targets, strict=True):
                moved = builder.load(builder.bitcast(builder.gep(source, [lane]), vector))
                moved.align = 1
                stored = builder.store(moved, builder.bitcast(builder.gep(target, [lane]), vector))
                stored.align = 1
        piece //= 2


def origin(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value], index: int, base: int | None = None
) -> ir.Value:
    """Where an intrinsic's argument of this index, an array, begins; with a base, its element that this other names."""
    first = context.make_array(signature.args[index])(context, builder, args[index]).data
    return first if base is None else builder.gep(first, [args[base]])


def opaque(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """The same number, of which the compiler knows no more than its type.

    LLVM rewrites base + index, in a loop over the index, into a pointer of its own for each base. With more of them
    than registers, they are kept in memory and moved on one by one. An index that it cannot see through is shared.
    """
    unchanged = ir.FunctionType(number.type, [number.type])
    return builder.asm(unchanged, "", "=r,0", [number], False)


@contextmanager
def cases_of(builder: ir.IRBuilder, value: ir.Value, cases: Sequence[int]) -> Iterator[Iterator[int]]:
    """A loop that emits the code of each case of an integer; other values do nothing."""
    end = builder.append_basic_block("cases.end")
    switch = builder.switch(value, end)

    def each() -> Iterator[int]:
        for case in cases:
            block = builder.append_basic_block("case")
            switch.add_case(INT64(case), block)
            builder.position_at_end(block)
            yield case
            builder.branch(end)

    yield each()
    builder.position_at_end(end)


def element_bytes(context: Any, array_type: Any) -> int:
    """Bytes to an element of a Numba array."""
    return int(context.get_abi_sizeof(context.get_value_type(array_type.dtype)))
