"""Blocks whose backward is dense: those with average pooling, and those without any.

Forward, rows are averaged while they lie in the cache. Backward needs the activation's output before pooling, which the
block therefore keeps: one pass over it spreads gy over the windows, multiplies by the derivative and adds up the
gradient of the bias. This serves windows side by side that cover the picture; a block without pooling is the case of
windows of one cell.

The bias: each number of an output row has a sum of its own over a picture's rows, which fills vectors whatever the
number of filters is; these are added column by column at the picture's end.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from . import memory
from .activations import activation_gradient
from .arrays import flat
from .cache import compiled, inlined
from .convolution import CHUNKS
from .elementwise import sum_rows
from .pooling import Grid
from .threads import enter, share, take, threads_for
from .vectors import INT64, VECTOR_BYTES, Vectors, copy_pieces, element_bytes, emitted, origin


def tiles_exactly(grid: Grid, size: tuple[int, int]) -> bool:
    """Whether the windows lie side by side, from the first cell on, and cover pictures of this size."""
    rows, columns = grid.output_rows * grid.window_rows, grid.output_columns * grid.window_columns
    strides, start = (grid.row_stride, grid.column_stride), (grid.top, grid.left)
    return (rows, columns) == size and strides == (grid.window_rows, grid.window_columns) and start == (0, 0)


@emitted
def _average_vector(typingctx, source, base, cells, scale, y, y_base, columns):
    """y[y_base + k] = scale * the sum of source[base + cells[i] + k] over i, for the first `columns` k of a vector."""

    def codegen(context, builder, signature, args):
        element = context.get_value_type(signature.args[0].dtype)
        simd = Vectors(builder, element, VECTOR_BYTES // element_bytes(context, signature.args[0]))
        first = origin(context, builder, signature, args, 0, 1)
        target = origin(context, builder, signature, args, 4, 5)
        cells = context.make_array(signature.args[2])(context, builder, args[2])
        total = cgutils.alloca_once_value(builder, ir.Constant(simd.type, [0.0] * simd.lanes))
        with cgutils.for_range(builder, builder.extract_value(cells.shape, 0)) as loop:
            cell = builder.gep(first, [builder.load(builder.gep(cells.data, [loop.index]))])
            builder.store(builder.fadd(builder.load(total), simd.load(cell)), total)
        mean = builder.fmul(builder.load(total), simd.spread(args[3]))
        with builder.if_else(builder.icmp_signed(">=", args[6], INT64(simd.lanes))) as (whole, part):
            with whole:
                simd.store(mean, target)
            with part:
                staging = cgutils.alloca_once(builder, simd.type)
                builder.store(mean, staging)
                staged = builder.bitcast(staging, element.as_pointer())
                copy_pieces(builder, element, [staged], [target], simd.lanes, args[6])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, cells, source.dtype, y, i, i), codegen


@inlined
def average_row(source, base, cells, grid, y, y_base):
    """One row of averages. A vector of `source` must be readable at each cell."""
    F, lanes = grid.channels, VECTOR_BYTES // y.itemsize
    scale = y.dtype.type(1) / y.dtype.type(cells.size)
    line = grid.output_columns * F
    for j in range(grid.output_columns):
        for f in range(0, F, lanes):
            # What is written too much within the row lies where the next numbers go.
            k = j * F + f
            _average_vector(source, base + j * grid.column_stride * F + f, cells, scale, y, y_base + k, line - k)


@compiled
def _spread(ticket, tiles, gy, kept, g, bias_sums, grid, kind, alpha, needs_b, scratch):
    F = grid.channels
    line = grid.output_columns * grid.window_columns * F
    pooled = grid.window_rows * grid.window_columns > 1
    scale = g.dtype.type(1) / g.dtype.type(grid.window_rows * grid.window_columns)
    base = enter(ticket) * 2 * line
    spread, sums = scratch[base : base + line], scratch[base + line : base + 2 * line]
    chunk = take(ticket)
    while chunk < tiles:
        total = bias_sums[chunk * F : (chunk + 1) * F]
        total[:] = 0
        for image in range(chunk * grid.images // tiles, (chunk + 1) * grid.images // tiles):
            sums[:] = 0
            for i in range(grid.output_rows):
                row = (image * grid.output_rows + i) * grid.output_columns * F
                source = gy[row : row + grid.output_columns * F]
                if pooled:
                    for j in range(grid.output_columns):
                        for q in range(grid.window_columns):
                            cell = (j * grid.window_columns + q) * F
                            for f in range(F):
                                spread[cell + f] = scale * source[j * F + f]
                    source = spread
                for p in range(grid.window_rows):
                    first = ((image * grid.output_rows + i) * grid.window_rows + p) * line
                    target = g[first : first + line]
                    activation_gradient(source, kept[first : first + line], kind, alpha, target)
                    if needs_b:
                        for k in range(line):
                            sums[k] += target[k]
            if needs_b:
                for j in range(grid.output_columns * grid.window_columns):
                    for f in range(F):
                        total[f] += sums[j * F + f]
        chunk = take(ticket)


def gradient_before_pooling(
    gy: np.ndarray, kept: np.ndarray, grid: Grid, kind: int, alpha: float, needs_b: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The gradient of the convolution's output (N, OH, OW, F), and that of the bias (F,) if needed.

    Args:
        gy: (N, POH, POW, F). kept: (N, OH, OW, F), the activation's output.
    """
    dtype, F = gy.dtype, grid.channels
    g = memory.empty(kept.shape, dtype)
    chunks = min(CHUNKS, grid.images)
    bias_sums = np.empty((chunks, F), dtype)
    threads = threads_for(4 * g.nbytes)
    scratch = memory.empty((threads * 2 * grid.output_columns * grid.window_columns * F,), dtype)
    share(
        _spread, chunks, threads, flat(gy, dtype), flat(kept, dtype), g.reshape(-1), bias_sums.reshape(-1), grid, kind,
        alpha, needs_b, scratch,
    )  # fmt: skip
    return g, sum_rows(bias_sums) if needs_b else None
