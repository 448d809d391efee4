"""The gradient by the kernel of Winograd's convolution, which is that of its formula.

y = A^T [(G g G^T) * V] A with V = B^T d B, so the gradient of G g G^T is, summed over all tiles, A gy A^T * V, and that
of g follows from it as the transform of the kernel is linear:

    Z[t, e, f]  = (A gy A^T)[e]                         for each tile t, element e and filter f
    gU[e, c, f] = sum over t of V[t, e, c] * Z[t, e, f]
    gw          = G^T gU G

The sum over t is a matrix product (C, tiles) @ (tiles, F) for each of the n*n elements: as many multiplications as
forward. Threads must not change sums, so the batch is cut into chunks by its shape alone, each chunk has its own sum,
and these are added in their order, as in `convolution`.

The transforms magnify the rounding of these sums by ten and more, so none may be long: a block of tiles is summed by
itself before it is added to its chunk. So the error stays what it is in a small batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding
from ..noting import copy
from ..winograd import Variant, kernel_transform
from . import memory
from .arrays import flat
from .cache import compiled
from .matrices import matmul
from .moving import clear_elements
from .panels import NO_OFFSET, ONE, ZERO, multiply_panels
from .simd import ROWS, VECTORS
from .threads import enter, share, take, threads_for
from .transforms import VARIANTS, transform_cotangent, transform_input
from .vectors import VECTOR_BYTES
from .windows import Windows, band, load_band
from .winograd import tile_windows

# V and Z of a block: larger than forward, because each block reads and writes all of gU.
BLOCK_BYTES = 512 * 1024
# Chunks of the batch: enough for many cores, few enough that adding them up costs nothing.
CHUNKS = 16
CHUNK_BYTES = 8 << 20
# Elements of gU to a tile of the work of adding chunks.
SLICE = 16 * 1024


class WinogradGradientCut(NamedTuple):
    """How the work is cut, and a thread's scratch memory. Sizes count elements."""

    variant: int
    size: int  # n
    channels: int
    filters: int
    block: int  # tiles to a block
    bands: int  # in the batch
    chunk_bands: int
    chunks: int
    v_plane: int  # from an element of V to the next
    v_tile: int  # from a tile of V to the next
    z_plane: int
    z_tile: int
    gy_region: int  # the band's gradients, behind its inputs
    v: int
    scratch: int


@lru_cache(maxsize=1024)
def _plan(
    x_shape: tuple[int, int, int, int], gy_shape: tuple[int, int, int, int], padding: Padding, variant: Variant,
    itemsize: int,
) -> tuple[Windows, Windows, WinogradGradientCut]:  # fmt: skip
    """The tiles in x and in gy, and the cut."""
    (top, _), (left, _) = padding
    n, m, lanes, C, F = variant.size, variant.outputs, VECTOR_BYTES // itemsize, x_shape[3], gy_shape[3]
    in_x = tile_windows(x_shape, (-top, -left), gy_shape[1:3], n, m, itemsize)
    in_gy = tile_windows(gy_shape, (0, 0), gy_shape[1:3], m, m, itemsize, band_rows=in_x.regions.band_rows)
    v_plane, z_plane = (-(-width // lanes) * lanes for width in (C, F))
    # Tiles a power of two apart would push each other out of the first-level cache.
    v_tile, z_tile = n * n * v_plane + 2 * lanes, n * n * z_plane + 2 * lanes
    block = max(ROWS, min(BLOCK_BYTES // ((v_tile + z_tile) * itemsize), in_x.positions.size))
    affordable = max(1, CHUNK_BYTES // (n * n * C * z_plane * itemsize))
    chunk_bands = -(-in_x.tiles // min(CHUNKS, affordable, in_x.tiles))
    v = in_x.scratch + in_gy.scratch
    return in_x, in_gy, WinogradGradientCut(
        VARIANTS.index(variant), n, C, F, block, in_x.tiles, chunk_bands, -(-in_x.tiles // chunk_bands),
        v_plane, v_tile, z_plane, z_tile, in_x.scratch, v, v + block * (v_tile + z_tile),
    )  # fmt: skip


@compiled
def _sum_tiles(
    ticket, tiles, x, gy, sums, x_positions, gy_positions, no_offset, channels, targets, x_regions, gy_regions, cut,
    scratch,
):  # fmt: skip
    lanes = VECTOR_BYTES // gy.itemsize
    width = VECTORS * lanes
    n, C, F = cut.size, cut.channels, cut.filters
    size = C * cut.z_plane
    base = enter(ticket) * cut.scratch
    v = base + cut.v
    z = v + cut.block * cut.v_tile
    chunk = take(ticket)
    while chunk < tiles:
        total = chunk * n * n * size
        clear_elements(sums, total, n * n * size)
        for number in range(chunk * cut.chunk_bands, min((chunk + 1) * cut.chunk_bands, cut.bands)):
            image, images, row, rows = band(x_regions, number)
            picture, x_base = load_band(x, x_regions, image, images, row, rows, scratch, base)
            cotangent, gy_base = load_band(gy, gy_regions, image, images, row, rows, scratch, base + cut.gy_region)
            count = images * rows * x_regions.output_columns
            for first in range(0, count, cut.block):
                block = min(cut.block, count - first)
                for t in range(block):
                    for c in range(0, C, lanes):
                        transform_input(
                            n, picture, x_base + x_positions[first + t] + c, x_regions.pitch, C,
                            scratch, v + t * cut.v_tile + c, cut.v_plane,
                        )  # fmt: skip
                    for f in range(0, F, lanes):
                        transform_cotangent(
                            cut.variant, cotangent, gy_base + gy_positions[first + t] + f, gy_regions.pitch, F,
                            scratch, z + t * cut.z_tile + f, cut.z_plane,
                        )  # fmt: skip
                for e in range(n * n):
                    multiply_panels(
                        scratch, v + e * cut.v_plane, channels, ZERO, C, no_offset, ONE, block, cut.v_tile,
                        scratch, z + e * cut.z_plane, width, ZERO, cut.z_tile,
                        sums, total + e * size, ONE, sums, total + e * size, targets, cut.z_plane,
                    )  # fmt: skip
        chunk = take(ticket)


@compiled
def _add_chunks(ticket, tiles, sums, size, chunks):
    """sums[:size] += the other chunks, a slice at a time."""
    tile = take(ticket)
    while tile < tiles:
        first, end = tile * SLICE, min((tile + 1) * SLICE, size)
        total = sums[first:end]
        for chunk in range(1, chunks):
            part = sums[chunk * size + first : chunk * size + end]
            for k in range(total.size):
                total[k] += part[k]
        tile = take(ticket)


@lru_cache(maxsize=256)
def _steps(count: int, step: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


def conv2d_kernel_gradient(x: np.ndarray, gy: np.ndarray, *, padding: Padding, variant: Variant) -> np.ndarray:
    """gw (r, r, C, F) from x (N, H, W, C) and gy (N, OH, OW, F), for a batch that is not empty."""
    dtype, r, C, F = x.dtype, variant.taps, x.shape[3], gy.shape[3]
    in_x, in_gy, cut = _plan(x.shape, gy.shape, padding, variant, dtype.itemsize)
    size = variant.size**2 * C * cut.z_plane
    sums = memory.empty((cut.chunks * size,), dtype)
    threads = threads_for(gy.size * C * r * r)
    share(
        _sum_tiles, cut.chunks, threads, flat(x, dtype), flat(gy, dtype), sums, in_x.positions, in_gy.positions,
        NO_OFFSET, _steps(C, 1), _steps(C, cut.z_plane), in_x.regions, in_gy.regions, cut,
        memory.empty((threads * cut.scratch,), dtype),
    )  # fmt: skip
    share(_add_chunks, -(-size // SLICE), threads_for(sums.nbytes), sums, size, cut.chunks)
    taps = kernel_transform(variant).T.astype(dtype)
    gw = matmul(taps, sums[:size].reshape(variant.size**2, C * cut.z_plane)).reshape(r, r, C, cut.z_plane)
    if cut.z_plane == F:
        return gw
    narrow = memory.empty((r, r, C, F), dtype)
    copy(narrow, gw[..., :F])
    return narrow
