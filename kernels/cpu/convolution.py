"""Convolution and its two gradients, directly on the pictures: no im2col matrix is ever built.

The letters are those of the formula (N pictures of H x W, C channels in, F filters, KH x KW kernel, strides SH SW,
dilation DH DW, output OH x OW):

    y[n,i,j,f]  = b[f] + sum over p,q,c of w[p,q,c,f] * x[n, i*SH + p*DH - top, j*SW + q*DW - left, c]
    gx[n,h,w,c] =        sum over i,j,p,q,f that met this x of gy[n,i,j,f] * w[p,q,c,f]
    gw[p,q,c,f] =        sum over n,i,j of gy[n,i,j,f] * x[n, i*SH + p*DH - top, j*SW + q*DW - left, c]

Where Winograd's algorithm is faster (`algorithms` decides), `winograd` and `winograd_gradient` take over; where
filters, or in the input gradient channels, are too few to fill vectors, `planes` takes over the first two.

All three are matrix products whose left matrix consists of windows, and windows overlap in memory, so the register tile
of `simd` reads them where they lie, through the tables of `windows`:

- forward: tile rows are output positions, the sum runs over taps and channels, the right matrix is the weights;
- input gradient: the same loop once more. With stride 1 it is a convolution of gy with the kernel turned by 180 degrees
  and its channels and filters swapped. With strides, positions fall into SH x SW phases (h mod SH, w mod SW), each
  of which meets only some taps and is such a convolution of its own, writing every SH-th row and SW-th column;
- kernel gradient: the same tables read the other way: tile rows are taps and channels, the sum runs over positions, the
  right matrix is gy. Threads must not change sums, so the batch is cut into chunks by its shape alone, each chunk
  has its own sum, and these are added in their order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding, Pair, output_sizes
from . import memory, planes, winograd, winograd_gradient
from .algorithms import choose_variant
from .arrays import flat, floating
from .cache import compiled
from .moving import clear_elements, copy_elements
from .panels import ONE, ZERO, multiply_panels, pack, pad_bias
from .simd import ROWS, VECTORS
from .threads import enter, share, take, threads_for
from .vectors import VECTOR_BYTES
from .windows import Windows, band, load_band, windows

# Chunks of the batch in a kernel gradient: enough for many cores, few enough that adding them up costs nothing.
CHUNKS = 16
CHUNK_BYTES = 4 << 20


class Output(NamedTuple):
    """Where output positions go, in elements: position (n, i, j) to origin + n*image + i*row + its table entry."""

    origin: int
    image: int
    row: int
    groups: int
    group_inputs: int  # channels that a group reads
    group_outputs: int  # channels that a group writes


# --- forward and input gradient --------------------------------------------------------------------------------------


@compiled
def _correlate(ticket, tiles, x, weights, bias, y, positions, targets, runs, run_length, regions, output, scratch):
    width = VECTORS * VECTOR_BYTES // y.itemsize
    columns = output.group_outputs
    panels = (columns + width - 1) // width
    panel = runs.size * run_length * width
    scratch_base = enter(ticket) * regions.band_images * regions.region
    tile = take(ticket)
    while tile < tiles:
        image, images, row, rows = band(regions, tile)
        source, base = load_band(x, regions, image, images, row, rows, scratch, scratch_base)
        target = output.origin + image * output.image + row * output.row
        for group in range(output.groups):
            multiply_panels(
                source, base + group * output.group_inputs, positions,
                ZERO, images * rows * regions.output_columns, runs, runs.size, run_length, ONE,
                weights, group * panels * panel, panel, run_length * width, width,
                bias, group * panels * width, ZERO, y, target + group * columns, targets, columns,
            )  # fmt: skip
        tile = take(ticket)


def _run_correlation(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, y: np.ndarray, found: Windows, targets: np.ndarray,
    output: Output,
) -> None:  # fmt: skip
    r = found.regions
    work = r.images * r.output_rows * r.output_columns * weights.size
    threads = threads_for(work)
    scratch = memory.empty((threads * found.scratch,), y.dtype)
    share(
        _correlate, found.tiles, threads, x, weights, bias, y, found.positions, targets, found.runs, found.run_length,
        r, output, scratch,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def output_targets(band_images: int, band_rows: int, columns: int, image: int, row: int, column: int) -> np.ndarray:
    """Offsets of a band's positions in the output, in the order of `Windows.positions`."""
    images, rows = np.arange(band_images) * image, np.arange(band_rows) * row
    return (images[:, None, None] + rows[:, None] + np.arange(columns) * column).reshape(-1).astype(np.int64)


@lru_cache(maxsize=256)
def weight_rows(taps: tuple[Pair, ...], strides: tuple[int, int, int], channels: int) -> np.ndarray:
    """Where row (tap, channel) of the weight matrix starts in w; `strides` are w's for p, q and the channel."""
    starts = np.array([p * strides[0] + q * strides[1] for p, q in taps], np.int64).reshape(-1, 1)
    return (starts + np.arange(channels) * strides[2]).reshape(-1)


def tap_lines(padding: Padding, dilation: Pair, kernel_size: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The taps' rows and columns relative to a position."""
    rows, columns = (
        tuple(range(-pad[0], -pad[0] + step * size, step))
        for pad, step, size in zip(padding, dilation, kernel_size, strict=True)
    )
    return rows, columns


def conv2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> np.ndarray:  # fmt: skip
    """y (N, OH, OW, F) from x (N, H, W, C), w (KH, KW, C/groups, F) and b (F,) or None; see the module."""
    dtype = floating("conv2d", x)
    N, H, W, C = x.shape
    KH, KW, inputs, F = w.shape
    OH, OW = output_sizes((H, W), (KH, KW), strides, padding, dilation)
    variant = choose_variant(algorithm, N, (OH, OW), C, F, (KH, KW), strides, dilation, groups, dtype)
    if variant is not None:
        return winograd.conv2d(x, w, b, padding=padding, variant=variant)[0]
    y = memory.empty((N, OH, OW, F), dtype)
    if not y.size:
        return y
    if planes.pays(F, OW, KH * KW * inputs, dtype, strides=strides, dilation=dilation, groups=groups):
        planes.convolve(x, w, b, y, row_stride=strides[0], first=(-padding[0][0], -padding[1][0]))
        return y
    found = windows(
        x.shape, *tap_lines(padding, dilation, (KH, KW)), strides, (OH, OW),
        tap_channels=inputs, itemsize=dtype.itemsize, work=OW * w.size,
    )  # fmt: skip
    columns = F // groups
    rows = weight_rows(found.taps, (KW * inputs * F, inputs * F, F), inputs)
    weights = pack(flat(w, dtype), rows, 1, columns=columns, groups=groups, group_step=columns)
    r = found.regions
    targets = output_targets(r.band_images, r.band_rows, OW, OH * OW * F, OW * F, F)
    output = Output(0, OH * OW * F, OW * F, groups, inputs, columns)
    bias = pad_bias(b, columns, groups, dtype)
    _run_correlation(flat(x, dtype), weights, bias, y.reshape(-1), found, targets, output)
    return y


def conv2d_input_gradient(
    gy: np.ndarray, w: np.ndarray, *, input_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> np.ndarray:  # fmt: skip
    """gx (N, H, W, C) from gy (N, OH, OW, F) and w (KH, KW, C/groups, F), phase by phase; see the module."""
    dtype = floating("conv2d_input_gradient", gy)
    KH, KW, inputs, F = w.shape
    C = inputs * groups
    variant = choose_variant(algorithm, len(gy), input_size, F, C, (KH, KW), strides, dilation, groups, dtype)
    if variant is not None:
        return winograd.conv2d_input_gradient(gy, w, input_size=input_size, padding=padding, variant=variant)
    gx = memory.empty((gy.shape[0], *input_size, C), dtype)
    if not gx.size:
        return gx
    if strides == (1, 1) and planes.pays(
        C, input_size[1], KH * KW * F, dtype, strides=strides, dilation=dilation, groups=groups
    ):
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
        first = (padding[0][0] - KH + 1, padding[1][0] - KW + 1)
        planes.convolve(gy, turned, None, gx, row_stride=1, first=first)
        return gx
    flat_gy, flat_w = flat(gy, dtype), flat(w, dtype)
    for phase in _phases(input_size, w.shape[:2], strides, padding, dilation):
        _input_gradient_phase(flat_gy, gy.shape, flat_w, w.shape, gx, phase, strides, groups)
    return gx


class Phase(NamedTuple):
    """The input positions (first_row + i*SH, first_column + j*SW) and, with their indices, the taps that meet them."""

    first_row: int
    first_column: int
    size: Pair
    kernel_rows: tuple[int, ...]
    kernel_columns: tuple[int, ...]
    tap_rows: tuple[int, ...]
    tap_columns: tuple[int, ...]


@lru_cache(maxsize=256)
def _phases(input_size: Pair, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> tuple[Phase, ...]:
    """gx[h] meets gy[i] through kernel row p where i*SH = h + top - p*DH, so only if SH divides that; columns alike."""

    def lines(axis: int) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
        stride, before, step = strides[axis], padding[axis][0], dilation[axis]
        found = []
        for first in range(min(stride, input_size[axis])):
            met = [p for p in range(kernel_size[axis]) if (first + before - p * step) % stride == 0]
            taps = tuple((first + before - p * step) // stride for p in met)
            found.append((first, -(-(input_size[axis] - first) // stride), tuple(met), taps))
        return found

    return tuple(
        Phase(row, column, (rows, columns), p, q, tap_rows, tap_columns)
        for row, rows, p, tap_rows in lines(0)
        for column, columns, q, tap_columns in lines(1)
    )


def _input_gradient_phase(
    gy: np.ndarray, gy_shape: tuple[int, ...], w: np.ndarray, w_shape: tuple[int, ...], gx: np.ndarray,
    phase: Phase, strides: Pair, groups: int,
) -> None:  # fmt: skip
    _, KW, columns, F = w_shape
    N, H, W, C = gx.shape
    inputs = F // groups
    found = windows(
        gy_shape, phase.tap_rows, phase.tap_columns, (1, 1), phase.size,
        tap_channels=inputs, itemsize=gy.itemsize, work=phase.size[1] * w.size // (strides[0] * strides[1]),
    )  # fmt: skip
    taps = tuple((phase.kernel_rows[p], phase.kernel_columns[q]) for p, q in found.taps)
    rows = weight_rows(taps, (KW * columns * F, columns * F, 1), inputs)
    weights = pack(w, rows, inputs, columns=columns, column_step=F, groups=groups, group_step=inputs)
    r = found.regions
    targets = output_targets(r.band_images, r.band_rows, phase.size[1], H * W * C, strides[0] * W * C, strides[1] * C)
    origin = (phase.first_row * W + phase.first_column) * C
    output = Output(origin, H * W * C, strides[0] * W * C, groups, inputs, columns)
    bias = pad_bias(None, columns, groups, gy.dtype)
    _run_correlation(gy, weights, bias, gx.reshape(-1), found, targets, output)


# --- kernel gradient -------------------------------------------------------------------------------------------------


class Sums(NamedTuple):
    """How the sums of a kernel gradient are cut: chunks of bands, and parts of their rows. Functions of shape only."""

    bands: int  # in the batch
    chunk_bands: int
    chunks: int
    parts: int
    part_rows: int
    rows: int  # taps * channels of a group
    pitch: int  # from one row of a sum to the next: its columns, filled up to whole vectors
    column_stride: int  # from one output column's window to the next
    copied_gy: int  # elements of scratch for gy, where whole vectors would reach beyond its end; else 0


@lru_cache(maxsize=1024)
def _cut_sums(found: Windows, column_stride: int, group_inputs: int, columns: int, groups: int, itemsize: int) -> Sums:
    r = found.regions
    lanes = VECTOR_BYTES // itemsize
    rows = len(found.taps) * group_inputs
    pitch = -(-columns // lanes) * lanes
    affordable = max(1, CHUNK_BYTES // max(1, groups * rows * pitch * itemsize))
    chunk_bands = -(-found.tiles // min(CHUNKS, affordable, found.tiles))
    chunks = -(-found.tiles // chunk_bands)
    parts = max(1, min(rows // (4 * ROWS), CHUNKS // chunks))
    part_rows = -(-rows // (parts * ROWS)) * ROWS
    copied = r.band_images * r.band_rows * r.output_columns * columns * groups + VECTORS * lanes
    return Sums(
        found.tiles, chunk_bands, chunks, -(-rows // part_rows), part_rows, rows, pitch, column_stride,
        copied if columns % lanes else 0,
    )  # fmt: skip


@compiled
def _sum_chunks(ticket, tiles, x, gy, sums, elements, targets, row_starts, regions, s, output, scratch, scratch_size):
    width = VECTORS * VECTOR_BYTES // gy.itemsize
    filters = output.groups * output.group_outputs
    group_size = s.rows * s.pitch
    scratch_base = enter(ticket) * scratch_size
    tile = take(ticket)
    while tile < tiles:
        chunk, part = tile // s.parts, tile % s.parts
        first, end = part * s.part_rows, min((part + 1) * s.part_rows, s.rows)
        chunk_base = chunk * output.groups * group_size
        for group in range(output.groups):
            base = chunk_base + group * group_size
            clear_elements(sums, base + first * s.pitch, (end - first) * s.pitch)
        for number in range(chunk * s.chunk_bands, min((chunk + 1) * s.chunk_bands, s.bands)):
            image, images, row, rows = band(regions, number)
            source, source_base = load_band(x, regions, image, images, row, rows, scratch, scratch_base)
            cotangent, gy_base = gy, image * output.image + row * output.row
            if s.copied_gy:
                copy_base = scratch_base + scratch_size - s.copied_gy
                copy_elements(scratch, copy_base, gy, gy_base, images * rows * output.row)
                cotangent, gy_base = scratch, copy_base
            for group in range(output.groups):
                base = chunk_base + group * group_size
                multiply_panels(
                    source, source_base + group * output.group_inputs, elements,
                    first, end, row_starts, images * rows, regions.output_columns, s.column_stride,
                    cotangent, gy_base + group * output.group_outputs, width, output.row, filters,
                    sums, base, ONE, sums, base, targets, output.group_outputs,
                )  # fmt: skip
        tile = take(ticket)


@compiled
def _add_chunks(ticket, tiles, sums, gw, s, output):
    filters = output.groups * output.group_outputs
    row = take(ticket)
    while row < tiles:
        for group in range(output.groups):
            origin = row * filters + group * output.group_outputs
            target = gw[origin : origin + output.group_outputs]
            for chunk in range(s.chunks):
                base = ((chunk * output.groups + group) * s.rows + row) * s.pitch
                source = sums[base : base + output.group_outputs]
                if chunk == 0:
                    for n in range(target.size):
                        target[n] = source[n]
                else:
                    for n in range(target.size):
                        target[n] += source[n]
        row = take(ticket)


def conv2d_kernel_gradient(
    x: np.ndarray, gy: np.ndarray, *, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, groups: int,
    algorithm: str = "auto",
) -> np.ndarray:  # fmt: skip
    """gw (KH, KW, C/groups, F) from x (N, H, W, C) and gy (N, OH, OW, F); see the module."""
    dtype = floating("conv2d_kernel_gradient", x)
    C = x.shape[3]
    _, OH, OW, F = gy.shape
    inputs, columns = C // groups, F // groups
    gw = memory.empty((*kernel_size, inputs, F), dtype)
    if not (gy.size and gw.size):
        gw[...] = 0
        return gw
    variant = choose_variant(algorithm, len(x), (OH, OW), C, F, kernel_size, strides, dilation, groups, dtype)
    if variant is not None:
        return winograd_gradient.conv2d_kernel_gradient(x, gy, padding=padding, variant=variant)
    found = windows(
        x.shape, *tap_lines(padding, dilation, kernel_size), strides, (OH, OW),
        tap_channels=inputs, itemsize=dtype.itemsize, work=OW * gw.size,
    )  # fmt: skip
    s = _cut_sums(found, strides[1] * C, inputs, columns, groups, dtype.itemsize)
    elements, targets, row_starts = _gradient_tables(found, inputs, s.pitch)
    output = Output(0, OH * OW * F, OW * F, groups, inputs, columns)
    sums = memory.empty((s.chunks * groups * s.rows * s.pitch,), dtype)
    threads = threads_for(gw.size * OH * OW * x.shape[0])
    scratch_size = found.scratch + s.copied_gy
    scratch = memory.empty((threads * scratch_size,), dtype)
    share(
        _sum_chunks, s.chunks * s.parts, threads, flat(x, dtype), flat(gy, dtype), sums, elements, targets, row_starts,
        found.regions, s, output, scratch, scratch_size,
    )  # fmt: skip
    share(_add_chunks, s.rows, threads_for(sums.nbytes), sums, gw.reshape(-1), s, output)
    return gw


@lru_cache(maxsize=1024)
def _gradient_tables(found: Windows, channels: int, pitch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets of the kernel's elements (p, q, c) in a region, of their sums, and of the region's output rows."""
    r = found.regions
    taps = found.tap_offsets.reshape(-1, 1)
    elements = (taps + np.arange(channels)).reshape(-1)
    targets = np.arange(elements.size) * pitch
    row_starts = found.positions[:: r.output_columns].copy()
    return elements, targets, row_starts
