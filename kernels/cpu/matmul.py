"""The matrix product a @ b + bias of dense layers, on the register tile of the convolutions.

a is (M, K), b is (K, N), the bias (N,); both matrices may be transposed views. No BLAS: threaded BLAS libraries split
sums by the number of threads, and their results change with it. Here every element of the product is one sum over k in
its order, made by one thread.

Four ways, chosen by shape and layout alone:

- `_thin`: few rows of a (prediction of one picture). Each element of b is used M times only, so reading b is all that
  counts; b is streamed once, row by row.
- `_by_columns`: a short batch against a large weight matrix (a dense layer's forward pass). A panel of b is packed,
  used for all rows while it lies in the cache, and forgotten: the packed matrix never goes to memory.
- `_by_rows`: many rows (a dense layer's weight gradient). All of b is packed once, then blocks of rows are shared out.
- transposed: a short batch against a transposed weight matrix (a dense layer's input gradient): b.T has contiguous
  rows, so b.T @ a.T is computed `_by_rows`, and each block is written transposed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from . import memory
from .arrays import flat, floating
from .cache import compiled
from .panels import multiply_panels, pack, pack_panel, pad_bias, panel_count, panel_width
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


def _matrix(array: np.ndarray, dtype: np.dtype) -> Matrix:
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return _matrix(array.T, dtype).transposed
    return Matrix(flat(array, dtype), array.shape[1], 1)


def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """a @ b + bias: (M, K), (K, N) and (N,) or None to (M, N); float32 or float64, any strides."""
    dtype = floating("matmul", a)
    (M, K), N = a.shape, b.shape[1]
    y = memory.empty((M, N), dtype)
    if not y.size:
        return y
    left, right = _matrix(a, dtype), _matrix(b, dtype)
    if M <= SHORT and right.column_step != 1:
        _by_rows_transposed(right.transposed, left.transposed, bias, y, K)
    elif M <= THIN:
        _thin(left, right, bias, y, K)
    elif M <= SHORT:
        _by_columns(left, right, bias, y, K)
    else:
        _by_rows(left, right, bias, y, K)
    return y


@lru_cache(maxsize=256)
def _steps(count: int, step: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * step


def _thin(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, K: int) -> None:
    M, N = y.shape
    tiles = -(-N // THIN_COLUMNS)
    start = np.zeros(N, y.dtype) if bias is None else flat(bias, y.dtype)
    share(_thin_tiles, tiles, threads_for(N * K), a.memory, a.row_step, a.column_step, b.memory, start, y, K)


@compiled
def _thin_tiles(ticket, tiles, a, a_row_step, a_column_step, b, start, y, K):
    M, N = y.shape
    tile = take(ticket)
    while tile < tiles:
        first = tile * THIN_COLUMNS
        end = min(N, first + THIN_COLUMNS)
        y[:, first:end] = start[first:end]
        for k in range(K):
            b_row = b[k * N + first : k * N + end]
            for m in range(M):
                scale = a[m * a_row_step + k * a_column_step]
                y_row = y[m, first:end]
                for n in range(b_row.size):
                    y_row[n] += scale * b_row[n]
        tile = take(ticket)


def _by_columns(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, K: int) -> None:
    M, N = y.shape
    tiles = panel_count(N, y.dtype)
    threads = threads_for(M * N * K)
    scratch = memory.empty((threads, K * panel_width(y.dtype)), y.dtype)
    share(
        _by_columns_tiles, tiles, threads, a.memory, _steps(M, a.row_step), a.column_step, b.memory,
        _steps(K, b.row_step), pad_bias(bias, N, 1, y.dtype), y.reshape(-1), _steps(M, N), N, _NO_OFFSET,
        scratch.reshape(-1),
    )  # fmt: skip


@compiled
def _by_columns_tiles(ticket, tiles, a, a_rows, a_step, b, b_rows, start, y, targets, N, no_offset, scratch):
    width = VECTORS * VECTOR_BYTES // y.itemsize
    K = b_rows.size
    panel = enter(ticket) * K * width
    tile = take(ticket)
    while tile < tiles:
        first = tile * width
        columns = min(width, N - first)
        pack_panel(b, first, b_rows, 1, columns, scratch, panel)
        multiply_panels(
            a, 0, a_rows, 0, a_rows.size, no_offset, 1, K, a_step,
            scratch, panel, 0, 0, width,
            start, first, 0, y, first, targets, columns,
        )  # fmt: skip
        tile = take(ticket)


def _by_rows(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, K: int) -> None:
    M, N = y.shape
    packed = pack(b.memory, _steps(K, b.row_step), columns=N, column_step=b.column_step)
    share(
        _by_rows_tiles, -(-M // BLOCK), threads_for(M * N * K), a.memory, a.row_step, _steps(BLOCK, a.row_step),
        a.column_step, packed, K, pad_bias(bias, N, 1, y.dtype), y.reshape(-1), _steps(BLOCK, N), M, N, _NO_OFFSET,
    )  # fmt: skip


@compiled
def _by_rows_tiles(ticket, tiles, a, a_row_step, a_rows, a_step, packed, K, start, y, targets, M, N, no_offset):
    width = VECTORS * VECTOR_BYTES // y.itemsize
    tile = take(ticket)
    while tile < tiles:
        first = tile * BLOCK
        multiply_panels(
            a, first * a_row_step, a_rows, 0, min(BLOCK, M - first), no_offset, 1, K, a_step,
            packed, 0, K * width, 0, width,
            start, 0, 0, y, first * N, targets, N,
        )  # fmt: skip
        tile = take(ticket)


def _by_rows_transposed(a: Matrix, b: Matrix, bias: np.ndarray | None, y: np.ndarray, K: int) -> None:
    """y = (a @ b).T + bias, where a has as many rows as y has columns."""
    N, M = y.shape
    packed = pack(b.memory, _steps(K, b.row_step), columns=N, column_step=b.column_step)
    threads = threads_for(M * N * K)
    pitch = panel_count(N, y.dtype) * panel_width(y.dtype)
    scratch = memory.empty((threads * BLOCK * pitch,), y.dtype)
    added = np.zeros(M, y.dtype) if bias is None else flat(bias, y.dtype)
    share(
        _by_rows_transposed_tiles, -(-M // BLOCK), threads, a.memory, a.row_step, _steps(BLOCK, a.row_step),
        a.column_step, packed, K, np.zeros(pitch, y.dtype), y, _steps(BLOCK, pitch), _NO_OFFSET, added, scratch,
    )  # fmt: skip


@compiled
def _by_rows_transposed_tiles(
    ticket, tiles, a, a_row_step, a_rows, a_step, packed, K, zeros, y, targets, no_offset, added, scratch
):
    width = VECTORS * VECTOR_BYTES // y.itemsize
    N, M = y.shape
    pitch = zeros.size
    block = enter(ticket) * BLOCK * pitch
    tile = take(ticket)
    while tile < tiles:
        first = tile * BLOCK
        rows = min(BLOCK, M - first)
        multiply_panels(
            a, first * a_row_step, a_rows, 0, rows, no_offset, 1, K, a_step,
            packed, 0, K * width, 0, width,
            zeros, 0, 0, scratch, block, targets, N,
        )  # fmt: skip
        for n in range(N):
            for m in range(rows):
                y[n, first + m] = scratch[block + m * pitch + n] + added[first + m]
        tile = take(ticket)
