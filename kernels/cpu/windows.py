"""Where the windows of a picture lie in memory: the tables that drive the register tile.

A window is named by its taps. Tap (dh, dw) of the output position (i, j) reads the picture at

    row    i * SH + dh        (dh = p * DH - top   for kernel row p of a convolution)
    column j * SW + dw        (dw = q * DW - left)

and reads zero outside it. All passes of a convolution are of this kind; only their taps and strides differ.

Memory is worked through in bands: some output rows of one picture, or several whole pictures if they are small, such
that the input rows a band needs (its region) stay in the second-level cache. Where taps reach over the edge, a region
is copied into a small scratch area with zeros around it, one for each thread; the batch is never copied as a whole.

Within a region each output position has a start, and each tap an offset from it. Taps that lie next to each other (all
of a kernel row, undilated) are one run of KW * C contiguous numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from .cache import inlined
from .moving import clear_elements, copy_elements
from .simd import ROWS

# Half of a common second-level cache; the other half is for weights and outputs.
REGION_BYTES = 256 * 1024
# A batch is cut at least so finely (if a piece is still worth it), for many cores to share and slow ones to catch up.
WANTED_TILES = 64
SMALLEST_TILE = 500_000  # multiply-adds


class Regions(NamedTuple):
    """How pictures (N, H, W, C) are read: plain integers for compiled code. All strides and sizes count elements."""

    images: int  # N
    height: int  # H
    width: int  # W
    channels: int  # C
    output_rows: int  # OH
    output_columns: int  # OW
    row_stride: int  # SH
    first_row: int  # of the first window, negative inside padding
    first_column: int
    span: int  # picture rows from a window's first tap to its last, both included
    padded: bool  # regions are copied into scratch memory
    pitch: int  # from one row of a region to the next
    region: int  # from one picture's region to the next
    band_images: int  # pictures to a band; above 1 only for whole pictures
    band_rows: int  # output rows to a band
    bands: int  # bands to a picture


@dataclass(frozen=True, eq=False)
class Windows:
    """Regions, with the start of every output position of a band and the offset of every run of taps."""

    regions: Regions
    positions: np.ndarray  # (band_images * band_rows * OW,)
    runs: np.ndarray  # offsets of runs from a position's start
    run_length: int
    taps: tuple[tuple[int, int], ...]  # in memory order: the indices of each tap in the given lists
    tap_offsets: np.ndarray  # of each tap, in the order of the given lists

    @property
    def tiles(self) -> int:
        """Bands of all pictures."""
        r = self.regions
        return -(-r.images // r.band_images) * r.bands

    @property
    def scratch(self) -> int:
        """Elements of scratch memory that a thread needs."""
        return self.regions.band_images * self.regions.region if self.regions.padded else 0


@lru_cache(maxsize=1024)
def windows(
    shape: tuple[int, int, int, int],
    tap_rows: tuple[int, ...],
    tap_columns: tuple[int, ...],
    strides: tuple[int, int],
    output: tuple[int, int],
    *,
    tap_channels: int,
    itemsize: int,
    work: int,
    band_rows: int = 0,
    together: int = 4 * ROWS,
    whole_vectors: int = 1,
) -> Windows:
    """The tables for pictures of `shape`.

    Args:
        shape: (N, H, W, C).
        tap_rows, tap_columns: dh and dw of the taps; every pair of them is a tap.
        strides: (SH, SW).
        output: (OH, OW), positions.
        tap_channels: channels read at each tap, from the position's start on: C, or fewer with groups.
        itemsize: bytes to an element.
        work: multiply-adds per output row of one picture, to cut bands by.
        band_rows: output rows to a band, where the caller knows better.
        together: positions that share tiles at least, where pictures are small.
        whole_vectors: numbers that are read at a time, which may be more than there are channels: then regions are
            copied, with room behind them.
    """
    regions = _regions(
        shape, tap_rows, tap_columns, strides, output, itemsize, work, band_rows, together, whole_vectors
    )
    columns = np.arange(output[1]) * strides[1] * regions.channels
    rows = np.arange(regions.band_rows) * strides[0] * regions.pitch
    images = np.arange(regions.band_images) * regions.region
    positions = (images[:, None, None] + rows[:, None] + columns).reshape(-1)
    runs, length, taps, offsets = _runs(regions, tap_rows, tap_columns, tap_channels)
    return Windows(regions, positions.astype(np.int64), runs, length, taps, offsets)


def _regions(
    shape: tuple[int, int, int, int], tap_rows: tuple[int, ...], tap_columns: tuple[int, ...],
    strides: tuple[int, int], output: tuple[int, int], itemsize: int, work: int, band_rows: int, together: int,
    whole_vectors: int,
) -> Regions:  # fmt: skip
    N, H, W, C = shape
    OH, OW = output
    first_row, first_column = min(tap_rows, default=0), min(tap_columns, default=0)
    span = max(tap_rows, default=0) - first_row + 1
    reach = (OW - 1) * strides[1] + max(tap_columns, default=0) - first_column + 1
    last_row = (OH - 1) * strides[0] + first_row + span - 1
    padded = first_row < 0 or first_column < 0 or last_row >= H or first_column + reach > W
    padded = padded or C % whole_vectors != 0
    pitch = (reach if padded else W) * C
    band_rows = band_rows or cut_rows(N, OH, strides[0], span, pitch * itemsize, work)
    bands = -(-OH // band_rows)
    band_images = 1
    if bands == 1:
        # Few positions would leave most rows of the register tile idle, unless pictures share tiles.
        band_images = max(1, min(N, -(-together // (OH * OW))))
    region = ((band_rows - 1) * strides[0] + span) * pitch + whole_vectors - 1 if padded else H * W * C
    return Regions(
        N, H, W, C, OH, OW, strides[0], first_row, first_column, span, padded, pitch, region,
        band_images, band_rows, bands,
    )  # fmt: skip


def cut_rows(images: int, rows: int, stride: int, span: int, row_bytes: int, work: int) -> int:
    """Output rows to a band, as equal as can be, at least 1."""
    fitting = max(1, (REGION_BYTES // max(1, row_bytes) - span) // stride + 1)
    worthwhile = max(1, SMALLEST_TILE // max(1, work))
    wanted = max(worthwhile, rows * images // WANTED_TILES)
    bands = -(-rows // max(1, min(rows, fitting, wanted)))
    return -(-rows // bands)


def _runs(
    regions: Regions, tap_rows: tuple[int, ...], tap_columns: tuple[int, ...], tap_channels: int
) -> tuple[np.ndarray, int, tuple[tuple[int, int], ...], np.ndarray]:
    C = regions.channels
    offsets = {
        (p, q): (dh - regions.first_row) * regions.pitch + (dw - regions.first_column) * C
        for (p, dh), (q, dw) in product(enumerate(tap_rows), enumerate(tap_columns))
    }
    taps = tuple(sorted(offsets, key=offsets.__getitem__))
    starts = np.array([offsets[tap] for tap in taps], np.int64)
    in_given_order = np.array(list(offsets.values()), np.int64)
    columns = sorted(tap_columns)
    adjacent = bool(columns) and columns == list(range(columns[0], columns[0] + len(columns)))
    if adjacent and tap_channels == C:
        return starts[:: len(columns)].copy(), len(columns) * C, taps, in_given_order
    return starts, tap_channels, taps, in_given_order


@inlined
def copy_region(x, image, first_row, rows, r, scratch, base):
    """Copy `rows` picture rows from `first_row` on into scratch[base:], zero wherever they lie outside the picture."""
    C = r.channels
    left = max(0, -r.first_column) * C
    right = min(r.pitch, (r.width - r.first_column) * C)
    for i in range(rows):
        row = first_row + i
        target = base + i * r.pitch
        if row < 0 or row >= r.height or right <= left:
            clear_elements(scratch, target, r.pitch)
            continue
        origin = ((image * r.height + row) * r.width + r.first_column) * C
        clear_elements(scratch, target, left)
        copy_elements(scratch, target + left, x, origin + left, right - left)
        clear_elements(scratch, target + right, r.pitch - right)


@inlined
def band(r, tile):
    """The first picture, the number of pictures, the first output row and the number of output rows of a band."""
    image = tile // r.bands * r.band_images
    images = min(r.band_images, r.images - image)
    row = tile % r.bands * r.band_rows
    rows = min(r.band_rows, r.output_rows - row)
    return image, images, row, rows


@inlined
def load_band(x, r, image, images, row, rows, scratch, base):
    """Where the band's windows start: in x itself, or in scratch[base:], copied there with zeros around."""
    first_row = row * r.row_stride + r.first_row
    if not r.padded:
        return x, ((image * r.height + first_row) * r.width + r.first_column) * r.channels
    needed = (rows - 1) * r.row_stride + r.span
    for i in range(images):
        copy_region(x, image + i, first_row, needed, r, scratch, base + i * r.region)
    return scratch, base
