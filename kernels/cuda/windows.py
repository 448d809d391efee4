"""What the kernels of convolution.cu and direct.cu are told about a convolution: its geometry, worked out once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..geometry import Padding, Pair, output_sizes
from .arrays import DIVIDER, check_count, divider

WINDOWS = np.dtype(
    [(name, DIVIDER) for name in ("output_rows", "output_columns", "cells", "cell_columns", "channels",
                                  "kernel_columns")]
    + [(name, np.int32) for name in ("height", "width", "depth", "row_stride", "column_stride", "cell_row_stride",
                                     "cell_column_stride", "top", "left", "row_tap", "column_tap", "windows", "taps")]
)  # fmt: skip
TAPS = np.dtype(
    [(name, DIVIDER) for name in ("filters", "columns")]
    + [(name, np.int32) for name in ("kernel_columns", "channels", "all_filters", "first_row", "first_column",
                                     "row_step", "column_step")]
)  # fmt: skip
RESIDUE = np.dtype(
    [(name, DIVIDER) for name in ("rows", "columns")]
    + [(name, np.int32) for name in ("height", "width", "first_row", "first_column", "row_stride", "column_stride")]
)
DIRECT = np.dtype(
    [(name, DIVIDER) for name in ("counted_rows", "counted_columns", "counted_depth")]
    + [(name, np.int32) for name in (
        "height", "width", "channels", "output_height", "output_width", "filters", "kernel_height", "kernel_width",
        "group_channels", "group_filters", "row_stride", "column_stride", "row_tap", "column_tap", "top", "left",
        "count")]
)  # fmt: skip


class Pool(NamedTuple):
    """The pooling behind a convolution."""

    size: Pair
    strides: Pair
    padding: Padding


# Windows of one cell are no pooling.
NO_POOL = Pool((1, 1), (1, 1), ((0, 0), (0, 0)))


class Shape(NamedTuple):
    """A convolution."""

    images: int
    size: Pair  # of x
    channels: int
    kernel: Pair
    filters: int
    strides: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @property
    def output(self) -> Pair:
        """The size of y."""
        return output_sizes(self.size, self.kernel, self.strides, self.padding, self.dilation)

    @property
    def group_channels(self) -> int:
        """Channels to a group."""
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        """Filters to a group."""
        return self.filters // self.groups

    @property
    def taps(self) -> int:
        """Weights to a filter."""
        return math.prod(self.kernel) * self.group_channels

    @property
    def reach(self) -> Pair:
        """Rows and columns from a window's first number to its last."""
        (KH, KW), (row_tap, column_tap) = self.kernel, self.dilation
        return (KH - 1) * row_tap, (KW - 1) * column_tap

    def pooled(self, pool: Pool) -> Pair:
        """The size of what a pooling behind the convolution gives."""
        return output_sizes(self.output, pool.size, pool.strides, pool.padding)


def _record(dtype: np.dtype, **values: object) -> np.ndarray:
    """A structure that a kernel takes by value."""
    record = np.zeros((), dtype)
    for name in dtype.names or ():
        record[name] = values[name]
    return record


def _numbers_around(size: Pair, around: Padding, depth: int) -> int:
    """Of a picture and what lies around it: places there are counted in 32 bits."""
    (top, bottom), (left, right) = around
    return (size[0] + top + bottom) * (size[1] + left + right) * depth


@lru_cache(maxsize=1024)
def windows(shape: Shape, pool: Pool = NO_POOL) -> np.ndarray:
    """All windows of the convolution, counted pool by pool; pools do not overlap and are not padded."""
    rows, columns = shape.pooled(pool)
    cells = math.prod(pool.size)
    count = shape.images * rows * columns * cells
    check_count("conv2d", max(count, shape.images * _numbers_around(shape.size, shape.padding, shape.channels)))
    (SH, SW), (PH, PW) = shape.strides, pool.size
    return _record(
        WINDOWS, output_rows=divider(rows), output_columns=divider(columns), cells=divider(cells),
        cell_columns=divider(PW), channels=divider(shape.group_channels), kernel_columns=divider(shape.kernel[1]),
        height=shape.size[0], width=shape.size[1], depth=shape.channels, row_stride=PH * SH, column_stride=PW * SW,
        cell_row_stride=SH, cell_column_stride=SW, top=shape.padding[0][0], left=shape.padding[1][0],
        row_tap=shape.dilation[0], column_tap=shape.dilation[1], windows=count, taps=shape.taps,
    )  # fmt: skip


class AxisResidue(NamedTuple):
    """Of the pixels first, first + stride, ... along one axis: which taps reach them, and from where."""

    first: int
    pixels: int
    taps: int
    first_tap: int
    tap_step: int
    start: int  # the output's index that the first tap pairs with the first pixel
    step: int  # and by how much it falls from tap to tap


def residues(size: int, kernel: int, stride: int, before: int, dilation: int) -> Iterator[AxisResidue]:
    """Pixel r and tap p meet at output i where r + before - p*dilation = i*stride.

    >>> [(a.first, a.pixels, a.taps, a.first_tap) for a in residues(5, 3, 2, 1, 1)]
    [(0, 3, 1, 1), (1, 2, 2, 0)]
    """
    for first in range(min(stride, size)):
        found = [p for p in range(kernel) if (first + before - p * dilation) % stride == 0]
        tap, step = (found[0] if found else 0), stride // math.gcd(stride, dilation)
        start = (first + before - tap * dilation) // stride
        yield AxisResidue(
            first, -(-(size - first) // stride), len(found), tap, step, start, step * dilation // stride
        )


class Part(NamedTuple):
    """The input gradient of the pixels of one residue."""

    windows: np.ndarray
    taps: np.ndarray
    residue: np.ndarray


@lru_cache(maxsize=1024)
def gradient_parts(shape: Shape) -> tuple[Part, ...]:
    """The products that an input gradient is made of."""
    # Windows on gy begin as far outside as the kernel reaches.
    rows, columns = shape.reach
    seen = _numbers_around(shape.output, ((rows, rows), (columns, columns)), shape.filters)
    check_count("conv2d_input_gradient", shape.images * max(math.prod(shape.size), seen))
    axes = [
        list(residues(*axis))
        for axis in zip(shape.size, shape.kernel, shape.strides, (pad[0] for pad in shape.padding), shape.dilation,
                        strict=True)
    ]  # fmt: skip
    return tuple(_part(shape, rows, columns) for rows in axes[0] for columns in axes[1])


def _part(shape: Shape, rows: AxisResidue, columns: AxisResidue) -> Part:
    filters, (OH, OW) = shape.group_filters, shape.output
    seen = _record(
        WINDOWS, output_rows=divider(rows.pixels), output_columns=divider(columns.pixels), cells=divider(1),
        cell_columns=divider(1), channels=divider(filters), kernel_columns=divider(columns.taps), height=OH, width=OW,
        depth=shape.filters, row_stride=1, column_stride=1, cell_row_stride=0, cell_column_stride=0,
        top=-rows.start, left=-columns.start, row_tap=-rows.step, column_tap=-columns.step,
        windows=shape.images * rows.pixels * columns.pixels, taps=rows.taps * columns.taps * filters,
    )  # fmt: skip
    taps = _record(
        TAPS, filters=divider(filters), columns=divider(columns.taps), kernel_columns=shape.kernel[1],
        channels=shape.group_channels, all_filters=shape.filters, first_row=rows.first_tap,
        first_column=columns.first_tap, row_step=rows.tap_step, column_step=columns.tap_step,
    )  # fmt: skip
    residue = _record(
        RESIDUE, rows=divider(rows.pixels), columns=divider(columns.pixels), height=shape.size[0],
        width=shape.size[1], first_row=rows.first, first_column=columns.first, row_stride=shape.strides[0],
        column_stride=shape.strides[1],
    )  # fmt: skip
    return Part(seen, taps, residue)


@lru_cache(maxsize=1024)
def direct(shape: Shape, counted: Pair, depth: int, operation: str) -> np.ndarray:
    """The same for direct.cu; its threads are counted over pictures of the size `counted`, and `depth` if not 1."""
    count = shape.images * math.prod(counted) * depth
    check_count(operation, count)
    return _record(
        DIRECT, counted_rows=divider(counted[0]), counted_columns=divider(counted[1]), counted_depth=divider(depth),
        height=shape.size[0], width=shape.size[1], channels=shape.channels, output_height=shape.output[0],
        output_width=shape.output[1], filters=shape.filters, kernel_height=shape.kernel[0],
        kernel_width=shape.kernel[1], group_channels=shape.group_channels, group_filters=shape.group_filters,
        row_stride=shape.strides[0], column_stride=shape.strides[1], row_tap=shape.dilation[0],
        column_tap=shape.dilation[1], top=shape.padding[0][0], left=shape.padding[1][0], count=count,
    )  # fmt: skip
