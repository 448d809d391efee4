"""The matrix product a @ b + bias of dense layers, on the register tile of the convolutions.

a is (M, K), b is (K, N), the bias (N,); both matrices may be transposed views. No BLAS: threaded BLAS libraries split
sums by the number of threads, and their results change with it. Here every element of the product is one sum over k in
its order, made by one thread.

How the work is cut depends on shape and layout alone:

- few rows of a (prediction of one picture): each element of b is used M times only, so reading b is all that counts,
  and b is streamed once, row by row;
- a short batch against a large weight matrix (a dense layer's forward pass): a panel of b is packed, used for all
  rows while it lies in the cache, and forgotten: the packed matrix never goes to memory;
- many rows (a dense layer's weight gradient): all of b is packed once, then blocks of rows are shared out;
- a short batch against a transposed weight matrix (a dense layer's input gradient): b.T has contiguous rows and many
  of them, so b.T @ a.T is computed in the third way, and each block is written transposed.

Rows of a that lie a large power of two apart fall into the same few places of the first-level cache and push each other
out, so they are first copied side by side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import memory
from .arrays import flat, floating
from .cache import compiled, inlined
from .panels import (
    ONE,
    ZERO,
    multiply_panels,
    pack,
    pack_panel,
    pad_bias,
    panel_count,
    panel_width,
    transpose,
    vector_lanes,
)
from .simd import ROWS, VECTOR_BYTES, VECTORS
from .threads import enter, share, take, threads_for

THIN = 4  # rows of a
THIN_COLUMNS = 512  # columns to a tile
SHORT = 16 * ROWS
BLOCK = 4 * ROWS  # rows to a tile

_NO_OFFSET = np.zeros(1, np.int64)


class Matrix(NamedTuple):
    """A matrix in flat memory: element (i, j) is memory[i * row_step + j * column_step], and one step is 1."""

    memory: np.ndarray
    row_step: int
    column_step: int

    @property
    def transposed(self) -> Matrix:
        """The same memory with rows and columns exchanged."""
        return Matrix(self.memory, self.column_step, self.row_step)


class Cut(NamedTuple):
    """How a product (M, K) @ (K, N) is cut into tiles of `block` rows and either one panel of b or all of them."""

    M: int
    N: int
    K: int
    block: int
    panels: int  # to a tile
    b_packed: bool  # all of b, beforehand; else each panel where it is used
    pack_a: bool
    transposed: bool  # write the product transposed
    pitch: int  # of the scratch for blocks to be written transposed
    scratch: int  # elements to a thread


def _matrix(array: np.ndarray, dtype: np.dtype) -> Matrix:
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return _matrix(array.T, dtype).transposed
    return Matrix(flat(array, dtype), array.shape[1], 1)


def matmul(
    a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """a @ b + bias: (M, K), (K, N) and (N,) or None to (M, N); float32 or float64, any strides."""
    dtype = floating("matmul", a)
    (M, K), N = a.shape, b.shape[1]
    y = memory.empty((M, N), dtype) if out is None else out
    if not y.size:
        return y
    left, right = _matrix(a, dtype), _matrix(b, dtype)
    if M <= SHORT and right.column_step != 1:
        cut = _cut(N, M, K, right.column_step, dtype, by_panels=False, transposed=True)
        _multiply(right.transposed, left.transposed, bias, y, cut)
    elif M <= THIN:
        _multiply_thin(left, right, bias, y, K)
    else:
        cut = _cut(M, N, K, left.row_step, dtype, by_panels=M <= SHORT, transposed=False)
        _multiply(left, right, bias, y, cut)
    return y


def _cut(M: int, N: int, K: int, a_pitch: int, dtype: np.dtype, *, by_panels: bool, transposed: bool) -> Cut:
    panels, lanes = panel_count(N, dtype), vector_lanes(dtype)
    block = M if by_panels else BLOCK
    aliasing = a_pitch > 1 and a_pitch * dtype.itemsize % 1024 == 0
    pitch = panels * panel_width(dtype)
    packed_a = -(-block // ROWS) * K * max(lanes, ROWS) if aliasing else 0
    packed_b = K * panel_width(dtype) if by_panels else 0
    scratch = packed_a + packed_b + (block * pitch if transposed else 0)
    return Cut(
        M, N, K, block, 1 if by_panels else panels, not by_panels, aliasing, transposed, pitch, scratch
    )  # fmt: skip


@lru_cache(maxsize=256)
def _steps(count: int, step: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


@lru_cache(maxsize=256)
def _packed_rows(count: int, K: int, pitch: int) -> np.ndarray:
    """Starts of rows packed by tiles, `pitch` numbers to each k."""
    rows = np.arange(count, dtype=np.int64)
    return rows // ROWS * (K * pitch) + rows % ROWS


def _multiply(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, cut: Cut) -> None:
    dtype = y.dtype
    b_rows = _steps(cut.K, b.row_step)
    run = cut.K if b.row_step == 1 else 1
    b_memory = b.memory
    if cut.b_packed:
        b_memory = pack(b.memory, b_rows, run, columns=cut.N, column_step=b.column_step)
    threads = threads_for(cut.M * cut.N * cut.K)
    scratch = memory.empty((threads * cut.scratch,), dtype)
    a_pitch = max(vector_lanes(dtype), ROWS)
    a_rows = _packed_rows(cut.block, cut.K, a_pitch) if cut.pack_a else _steps(cut.block, a.row_step)
    targets = _steps(cut.block, cut.pitch if cut.transposed else cut.N)
    added = np.zeros(cut.M, dtype) if bias is None or not cut.transposed else flat(bias, dtype)
    start = pad_bias(None if cut.transposed else bias, cut.N, 1, dtype)
    tiles = -(-cut.M // cut.block) * (1 if cut.b_packed else panel_count(cut.N, dtype))
    share(
        _multiply_tiles, tiles, threads, a.memory, a.row_step, a.column_step, a_rows, a_pitch, b_memory, b_rows, start,
        added, y.reshape(-1), targets, _NO_OFFSET, scratch, cut,
    )  # fmt: skip


@compiled
def _multiply_tiles(
    ticket, tiles, a, a_row_step, a_step, a_rows, a_pitch, b, b_rows, start, added, y, targets, no_offset, scratch, cut
):
    width = VECTORS * VECTOR_BYTES // y.itemsize
    a_scratch = enter(ticket) * cut.scratch
    b_scratch = a_scratch + (-(-cut.block // ROWS) * cut.K * a_pitch if cut.pack_a else 0)
    panel_tiles = tiles // (-(-cut.M // cut.block))
    tile = take(ticket)
    while tile < tiles:
        first, panel = tile // panel_tiles * cut.block, tile % panel_tiles
        rows = min(cut.block, cut.M - first)
        column = panel * width
        columns = min(cut.N - column, cut.panels * width)
        left, left_base, left_step = a, first * a_row_step, a_step
        if cut.pack_a:
            for row in range(0, rows, ROWS):
                transpose(
                    a, left_base + row * a_row_step, a_row_step, min(ROWS, rows - row), cut.K,
                    scratch, a_scratch + row // ROWS * cut.K * a_pitch, a_pitch, a_pitch,
                )  # fmt: skip
            left, left_base, left_step = scratch, a_scratch, a_pitch
        right, right_base = b, panel * cut.K * width
        if not cut.b_packed:
            pack_panel(b, column, b_rows, ONE, ONE, columns, scratch, b_scratch)
            right, right_base = scratch, b_scratch
        out, out_base = y, first * cut.N + column
        if cut.transposed:
            out, out_base = scratch, b_scratch
        multiply_panels(
            left, left_base, a_rows, ZERO, rows, no_offset, ONE, cut.K, left_step,
            right, right_base, cut.K * width, ZERO, width,
            start, column, ZERO, out, out_base, targets, columns,
        )  # fmt: skip
        if cut.transposed:
            _write_transposed(scratch, b_scratch, cut.pitch, rows, y, first, cut.M, cut.N, added)
        tile = take(ticket)


@inlined
def _write_transposed(block, base, pitch, rows, y, first, M, N, added):
    """y[n, first + m] = block[m, n] + added[first + m], where y's rows are M long."""
    transpose(block, base, pitch, rows, N, y, first, M, rows)
    for n in range(N):
        target = y[n * M + first : n * M + first + rows]
        shift = added[first : first + rows]
        for m in range(rows):
            target[m] += shift[m]


def _multiply_thin(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, K: int) -> None:
    N = y.shape[1]
    tiles = -(-N // THIN_COLUMNS)
    start = np.zeros(N, y.dtype) if bias is None else flat(bias, y.dtype)
    share(_thin_tiles, tiles, threads_for(N * K), a.memory, a.row_step, a.column_step, b.memory, start, y, K)


@compiled
def _thin_tiles(ticket, tiles, a, a_row_step, a_step, b, start, y, K):
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
                at = m * a_row_step + k * a_step
                s0, s1, s2, s3 = a[at], a[at + a_step], a[at + 2 * a_step], a[at + 3 * a_step]
                target = y[m, first:end]
                for n in range(target.size):
                    target[n] += (s0 * b0[n] + s1 * b1[n]) + (s2 * b2[n] + s3 * b3[n])
        for k in range(K // 4 * 4, K):
            for m in range(M):
                scale = a[m * a_row_step + k * a_step]
                for n in range(first, end):
                    y[m, n] += scale * b[k * N + n]
        tile = take(ticket)
