"""Max and average pooling with their gradients.

The letters: pictures x (N, H, W, C), windows of PH x PW cells every SH rows and SW columns, y (N, OH, OW, C).
Position (i, j) covers the rows i*SH - top .. + PH - 1 and the columns j*SW - left .. + PW - 1, as far as they lie in
the picture.

Channels lie next to each other in memory, so every loop below runs over them innermost: one cell of the window
after another is compared with (or added to) a vector of channels. Windows that reach over the edge take loops of their
own. Gradients run over the windows too, adding to the cells they came from; a picture belongs to one thread, so
overlapping windows never meet in two threads and sums keep their order.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..geometry import Padding, Pair, output_sizes, winner_dtype
from . import memory
from .arrays import flat, floating
from .cache import compiled, inlined
from .moving import clear_elements
from .threads import share, take, threads_for
from .vectors import INT32, INT64, VECTOR_BYTES, Vectors, copy_pieces, element_bytes, emitted, origin


class Grid(NamedTuple):
    """The shape of a pooling: plain integers for compiled code."""

    images: int
    height: int
    width: int
    channels: int
    output_rows: int
    output_columns: int
    window_rows: int
    window_columns: int
    row_stride: int
    column_stride: int
    top: int
    left: int

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, OH, OW, C)."""
        return self.images, self.output_rows, self.output_columns, self.channels

    @property
    def threads(self) -> int:
        """Threads that the work is worth."""
        return threads_for(math.prod(self.output_shape) * self.window_rows * self.window_columns)


def grid_of(images: int, size: Pair, channels: int, pool_size: Pair, strides: Pair, padding: Padding) -> Grid:
    """The pooling of so many pictures of this size and number of channels."""
    (top, _), (left, _) = padding
    return Grid(
        images, *size, channels, *output_sizes(size, pool_size, strides, padding), *pool_size, *strides, top, left
    )


def reaches_over_the_edge(grid: Grid) -> bool:
    """Whether any window holds cells outside the picture."""
    bottom = (grid.output_rows - 1) * grid.row_stride - grid.top + grid.window_rows
    right = (grid.output_columns - 1) * grid.column_stride - grid.left + grid.window_columns
    return grid.top > 0 or grid.left > 0 or bottom > grid.height or right > grid.width


@lru_cache(maxsize=1024)
def window_cells(window: Pair, row: int, channels: int) -> np.ndarray:
    """Offsets of a window's cells from its first, in reading order."""
    return (np.arange(window[0])[:, None] * row + np.arange(window[1]) * channels).reshape(-1).astype(np.int64)


@emitted
def pool_vector(typingctx, source, base, cells, count, y, y_base, winners, winners_base, columns):
    """y[k] = the largest of source[base + cells[i] + k] over i < count, winners[k] = the i of it, for one vector of k.

    The first of equal ones wins, and the first NaN wins over all. y and winners are flat and mean y[y_base + k] and so
    on; `columns` of them are stored. A vector of `source` must be readable at each cell.
    """

    def codegen(context, builder, signature, args):
        at = partial(origin, context, builder, signature, args)
        element = context.get_value_type(signature.args[0].dtype)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[0])
        simd = Vectors(builder, element, lanes)
        numbers = ir.VectorType(INT32, lanes)
        first, table = at(0, 1), at(2)
        best, winner = cgutils.alloca_once(builder, simd.type), cgutils.alloca_once(builder, numbers)

        def cell(i: ir.Value) -> ir.Value:
            return simd.load(builder.gep(first, [builder.load(builder.gep(table, [i]))]))

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
        y_target = at(4, 5)
        winner_target = at(6, 7)
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


@inlined
def _inside(position, stride, before, window, size):
    """The first cell of a window that lies in the picture, and the first behind it; along one axis."""
    start = position * stride - before
    return max(0, -start), min(window, size - start)


@compiled
def _max_pool(ticket, tiles, x, y, winners, grid, cells):
    C, lanes = grid.channels, VECTOR_BYTES // y.itemsize
    reach = cells[-1] + (C + lanes - 1) // lanes * lanes
    tile = take(ticket)
    while tile < tiles:
        image, i = tile // grid.output_rows, tile % grid.output_rows
        p_first, p_end = _inside(i, grid.row_stride, grid.top, grid.window_rows, grid.height)
        first_row = (image * grid.height + i * grid.row_stride - grid.top) * grid.width
        end = (tile + 1) * grid.output_columns * C
        for j in range(grid.output_columns):
            q_first, q_end = _inside(j, grid.column_stride, grid.left, grid.window_columns, grid.width)
            target = (tile * grid.output_columns + j) * C
            corner = (first_row + j * grid.column_stride - grid.left) * C
            whole = p_end - p_first == grid.window_rows and q_end - q_first == grid.window_columns
            if whole and corner + reach <= x.size:
                # What is written too much within the row lies where the next numbers go.
                for c in range(0, C, lanes):
                    pool_vector(
                        x, corner + c, cells, cells.size, y, target + c, winners, target + c, end - target - c
                    )
                continue
            best, winner = y[target : target + C], winners[target : target + C]
            for c in range(C):
                best[c] = -np.inf
                winner[c] = 0
            for p in range(p_first, p_end):
                for q in range(q_first, q_end):
                    source = corner + (p * grid.width + q) * C
                    cell = x[source : source + C]
                    index = p * grid.window_columns + q
                    for c in range(C):
                        # A NaN is not at most the best so far, and once it is the best, nothing beats it.
                        wins = (best[c] == best[c]) and not (cell[c] <= best[c])
                        best[c] = cell[c] if wins else best[c]
                        winner[c] = index if wins else winner[c]
        tile = take(ticket)


@compiled
def _max_pool_gradient(ticket, tiles, gy, winners, gx, grid, cells):
    C = grid.channels
    size = grid.height * grid.width * C
    image = take(ticket)
    while image < tiles:
        clear_elements(gx, image * size, size)
        for i in range(grid.output_rows):
            p_first, p_end = _inside(i, grid.row_stride, grid.top, grid.window_rows, grid.height)
            first_row = (image * grid.height + i * grid.row_stride - grid.top) * grid.width
            for j in range(grid.output_columns):
                q_first, q_end = _inside(j, grid.column_stride, grid.left, grid.window_columns, grid.width)
                source = ((image * grid.output_rows + i) * grid.output_columns + j) * C
                corner = (first_row + j * grid.column_stride - grid.left) * C
                gradient, winner = gy[source : source + C], winners[source : source + C]
                if p_end - p_first == grid.window_rows and q_end - q_first == grid.window_columns:
                    for c in range(C):
                        gx[corner + cells[winner[c]] + c] += gradient[c]
                    continue
                for p in range(p_first, p_end):
                    for q in range(q_first, q_end):
                        target = corner + (p * grid.width + q) * C
                        cell = gx[target : target + C]
                        index = p * grid.window_columns + q
                        for c in range(C):
                            cell[c] += gradient[c] if winner[c] == index else 0
        image = take(ticket)


@compiled
def _max_pool_gather(ticket, tiles, x, winners, y, grid):
    C = grid.channels
    tile = take(ticket)
    while tile < tiles:
        image, i = tile // grid.output_rows, tile % grid.output_rows
        for j in range(grid.output_columns):
            target = (tile * grid.output_columns + j) * C
            for c in range(C):
                winner = np.int64(winners[target + c])
                h = i * grid.row_stride - grid.top + winner // grid.window_columns
                w = j * grid.column_stride - grid.left + winner % grid.window_columns
                outside = h < 0 or h >= grid.height or w < 0 or w >= grid.width
                y[target + c] = 0 if outside else x[((image * grid.height + h) * grid.width + w) * C + c]
        tile = take(ticket)


@compiled
def _avg_pool(ticket, tiles, x, y, grid):
    C = grid.channels
    tile = take(ticket)
    while tile < tiles:
        image, i = tile // grid.output_rows, tile % grid.output_rows
        p_first, p_end = _inside(i, grid.row_stride, grid.top, grid.window_rows, grid.height)
        for j in range(grid.output_columns):
            q_first, q_end = _inside(j, grid.column_stride, grid.left, grid.window_columns, grid.width)
            target = (tile * grid.output_columns + j) * C
            total = y[target : target + C]
            cells = y.dtype.type((p_end - p_first) * (q_end - q_first))
            for c in range(C):
                total[c] = 0
            for p in range(p_first, p_end):
                row = (image * grid.height + i * grid.row_stride - grid.top + p) * grid.width
                for q in range(q_first, q_end):
                    source = (row + j * grid.column_stride - grid.left + q) * C
                    cell = x[source : source + C]
                    for c in range(C):
                        total[c] += cell[c]
            for c in range(C):
                total[c] /= cells
        tile = take(ticket)


@compiled
def _avg_pool_gradient(ticket, tiles, gy, gx, grid):
    C = grid.channels
    size = grid.height * grid.width * C
    image = take(ticket)
    while image < tiles:
        clear_elements(gx, image * size, size)
        for i in range(grid.output_rows):
            p_first, p_end = _inside(i, grid.row_stride, grid.top, grid.window_rows, grid.height)
            for j in range(grid.output_columns):
                q_first, q_end = _inside(j, grid.column_stride, grid.left, grid.window_columns, grid.width)
                source = ((image * grid.output_rows + i) * grid.output_columns + j) * C
                gradient = gy[source : source + C]
                cells = gx.dtype.type((p_end - p_first) * (q_end - q_first))
                for p in range(p_first, p_end):
                    row = (image * grid.height + i * grid.row_stride - grid.top + p) * grid.width
                    for q in range(q_first, q_end):
                        target = (row + j * grid.column_stride - grid.left + q) * C
                        cell = gx[target : target + C]
                        for c in range(C):
                            cell[c] += gradient[c] / cells
        image = take(ticket)


def max_pool2d(x: np.ndarray, *, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[np.ndarray, np.ndarray]:
    """y (N, OH, OW, C), the largest value of each window, and winners of that shape: its place p*PW + q there."""
    dtype = floating("max_pool2d", x)
    grid = grid_of(x.shape[0], x.shape[1:3], x.shape[3], pool_size, strides, padding)
    y = memory.empty(grid.output_shape, dtype)
    winners = memory.empty(grid.output_shape, winner_dtype(pool_size))
    tiles = grid.images * grid.output_rows
    cells = window_cells(pool_size, grid.width * grid.channels, grid.channels)
    share(_max_pool, tiles, grid.threads, flat(x, dtype), y.reshape(-1), winners.reshape(-1), grid, cells)
    return y, winners


def max_pool2d_gradient(
    gy: np.ndarray, winners: np.ndarray, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> np.ndarray:
    """gx (N, H, W, C): each gy (N, OH, OW, C) added to the cell that won its window."""
    dtype = floating("max_pool2d_gradient", gy)
    grid = grid_of(gy.shape[0], input_size, gy.shape[3], pool_size, strides, padding)
    gx = memory.empty((grid.images, *input_size, grid.channels), dtype)
    winners = flat(winners, winners.dtype)
    cells = window_cells(pool_size, grid.width * grid.channels, grid.channels)
    share(_max_pool_gradient, grid.images, grid.threads, flat(gy, dtype), winners, gx.reshape(-1), grid, cells)
    return gx


def max_pool2d_gather(
    x: np.ndarray, winners: np.ndarray, *, pool_size: Pair, strides: Pair, padding: Padding
) -> np.ndarray:
    """y (N, OH, OW, C): x (N, H, W, C) where the winners stand."""
    dtype = floating("max_pool2d_gather", x)
    grid = grid_of(x.shape[0], x.shape[1:3], x.shape[3], pool_size, strides, padding)
    y = memory.empty(grid.output_shape, dtype)
    tiles = grid.images * grid.output_rows
    share(_max_pool_gather, tiles, grid.threads, flat(x, dtype), flat(winners, winners.dtype), y.reshape(-1), grid)
    return y


def avg_pool2d(x: np.ndarray, *, pool_size: Pair, strides: Pair, padding: Padding) -> np.ndarray:
    """y (N, OH, OW, C): the mean of each window over its cells in the picture."""
    dtype = floating("avg_pool2d", x)
    grid = grid_of(x.shape[0], x.shape[1:3], x.shape[3], pool_size, strides, padding)
    y = memory.empty(grid.output_shape, dtype)
    share(_avg_pool, grid.images * grid.output_rows, grid.threads, flat(x, dtype), y.reshape(-1), grid)
    return y


def avg_pool2d_gradient(
    gy: np.ndarray, *, input_size: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> np.ndarray:
    """gx (N, H, W, C): gy (N, OH, OW, C) in equal shares to the cells of its window."""
    dtype = floating("avg_pool2d_gradient", gy)
    grid = grid_of(gy.shape[0], input_size, gy.shape[3], pool_size, strides, padding)
    gx = memory.empty((grid.images, *input_size, grid.channels), dtype)
    share(_avg_pool_gradient, grid.images, grid.threads, flat(gy, dtype), gx.reshape(-1), grid)
    return gx
