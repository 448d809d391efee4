"""Backward of a pooled block through its winners alone.

A max pooling hands its gradient to one cell of each window, and a ReLU to none where the winner is not positive. So of
the dense sums at most one term in PH*PW is not zero, and only these are worked out, filter by filter:

    gw[.., f]   += g * x[window of the winner]      for each winner of filter f and its gradient g
    gx[window]  += g * w[.., f]

A window is a few runs of contiguous numbers (`windows`), so each winner is a start in memory and a g, and the loops of
`simd.sum_runs` and `simd.spread_runs` go through a list of them with the filter's gradient (or its weights) in
registers. The lists are made for a band at a time, a few rows of windows, whose input fits the first-level cache.

A thread works through whole pictures, because the windows of two bands may overlap in gx. gw is summed for each chunk
of the batch, and the chunks are added in their order, as in `convolution`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding, Pair
from . import memory
from .arrays import flat
from .cache import compiled, inlined
from .convolution import CHUNK_BYTES, CHUNKS, Pooled, tap_lines
from .panels import vector_lanes
from .pooling import Grid, reaches_over_the_edge
from .scatter import add_line, gradient_line
from .simd import (
    MOST_VECTORS,
    RUNS_TOGETHER,
    VECTOR_BYTES,
    clear_elements,
    copy_elements,
    spread_runs,
    sum_runs,
)
from .threads import enter, share, take, threads_for
from .windows import Windows, copy_region, windows

# The input rows of a band: a common first-level cache.
BAND_BYTES = 32 * 1024


class Cut(NamedTuple):
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
    listed: int  # winners of a filter in a band, at most
    region: int  # scratch for a band's input
    picture: int  # scratch for one picture of gx
    line: int  # scratch for a row of gradients
    scratch: int  # all that a thread needs


def _lines(elements: int) -> int:
    """Rounded up to whole cache lines, and one more, which the last vector may reach into."""
    return -(-elements // 16) * 16 + 16


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], kernel: tuple[int, int, int, int], grid: Grid, strides: Pair, padding: Padding,
    dilation: Pair, dtype: np.dtype, needs: tuple[bool, bool, bool],
) -> tuple[Windows, Cut]:  # fmt: skip
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
    listed = band_rows * grid.output_columns
    region = _lines(((band_rows - 1) * step + span) * r.pitch)
    picture = _lines(((grid.height - 1) * strides[0] + r.span) * r.pitch) if needs[0] else 0
    line = _lines((grid.output_columns + 1) * grid.channels)
    edges = reaches_over_the_edge(grid)
    return found, Cut(
        *needs, -(-N // min(CHUNKS, affordable, N)), band_rows, strides[0] * r.pitch, strides[1] * C, edges, inputs,
        F * inputs // C, vectors, -(-vectors // -(-vectors // MOST_VECTORS)),
        found.run_length - (vectors - 1) * lanes, window, listed, region, picture, line,
        region + picture + line + _lines(F * listed),
    )  # fmt: skip


@inlined
def _list_winners(grid, cut, winners, image, i, first, cells, scratch, line, scales, starts, counts):
    """Append the winners of one row of windows to the lists of their filters, unless their gradient is zero.

    Starts are relative to the window of the convolution's output row `first`. counts[f] is the length of list f, which
    begins at f * cut.listed of `starts` and scratch[scales:].
    """
    F, PW = grid.channels, grid.window_columns
    top = i * grid.row_stride - grid.top
    for j in range(grid.output_columns):
        left = j * grid.column_stride - grid.left
        corner = (top - first) * cut.row + left * cut.column
        source = ((image * grid.output_rows + i) * grid.output_columns + j) * F
        for f in range(F):
            g = scratch[line + j * F + f]
            winner = np.int64(winners[source + f])
            received = g != 0
            if cut.edges:
                p, q = winner // PW, winner % PW
                inside = 0 <= top + p < grid.height and 0 <= left + q < grid.width
                received = received and inside
            place = f * cut.listed + counts[f]
            scratch[scales + place] = g
            starts[place] = corner + cells[winner]
            counts[f] += received


@inlined
def _sum_kernel(f, cut, runs, x, x_base, scales, starts, starts_base, count, sums, base):
    """Add filter f's winners to the gradient of its weights at sums[base:]."""
    lanes = VECTOR_BYTES // x.itemsize
    x_base += f // cut.group_outputs * cut.group_inputs
    for first in range(0, cut.vectors, cut.together):
        vectors = min(cut.together, cut.vectors - first)
        for run in range(0, runs.size, RUNS_TOGETHER[vectors]):
            sum_runs(
                vectors, x, x_base + first * lanes, runs, run, runs.size - 1, starts, starts_base,
                x, scales, count, sums, base + first * lanes, cut.vectors * lanes,
            )  # fmt: skip


@inlined
def _spread_kernel(f, cut, runs, weights, base, scratch, scales, starts, starts_base, count, out_base):
    """Add filter f's weights, scaled, to the windows of its winners."""
    lanes = VECTOR_BYTES // scratch.itemsize
    out_base += f // cut.group_outputs * cut.group_inputs
    for run in range(runs.size):
        for first in range(0, cut.vectors, cut.together):
            vectors = min(cut.together, cut.vectors - first)
            spread_runs(
                vectors, weights, base + (run * cut.vectors + first) * lanes, starts, starts_base,
                scratch, scales, count, scratch, out_base + runs[run] + first * lanes,
                cut.tail if first + vectors == cut.vectors else lanes,
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
    ticket, tiles, gy, y, winners, x, weights, gx, sums, bias_sums, runs, cells, regions, grid, cut, kind, alpha,
    scratch, starts,
):  # fmt: skip
    F = grid.channels
    thread = enter(ticket)
    region = thread * cut.scratch
    picture = region + cut.region
    line = picture + cut.picture
    scales = line + cut.line
    lists = starts[thread * F * (cut.listed + 1) : (thread + 1) * F * (cut.listed + 1)]
    counts = lists[F * cut.listed :]
    rows = (grid.height - 1) * regions.row_stride + regions.span
    chunk = take(ticket)
    while chunk < tiles:
        if cut.needs_w:
            clear_elements(sums, chunk * F * cut.window, F * cut.window)
        if cut.needs_b:
            clear_elements(bias_sums, chunk * F, F)
        for image in range(chunk * cut.chunk_images, min((chunk + 1) * cut.chunk_images, grid.images)):
            if cut.needs_x:
                clear_elements(scratch, picture, rows * regions.pitch)
            for i_first in range(0, grid.output_rows, cut.band_rows):
                i_end = min(i_first + cut.band_rows, grid.output_rows)
                first = max(0, i_first * grid.row_stride - grid.top)
                end = min(grid.height, (i_end - 1) * grid.row_stride - grid.top + grid.window_rows)
                counts[:] = 0
                for i in range(i_first, i_end):
                    gradient_line(gy, y, image, i, grid, kind, alpha, scratch, line)
                    if cut.needs_b:
                        add_line(scratch, line, grid, bias_sums, chunk * F)
                    _list_winners(grid, cut, winners, image, i, first, cells, scratch, line, scales, lists, counts)
                if cut.needs_w:
                    first_row = first * regions.row_stride + regions.first_row
                    needed = (end - first - 1) * regions.row_stride + regions.span
                    copy_region(x, image, first_row, needed, regions, scratch, region)
                    for f in range(F):
                        _sum_kernel(
                            f, cut, runs, scratch, region, scales + f * cut.listed, lists, f * cut.listed, counts[f],
                            sums, (chunk * F + f) * cut.window,
                        )  # fmt: skip
                if cut.needs_x:
                    for f in range(F):
                        _spread_kernel(
                            f, cut, runs, weights, f * cut.window, scratch, scales + f * cut.listed, lists,
                            f * cut.listed, counts[f], picture + first * cut.row,
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


def _by_filter(w: np.ndarray, found: Windows, cut: Cut, dtype: np.dtype) -> np.ndarray:
    """The weights filter by filter, each run filled up to whole vectors."""
    F, lanes = w.shape[3], vector_lanes(dtype)
    packed = np.zeros((F, found.runs.size, cut.vectors * lanes), dtype)
    packed[:, :, : found.run_length] = w.reshape(found.runs.size, found.run_length, F).transpose(2, 0, 1)
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
    share(
        _winners_pass, chunks, threads, flat(gy, dtype), pooled.y, pooled.winners, flat(x, dtype),
        _by_filter(w, found, cut, dtype) if cut.needs_x else sums, gx.reshape(-1), sums, bias_sums.reshape(-1),
        found.runs, p * cut.row + q * cut.column, found.regions, grid, cut, pooled.kind, pooled.alpha,
        memory.empty((threads * cut.scratch,), dtype), memory.empty((threads * F * (cut.listed + 1),), np.int64),
    )  # fmt: skip
    if cut.needs_w:
        share(
            _add_filters, F, threads_for(sums.nbytes), sums, gw.reshape(-1), chunks, cut.window, found.runs.size,
            found.run_length,
        )  # fmt: skip
    return gx if cut.needs_x else None, gw if cut.needs_w else None, bias_sums.sum(axis=0) if cut.needs_b else None
