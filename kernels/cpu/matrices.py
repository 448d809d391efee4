"""The matrix product of dense layers, with their bias and activation, on the register tile of the convolutions.

a is (M, K), b is (K, N), the bias (N,); both matrices may be transposed views. No BLAS: threaded BLAS libraries split
sums by the number of threads, and their results change with it. Here every element of the product is one sum over k in
its order, or a few that are added in their order.

How the work is cut depends on shape and layout alone:

- Few rows of a (prediction of one picture): each element of b is used M times only, so reading b is all that counts,
  and b is streamed once, in the order in which it lies in memory.
- Else a tile is a block of rows by a group of panels of b, small enough that the slices of a and b along some hundred
  values of k, and the sums so far, stay in the second-level cache together. Each slice of b is packed into panels where
  it is used and forgotten: no packed matrix goes to memory. (Goto and van de Geijn, "Anatomy of high-performance matrix
  multiplication", 2008, section 4.)
- Where that makes few tiles of few rows and long sums (a dense layer behind many pixels), reading b counts again: then
  the sums are cut into chunks that each read some rows of b whole, and are added up in the end.

Rows of a that lie a large power of two apart fall into the same few places of the caches and push each other out, so
they are first copied side by side.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..composition import dense_blocks
from . import memory
from .activations import LINEAR, NAMES, activate, gradient
from .arrays import contiguous, flat, floating
from .cache import compiled, reassociated
from .moving import copy_elements, transpose
from .panels import (
    NO_OFFSET,
    ONE,
    ROWS_AHEAD,
    ZERO,
    copy_panel_row,
    multiply_panels,
    pad_bias,
    panel_count,
    panel_width,
    vector_lanes,
)
from .simd import ROWS, VECTORS
from .threads import enter, share, take, threads_for
from .vectors import VECTOR_BYTES

THIN = 4  # rows of a
THIN_COLUMNS = 512  # columns to a tile where b is read by rows
THIN_DOTS = 32  # and where it is read by columns
BLOCK = 252  # rows to a tile at most: whole register tiles of either height
GROUP = 8  # panels to a tile at most
LEAST_TILES = 8  # if there are so many panels, or sums so long
CHUNKED = 64  # rows of a at most, where sums are cut into chunks
CHUNK = 384  # and values of k to a chunk at least
SUMMED = 4096  # sums to a tile, where chunks are added
SLICE = 256  # values of k to a slice; half of it where a block has many rows


class Matrix(NamedTuple):
    """A matrix in flat memory: element (i, j) is memory[i * row_step + j * column_step], and one step is 1."""

    memory: np.ndarray
    row_step: int
    column_step: int


class ProductCut(NamedTuple):
    """How a product (M, K) @ (K, N) is cut into tiles, and a thread's scratch memory. Sizes count elements."""

    M: int
    N: int
    K: int
    block: int  # rows to a tile
    group: int  # panels to a tile
    chunks: int
    chunk: int  # values of k to a chunk
    slice: int  # and of them at a time
    pack_a: bool
    row_step: int  # of a
    column_step: int
    b_row_step: int
    b_column_step: int
    packed_a: int  # where the scratch of packed rows ends, and that of panels begins
    packed_b: int  # where that ends, and the sums begin
    pitch: int  # of the sums
    scratch: int


class Plan(NamedTuple):
    """A cut and the tables that go with it."""

    cut: ProductCut
    tiles: int
    a_rows: np.ndarray
    targets: np.ndarray


def _matrix(array: np.ndarray, dtype: np.dtype) -> Matrix:
    flags = array.flags
    if flags.f_contiguous and not flags.c_contiguous:
        return Matrix(flat(array.T, dtype), 1, array.shape[0])
    return Matrix(flat(array, dtype), array.shape[1], 1)


_, dense_block_gradients = dense_blocks(lambda: sys.modules[__package__], gradient)


def dense_block(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, activation: str, alpha: float
) -> np.ndarray:
    """The activation of x @ w + b, (M, N), applied to each tile while it is in the cache."""
    return multiply(x, w, b, None, NAMES.index(activation), float(alpha))


def matmul(
    a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """a @ b + bias: (M, K), (K, N) and (N,) or None to (M, N); float32 or float64, any strides."""
    return multiply(a, b, bias, out, LINEAR, 0.0)


def multiply(
    a: np.ndarray, b: np.ndarray, bias: np.ndarray | None, out: np.ndarray | None, kind: int, alpha: float
) -> np.ndarray:
    """The activation of that kind of a @ b + bias."""
    dtype = floating("matmul", a)
    (M, K), N = a.shape, b.shape[1]
    y = memory.empty((M, N), dtype) if out is None else out
    if not y.size:
        return y
    left, right = _matrix(contiguous(a, dtype) if M <= THIN else a, dtype), _matrix(b, dtype)
    if M <= THIN:
        start = pad_bias(bias, N, 1, dtype)
        by_rows = right.column_step == 1
        share(
            _thin_by_rows if by_rows else _thin_by_columns, -(-N // (THIN_COLUMNS if by_rows else THIN_DOTS)),
            threads_for(N * K), left.memory, right.memory, start, y, K, kind, alpha,
        )  # fmt: skip
        return y
    plan = _plan(M, N, K, left.row_step, left.column_step, right.row_step, right.column_step, dtype)
    threads, chunks = threads_for(M * N * K), plan.cut.chunks
    scratch = memory.empty((threads * plan.cut.scratch,), dtype)
    sums = y if chunks == 1 else memory.empty((chunks, M, N), dtype)
    share(
        _multiply_tiles, plan.tiles, threads, left.memory, plan.a_rows, right.memory,
        pad_bias(bias if chunks == 1 else None, N, 1, dtype), sums.reshape(-1), plan.targets, NO_OFFSET, scratch,
        plan.cut, kind if chunks == 1 else LINEAR, alpha,
    )  # fmt: skip
    if chunks > 1:
        rows = max(1, SUMMED // N)
        padded = pad_bias(bias, N, 1, dtype)
        share(_add_chunks, -(-M // rows), threads_for(sums.nbytes), sums, padded, y, rows, kind, alpha)
    return y


@lru_cache(maxsize=1024)
def _plan(
    M: int, N: int, K: int, row_step: int, column_step: int, b_row_step: int, b_column_step: int, dtype: np.dtype
) -> Plan:
    panels, width, lanes = panel_count(N, dtype), panel_width(dtype), vector_lanes(dtype)
    blocks = -(-M // BLOCK)
    chunks = max(1, min(-(-LEAST_TILES // -(-panels // GROUP)), K // CHUNK)) if M <= CHUNKED else 1
    chunk = -(-max(K, 1) // chunks)
    least = -(-LEAST_TILES // chunks)
    # Few columns make few tiles: then more rows' worth of them, of which each packs b for itself.
    blocks = max(blocks, min(-(-least // panels), M // (4 * ROWS)))
    rows = -(-M // blocks)
    block = -(-rows // ROWS) * ROWS
    group = min(GROUP, panels, -(-panels * blocks // least))
    slice_ = min(chunk, SLICE if block <= BLOCK // 2 else SLICE // 2)
    pack_a = row_step > 1 and row_step * dtype.itemsize % 1024 == 0
    a_pitch = max(lanes, ROWS)
    packed_a = block // ROWS * slice_ * a_pitch if pack_a else 0
    packed_b = packed_a + group * slice_ * width
    pitch = group * width
    numbers = np.arange(block, dtype=np.int64)
    a_rows = numbers // ROWS * (slice_ * a_pitch) + numbers % ROWS if pack_a else numbers * row_step
    cut = ProductCut(
        M, N, K, block, group, chunks, chunk, slice_, pack_a, row_step, column_step, b_row_step, b_column_step,
        packed_a, packed_b, pitch, packed_b + (block * pitch if slice_ < chunk else 0),
    )  # fmt: skip
    targets = numbers * (pitch if slice_ < chunk else N)
    return Plan(cut, chunks * blocks * -(-panels // group), a_rows, targets)


@compiled
def _multiply_tiles(ticket, tiles, a, a_rows, b, start, y, targets, no_offset, scratch, cut, kind, alpha):
    lanes = VECTOR_BYTES // y.itemsize
    width = VECTORS * lanes
    panel = cut.slice * width
    a_pitch = max(lanes, ROWS)
    a_scratch = enter(ticket) * cut.scratch
    b_scratch, sums = a_scratch + cut.packed_a, a_scratch + cut.packed_b
    groups = (cut.N + cut.pitch - 1) // cut.pitch
    one_slice = cut.slice >= cut.chunk
    tile = take(ticket)
    while tile < tiles:
        chunk, place = divmod(tile, tiles // cut.chunks)
        first, column = place // groups * cut.block, place % groups * cut.pitch
        rows, columns = min(cut.block, cut.M - first), min(cut.pitch, cut.N - column)
        target = (chunk * cut.M + first) * cut.N + column
        out, out_base = (y, target) if one_slice else (scratch, sums)
        k_first, k_end = chunk * cut.chunk, min((chunk + 1) * cut.chunk, cut.K)
        # Once even for K = 0, which leaves the bias.
        for k in range(k_first, max(k_end, k_first + 1), cut.slice):
            length = min(cut.slice, k_end - k)
            left, left_base, left_step = a, first * cut.row_step + k * cut.column_step, cut.column_step
            if cut.pack_a:
                for row in range(0, rows, ROWS):
                    transpose(
                        a, left_base + row * cut.row_step, cut.row_step, min(ROWS, rows - row), length,
                        scratch, a_scratch + row * cut.slice // ROWS * a_pitch, a_pitch, a_pitch,
                    )  # fmt: skip
                left, left_base, left_step = scratch, a_scratch, a_pitch
            base = k * cut.b_row_step + column * cut.b_column_step
            if cut.b_column_step == 1:
                whole = columns // width * width
                for i in range(length):
                    source, packed = base + i * cut.b_row_step, b_scratch + i * width
                    for n in range(0, whole, width):
                        copy_panel_row(scratch, packed + n // width * panel, b, source + n, ROWS_AHEAD * cut.b_row_step)
                    if columns > whole:
                        copy_elements(scratch, packed + whole // width * panel, b, source + whole, columns - whole)
            else:
                for n in range(0, columns, width):
                    transpose(
                        b, base + n * cut.b_column_step, cut.b_column_step, min(width, columns - n), length,
                        scratch, b_scratch + n // width * panel, width, width,
                    )  # fmt: skip
            begin, begin_base, begin_scale = (start, column, ZERO) if k == k_first else (scratch, sums, ONE)
            multiply_panels(
                left, left_base, a_rows, ZERO, rows, no_offset, ONE, length, left_step,
                scratch, b_scratch, panel, ZERO, width,
                begin, begin_base, begin_scale, out, out_base, targets, columns,
            )  # fmt: skip
        for row in range(rows):
            values = y[target + row * cut.N : target + row * cut.N + columns]
            if not one_slice:
                values[:] = scratch[sums + row * cut.pitch : sums + row * cut.pitch + columns]
            activate(values, kind, alpha)
        tile = take(ticket)


@compiled
def _add_chunks(ticket, tiles, sums, start, y, rows, kind, alpha):
    chunks, M, N = sums.shape
    tile = take(ticket)
    while tile < tiles:
        for row in range(tile * rows, min((tile + 1) * rows, M)):
            values = y[row]
            values[:] = start[:N]
            for chunk in range(chunks):
                part = sums[chunk, row]
                for n in range(N):
                    values[n] += part[n]
            activate(values, kind, alpha)
        tile = take(ticket)


@compiled
def _thin_by_rows(ticket, tiles, a, b, start, y, K, kind, alpha):
    """Four rows of b at a time, so that y's row is read and written a quarter as often."""
    M, N = y.shape
    tile = take(ticket)
    while tile < tiles:
        first = tile * THIN_COLUMNS
        end = min(N, first + THIN_COLUMNS)
        y[:, first:end] = start[first:end]
        for k in range(0, K // 4 * 4, 4):
            b0, b1 = b[k * N + first : k * N + end], b[(k + 1) * N + first : (k + 1) * N + end]
            b2, b3 = b[(k + 2) * N + first : (k + 2) * N + end], b[(k + 3) * N + first : (k + 3) * N + end]
            for m in range(M):
                s0, s1, s2, s3 = a[m * K + k], a[m * K + k + 1], a[m * K + k + 2], a[m * K + k + 3]
                target = y[m, first:end]
                for n in range(target.size):
                    target[n] += (s0 * b0[n] + s1 * b1[n]) + (s2 * b2[n] + s3 * b3[n])
        for k in range(K // 4 * 4, K):
            for m in range(M):
                scale = a[m * K + k]
                for n in range(first, end):
                    y[m, n] += scale * b[k * N + n]
        for m in range(M):
            activate(y[m, first:end], kind, alpha)
        tile = take(ticket)


@reassociated
def _dot(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@compiled
def _thin_by_columns(ticket, tiles, a, b, start, y, K, kind, alpha):
    """One sum of products for each element of y: columns of b, and rows of a, are contiguous."""
    M, N = y.shape
    tile = take(ticket)
    while tile < tiles:
        first = tile * THIN_DOTS
        end = min(N, first + THIN_DOTS)
        for n in range(first, end):
            for m in range(M):
                y[m, n] = start[n] + _dot(a[m * K : (m + 1) * K], b[n * K : (n + 1) * K])
        for m in range(M):
            activate(y[m, first:end], kind, alpha)
        tile = take(ticket)
