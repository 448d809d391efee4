"""Matrices cut into panels, and the product over panels that convolutions and matrix products share.

The right-hand matrix (weights of a convolution, b of a @ b) is read `panel_width` columns at a time, row after row.
`pack` lays it out that way: panel after panel, each row of a panel contiguous, the last panel as wide as the others.
One loop, `multiply_panels`, then runs the register tile of `simd` over all rows and panels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import types

from . import memory
from .arrays import flat
from .cache import compiled, inlined
from .moving import copy_elements, transpose
from .simd import LOW, ROWS, VECTORS, multiply_add_tile
from .threads import share, take, threads_for
from .vectors import INT64, VECTOR_BYTES, Vectors, element_bytes, emitted, origin

# How far packing looks ahead.
ROWS_AHEAD = 8

# Numba compiles a function anew for every combination of literal arguments; these two are no literals.
ZERO, ONE = np.int64(0), np.int64(1)
# A product has one run of k, which starts where it starts.
NO_OFFSET = np.zeros(1, np.int64)


def vector_lanes(dtype: np.dtype) -> int:
    """Elements to a vector."""
    return VECTOR_BYTES // dtype.itemsize


def panel_width(dtype: np.dtype) -> int:
    """Columns to a panel."""
    return VECTORS * vector_lanes(dtype)


def panel_count(columns: int, dtype: np.dtype) -> int:
    """Panels that hold so many columns."""
    return -(-columns // panel_width(dtype))


@inlined
def multiply_panels(
    a, a_base, a_rows, first, end, segments, count, length, a_step,
    b, b_base, b_panel, b_jump, b_step,
    start, start_base, start_scale, out, out_base, out_rows, columns,
):  # fmt: skip
    """`simd.multiply_add_tile` for the table rows first .. end-1 and all panels of `columns` columns.

    `b_panel` is the distance in b from a panel to the next.
    """
    width = VECTORS * (VECTOR_BYTES // out.itemsize)
    # One more tile of full height would be computed whole for few rows: low tiles waste less.
    last_rows = (end - first) % ROWS
    high_end = end - last_rows if LOW < ROWS and last_rows <= 2 * LOW else end
    for panel in range((columns + width - 1) // width):
        done = panel * width
        row = first
        while row < end:
            low = row >= high_end
            multiply_add_tile(
                a, a_base, a_rows, row, end - 1, low, segments, count, length, a_step,
                b, b_base + panel * b_panel, b_jump, b_step,
                start, start_base + done, start_scale, out, out_base + done, out_rows, columns - done,
            )  # fmt: skip
            row += LOW if low else ROWS


@emitted
def copy_panel_row(typingctx, target, target_base, source, source_base, ahead):
    """target[target_base:][:w] = source[source_base:][:w] for the width w of a panel, which the compiler knows.

    A copy of any length is a call, behind which the processor looks ahead less far into a matrix that is not cached.
    Nor does it guess what follows where rows lie far apart: the numbers `ahead` of these are asked for beforehand.
    """

    def codegen(context, builder, signature, args):
        target = origin(context, builder, signature, args, 0, 1)
        source = origin(context, builder, signature, args, 2, 3)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[0])
        simd = Vectors(builder, context.get_value_type(signature.args[0].dtype), lanes)
        simd.prefetch_vectors(builder.gep(source, [args[4]]), VECTORS)
        moved = [simd.load(builder.gep(source, [INT64(i * lanes)])) for i in range(VECTORS)]
        for i, vector in enumerate(moved):
            simd.store(vector, builder.gep(target, [INT64(i * lanes)]))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), codegen


@inlined
def pack_panel(source, base, rows, run, column_step, columns, packed, packed_base):
    """packed[k, n] = source[base + rows[k] + n * column_step] for one panel of up to its width of `columns`.

    The table `rows` consists of runs of so many consecutive numbers. Lanes beyond `columns` hold anything: they are
    computed with, but never stored.
    """
    width = VECTORS * VECTOR_BYTES // packed.itemsize
    columns = min(columns, width)
    if column_step == 1 and columns == width:
        for k in range(rows.size):
            ahead = rows[min(k + ROWS_AHEAD, rows.size - 1)] - rows[k]
            copy_panel_row(packed, packed_base + k * width, source, base + rows[k], ahead)
    elif column_step == 1:
        for k in range(rows.size):
            copy_elements(packed, packed_base + k * width, source, base + rows[k], columns)
    else:
        for k in range(0, rows.size, run):
            transpose(source, base + rows[k], column_step, columns, run, packed, packed_base + k * width, width, width)


@compiled
def _pack_tiles(ticket, tiles, source, rows, run, group_step, column_step, columns, panels, packed):
    width = VECTORS * VECTOR_BYTES // packed.itemsize
    tile = take(ticket)
    while tile < tiles:
        group, panel = tile // panels, tile % panels
        base = group * group_step + panel * width * column_step
        left = columns - panel * width
        pack_panel(source, base, rows, run, column_step, left, packed, tile * rows.size * width)
        tile = take(ticket)


def pack(
    source: np.ndarray,
    rows: np.ndarray,
    run: int,
    *,
    columns: int,
    column_step: int = 1,
    groups: int = 1,
    group_step: int = 0,
) -> np.ndarray:
    """Lay a matrix (one for each group) out in panels: flat source and row table in, flat panels out.

    Element (k, n) of group g is source[g * group_step + rows[k] + n * column_step]; `rows` consists of runs of so many
    consecutive numbers.
    """
    panels = panel_count(columns, source.dtype)
    packed = memory.empty((groups * panels * rows.size * panel_width(source.dtype),), source.dtype)
    tiles = groups * panels
    threads = threads_for(packed.size)
    share(_pack_tiles, tiles, threads, source, rows, run, group_step, column_step, columns, panels, packed)
    return packed


@compiled
def _pad_groups(ticket, tiles, bias, padded):
    columns, width = bias.size // tiles, padded.size // tiles
    group = take(ticket)
    while group < tiles:
        row = padded[group * width : (group + 1) * width]
        row[:columns] = bias[group * columns : (group + 1) * columns]
        row[columns:] = 0
        group = take(ticket)


@lru_cache(maxsize=64)
def _zeros(size: int, dtype: np.dtype) -> np.ndarray:
    return np.zeros(size, dtype)


def pad_bias(bias: np.ndarray | None, columns: int, groups: int, dtype: np.dtype) -> np.ndarray:
    """The bias of each group filled up with zeros to whole panels, for the accumulators to start from; only to read."""
    size = groups * panel_count(columns, dtype) * panel_width(dtype)
    if bias is None:
        return _zeros(size, dtype)
    padded = np.empty(size, dtype)
    share(_pad_groups, groups, 1, flat(bias, dtype), padded)
    return padded
