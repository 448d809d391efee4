"""Winograd's convolution: n*n small matrix products on tiles that overlap, instead of one on windows.

`minicnn.kernels.winograd` has the arithmetic. Here the batch is worked through in bands (see `windows`; a window is now
a tile of n x n inputs, and the strides are m), and a band in blocks of a few tiles, for which

    V[e, t, c] = (B^T d B)[e]             for the n*n elements e of each tile t and channel c
    S[e, t, f] = sum over c of V[e, t, c] * U[e, c, f]      a matrix product for each e, on the tile of `simd`
    y          = (A^T S A) + b

A block is so small that V stays in the second-level cache, and S is made for one panel of filters at a time and used up
before the next. U, the transformed kernel, is packed once for a call: it is itself the product of a constant matrix
(n*n, r*r) and the kernel (r*r, C*F).

The gradient by the input is the convolution of gy with the kernel turned by 180 degrees, its channels and filters
exchanged.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding, Pair, output_sizes
from ..winograd import Variant, kernel_transform
from . import memory
from .arrays import flat
from .cache import compiled
from .matrices import matmul
from .panels import ONE, ZERO, multiply_panels, pack, pad_bias, panel_width, vector_lanes
from .simd import ROWS, VECTOR_BYTES, VECTORS
from .threads import enter, share, take, threads_for
from .transforms import VARIANTS, transform_input, transform_output
from .windows import Windows, band, load_band, windows

# V of a block: with the rest, half of a common second-level cache.
BLOCK_BYTES = 192 * 1024
# Tiles of small pictures that are worked through together.
TOGETHER = 8 * ROWS

_NO_OFFSET = np.zeros(1, np.int64)


class Cut(NamedTuple):
    """How the work is cut, and a thread's scratch memory. Sizes count elements."""

    variant: int
    size: int  # n
    outputs: int  # m
    rows: int  # OH
    columns: int  # OW
    channels: int
    filters: int
    block: int  # tiles to a block
    plane: int  # from an element of V to the next
    tile: int  # from a tile of V to the next
    region: int  # the tiles' inputs
    transformed: int  # V
    scratch: int


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], first: Pair, output: Pair, filters: int, variant: Variant, itemsize: int
) -> tuple[Windows, Cut, np.ndarray, np.ndarray]:
    """The tiles' windows, the cut, and where a block's tiles lie in V and in S."""
    n, m, C = variant.size, variant.outputs, shape[3]
    lanes = VECTOR_BYTES // itemsize
    tiles = -(-output[0] // m), -(-output[1] // m)
    found = windows(
        shape, tuple(range(first[0], first[0] + n)), tuple(range(first[1], first[1] + n)), (m, m), tiles,
        tap_channels=C, itemsize=itemsize, work=tiles[1] * n * n * C * filters, together=TOGETHER, whole_vectors=lanes,
    )  # fmt: skip
    plane = -(-C // lanes) * lanes
    tile = n * n * plane + 2 * lanes  # tiles a power of two apart would push each other out of the cache
    r = found.regions
    together = r.band_images * r.band_rows * tiles[1]
    fitting = max(1, BLOCK_BYTES // (tile * itemsize * ROWS)) * ROWS
    block = -(-together // -(-together // fitting))
    sums = n * n * VECTORS * lanes
    cut = Cut(
        VARIANTS.index(variant), n, m, *output, C, filters, block, plane, tile, found.scratch, block * tile,
        found.scratch + block * (tile + sums),
    )  # fmt: skip
    steps = np.arange(block, dtype=np.int64)
    return found, cut, steps * tile, steps * sums


@compiled
def _correlate_tiles(
    ticket, tiles, x, weights, zeros, bias, y, positions, no_offset, tile_starts, sum_starts, regions, cut, scratch
):
    lanes = VECTOR_BYTES // y.itemsize
    width = VECTORS * lanes
    n, m, C, F = cut.size, cut.outputs, cut.channels, cut.filters
    panels = (F + width - 1) // width
    line = cut.columns * F
    region = enter(ticket) * cut.scratch
    transformed = region + cut.region
    sums = transformed + cut.transformed
    number = take(ticket)
    while number < tiles:
        image, images, row, rows = band(regions, number)
        source, base = load_band(x, regions, image, images, row, rows, scratch, region)
        count = images * rows * regions.output_columns
        for first in range(0, count, cut.block):
            block = min(cut.block, count - first)
            for t in range(block):
                for c in range(0, C, lanes):
                    transform_input(
                        n, source, base + positions[first + t] + c, regions.pitch, C,
                        scratch, transformed + t * cut.tile + c, cut.plane,
                    )  # fmt: skip
            for panel in range(panels):
                left = F - panel * width
                wanted = min(width, (left + lanes - 1) // lanes * lanes)
                for e in range(n * n):
                    multiply_panels(
                        scratch, transformed + e * cut.plane, tile_starts, ZERO, block, no_offset, ONE, C, ONE,
                        weights, (e * panels + panel) * C * width, ZERO, ZERO, width,
                        zeros, ZERO, ZERO, scratch, sums + e * width, sum_starts, wanted,
                    )  # fmt: skip
                for t in range(block):
                    place = first + t
                    j = place % regions.output_columns * m
                    i = (row + place // regions.output_columns % rows) * m
                    picture = image + place // (regions.output_columns * rows)
                    target = (picture * cut.rows + i) * line + j * F + panel * width
                    for f in range(0, min(left, width), lanes):
                        transform_output(
                            cut.variant, scratch, sums + sum_starts[t] + f, width, bias, panel * width + f,
                            y, target + f, line, F, min(m, cut.rows - i), min(m, cut.columns - j), left - f,
                        )  # fmt: skip
        number = take(ticket)


def _transform_kernel(w: np.ndarray, variant: Variant, turned: bool) -> np.ndarray:
    """U, for each of the n*n elements a matrix (C, F) in panels; (F, C) of the turned kernel."""
    KH, KW, C, F = w.shape
    taps = kernel_transform(variant).astype(w.dtype)
    if turned:
        taps = taps[:, ::-1]
    elements = flat(matmul(taps, w.reshape(KH * KW, C * F)), w.dtype)
    rows, run = (np.arange(F), F) if turned else (np.arange(C) * F, 1)
    return pack(
        elements, rows, run, columns=C if turned else F, column_step=F if turned else 1, groups=variant.size**2,
        group_step=C * F,
    )  # fmt: skip


def _correlate(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, first: Pair, output: Pair, variant: Variant, turned: bool
) -> np.ndarray:
    """The correlation whose position (0, 0) begins at `first`, with w or the turned w."""
    dtype, filters = x.dtype, w.shape[2 if turned else 3]
    y = memory.empty((len(x), *output, filters), dtype)
    if not y.size:
        return y
    found, cut, tile_starts, sum_starts = _plan(x.shape, first, output, filters, variant, dtype.itemsize)
    r = found.regions
    work = r.images * r.output_rows * r.output_columns * cut.size**2 * cut.channels * filters
    threads = threads_for(work)
    share(
        _correlate_tiles, found.tiles, threads, flat(x, dtype), _transform_kernel(w, variant, turned),
        np.zeros(panel_width(dtype), dtype), pad_bias(b, filters, 1, dtype), y.reshape(-1), found.positions, _NO_OFFSET,
        tile_starts, sum_starts, r, cut, memory.empty((threads * cut.scratch,), dtype),
    )  # fmt: skip
    return y


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, padding: Padding, variant: Variant) -> np.ndarray:
    """y (N, OH, OW, F) from x (N, H, W, C), w (r, r, C, F) and b (F,) or None."""
    (top, _), (left, _) = padding
    output = output_sizes(x.shape[1:3], w.shape[:2], (1, 1), padding)
    return _correlate(x, w, b, (-top, -left), output, variant, False)


def conv2d_input_gradient(
    gy: np.ndarray, w: np.ndarray, *, input_size: Pair, padding: Padding, variant: Variant
) -> np.ndarray:
    """gx (N, H, W, C) from gy (N, OH, OW, F) and w (r, r, C, F)."""
    (top, _), (left, _) = padding
    first = top - w.shape[0] + 1, left - w.shape[1] + 1
    return _correlate(gy, w, None, first, input_size, variant, True)
