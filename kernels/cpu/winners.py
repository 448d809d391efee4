"""Backward of a pooled block through its winners alone.

A max pooling hands its gradient to one cell of each window, and a ReLU to none where the winner is not positive. So of
the dense sums at most one term in PH*PW is not zero, and only these are worked out, filter by filter:

    gw[.., f]   += g * x[window of the winner]      for each winner of filter f and its gradient g
    gx[window]  += g * w[.., f]

A window is a few runs of contiguous numbers (`windows`), so a winner is a start in memory and a g, and both sums are
the same loop, `winner_sums.sum_runs`: add up scaled runs of numbers in registers, over a list of starts and scales.

- gw: for each filter a list of its winners, over which the gradient of its weights stays in registers;
- gx: for each cell of a pooling window a list of the filters whose winner it is, over which the window's gradient stays
  in registers. Filters come in blocks whose weights stay in the first-level cache.

The lists are made for a band at a time, a few rows of windows, whose input fits that cache too. A thread works through
whole pictures, because the windows of two bands may overlap in gx. gw is summed for each chunk of the batch, and the
chunks are added in their order, as in `convolution`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding, Pair
from ..noting import copy
from . import memory
from .activations import activation_gradient
from .arrays import flat
from .cache import compiled, inlined
from .convolution import CHUNK_BYTES, CHUNKS, tap_lines
from .elementwise import sum_rows
from .moving import clear_elements, copy_elements
from .panels import vector_lanes
from .pooling import Grid, reaches_over_the_edge
from .threads import enter, share, take, threads_for
from .vectors import VECTOR_BYTES
from .windows import Windows, copy_region, windows
from .winner_sums import MOST_VECTORS, RUNS_TOGETHER, list_by_cell, list_by_filter, sum_runs

# The input rows of a band: a common first-level cache.
BAND_BYTES = 48 * 1024
# The weights of a block of filters, of the runs that are in registers together.
BLOCK_BYTES = 32 * 1024


class Pooled(NamedTuple):
    """A block's output: what its backward starts from."""

    y: np.ndarray  # flat
    winners: np.ndarray  # flat
    grid: Grid
    kind: int  # of activation
    alpha: float


class WinnersCut(NamedTuple):
    """How the work is cut, and how a region of the input is laid out. Sizes count elements."""

    needs_x: bool
    needs_w: bool
    needs_b: bool
    chunk_images: int
    band_rows: int  # rows of pooling windows to a band
    row: int  # from a row of the convolution's output to the next, in the input
    column: int
    edges: bool  # windows of the pooling reach over the edge
    group_inputs: int
    group_outputs: int
    vectors: int  # to a run
    together: int  # of them that are in registers
    tail: int  # numbers in a run's last vector
    window: int  # a filter's weights or their gradient, runs filled up to whole vectors
    windows: int  # of the pooling in a band, at most
    cells: int  # to one of them
    filters: int  # to a block
    region: int  # scratch for a band's input
    picture: int  # scratch for one picture of gx
    gradients: int  # scratch for a band's gradients
    scratch: int  # all that a thread needs
    starts: int  # integers that a thread needs, for the lists
    ends: int  # and for where they end


def _lines(elements: int) -> int:
    """Rounded up to whole cache lines, and one more, which the last vector may reach into."""
    return -(-elements // 16) * 16 + 16


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], kernel: tuple[int, int, int, int], grid: Grid, strides: Pair, padding: Padding,
    dilation: Pair, dtype: np.dtype, needs: tuple[bool, bool, bool],
) -> tuple[Windows, WinnersCut]:  # fmt: skip
    (N, _, _, C), (KH, KW, inputs, F) = shape, kernel
    found = windows(
        shape, *tap_lines(padding, dilation, (KH, KW)), strides, (grid.height, grid.width), tap_channels=inputs,
        itemsize=dtype.itemsize, work=1, band_rows=grid.height,
    )  # fmt: skip
    r, lanes = found.regions, vector_lanes(dtype)
    vectors = -(-found.run_length // lanes)
    window = found.runs.size * vectors * lanes
    step, span = grid.row_stride * strides[0], (grid.window_rows - 1) * strides[0] + r.span
    fitting = max(1, (BAND_BYTES // (r.pitch * dtype.itemsize) - span) // step + 1)
    bands = -(-grid.output_rows // min(fitting, grid.output_rows))
    band_rows = -(-grid.output_rows // bands)
    affordable = max(1, CHUNK_BYTES // (F * window * dtype.itemsize))
    pooled_windows, cells = band_rows * grid.output_columns, grid.window_rows * grid.window_columns
    together = -(-vectors // -(-vectors // MOST_VECTORS))
    run_bytes = min(RUNS_TOGETHER[together], found.runs.size) * together * VECTOR_BYTES
    filters = F * inputs // C
    filters = -(-filters // -(-filters // max(1, BLOCK_BYTES // run_bytes)))
    region = _lines(((band_rows - 1) * step + span) * r.pitch)
    picture = _lines(((grid.height - 1) * strides[0] + r.span) * r.pitch) if needs[0] else 0
    gradients = _lines((pooled_windows + 1) * F)
    starts = pooled_windows * max(F, cells * filters)
    return found, WinnersCut(
        *needs, -(-N // min(CHUNKS, affordable, N)), band_rows, strides[0] * r.pitch, strides[1] * C,
        reaches_over_the_edge(grid), inputs, F * inputs // C, vectors, together,
        found.run_length - (vectors - 1) * lanes, window, pooled_windows, cells, filters, region, picture, gradients,
        region + picture + gradients + _lines(starts), starts, max(F, pooled_windows * cells),
    )  # fmt: skip


@inlined
def _load_gradients(gy, y, winners, image, i_first, i_end, grid, cut, kind, alpha, totals, total_base, scratch, base):
    """scratch[base:] = a band's gradients times the derivative; their sum to totals[total_base:] if needed.

    Where a winner stands in the padding of the pooling, its gradient ends here.
    """
    F = grid.channels
    line = grid.output_columns * F
    sums = scratch[base + cut.windows * F : base + (cut.windows + 1) * F]
    total = totals[total_base : total_base + F]
    for i in range(i_first, i_end):
        source, target = (image * grid.output_rows + i) * line, base + (i - i_first) * line
        values = scratch[target : target + line]
        activation_gradient(gy[source : source + line], y[source : source + line], kind, alpha, values)
        if cut.needs_b:
            # A line on its own first: sums of sums round less.
            sums[:] = 0
            for j in range(grid.output_columns):
                gradient = values[j * F : (j + 1) * F]
                for f in range(F):
                    sums[f] += gradient[f]
            for f in range(F):
                total[f] += sums[f]
        if cut.edges:
            for k in range(line):
                p, q = divmod(np.int64(winners[source + k]), grid.window_columns)
                row = i * grid.row_stride - grid.top + p
                column = k // F * grid.column_stride - grid.left + q
                if row < 0 or row >= grid.height or column < 0 or column >= grid.width:
                    values[k] = 0


@inlined
def _add_to_kernel(
    image, i_first, i_end, first, winners, grid, cut, cells, runs, sum_runs_at, region, gradients, sums, base, scratch,
    scales, starts, ends,
):  # fmt: skip
    """Add a band to the gradient of the weights at sums[base:], one filter after the other.

    `first` is the row of the convolution's output whose windows start at scratch[region].
    """
    F, columns = grid.channels, grid.output_columns
    lanes = VECTOR_BYTES // scratch.itemsize
    for f in range(F):
        ends[f] = f * cut.windows
    for i in range(i_first, i_end):
        row = (i * grid.row_stride - grid.top - first) * cut.row
        for j in range(columns):
            window = (i - i_first) * columns + j
            list_by_filter(
                F, scratch, gradients + window * F, winners, ((image * grid.output_rows + i) * columns + j) * F,
                cells, row + (j * grid.column_stride - grid.left) * cut.column, ends, scratch, scales, starts,
            )  # fmt: skip
    for f in range(F):
        listed = f * cut.windows
        source = region + f // cut.group_outputs * cut.group_inputs
        for vector in range(0, cut.vectors, cut.together):
            vectors = min(cut.together, cut.vectors - vector)
            for run in range(0, runs.size, RUNS_TOGETHER[vectors]):
                sum_runs(
                    vectors, scratch, source + vector * lanes, runs, run, runs.size - 1,
                    starts, listed, scratch, scales + listed, ends[f] - listed,
                    sums, base + f * cut.window + vector * lanes, sum_runs_at, lanes,
                )  # fmt: skip


@inlined
def _add_to_picture(
    image, i_first, i_end, winners, grid, cut, cells, runs, weight_runs, picture, gradients, weights, scratch, scales,
    starts, ends,
):  # fmt: skip
    """Add a band to the gradient of the picture at scratch[picture:], a block of filters after the other."""
    F, columns = grid.channels, grid.output_columns
    lanes = VECTOR_BYTES // scratch.itemsize
    windows = (i_end - i_first) * columns
    first_winner = (image * grid.output_rows + i_first) * columns * F
    for number in range(F // cut.group_outputs * (-(-cut.group_outputs // cut.filters))):
        group, block = divmod(number, -(-cut.group_outputs // cut.filters))
        f = group * cut.group_outputs + block * cut.filters
        filters = min(cut.filters, cut.group_outputs - block * cut.filters)
        for k in range(windows * cut.cells):
            ends[k] = k * cut.filters
        for window in range(windows):
            list_by_cell(
                filters, scratch, gradients + window * F + f, winners, first_winner + window * F + f, cut.window,
                ends, window * cut.cells, scratch, scales, starts,
            )  # fmt: skip
        for vector in range(0, cut.vectors, cut.together):
            vectors = min(cut.together, cut.vectors - vector)
            tail = cut.tail if vector + vectors == cut.vectors else lanes
            for run in range(0, runs.size, RUNS_TOGETHER[vectors]):
                for window in range(windows):
                    row = ((i_first + window // columns) * grid.row_stride - grid.top) * cut.row
                    column = (window % columns * grid.column_stride - grid.left) * cut.column
                    corner = picture + row + column + group * cut.group_inputs + vector * lanes
                    for cell in range(cut.cells):
                        listed = (window * cut.cells + cell) * cut.filters
                        count = ends[window * cut.cells + cell] - listed
                        if count > 0:
                            sum_runs(
                                vectors, weights, f * cut.window + vector * lanes, weight_runs, run, runs.size - 1,
                                starts, listed, scratch, scales + listed, count,
                                scratch, corner + cells[cell], runs, tail,
                            )  # fmt: skip


@inlined
def _copy_picture(scratch, base, rows, r, gx, image):
    """The picture inside a region with padding around it."""
    row = r.width * r.channels
    left = -r.first_column * r.channels
    count = min(row, r.pitch - left)
    for h in range(r.height):
        target = (image * r.height + h) * row
        region_row = h - r.first_row
        if region_row >= rows or count <= 0:
            clear_elements(gx, target, row)
            continue
        copy_elements(gx, target, scratch, base + region_row * r.pitch + left, count)
        clear_elements(gx, target + count, row - count)


@compiled
def _winners_pass(
    ticket, tiles, gy, y, winners, x, weights, gx, sums, bias_sums, runs, filled_runs, cells, regions, grid, cut, kind,
    alpha, scratch, integers,
):  # fmt: skip
    F = grid.channels
    thread = enter(ticket)
    region = thread * cut.scratch
    picture = region + cut.region
    gradients = picture + cut.picture
    scales = gradients + cut.gradients
    lists = integers[thread * (cut.starts + cut.ends) : (thread + 1) * (cut.starts + cut.ends)]
    starts, ends = lists[: cut.starts], lists[cut.starts :]
    rows = (grid.height - 1) * regions.row_stride + regions.span
    chunk = take(ticket)
    while chunk < tiles:
        if cut.needs_w:
            clear_elements(sums, chunk * F * cut.window, F * cut.window)
        if cut.needs_b:
            clear_elements(bias_sums, chunk * F, F)
        for image in range(chunk * cut.chunk_images, min((chunk + 1) * cut.chunk_images, grid.images)):
            if cut.needs_x:
                clear_elements(scratch, picture, cut.picture)
            for i_first in range(0, grid.output_rows, cut.band_rows):
                i_end = min(i_first + cut.band_rows, grid.output_rows)
                _load_gradients(
                    gy, y, winners, image, i_first, i_end, grid, cut, kind, alpha, bias_sums, chunk * F, scratch,
                    gradients,
                )  # fmt: skip
                if cut.needs_w:
                    first = max(0, i_first * grid.row_stride - grid.top)
                    end = min(grid.height, (i_end - 1) * grid.row_stride - grid.top + grid.window_rows)
                    needed = (end - first - 1) * regions.row_stride + regions.span
                    copy_region(
                        x, image, first * regions.row_stride + regions.first_row, needed, regions, scratch, region
                    )
                    _add_to_kernel(
                        image, i_first, i_end, first, winners, grid, cut, cells, runs, filled_runs, region, gradients,
                        sums, chunk * F * cut.window, scratch, scales, starts, ends,
                    )  # fmt: skip
                if cut.needs_x:
                    _add_to_picture(
                        image, i_first, i_end, winners, grid, cut, cells, runs, filled_runs, picture, gradients,
                        weights, scratch, scales, starts, ends,
                    )  # fmt: skip
            if cut.needs_x:
                _copy_picture(scratch, picture, rows, regions, gx, image)
        chunk = take(ticket)


@compiled
def _add_filters(ticket, tiles, sums, gw, chunks, window, runs, run_length):
    """gw[run, k, f] = the sum over chunks of sums[chunk, f, run, k], a filter at a time."""
    f = take(ticket)
    while f < tiles:
        total = sums[f * window : (f + 1) * window]
        for chunk in range(1, chunks):
            part = sums[(chunk * tiles + f) * window : (chunk * tiles + f + 1) * window]
            for k in range(window):
                total[k] += part[k]
        for run in range(runs):
            source, target = run * (window // runs), run * run_length * tiles + f
            for k in range(run_length):
                gw[target + k * tiles] = total[source + k]
        f = take(ticket)


def _by_filter(w: np.ndarray, found: Windows, cut: WinnersCut, dtype: np.dtype) -> np.ndarray:
    """The weights filter by filter, each run filled up to whole vectors."""
    F, lanes = w.shape[3], vector_lanes(dtype)
    packed = np.zeros((F, found.runs.size, cut.vectors * lanes), dtype)
    copy(packed[:, :, : found.run_length], w.reshape(found.runs.size, found.run_length, F).transpose(2, 0, 1))
    return packed.reshape(-1)


def winners_gradients(
    gy: np.ndarray, pooled: Pooled, x: np.ndarray, w: np.ndarray, needs: tuple[bool, bool, bool], strides: Pair,
    padding: Padding, dilation: Pair,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """gx, gw and gb, as far as needed, of a batch that is not empty; see the module."""
    dtype, grid, F = gy.dtype, pooled.grid, w.shape[3]
    found, cut = _plan(x.shape, w.shape, grid, strides, padding, dilation, dtype, needs)
    chunks = -(-len(x) // cut.chunk_images)
    p, q = np.divmod(np.arange(grid.window_rows * grid.window_columns), grid.window_columns)
    gx = memory.empty(x.shape if cut.needs_x else (0,), dtype)
    gw = memory.empty(w.shape if cut.needs_w else (0,), dtype)
    bias_sums = np.empty((chunks if cut.needs_b else 0, F), dtype)
    sums = memory.empty((chunks * F * cut.window if cut.needs_w else 0,), dtype)
    threads = min(chunks, threads_for(gy.size * cut.window))
    filled_runs = np.arange(found.runs.size) * (cut.window // found.runs.size)
    share(
        _winners_pass, chunks, threads, flat(gy, dtype), pooled.y, pooled.winners, flat(x, dtype),
        _by_filter(w, found, cut, dtype) if cut.needs_x else sums, gx.reshape(-1), sums, bias_sums.reshape(-1),
        found.runs, filled_runs, p * cut.row + q * cut.column, found.regions, grid, cut, pooled.kind, pooled.alpha,
        memory.empty((threads * cut.scratch,), dtype), memory.empty((threads * (cut.starts + cut.ends),), np.int64),
    )  # fmt: skip
    if cut.needs_w:
        share(
            _add_filters, F, threads_for(sums.nbytes), sums, gw.reshape(-1), chunks, cut.window, found.runs.size,
            found.run_length,
        )  # fmt: skip
    return gx if cut.needs_x else None, gw if cut.needs_w else None, sum_rows(bias_sums) if cut.needs_b else None
