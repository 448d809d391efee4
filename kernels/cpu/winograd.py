"""Winograd's convolution: n*n small matrix products on tiles that overlap, instead of one on windows.

`minicnn.kernels.winograd` has the arithmetic. Here the batch is worked through in bands (see `windows`; a window is now
a tile of n x n inputs, and the strides are m), and a band in blocks of a few tiles, for which

    V[t, e, c] = (B^T d B)[e]                              for the n*n elements e of each tile t and channel c
    S[t, e, f] = sum over c of V[t, e, c] * U[e, c, f]     a matrix product for each e, on the register tile of `simd`
    y          = (A^T S A) + b

A block is so small that V and S stay in the second-level cache. U, the transformed kernel, is packed once for a call:
it is itself the product of a constant matrix (n*n, r*r) and the kernel (r*r, C*F). A 2x2 max pooling happens in
registers, before y is written, and an activation on rows of y that have just been written.

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
from .activations import LINEAR, activate
from .arrays import flat
from .cache import compiled
from .matrices import matmul
from .panels import NO_OFFSET, ONE, ZERO, multiply_panels, pack, pad_bias
from .simd import ROWS, VECTORS
from .threads import enter, share, take, threads_for
from .transforms import VARIANTS, pool_output, transform_input, transform_output
from .vectors import VECTOR_BYTES
from .windows import REGION_BYTES, WANTED_TILES, Windows, band, load_band, windows

# V and S of a block.
BLOCK_BYTES = 320 * 1024
# Tiles to a band, at least: its last rows of the register tile may go idle.
SMALLEST_BAND = 8 * ROWS

_NO_WINNERS = np.zeros(1, np.uint8)


class WinogradCut(NamedTuple):
    """How the work is cut, and a thread's scratch memory. Sizes count elements."""

    variant: int
    size: int  # n
    pooled: bool
    side: int  # of a tile in y: m, or half of it
    rows: int  # of y
    columns: int
    channels: int
    filters: int
    block: int  # tiles to a block
    v_plane: int  # from an element of V to the next
    v_tile: int  # from a tile of V to the next
    s_plane: int
    s_tile: int
    region: int  # the band's inputs
    v: int
    scratch: int


def tile_windows(
    shape: tuple[int, int, int, int], first: Pair, output: Pair, side: int, step: int, itemsize: int,
    band_rows: int = 0,
) -> Windows:  # fmt: skip
    """The tiles of `side` rows and columns, `step` apart, that yield an output of this size; the first is at `first`.

    Bands are rows of tiles, of `band_rows` where it is given.
    """
    N, _, _, C = shape
    rows, columns = (-(-size // step) for size in output)
    if not band_rows:
        row_bytes = (columns * step + side - step) * C * itemsize
        fitting = max(1, (REGION_BYTES // max(1, row_bytes) - side) // step + 1)
        wanted = max(-(-SMALLEST_BAND // columns), rows * N // WANTED_TILES)
        band_rows = -(-rows // -(-rows // min(fitting, wanted)))
    taps = (tuple(range(start, start + side)) for start in first)
    return windows(
        shape, *taps, (step, step), (rows, columns), tap_channels=C, itemsize=itemsize, work=0, band_rows=band_rows,
        together=SMALLEST_BAND, whole_vectors=VECTOR_BYTES // itemsize,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, int, int, int], first: Pair, output: Pair, filters: int, variant: Variant, pooled: bool,
    itemsize: int,
) -> tuple[Windows, WinogradCut, np.ndarray, np.ndarray]:  # fmt: skip
    """The tiles' windows, the cut, and where a block's tiles lie in V and in S."""
    n, m, C, lanes = variant.size, variant.outputs, shape[3], VECTOR_BYTES // itemsize
    found = tile_windows(shape, first, output, n, m, itemsize)
    v_plane, s_plane = (-(-width // lanes) * lanes for width in (C, filters))
    # Tiles a power of two apart would push each other out of the first-level cache.
    v_tile, s_tile = n * n * v_plane + 2 * lanes, n * n * s_plane + 2 * lanes
    tiles = found.positions.size
    block = min(max(1, BLOCK_BYTES // ((v_tile + s_tile) * itemsize * ROWS)), -(-tiles // ROWS)) * ROWS
    steps = np.arange(block, dtype=np.int64)
    side = m // 2 if pooled else m
    cut = WinogradCut(
        VARIANTS.index(variant), n, pooled, side, output[0] * side // m, output[1] * side // m, C, filters, block,
        v_plane, v_tile, s_plane, s_tile, found.scratch, block * v_tile, found.scratch + block * (v_tile + s_tile),
    )  # fmt: skip
    return found, cut, steps * v_tile, steps * s_tile


@compiled
def _correlate_tiles(
    ticket, tiles, x, weights, zeros, bias, y, winners, positions, no_offset, v_starts, s_starts, regions, cut, kind,
    alpha, scratch,
):  # fmt: skip
    lanes = VECTOR_BYTES // y.itemsize
    width = VECTORS * lanes
    n, C, F, side = cut.size, cut.channels, cut.filters, cut.side
    panels = (F + width - 1) // width
    panel = C * width
    columns, line = regions.output_columns, cut.columns * F
    region = enter(ticket) * cut.scratch
    v = region + cut.region
    s = v + cut.v
    number = take(ticket)
    while number < tiles:
        image, images, row, rows = band(regions, number)
        source, base = load_band(x, regions, image, images, row, rows, scratch, region)
        count = images * rows * columns
        for first in range(0, count, cut.block):
            block = min(cut.block, count - first)
            for t in range(block):
                for c in range(0, C, lanes):
                    transform_input(
                        n, source, base + positions[first + t] + c, regions.pitch, C,
                        scratch, v + v_starts[t] + c, cut.v_plane,
                    )  # fmt: skip
            for e in range(n * n):
                multiply_panels(
                    scratch, v + e * cut.v_plane, v_starts, ZERO, block, no_offset, ONE, C, ONE,
                    weights, e * panels * panel, panel, ZERO, width,
                    zeros, ZERO, ZERO, scratch, s + e * cut.s_plane, s_starts, cut.s_plane,
                )  # fmt: skip
            for t in range(block):
                place = first + t
                j = place % columns * side
                i = (row + place // columns % rows) * side
                target = ((image + place // (columns * rows)) * cut.rows + i) * line + j * F
                for f in range(0, F, lanes):
                    if cut.pooled:
                        pool_output(
                            cut.variant, scratch, s + s_starts[t] + f, cut.s_plane, bias, f,
                            y, target + f, winners, target + f, line, F, cut.rows - i, cut.columns - j, F - f,
                        )  # fmt: skip
                    else:
                        transform_output(
                            cut.variant, scratch, s + s_starts[t] + f, cut.s_plane, bias, f,
                            y, target + f, line, F, cut.rows - i, cut.columns - j, F - f,
                        )  # fmt: skip
        for i in range(image, image + images):
            start = (i * cut.rows + row * side) * line
            activate(y[start : start + min(rows * side, cut.rows - row * side) * line], kind, alpha)
        number = take(ticket)


def _transform_kernel(w: np.ndarray, variant: Variant, turned: bool) -> np.ndarray:
    """U: for each of the n*n elements a matrix (C, F) in panels; of the turned kernel (F, C)."""
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
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, first: Pair, output: Pair, variant: Variant, *,
    turned: bool = False, pooled: bool = False, kind: int = LINEAR, alpha: float = 1.0,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """The correlation with w, or the turned w, whose position (0, 0) begins at `first`, and what follows it."""
    dtype, filters, step = x.dtype, w.shape[2 if turned else 3], 2 if pooled else 1
    shape = (len(x), output[0] // step, output[1] // step, filters)
    y = memory.empty(shape, dtype)
    winners = memory.empty(shape, np.uint8) if pooled else None
    if not y.size:
        return y, winners
    # What no window of the pooling sees need not be computed.
    used = shape[1] * step, shape[2] * step
    found, cut, v_starts, s_starts = _plan(x.shape, first, used, filters, variant, pooled, dtype.itemsize)
    threads = threads_for(len(x) * used[0] * used[1] * w.size)
    share(
        _correlate_tiles, found.tiles, threads, flat(x, dtype), _transform_kernel(w, variant, turned),
        pad_bias(None, filters, 1, dtype), pad_bias(b, filters, 1, dtype), y.reshape(-1),
        _NO_WINNERS if winners is None else winners.reshape(-1), found.positions, NO_OFFSET, v_starts, s_starts,
        found.regions, cut, kind, alpha, memory.empty((threads * cut.scratch,), dtype),
    )  # fmt: skip
    return y, winners


def conv2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, padding: Padding, variant: Variant, pooled: bool = False,
    kind: int = LINEAR, alpha: float = 1.0,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """y and winners from x (N, H, W, C), w (r, r, C, F) and b (F,) or None.

    Args:
        x, w, b: as for `minicnn.kernels.conv2d`, without strides, dilation and groups.
        padding: ((top, bottom), (left, right)).
        variant: with the kernel's number of taps.
        pooled: followed by a max pooling of 2x2, without padding; else winners are None.
        kind, alpha: the activation that comes last, see `activations`.

    Returns:
        y (N, OH, OW, F), and winners of the same shape.
    """
    (top, _), (left, _) = padding
    output = output_sizes(x.shape[1:3], w.shape[:2], (1, 1), padding)
    return _correlate(x, w, b, (-top, -left), output, variant, pooled=pooled, kind=kind, alpha=alpha)


def conv2d_input_gradient(
    gy: np.ndarray, w: np.ndarray, *, input_size: Pair, padding: Padding, variant: Variant
) -> np.ndarray:
    """gx (N, H, W, C) from gy (N, OH, OW, F) and w (r, r, C, F)."""
    (top, _), (left, _) = padding
    first = top - w.shape[0] + 1, left - w.shape[1] + 1
    return _correlate(gy, w, None, first, input_size, variant, turned=True)[0]
