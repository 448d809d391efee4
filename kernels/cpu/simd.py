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

from collections.abc import Iterator

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .vectors import (
    INT32,
    INT64,
    VECTOR_BYTES,
    Vectors,
    array_pointer,
    cases_of,
    copy_pieces,
    element_bytes,
    emitted,
    opaque,
)


def _rows(lanes: int) -> int:
    """Rows of a tile: 14 x 2 accumulators fill 32 registers (AVX-512, NEON), 6 x 2 fill 16 (SSE, AVX2)."""
    x86 = llvm.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686", "amd64")
    return 6 if x86 and lanes < 16 else 14


ROWS = _rows(VECTOR_BYTES // 4)
VECTORS = 2

# Of a row of numbers that is scaled and added, this many vectors stay in registers at a time.
MOST_VECTORS = 12
# So many rows of 0, 1, 2, ... vectors are taken together, so that enough sums run side by side to hide their latency.
RUNS_TOGETHER = (1, 5, 5, 3, 3, 5, 3, 1, 1, 1, 1, 1, 1) if ROWS > 6 else (1, 5, 5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1)


class Tile:
    """Emits one register tile: `rows` x `vectors` accumulators. Stack slots become registers in LLVM's first pass."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, rows: int, vectors: int) -> None:
        bytes_ = 8 if isinstance(element, ir.DoubleType) else 4
        self.builder = builder
        self.element = element
        self.simd = Vectors(builder, element, VECTOR_BYTES // bytes_)
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


@emitted(prefer_literal=True)
def multiply_add_tile(
    typingctx, rows, vectors,
    a, a_base, a_rows, first, last, segments, count, length, a_step,
    b, b_base, b_jump, b_step,
    start, start_base, start_scale, out, out_base, out_rows, columns,
):  # fmt: skip
    """One tile of the module's formula, for the table rows first .. first + rows - 1, none beyond `last`.

    `rows` and `vectors` are literals. a, b, start and out are flat arrays, `*_base` their first element here.
    segments[:count] are the starts of runs of `length` values of k; `b_jump` and `b_step` are b's strides for s and k.
    Row m goes to out[out_base + out_rows[m]], with start[start_base + start_scale * out_rows[m]] added: scale 0 with a
    bias (or zeros), scale 1 with out itself to accumulate. `columns` of out are stored; b and start must be
    readable to the full width of the tile.
    """
    row_count, vector_count = rows.literal_value, vectors.literal_value

    def codegen(context, builder, signature, args):
        def pointer(index: int) -> ir.Value:
            return array_pointer(context, builder, signature.args[index], args[index])

        first, last, count, length = args[5], args[6], args[8], args[9]
        a_step, b_jump, b_step = args[10], args[13], args[14]
        segment_table, out_table = pointer(7), pointer(20)
        element = context.get_value_type(signature.args[2].dtype)
        tile = Tile(builder, element, row_count, vector_count)

        rows = []
        for m in range(row_count):
            row = builder.add(first, INT64(m))
            rows.append(builder.select(builder.icmp_signed("<", row, last), row, last))
        a_table, a_origin = pointer(4), builder.gep(pointer(2), [args[3]])
        a_pointers = [builder.gep(a_origin, [builder.load(builder.gep(a_table, [row]))]) for row in rows]
        out_offsets = [builder.load(builder.gep(out_table, [row])) for row in rows]
        tile.clear()
        b_origin = builder.gep(pointer(11), [args[12]])
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

        start_origin = builder.gep(pointer(15), [args[16]])
        tile.add([builder.gep(start_origin, [builder.mul(args[17], offset)]) for offset in out_offsets])
        out_origin = builder.gep(pointer(18), [args[19]])
        tile.store([builder.gep(out_origin, [offset]) for offset in out_offsets], args[21])
        return context.get_dummy_value()

    i = types.intp
    signature = types.void(
        rows, vectors, a, i, a_rows, i, i, segments, i, i, i, b, i, i, i, start, i, i, out, i, out_rows, i
    )
    return signature, codegen


@emitted
def pool_vector(typingctx, source, base, cells, count, y, y_base, winners, winners_base, columns):
    """y[k] = the largest of source[base + cells[i] + k] over i < count, winners[k] = the i of it, for one vector of k.

    The first of equal ones wins, and the first NaN wins over all. y and winners are flat and mean y[y_base + k] and so
    on; `columns` of them are stored. A vector of `source` must be readable at each cell.
    """

    def codegen(context, builder, signature, args):
        def pointer(index: int) -> ir.Value:
            return array_pointer(context, builder, signature.args[index], args[index])

        element = context.get_value_type(signature.args[0].dtype)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[0])
        simd = Vectors(builder, element, lanes)
        numbers = ir.VectorType(INT32, lanes)
        origin, table = builder.gep(pointer(0), [args[1]]), pointer(2)
        best, winner = cgutils.alloca_once(builder, simd.type), cgutils.alloca_once(builder, numbers)

        def cell(i: ir.Value) -> ir.Value:
            return simd.load(builder.gep(origin, [builder.load(builder.gep(table, [i]))]))

        def compare(i: ir.Value) -> None:
            value, before = cell(i), builder.load(best)
            # A NaN is not at most the best so far, and once it is the best, nothing beats it.
            wins = builder.and_(
                builder.fcmp_unordered(">", value, before), builder.fcmp_ordered("ord", before, before)
            )
            number = Vectors(builder, INT32, lanes).spread(builder.trunc(i, INT32))
            builder.store(builder.select(wins, value, before), best)
            builder.store(builder.select(wins, number, builder.load(winner)), winner)

        builder.store(cell(INT64(0)), best)
        builder.store(ir.Constant(numbers, [0] * lanes), winner)
        # Four cells, by far the commonest, without a loop.
        with builder.if_else(builder.icmp_signed("==", args[3], INT64(4))) as (four, other):
            with four:
                for i in range(1, 4):
                    compare(INT64(i))
            with other, cgutils.for_range(builder, args[3], start=INT64(1)) as loop:
                compare(loop.index)

        byte = context.get_value_type(signature.args[6].dtype)
        y_target = builder.gep(pointer(4), [args[5]])
        winner_target = builder.gep(pointer(6), [args[7]])
        small = builder.trunc(builder.load(winner), ir.VectorType(byte, lanes))

        def store_both(values: ir.Value, places: ir.Value) -> None:
            simd.store(builder.load(best), values)
            stored = builder.store(small, builder.bitcast(places, small.type.as_pointer()))
            stored.align = 1

        staged_y = cgutils.alloca_once(builder, ir.ArrayType(element, lanes))
        staged_winners = cgutils.alloca_once(builder, ir.ArrayType(byte, lanes))
        with builder.if_else(builder.icmp_signed(">=", args[8], INT64(lanes))) as (whole, part):
            with whole:
                store_both(y_target, winner_target)
            with part:
                values = builder.bitcast(staged_y, element.as_pointer())
                places = builder.bitcast(staged_winners, byte.as_pointer())
                store_both(values, places)
                copy_pieces(builder, element, [values], [y_target], lanes, args[8])
                copy_pieces(builder, byte, [places], [winner_target], lanes, args[8])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, cells, i, y, i, winners, i, i), codegen


@emitted
def sum_runs(
    typingctx, vectors, x, x_base, x_runs, first, last, starts, starts_base, scales, scales_base, count,
    sums, sums_base, sums_runs, tail,
):  # fmt: skip
    """sums[sums_runs[r] + k] += the sum over i < count of scales[i] * x[starts[i] + x_runs[r] + k].

    For up to RUNS_TOGETHER[vectors] values of r from `first` on, none beyond `last`, and k within so many vectors, of
    the last of which only `tail` lanes are added to. All arrays are flat and begin at their bases, but for the tables
    of runs; x and sums must be readable to the last vector's end.
    """

    def codegen(context, builder, signature, args):
        def origin(index: int, base: int | None = None) -> ir.Value:
            pointer = array_pointer(context, builder, signature.args[index], args[index])
            return pointer if base is None else builder.gep(pointer, [args[base]])

        element = context.get_value_type(signature.args[1].dtype)
        simd = Vectors(builder, element, VECTOR_BYTES // element_bytes(context, signature.args[1]))
        x, starts, scales, sums = origin(1, 2), origin(6, 7), origin(8, 9), origin(11, 12)
        x_runs, sums_runs = origin(3), origin(13)
        numbers = Vectors(builder, INT64, simd.lanes)
        used = builder.icmp_signed("<", ir.Constant(numbers.type, list(range(simd.lanes))), numbers.spread(args[14]))
        with cases_of(builder, args[0], range(1, MOST_VECTORS + 1)) as cases:
            for vector_count in cases:
                lanes = [INT64(v * simd.lanes) for v in range(vector_count)]
                sources, targets = [], []
                for i in range(RUNS_TOGETHER[vector_count]):
                    run = builder.add(args[4], INT64(i))
                    run = builder.select(builder.icmp_signed("<", run, args[5]), run, args[5])
                    sources.append(builder.gep(x, [builder.load(builder.gep(x_runs, [run]))]))
                    row = builder.gep(sums, [builder.load(builder.gep(sums_runs, [run]))])
                    targets.append([builder.gep(row, [lane]) for lane in lanes])
                slots = [[cgutils.alloca_once(builder, simd.type) for _ in lanes] for _ in sources]
                for row, row_slots in zip(targets, slots, strict=True):
                    for target, slot in zip(row, row_slots, strict=True):
                        builder.store(simd.load(target), slot)
                with cgutils.for_range(builder, args[10]) as loop:
                    start = builder.load(builder.gep(starts, [loop.index]))
                    scale = simd.spread(builder.load(builder.gep(scales, [loop.index])))
                    for source, row_slots in zip(sources, slots, strict=True):
                        window = builder.gep(source, [start])
                        for lane, slot in zip(lanes, row_slots, strict=True):
                            values = simd.load(builder.gep(window, [lane]))
                            builder.store(simd.multiply_add(values, scale, builder.load(slot)), slot)
                for row, row_slots in zip(targets, slots, strict=True):
                    # Runs may overlap: what lies beyond the end of one is read again before it is written.
                    builder.store(builder.select(used, builder.load(row_slots[-1]), simd.load(row[-1])), row_slots[-1])
                    for target, slot in zip(row, row_slots, strict=True):
                        simd.store(builder.load(slot), target)
        return context.get_dummy_value()

    i = types.intp
    return types.void(vectors, x, i, x_runs, i, i, starts, i, scales, i, i, sums, i, sums_runs, i), codegen


@emitted
def list_by_filter(
    typingctx, count, gradients, gradients_base, winners, winners_base, cells, corner, ends, scales, scales_base, starts
):
    """For each f < count whose gradient is not zero: append it, and corner + cells[winner of f], to the lists of f.

    scales[scales_base:] and starts hold the lists; the next free place in that of f is ends[f].
    """

    def codegen(context, builder, signature, args):
        def origin(index: int, base: int | None = None) -> ir.Value:
            pointer = array_pointer(context, builder, signature.args[index], args[index])
            return pointer if base is None else builder.gep(pointer, [args[base]])

        gradients, winners, scales = origin(1, 2), origin(3, 4), origin(8, 9)
        cells, ends, starts = origin(5), origin(7), origin(10)
        zero = ir.Constant(context.get_value_type(signature.args[1].dtype), 0.0)
        with cgutils.for_range(builder, args[0]) as loop:
            f = loop.index
            gradient = builder.load(builder.gep(gradients, [f]))
            winner = builder.zext(builder.load(builder.gep(winners, [f])), INT64)
            end = builder.gep(ends, [f])
            place = builder.load(end)
            builder.store(gradient, builder.gep(scales, [place]))
            start = builder.add(args[6], builder.load(builder.gep(cells, [winner])))
            builder.store(start, builder.gep(starts, [place]))
            received = builder.zext(builder.fcmp_unordered("!=", gradient, zero), INT64)
            builder.store(builder.add(place, received), end)
        return context.get_dummy_value()

    i = types.intp
    return types.void(count, gradients, i, winners, i, cells, i, ends, scales, i, starts), codegen


@emitted
def list_by_cell(
    typingctx, count, gradients, gradients_base, winners, winners_base, step, ends, ends_base, scales, scales_base,
    starts,
):  # fmt: skip
    """For each f < count whose gradient is not zero: append it, and f * step, to the lists of the cell that won.

    scales[scales_base:] and starts hold the lists; the next free place in that of cell i is ends[ends_base + i].
    """

    def codegen(context, builder, signature, args):
        def origin(index: int, base: int | None = None) -> ir.Value:
            pointer = array_pointer(context, builder, signature.args[index], args[index])
            return pointer if base is None else builder.gep(pointer, [args[base]])

        gradients, winners, ends, scales = origin(1, 2), origin(3, 4), origin(6, 7), origin(8, 9)
        starts = origin(10)
        zero = ir.Constant(context.get_value_type(signature.args[1].dtype), 0.0)
        with cgutils.for_range(builder, args[0]) as loop:
            f = loop.index
            gradient = builder.load(builder.gep(gradients, [f]))
            winner = builder.zext(builder.load(builder.gep(winners, [f])), INT64)
            end = builder.gep(ends, [winner])
            place = builder.load(end)
            builder.store(gradient, builder.gep(scales, [place]))
            builder.store(builder.mul(f, args[5]), builder.gep(starts, [place]))
            received = builder.zext(builder.fcmp_unordered("!=", gradient, zero), INT64)
            builder.store(builder.add(place, received), end)
        return context.get_dummy_value()

    i = types.intp
    return types.void(count, gradients, i, winners, i, i, ends, i, scales, i, starts), codegen


@emitted
def transpose_tile(typingctx, source, source_base, row_step, last_row, target, target_base, pitch):
    """target[target_base + i*pitch + j] = source[source_base + min(j, last_row)*row_step + i] for a square of lanes.

    Eklundh's method: exchange the off-diagonal halves of every 2 x 2 block, then of every 4 x 4 block, and so on.
    """

    def codegen(context, builder, signature, args):
        element = context.get_value_type(signature.args[0].dtype)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[0])
        simd = Vectors(builder, element, lanes)
        source = builder.gep(array_pointer(context, builder, signature.args[0], args[0]), [args[1]])
        target = builder.gep(array_pointer(context, builder, signature.args[4], args[4]), [args[5]])
        vectors = []
        for j in range(lanes):
            row = builder.select(builder.icmp_signed("<", INT64(j), args[3]), INT64(j), args[3])
            vectors.append(simd.load(builder.gep(source, [builder.mul(row, args[2])])))
        half = 1
        while half < lanes:
            for j in (j for j in range(lanes) if not j & half):
                vectors[j], vectors[j + half] = simd.exchange(vectors[j], vectors[j + half], half)
            half *= 2
        for i, vector in enumerate(vectors):
            simd.store(vector, builder.gep(target, [builder.mul(args[6], INT64(i))]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, target, i, i), codegen


@emitted
def copy_elements(typingctx, target, target_base, source, source_base, count):
    """target[target_base:][:count] = source[source_base:][:count] for flat arrays of one dtype that do not overlap."""

    def codegen(context, builder, signature, args):
        target = builder.gep(array_pointer(context, builder, signature.args[0], args[0]), [args[1]])
        source = builder.gep(array_pointer(context, builder, signature.args[2], args[2]), [args[3]])
        cgutils.raw_memcpy(builder, target, source, args[4], element_bytes(context, signature.args[0]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(target, i, source, i, i), codegen


@emitted
def clear_elements(typingctx, target, base, count):
    """target[base:][:count] = 0 for a flat array."""

    def codegen(context, builder, signature, args):
        target = builder.gep(array_pointer(context, builder, signature.args[0], args[0]), [args[1]])
        size = builder.mul(args[2], INT64(element_bytes(context, signature.args[0])))
        cgutils.memset(builder, target, size, 0)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp), codegen
