"""The register-blocked multiply-add loop, written as LLVM vector instructions.

All heavy arithmetic of this package, the three passes of a convolution and the matrix product, is one loop:

    out[m, n] = start[m, n] + sum over s, k of a[rows[m] + segments[s] + k * a_step] * b[s * b_jump + k * b_step + n]

A tile of `ROWS` values of m times `VECTORS` vectors of n stays in the processor's registers while s and k run, so that
each multiply-add needs a fraction of a load: one element of `a` is spread over a vector and serves all n, one vector
of `b` serves all m. With 32 registers of 16 floats, 14 x 2 accumulators leave just enough for the operands, and
the loop runs at the speed of the multiply-add units.

Addresses of `a` come from two small tables, and that is what makes one loop serve everything. A convolution needs no
im2col matrix: window m starts at rows[m], and its KH runs of KW * C contiguous numbers start segments[s] further on.
The same two tables read the other way round give the gradient of the kernel.

Rows beyond the last one repeat the last (they compute and store the same numbers again), and columns beyond the last
are computed but not stored, so no shape has a slow path.

Why LLVM instructions and not a plain loop: left to itself LLVM uses half-width vectors on AVX-512 processors and keeps
accumulators in memory. Why intrinsics and not generated source: their callers stay cacheable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .vectors import INT64, VECTOR_BYTES, Vectors, copy_pieces, emitted, opaque, origin


def _rows(lanes: int) -> int:
    """Rows of a tile: 14 x 2 accumulators fill 32 registers (AVX-512, NEON), 6 x 2 fill 16 (SSE, AVX2)."""
    x86 = llvm.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686", "amd64")
    return 6 if x86 and lanes < 16 else 14


ROWS = _rows(VECTOR_BYTES // 4)
# And of a low tile, for the few that may be left in the end: with fewer, sums would wait for each other.
LOW = 4 if ROWS == 14 else ROWS
VECTORS = 2
# Values of k in a run, from which on it pays to ask for the memory of the results beforehand.
LONG = 32


def lanes_of(element: ir.Type) -> int:
    """Numbers of this type to a vector."""
    return VECTOR_BYTES // (8 if isinstance(element, ir.DoubleType) else 4)


class Tile:
    """Emits one register tile: `rows` x `vectors` accumulators. Stack slots become registers in LLVM's first pass."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, rows: int, vectors: int) -> None:
        self.builder = builder
        self.element = element
        self.simd = Vectors(builder, element, lanes_of(element))
        self.rows, self.vectors = rows, vectors
        self.slots = [[cgutils.alloca_once(builder, self.simd.type) for _ in range(vectors)] for _ in range(rows)]
        self.staging = cgutils.alloca_once(builder, ir.ArrayType(element, rows * self.width))

    @property
    def width(self) -> int:
        """Columns."""
        return self.vectors * self.simd.lanes

    def _cells(self) -> Iterator[tuple[int, int, ir.Value]]:
        for m in range(self.rows):
            for n in range(self.vectors):
                yield m, n * self.simd.lanes, self.slots[m][n]

    def fill(self, numbers: list[ir.Value]) -> None:
        """Start each row from one number."""
        for m, _, slot in self._cells():
            self.builder.store(self.simd.spread(numbers[m]), slot)

    def prefetch(self, pointers: list[ir.Value]) -> None:
        """Ask for the memory of each row, which may not be in the caches when the sums are ready."""
        for pointer in pointers:
            self.simd.prefetch_vectors(pointer, self.vectors)

    def clear(self) -> None:
        """Start from zero."""
        for _, _, slot in self._cells():
            self.builder.store(ir.Constant(self.simd.type, None), slot)

    def add(self, pointers: list[ir.Value]) -> None:
        """Add to each row what is in memory."""
        for m, lane, slot in self._cells():
            there = self.simd.load(self.builder.gep(pointers[m], [INT64(lane)]))
            self.builder.store(self.builder.fadd(self.builder.load(slot), there), slot)

    def accumulate(self, a_pointers: list[ir.Value], a_offset: ir.Value, b_pointer: ir.Value) -> None:
        """Add the outer product of `rows` numbers of a and one row of b."""
        b = self.builder
        weights = [self.simd.load(b.gep(b_pointer, [INT64(n * self.simd.lanes)])) for n in range(self.vectors)]
        for pointer, slots in zip(a_pointers, self.slots, strict=True):
            x = self.simd.spread(b.load(b.gep(pointer, [a_offset])))
            for weight, slot in zip(weights, slots, strict=True):
                b.store(self.simd.multiply_add(x, weight, b.load(slot)), slot)

    def store(self, pointers: list[ir.Value], columns: ir.Value) -> None:
        """Store the first `columns` columns of each row."""
        whole = self.builder.icmp_signed(">=", columns, INT64(self.width))
        with self.builder.if_else(whole) as (all_columns, some_columns):
            with all_columns:
                self.store_whole(pointers)
            with some_columns:
                self._store_part(pointers, columns)

    def store_whole(self, pointers: list[ir.Value]) -> None:
        """Store all columns of each row."""
        for m, lane, slot in self._cells():
            self.simd.store(self.builder.load(slot), self.builder.gep(pointers[m], [INT64(lane)]))

    def _store_part(self, pointers: list[ir.Value], columns: ir.Value) -> None:
        """By way of a buffer."""
        staging = self.builder.bitcast(self.staging, self.element.as_pointer())
        staged = [self.builder.gep(staging, [INT64(m * self.width)]) for m in range(self.rows)]
        self.store_whole(staged)
        copy_pieces(self.builder, self.element, staged, pointers, self.width, columns)


def by_width(builder: ir.IRBuilder, columns: ir.Value, lanes: int, emit: Callable[[int], None]) -> None:
    """Emit a tile of as many vectors as `columns` columns need: one, or `VECTORS`."""
    with builder.if_else(builder.icmp_signed(">", columns, INT64(lanes))) as (wide, narrow):
        with wide:
            emit(VECTORS)
        with narrow:
            emit(1)


@emitted
def multiply_add_tile(
    typingctx, a, a_base, a_rows, first, last, low, segments, count, length, a_step,
    b, b_base, b_jump, b_step,
    start, start_base, start_scale, out, out_base, out_rows, columns,
):  # fmt: skip
    """One tile of the module's formula, for the table rows first .. first + ROWS - 1 (`low`: LOW), none beyond `last`.

    a, b, start and out are flat arrays, `*_base` their first element here. segments[:count] are the starts of runs of
    `length` values of k; `b_jump` and `b_step` are b's strides for s and k. Row m goes to out[out_base + out_rows[m]],
    with start[start_base + start_scale * out_rows[m]] added: scale 0 with a bias (or zeros), scale 1 with out itself to
    accumulate. `columns` of out, at most those of a tile, are stored; b and start must be readable in whole vectors.
    """

    def codegen(context, builder, signature, args):
        at = partial(origin, context, builder, signature, args)
        first, last, low, count, length, columns = args[3], args[4], args[5], args[7], args[8], args[20]
        a_origin, a_table, segment_table, b_origin, start_origin, out_origin, out_table = (
            at(0, 1), at(2), at(6), at(10, 11), at(14, 15), at(17, 18), at(19)
        )  # fmt: skip
        a_step, b_jump, b_step, start_scale = args[9], args[12], args[13], args[16]
        element = context.get_value_type(signature.args[0].dtype)

        def emit(row_count, vector_count):
            tile = Tile(builder, element, row_count, vector_count)
            rows = []
            for m in range(row_count):
                row = builder.add(first, INT64(m))
                rows.append(builder.select(builder.icmp_signed("<", row, last), row, last))
            a_pointers = [builder.gep(a_origin, [builder.load(builder.gep(a_table, [row]))]) for row in rows]
            out_offsets = [builder.load(builder.gep(out_table, [row])) for row in rows]
            with builder.if_then(builder.icmp_signed(">=", length, INT64(LONG))):
                tile.prefetch([builder.gep(out_origin, [offset]) for offset in out_offsets])
            tile.clear()
            with cgutils.for_range(builder, count) as segment:
                a_start = builder.load(builder.gep(segment_table, [segment.index]))
                b_start = builder.gep(b_origin, [builder.mul(segment.index, b_jump)])
                a_place = cgutils.alloca_once_value(builder, a_start)
                b_place = cgutils.alloca_once_value(builder, b_start)
                with cgutils.for_range(builder, length):
                    a_offset, b_row = builder.load(a_place), builder.load(b_place)
                    tile.accumulate(a_pointers, a_offset, b_row)
                    builder.store(opaque(builder, builder.add(a_offset, a_step)), a_place)
                    builder.store(builder.gep(b_row, [b_step]), b_place)
            tile.add([builder.gep(start_origin, [builder.mul(start_scale, offset)]) for offset in out_offsets])
            tile.store([builder.gep(out_origin, [offset]) for offset in out_offsets], columns)

        lanes = lanes_of(element)
        if LOW == ROWS:
            by_width(builder, columns, lanes, partial(emit, ROWS))
        else:
            with builder.if_else(low) as (is_low, is_high):
                with is_low:
                    by_width(builder, columns, lanes, partial(emit, LOW))
                with is_high:
                    by_width(builder, columns, lanes, partial(emit, ROWS))
        return context.get_dummy_value()

    i = types.intp
    signature = types.void(
        a, i, a_rows, i, i, types.boolean, segments, i, i, i, b, i, i, i, start, i, i, out, i, out_rows, i
    )
    return signature, codegen
