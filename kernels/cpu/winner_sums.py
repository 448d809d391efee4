"""Sums over winners and the lists that they run over: the vector code of `winners`.

A sum is of scaled runs of contiguous numbers. A list says of each run where it starts and what it is scaled with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .simd import ROWS
from .vectors import INT64, VECTOR_BYTES, Vectors, cases_of, element_bytes, emitted, origin

# Of a row of numbers that is scaled and added, this many vectors stay in registers at a time.
MOST_VECTORS = 12
# So many rows of 0, 1, 2, ... vectors are taken together, so that enough sums run side by side to hide their latency.
RUNS_TOGETHER = (1, 5, 5, 3, 3, 5, 3, 1, 1, 1, 1, 1, 1) if ROWS > 6 else (1, 5, 5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1)


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
        at = partial(origin, context, builder, signature, args)
        element = context.get_value_type(signature.args[1].dtype)
        simd = Vectors(builder, element, VECTOR_BYTES // element_bytes(context, signature.args[1]))
        x, starts, scales, sums = at(1, 2), at(6, 7), at(8, 9), at(11, 12)
        x_runs, sums_runs = at(3), at(13)
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


def _list_winners(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value],
    entry: Callable[[ir.Value, ir.Value], tuple[ir.Value, ir.Value]],
) -> Any:  # fmt: skip
    """The code of the two lists below.

    Args:
        entry: for a filter and its winner, where the next free place of its list stands and the start to append.
    """
    at = partial(origin, context, builder, signature, args)
    gradients, winners, scales, starts = at(1, 2), at(3, 4), at(8, 9), at(10)
    zero = ir.Constant(context.get_value_type(signature.args[1].dtype), 0.0)
    with cgutils.for_range(builder, args[0]) as loop:
        f = loop.index
        gradient = builder.load(builder.gep(gradients, [f]))
        winner = builder.zext(builder.load(builder.gep(winners, [f])), INT64)
        end, start = entry(f, winner)
        place = builder.load(end)
        builder.store(gradient, builder.gep(scales, [place]))
        builder.store(start, builder.gep(starts, [place]))
        received = builder.zext(builder.fcmp_unordered("!=", gradient, zero), INT64)
        builder.store(builder.add(place, received), end)
    return context.get_dummy_value()


@emitted
def list_by_filter(
    typingctx, count, gradients, gradients_base, winners, winners_base, cells, corner, ends, scales, scales_base, starts
):
    """For each f < count whose gradient is not zero: append it, and corner + cells[winner of f], to the lists of f.

    scales[scales_base:] and starts hold the lists; the next free place in that of f is ends[f].
    """

    def codegen(context, builder, signature, args):
        cells, ends = (origin(context, builder, signature, args, index) for index in (5, 7))

        def entry(f: ir.Value, winner: ir.Value) -> tuple[ir.Value, ir.Value]:
            return builder.gep(ends, [f]), builder.add(args[6], builder.load(builder.gep(cells, [winner])))

        return _list_winners(context, builder, signature, args, entry)

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
        ends = origin(context, builder, signature, args, 6, 7)

        def entry(f: ir.Value, winner: ir.Value) -> tuple[ir.Value, ir.Value]:
            return builder.gep(ends, [winner]), builder.mul(f, args[5])

        return _list_winners(context, builder, signature, args, entry)

    i = types.intp
    return types.void(count, gradients, i, winners, i, i, ends, i, scales, i, starts), codegen
