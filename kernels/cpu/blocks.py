"""Fused blocks: convolution, bias, activation and pooling in one pass over memory.

Forward, a thread computes a few rows of the convolution (a band, aligned to rows of pooling windows) into scratch
memory that stays in its cache, and pools and activates them from there. The picture before pooling, the largest array
of such a layer, is never stored: what backward keeps of it is one byte for each window, the winner's place.

Max pooling comes before the activation, which then works on a fraction of the numbers; activations rise with their
argument, so the largest value is the same. Averages come behind it, and backward needs what they are made of.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..composition import blocks
from ..geometry import MOST_CELLS, Padding, Pair, output_sizes
from ..winograd import Variant
from . import memory, planes, winograd
from .activations import NAMES, activate, activated, gradient
from .algorithms import choose_variant
from .arrays import flat, floating
from .block_averages import average_row, gradient_before_pooling, tiles_exactly
from .cache import compiled, inlined
from .convolution import (
    Output,
    conv2d_input_gradient,
    conv2d_kernel_gradient,
    output_targets,
    tap_lines,
    weight_rows,
)
from .moving import copy_elements
from .panels import ONE, ZERO, multiply_panels, pack, pad_bias
from .planes import Planes
from .pooling import Grid, avg_pool2d, grid_of, max_pool2d, pool_vector, reaches_over_the_edge, window_cells
from .simd import VECTORS
from .threads import enter, share, take, threads_for
from .vectors import VECTOR_BYTES
from .windows import Windows, cut_rows, load_band, windows
from .winners import Pooled, winners_gradients

# The rows before pooling that a band may fill.
BAND_BYTES = 128 * 1024
# The pooling that Winograd's output transform does on the way.
PLAIN_POOLING = ("max", (2, 2), (2, 2), ((0, 0), (0, 0)))


class BlockCut(NamedTuple):
    """How a block is cut into bands, and a thread's scratch memory. Sizes count elements."""

    direct: bool  # no pooling: straight into y
    band_images: int  # pictures to a band; above 1 only for whole pictures
    band_rows: int  # rows of y to a band
    bands: int  # bands to a picture
    planar: bool  # pixels in the vector lanes
    average: bool  # else the largest
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


class Pooling(NamedTuple):
    """What follows a convolution whose output has this size."""

    size: Pair
    grid: Grid  # of the part of it that any window sees
    kind: str  # "max", "avg" or, with windows of one cell, "none"
    in_one_pass: bool  # the kernels here do it: winners of one byte, averages of windows side by side


@lru_cache(maxsize=1024)
def _pooling(
    shape: tuple[int, int, int, int], kernel: tuple[int, int, int, int], strides: Pair, padding: Padding,
    dilation: Pair, pool_size: Pair | None, pool_strides: Pair | None, pool_padding: Padding | None, kind: str,
) -> Pooling:  # fmt: skip
    size = output_sizes(shape[1:3], kernel[:2], strides, padding, dilation)
    if pool_size is None or pool_strides is None or pool_padding is None:
        pool_size = pool_strides = (1, 1)
        pool_padding, kind = ((0, 0), (0, 0)), "none"
    grid = grid_of(shape[0], size, kernel[3], pool_size, pool_strides, pool_padding)
    rows, columns = used_size(size, grid)
    grid = grid._replace(height=rows, width=columns)
    in_one_pass = tiles_exactly(grid, size) if kind == "avg" else math.prod(pool_size) <= MOST_CELLS
    return Pooling(size, grid, kind, in_one_pass)


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], kernel: tuple[int, int, int, int], grid: Grid, pooling: str, strides: Pair,
    padding: Padding, dilation: Pair, dtype: np.dtype,
) -> tuple[Windows, BlockCut, Planes]:  # fmt: skip
    (KH, KW, inputs, F), itemsize, direct = kernel, dtype.itemsize, pooling == "none"
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
    cut = BlockCut(
        direct, images, band_rows, -(-grid.output_rows // band_rows), planar, pooling == "avg", edges, row,
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


@inlined
def _activate_and_keep(image, images, first, rows, grid, kind, alpha, scratch, base, cut, kept):
    """The activation of a band's rows before pooling, in place; a copy of it to `kept` unless that is empty."""
    size = rows * cut.row
    for n in range(images):
        activate(scratch[base + n * cut.image : base + n * cut.image + size], kind, alpha)
        if kept.size:
            copy_elements(kept, ((image + n) * grid.height + first) * cut.row, scratch, base + n * cut.image, size)


@compiled
def _block(
    ticket, tiles, x, weights, bias, y, winners, kept, positions, targets, runs, run_length, cells, regions, output,
    grid, cut, layout, pixels, kind, alpha, scratch,
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
        if cut.average:
            _activate_and_keep(image, images, first, rows, grid, kind, alpha, scratch, target, cut, kept)
        for i in range(images * i_rows):
            done = band + (i // i_rows * grid.output_rows + i % i_rows) * line
            cell = before + i // i_rows * cut.image + i % i_rows * grid.row_stride * cut.row
            if cut.average:
                average_row(scratch, cell, cells, grid, y, done)
                continue
            if not cut.direct:
                for j in range(grid.output_columns):
                    for f in range(0, F, lanes):
                        # What is written too much within the row lies where the next numbers go.
                        k = j * F + f
                        pool_vector(
                            scratch, cell + j * grid.column_stride * F + f, cells, cells.size,
                            y, done + k, winners, done + k, line - k,
                        )  # fmt: skip
            activate(y[done : done + line], kind, alpha)
        tile = take(ticket)


_composed_block, _composed_gradients = blocks(lambda: sys.modules[__package__], gradient, activated)


def _winograd_block(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, variant: Variant, activation: str,
    alpha: float, pool_size: Pair | None, pool_strides: Pair | None, pool_padding: Padding | None, pooling: str,
    keep: bool,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    pooled = (pooling, pool_size, pool_strides, pool_padding) == PLAIN_POOLING
    kind = NAMES.index(activation)
    y, winners = winograd.conv2d(
        x, w, b, padding=padding, variant=variant, pooled=pooled, kind=kind, alpha=float(alpha)
    )
    if pool_size is None or pooled:
        return y, winners if keep else None
    windows: Any = {"pool_size": pool_size, "strides": pool_strides, "padding": pool_padding}
    if pooling == "avg":
        return avg_pool2d(y, **windows), y if keep else None
    largest, winners = max_pool2d(y, **windows)
    return largest, winners if keep else None


def conv2d_block(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, strides: Pair, padding: Padding, dilation: Pair,
    groups: int, algorithm: str = "auto", activation: str, alpha: float, pool_size: Pair | None,
    pool_strides: Pair | None, pool_padding: Padding | None, pooling: str = "max", keep: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """y (N, POH, POW, F) and what backward needs, from x (N, H, W, C), w (KH, KW, C/groups, F), b (F,) or None."""
    dtype = floating("conv2d_block", x)
    p = _pooling(x.shape, w.shape, strides, padding, dilation, pool_size, pool_strides, pool_padding, pooling)
    KH, KW, inputs, F = w.shape
    variant = choose_variant(algorithm, len(x), p.size, x.shape[3], F, (KH, KW), strides, dilation, groups, dtype)
    if variant is not None:
        return _winograd_block(
            x, w, b, padding, variant, activation, alpha, pool_size, pool_strides, pool_padding, pooling, keep
        )
    if not p.in_one_pass:
        return _composed_block(
            x, w, b, strides=strides, padding=padding, dilation=dilation, groups=groups, algorithm=algorithm,
            activation=activation, alpha=alpha, pool_size=pool_size, pool_strides=pool_strides,
            pool_padding=pool_padding, pooling=pooling, keep=keep,
        )  # fmt: skip
    shape = p.grid.output_shape
    y = memory.empty(shape, dtype)
    winners = memory.empty(shape if p.kind == "max" else (0,), np.uint8)
    before = memory.empty((len(x), *p.size, shape[3]) if p.kind == "avg" and keep else (0,), dtype)
    if y.size:
        geometry = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        _run_block(x, w, b, y, winners, before, p, NAMES.index(activation), float(alpha), geometry)
    kept = {"max": winners, "avg": before, "none": None}[p.kind]
    return y, kept if keep else None


def _run_block(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, winners: np.ndarray, kept: np.ndarray,
    pooling: Pooling, kind: int, alpha: float, geometry: dict[str, Any],
) -> None:  # fmt: skip
    """Fill y, and winners or what is kept of the activation as far as they are not empty."""
    dtype, grid, (KH, KW, inputs, F) = y.dtype, pooling.grid, w.shape
    strides, padding, groups = geometry["strides"], geometry["padding"], geometry["groups"]
    if pooling.kind == "none" and planes.pays(
        F, grid.width, KH * KW * inputs, dtype, strides=strides, dilation=geometry["dilation"], groups=groups
    ):
        first = (-padding[0][0], -padding[1][0])
        planes.convolve(x, w, b, y, row_stride=strides[0], first=first, kind=kind, alpha=alpha)
        return
    found, cut, layout = _plan(x.shape, w.shape, grid, pooling.kind, strides, padding, geometry["dilation"], dtype)
    r, columns = found.regions, F // groups
    if cut.planar:
        pixels = planes.arrange(w, b, layout, dtype)
        weights = bias = pixels.bias  # not read
    else:
        pixels = planes.no_weights(dtype)
        rows = weight_rows(found.taps, (KW * inputs * F, inputs * F, F), inputs)
        weights = pack(flat(w, dtype), rows, 1, columns=columns, groups=groups, group_step=columns)
        bias = pad_bias(b, columns, groups, dtype)
    targets = output_targets(r.band_images, r.band_rows, grid.width, cut.image, cut.row, F)
    threads = threads_for(len(x) * grid.height * grid.width * w.size)
    share(
        _block, -(-len(x) // cut.band_images) * cut.bands, threads, flat(x, dtype), weights, bias, y.reshape(-1),
        winners.reshape(-1), kept.reshape(-1), found.positions, targets, found.runs, found.run_length,
        window_cells((grid.window_rows, grid.window_columns), cut.row, F), r,
        Output(0, 0, 0, groups, inputs, columns), grid, cut, layout, pixels, kind, alpha,
        memory.empty((threads * cut.scratch,), dtype),
    )  # fmt: skip


def conv2d_block_gradients(
    gy: np.ndarray, y: np.ndarray, kept: np.ndarray | None, x: np.ndarray, w: np.ndarray, *, needs_x: bool,
    needs_w: bool, needs_b: bool, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto", activation: str, alpha: float, pool_size: Pair | None, pool_strides: Pair | None,
    pool_padding: Padding | None, pooling: str = "max",
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """gx, gw and gb, as far as needed, from gy and y (N, POH, POW, F), what the block kept, x and w; see the module."""
    dtype = floating("conv2d_block_gradients", gy)
    p = _pooling(x.shape, w.shape, strides, padding, dilation, pool_size, pool_strides, pool_padding, pooling)
    kind = NAMES.index(activation)
    geometry: dict[str, Any] = {"strides": strides, "padding": padding, "dilation": dilation}
    if not gy.size or not p.in_one_pass or (p.kind == "max" and pool_strides == (1, 1)):
        # Where each cell has a window, or nearly, going through the winners one by one saves nothing.
        return _composed_gradients(
            gy, y, kept, x, w, needs_x=needs_x, needs_w=needs_w, needs_b=needs_b, **geometry, groups=groups,
            algorithm=algorithm, activation=activation, alpha=alpha, pool_size=pool_size, pool_strides=pool_strides,
            pool_padding=pool_padding, pooling=pooling,
        )  # fmt: skip
    if p.kind == "max" and kept is not None:
        pooled = Pooled(flat(y, dtype), flat(kept, np.dtype(np.uint8)), p.grid, kind, float(alpha))
        return winners_gradients(gy, pooled, x, w, (needs_x, needs_w, needs_b), **geometry)
    output = y if p.kind == "none" or kept is None else kept
    g, gb = gradient_before_pooling(gy, output, p.grid, kind, float(alpha), needs_b)
    same: Any = {**geometry, "groups": groups, "algorithm": algorithm}
    gx = conv2d_input_gradient(g, w, input_size=x.shape[1:3], **same) if needs_x else None
    gw = conv2d_kernel_gradient(x, g, kernel_size=w.shape[:2], **same) if needs_w else None
    return gx, gw, gb
