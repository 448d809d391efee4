"""Fused blocks: convolution, bias, activation and max pooling in one pass over memory.

Forward, a thread computes a few rows of the convolution (a band, aligned to rows of pooling windows) into scratch
memory that stays in its cache, and pools and activates them from there. The picture before pooling, the largest array
of such a layer, is never stored: what backward keeps of it is one byte for each window, the winner's place.

Pooling comes before the activation, which then works on a fraction of the numbers; activations rise with their
argument, so the largest value is the same.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..composition import blocks
from ..geometry import Padding, Pair, output_sizes
from . import memory, planes
from .activations import NAMES, activate, gradient
from .arrays import flat, floating
from .cache import compiled, inlined
from .convolution import Output, output_targets, tap_lines, weight_rows
from .panels import ONE, ZERO, multiply_panels, pack, pad_bias
from .planes import Planes
from .pooling import Grid, grid_of, reaches_over_the_edge
from .simd import VECTOR_BYTES, VECTORS, pool_vector
from .threads import enter, share, take, threads_for
from .windows import Windows, cut_rows, load_band, windows
from .winners import Pooled, winners_gradients

# The rows before pooling that a band may fill.
BAND_BYTES = 128 * 1024
# Winners are one byte.
MOST_CELLS = 256
NO_WINNERS = np.zeros(1, np.uint8)


class Cut(NamedTuple):
    """How a block is cut into bands, and a thread's scratch memory. Sizes count elements."""

    direct: bool  # no pooling: straight into y
    band_images: int  # pictures to a band; above 1 only for whole pictures
    band_rows: int  # rows of y to a band
    bands: int  # bands to a picture
    planar: bool  # pixels in the vector lanes
    padded: bool  # windows of the pooling reach over the edge
    row: int  # from a row before pooling to the next
    image: int  # from a picture's rows before pooling to the next
    region: int  # of the convolution's input in scratch memory
    scratch: int


def used_size(size: Pair, grid: Grid) -> Pair:
    """The rows and columns before pooling that any window sees; the rest need not be computed."""
    rows = (grid.output_rows - 1) * grid.row_stride - grid.top + grid.window_rows
    columns = (grid.output_columns - 1) * grid.column_stride - grid.left + grid.window_columns
    return min(size[0], rows), min(size[1], columns)


def pooling_grid(
    images: int, size: Pair, filters: int, pool_size: Pair | None, pool_strides: Pair | None,
    pool_padding: Padding | None,
) -> Grid:  # fmt: skip
    """The pooling of a convolution's output of this size; none is one of single cells."""
    if pool_size is None or pool_strides is None or pool_padding is None:
        pool_size = pool_strides = (1, 1)
        pool_padding = ((0, 0), (0, 0))
    grid = grid_of(images, size, filters, pool_size, pool_strides, pool_padding)
    rows, columns = used_size(size, grid)
    return grid._replace(height=rows, width=columns)


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], kernel: tuple[int, int, int, int], grid: Grid, direct: bool, strides: Pair,
    padding: Padding, dilation: Pair, dtype: np.dtype,
) -> tuple[Windows, Cut, Planes]:  # fmt: skip
    (KH, KW, inputs, F), itemsize = kernel, dtype.itemsize
    tap_rows, tap_columns = tap_lines(padding, dilation, (KH, KW))
    row_bytes = (shape[2] + sum(padding[1])) * shape[3] * itemsize
    work = grid.width * math.prod(kernel)
    stride, reach = grid.row_stride, grid.window_rows
    span = (reach - 1) * strides[0] + tap_rows[-1] - tap_rows[0] + 1
    by_input = cut_rows(grid.images, grid.output_rows, stride * strides[0], span, row_bytes, work * stride)
    fitting = max(1, (BAND_BYTES // max(1, grid.width * F * itemsize) - reach) // stride + 1)
    band_rows = min(by_input, fitting)
    before = (band_rows - 1) * stride + reach
    if before >= grid.height:
        band_rows = grid.output_rows
        before = grid.height
    found = windows(
        shape, tap_rows, tap_columns, strides, (grid.height, grid.width), tap_channels=inputs, itemsize=itemsize,
        work=work, band_rows=before,
    )  # fmt: skip
    images = found.regions.band_images
    filled_rows = (band_rows - 1) * stride + reach
    filled_columns = (grid.output_columns - 1) * grid.column_stride + grid.window_columns
    row = filled_columns * F
    edges = reaches_over_the_edge(grid)
    planar = not (direct or edges) and planes.pays(
        F, grid.width, KH * KW * inputs, dtype, strides=strides, dilation=dilation, groups=shape[3] // inputs
    )
    layout = planes.NONE
    if planar:
        layout = planes.planes(found.regions, KW, F, (before - 1) * strides[0] + KH, dtype)
    region = layout.size if planar else found.scratch
    # One vector more: the last one may reach beyond the last cell.
    scratch = region + (0 if direct else images * filled_rows * row + VECTOR_BYTES)
    cut = Cut(
        direct, images, band_rows, -(-grid.output_rows // band_rows), planar, edges, row,
        grid.output_rows * row if direct else filled_rows * row, region, -(-scratch // 16) * 16,
    )  # fmt: skip
    return found, cut, layout


@inlined
def _convolve_pictures(x, image, images, first, rows, r, layout, pixels, scratch, base, target, cut):
    """Rows of some pictures with pixels in the vector lanes, to scratch[target:], one picture after the other."""
    needed = (rows - 1) * r.row_stride + r.span
    for n in range(images):
        planes.load_planes(x, image + n, first * r.row_stride + r.first_row, needed, r, layout, scratch, base)
        for i in range(rows):
            planes.convolve_row(scratch, base, i, r, layout, pixels, target + n * cut.image + i * cut.row)


@compiled
def _block(
    ticket, tiles, x, weights, bias, y, winners, positions, targets, runs, run_length, cells, regions, output, grid,
    cut, layout, pixels, kind, alpha, scratch,
):  # fmt: skip
    lanes = VECTOR_BYTES // y.itemsize
    width = VECTORS * lanes
    columns, F = output.group_outputs, grid.channels
    panels = (columns + width - 1) // width
    panel = runs.size * run_length * width
    line = grid.output_columns * F
    scratch_base = enter(ticket) * cut.scratch
    before = scratch_base + cut.region
    tile = take(ticket)
    while tile < tiles:
        image = tile // cut.bands * cut.band_images
        images = min(cut.band_images, grid.images - image)
        i_first = tile % cut.bands * cut.band_rows
        i_rows = min(cut.band_rows, grid.output_rows - i_first)
        start = i_first * grid.row_stride - grid.top
        first = max(0, start)
        rows = min(grid.height, start + (i_rows - 1) * grid.row_stride + grid.window_rows) - first
        band = (image * grid.output_rows + i_first) * line
        out, target = scratch, before + (first - start) * cut.row + grid.left * F
        if cut.direct:
            out, target = y, band
        elif cut.padded:
            scratch[before : before + images * cut.image] = -np.inf
        if cut.planar:
            _convolve_pictures(
                x, image, images, first, rows, regions, layout, pixels, scratch, scratch_base, target, cut
            )
        else:
            source, base = load_band(x, regions, image, images, first, rows, scratch, scratch_base)
            for group in range(output.groups):
                multiply_panels(
                    source, base + group * output.group_inputs, positions,
                    ZERO, images * rows * grid.width, runs, runs.size, run_length, ONE,
                    weights, group * panels * panel, panel, run_length * width, width,
                    bias, group * panels * width, ZERO, out, target + group * columns, targets, columns,
                )  # fmt: skip
        for i in range(images * i_rows):
            done = band + (i // i_rows * grid.output_rows + i % i_rows) * line
            if not cut.direct:
                cell = before + i // i_rows * cut.image + i % i_rows * grid.row_stride * cut.row
                for j in range(grid.output_columns):
                    for f in range(0, F, lanes):
                        pool_vector(
                            scratch, cell + j * grid.column_stride * F + f, cells, cells.size,
                            y, done + j * F + f, winners, done + j * F + f, F - f,
                        )  # fmt: skip
            activate(y[done : done + line], kind, alpha)
        tile = take(ticket)


@lru_cache(maxsize=1024)
def _cells(window: Pair, row: int, channels: int) -> np.ndarray:
    """Offsets of a window's cells from its first, in reading order."""
    return (np.arange(window[0])[:, None] * row + np.arange(window[1]) * channels).reshape(-1).astype(np.int64)


_composed_block, _composed_gradients = blocks(lambda: sys.modules[__package__], gradient)


def conv2d_block(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, strides: Pair, padding: Padding, dilation: Pair,
    groups: int, activation: str, alpha: float, pool_size: Pair | None, pool_strides: Pair | None,
    pool_padding: Padding | None,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """y and winners (N, POH, POW, F) from x (N, H, W, C), w (KH, KW, C/groups, F), b (F,) or None; see the module."""
    dtype = floating("conv2d_block", x)
    KH, KW, inputs, F = w.shape
    if pool_size is not None and math.prod(pool_size) > MOST_CELLS:
        return _composed_block(
            x, w, b, strides=strides, padding=padding, dilation=dilation, groups=groups, activation=activation,
            alpha=alpha, pool_size=pool_size, pool_strides=pool_strides, pool_padding=pool_padding,
        )  # fmt: skip
    size = output_sizes(x.shape[1:3], (KH, KW), strides, padding, dilation)
    grid = pooling_grid(len(x), size, F, pool_size, pool_strides, pool_padding)
    y = memory.empty(grid.output_shape, dtype)
    winners = None if pool_size is None else memory.empty(grid.output_shape, np.uint8)
    if not y.size:
        return y, winners
    kind = NAMES.index(activation)
    if pool_size is None and planes.pays(
        F, grid.width, KH * KW * inputs, dtype, strides=strides, dilation=dilation, groups=groups
    ):
        first = (-padding[0][0], -padding[1][0])
        planes.convolve(x, w, b, y, row_stride=strides[0], first=first, kind=kind, alpha=alpha)
        return y, None
    found, cut, layout = _plan(x.shape, w.shape, grid, pool_size is None, strides, padding, dilation, dtype)
    pixels = planes.arrange(w, b, layout, dtype) if cut.planar else planes.no_weights(dtype)
    columns = F // groups
    rows = weight_rows(found.taps, (KW * inputs * F, inputs * F, F), inputs)
    weights = pack(flat(w, dtype), rows, 1, columns=columns, groups=groups, group_step=columns)
    r = found.regions
    targets = output_targets(r.band_images, r.band_rows, grid.width, cut.image, cut.row, F)
    output = Output(0, 0, 0, groups, inputs, columns)
    threads = threads_for(len(x) * grid.height * grid.width * w.size)
    scratch = memory.empty((threads * cut.scratch,), dtype)
    share(
        _block, -(-len(x) // cut.band_images) * cut.bands, threads, flat(x, dtype), weights,
        pad_bias(b, columns, groups, dtype), y.reshape(-1), NO_WINNERS if winners is None else winners.reshape(-1),
        found.positions, targets, found.runs, found.run_length,
        _cells((grid.window_rows, grid.window_columns), cut.row, F), r, output, grid, cut, layout, pixels, kind,
        float(alpha), scratch,
    )  # fmt: skip
    return y, winners


def conv2d_block_gradients(
    gy: np.ndarray, y: np.ndarray, winners: np.ndarray | None, x: np.ndarray, w: np.ndarray, *, needs_x: bool,
    needs_w: bool, needs_b: bool, strides: Pair, padding: Padding, dilation: Pair, groups: int, activation: str,
    alpha: float, pool_size: Pair | None, pool_strides: Pair | None, pool_padding: Padding | None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """gx, gw and gb, as far as needed, from gy, y and winners (N, POH, POW, F), x and w; see the module."""
    dtype = floating("conv2d_block_gradients", gy)
    if winners is None or pool_strides == (1, 1) or winners.dtype != np.uint8 or not gy.size:
        # Where each cell has a window, or nearly, going through the winners one by one saves nothing.
        return _composed_gradients(
            gy, y, winners, x, w, needs_x=needs_x, needs_w=needs_w, needs_b=needs_b, strides=strides, padding=padding,
            dilation=dilation, groups=groups, activation=activation, alpha=alpha, pool_size=pool_size,
            pool_strides=pool_strides, pool_padding=pool_padding,
        )  # fmt: skip
    size = output_sizes(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    grid = pooling_grid(len(x), size, w.shape[3], pool_size, pool_strides, pool_padding)
    pooled = Pooled(flat(y, dtype), flat(winners, winners.dtype), grid, NAMES.index(activation), float(alpha))
    return winners_gradients(gy, pooled, x, w, (needs_x, needs_w, needs_b), strides, padding, dilation)
