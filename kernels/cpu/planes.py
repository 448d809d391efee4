"""Convolutions with few filters: pixels in the vector lanes.

The register tile of `simd` has filters in its lanes, and six filters leave most of a vector, or of a pair, idle. Here
the two matrices change places: rows of the tile are filters, lanes are neighbouring pixels of an output row,

    out[f, j] = b[f] + sum over p, c, q of w[f, p, c, q] * x[p, c, j + q]

so that vectors are full whatever the number of filters is. For this, neighbouring pixels must be neighbours in memory:
the input rows of a band are copied channel by channel ([row][channel][column], with zeros around), and what the tile
leaves filter by filter is written back pixel by pixel. Both copies cost about as much as a few multiply-adds to each
number, which is little beside the KH * KW * C of the sum.

The sum runs through rows, channels, columns; with filters in lanes it runs through rows, columns, channels.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils

from ..geometry import Pair
from ..noting import copy
from . import memory
from .activations import LINEAR, activate
from .arrays import flat
from .cache import compiled, inlined
from .moving import clear_elements, copy_elements, transpose
from .panels import vector_lanes
from .simd import ROWS, VECTORS, Tile, by_width, lanes_of
from .threads import enter, share, take, threads_for
from .vectors import INT64, VECTOR_BYTES, emitted, origin
from .windows import Regions, cut_rows

# Filters to a tile, by two vectors of pixels: enough sums side by side to hide their latency on any processor.
FILTERS = 6
# Reading and writing through copies, in multiply-adds of a vector for each vector of the output.
COPYING = 8.0
# Of the time of filters in lanes: a change must be worth it.
WORTHWHILE = 0.9


class Planes(NamedTuple):
    """How a band lies in scratch memory. Sizes count elements."""

    filters: int
    blocks: int  # of FILTERS filters
    pitch: int  # from one row of one channel to the next channel's
    line: int  # pixels of an output row, filled up to whole vectors
    sums: int  # behind the input: an output row, filter by filter
    size: int  # with these


class Weights(NamedTuple):
    """What the tile reads beside the picture."""

    values: np.ndarray  # a block of filters after the other: [p][c][q][f]
    bias: np.ndarray  # of each filter, zero for those that fill up the last block
    offsets: np.ndarray  # of [p][c][q] in a band


NONE = Planes(*[0] * len(Planes._fields))


def no_weights(dtype: np.dtype) -> Weights:
    """For a kernel that runs with filters in its lanes."""
    return Weights(np.empty(0, dtype), np.empty(0, dtype), np.empty(0, np.int64))


@lru_cache(maxsize=1024)
def pays(filters: int, columns: int, taps: int, dtype: np.dtype, *, strides: Pair, dilation: Pair, groups: int) -> bool:
    """Whether this can be done, and takes less time than filters in lanes, for output rows of so many columns."""
    if strides[1] != 1 or dilation != (1, 1) or groups != 1:
        return False
    lanes = vector_lanes(dtype)
    there, row = -(-filters // lanes), -(-columns // lanes)
    here = _time(row) * -(-filters // FILTERS) * FILTERS / columns + COPYING * there / taps
    return here < WORTHWHILE * _time(there)


def _time(vectors: int) -> int:
    """One vector alone in a tile of few rows, as the last of an odd number is, takes as long as two.

    Its sums wait for each other.
    """
    return vectors + vectors % 2 if ROWS <= FILTERS else vectors


@lru_cache(maxsize=1024)
def planes(r: Regions, kernel_columns: int, filters: int, rows: int, dtype: np.dtype) -> Planes:
    """The layout for bands of up to so many input rows."""
    lanes = vector_lanes(dtype)
    line = -(-r.output_columns // lanes) * lanes
    pitch = line + -(-(kernel_columns - 1) // lanes) * lanes
    blocks = -(-filters // FILTERS)
    sums = rows * r.channels * pitch
    return Planes(filters, blocks, pitch, line, sums, sums + blocks * FILTERS * line)


@lru_cache(maxsize=1024)
def _offsets(rows: int, length: int, pitch: int) -> np.ndarray:
    return (np.arange(rows, dtype=np.int64)[:, None] * pitch + np.arange(length)).reshape(-1)


def arrange(w: np.ndarray, bias: np.ndarray | None, p: Planes, dtype: np.dtype) -> Weights:
    """The weights (KH, KW, C, F) and the bias (F,) or None as the tile reads them."""
    KH, KW, C, F = w.shape
    by_filter = np.zeros((p.blocks * FILTERS, KH, C, KW), dtype)
    copy(by_filter[:F], w.transpose(3, 0, 2, 1))
    values = np.empty((p.blocks, KH * C * KW, FILTERS), dtype)
    copy(values, by_filter.reshape(p.blocks, FILTERS, -1).transpose(0, 2, 1))
    start = np.zeros(p.blocks * FILTERS, dtype)
    if bias is not None:
        copy(start[:F], bias)
    return Weights(values.reshape(-1), start, _offsets(KH * C, KW, p.pitch))


@emitted
def _multiply_add_pixels(
    typingctx, x, x_base, weights, weights_base, bias, bias_base, offsets, sums, sums_base, line, columns
):  # fmt: skip
    """sums[f*line + j] = bias[f] + sum over k of weights[k*FILTERS + f] * x[offsets[k] + j]: one tile of f and j.

    It has as many j as `columns` need, in whole vectors.
    """

    def codegen(context, builder, signature, args):
        at = partial(origin, context, builder, signature, args)
        source, weights, bias, sums = at(0, 1), at(2, 3), at(4, 5), at(7, 8)
        element = context.get_value_type(signature.args[0].dtype)
        offsets = context.make_array(signature.args[6])(context, builder, args[6])
        count = builder.extract_value(offsets.shape, 0)
        lines = [builder.gep(sums, [builder.mul(args[9], INT64(f))]) for f in range(FILTERS)]

        def emit(vectors):
            tile = Tile(builder, element, FILTERS, vectors)
            tile.fill([builder.load(builder.gep(bias, [INT64(f)])) for f in range(FILTERS)])
            with cgutils.for_range(builder, count) as k:
                row = builder.gep(weights, [builder.mul(k.index, INT64(FILTERS))])
                pixels = builder.gep(source, [builder.load(builder.gep(offsets.data, [k.index]))])
                tile.accumulate([builder.gep(row, [INT64(f)]) for f in range(FILTERS)], INT64(0), pixels)
            tile.store_whole(lines)

        by_width(builder, args[10], lanes_of(element), emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, weights, i, bias, i, offsets, sums, i, i, i), codegen


@inlined
def load_planes(x, image, first_row, rows, r, p, scratch, base):
    """Copy picture rows to scratch[base:] channel by channel, zero wherever they lie outside the picture."""
    C, pitch = r.channels, p.pitch
    left = max(0, -r.first_column)
    count = min(pitch, r.width - r.first_column) - left
    for i in range(rows):
        row = first_row + i
        target = base + i * C * pitch
        if row < 0 or row >= r.height or count <= 0:
            clear_elements(scratch, target, C * pitch)
            continue
        source = ((image * r.height + row) * r.width + r.first_column + left) * C
        if C == 1:
            copy_elements(scratch, target + left, x, source, count)
        else:
            transpose(x, source, C, count, C, scratch, target + left, pitch, pitch - left)
        for c in range(C):
            clear_elements(scratch, target + c * pitch, left)
            clear_elements(scratch, target + c * pitch + left + count, pitch - left - count)


@inlined
def convolve_row(scratch, base, row, r, p, weights, target):
    """Output row `row` of a band whose planes are scratch[base:], pixel by pixel, to scratch[target:].

    Up to a vector more than the row is overwritten.
    """
    lanes = VECTOR_BYTES // scratch.itemsize
    source, sums = base + row * r.row_stride * r.channels * p.pitch, base + p.sums
    block = weights.offsets.size * FILTERS
    for j in range(0, p.line, VECTORS * lanes):
        for number in range(p.blocks):
            _multiply_add_pixels(
                scratch, source + j, weights.values, number * block, weights.bias, number * FILTERS, weights.offsets,
                scratch, sums + number * FILTERS * p.line + j, p.line, p.line - j,
            )  # fmt: skip
    # With all filters in one vector, what is written too much lies where the next pixel goes.
    room = max(lanes, p.filters)
    transpose(scratch, sums, p.line, p.filters, r.output_columns, scratch, target, p.filters, room)


@compiled
def _convolve(ticket, tiles, x, y, r, p, weights, kind, alpha, scratch):
    lanes = VECTOR_BYTES // y.itemsize
    size = r.output_columns * p.filters
    base = enter(ticket) * (p.size + size + lanes)
    line = base + p.size
    tile = take(ticket)
    while tile < tiles:
        image, first = tile // r.bands, tile % r.bands * r.band_rows
        rows = min(r.band_rows, r.output_rows - first)
        needed = (rows - 1) * r.row_stride + r.span
        load_planes(x, image, first * r.row_stride + r.first_row, needed, r, p, scratch, base)
        for i in range(rows):
            convolve_row(scratch, base, i, r, p, weights, line)
            activate(scratch[line : line + size], kind, alpha)
            copy_elements(y, (image * r.output_rows + first + i) * size, scratch, line, size)
        tile = take(ticket)


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, ...], kernel_size: Pair, output: tuple[int, ...], row_stride: int, first: Pair, dtype: np.dtype
) -> tuple[Regions, Planes]:
    (N, H, W, C), (_, OH, OW, F) = shape, output
    lanes = vector_lanes(dtype)
    row_bytes = (OW + kernel_size[1] + lanes) * C * dtype.itemsize
    band_rows = cut_rows(N, OH, row_stride, kernel_size[0], row_bytes, OW * math.prod(kernel_size) * C * F)
    r = Regions(
        N, H, W, C, OH, OW, row_stride, *first, kernel_size[0], True, 0, 0, 1, band_rows, -(-OH // band_rows)
    )  # fmt: skip
    return r, planes(r, kernel_size[1], F, (band_rows - 1) * row_stride + kernel_size[0], dtype)


def convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, *, row_stride: int, first: Pair,
    kind: int = LINEAR, alpha: float = 0.0,
) -> None:  # fmt: skip
    """Fill y (N, OH, OW, F) with the activation of x (N, H, W, C) convolved with w (KH, KW, C, F), plus b (F,).

    `first` is the picture's row and column where the first window begins, negative inside padding.
    """
    r, p = _plan(x.shape, w.shape[:2], y.shape, row_stride, first, y.dtype)
    threads = threads_for(y.size * math.prod(w.shape[:3]))
    size = p.size + r.output_columns * p.filters + vector_lanes(y.dtype)
    share(
        _convolve, r.images * r.bands, threads, flat(x, y.dtype), y.reshape(-1), r, p, arrange(w, b, p, y.dtype),
        kind, float(alpha), memory.empty((threads * size,), y.dtype),
    )  # fmt: skip
