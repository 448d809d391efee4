"""Samples on their way into a batch, on the device: see `minicnn.kernels.samples`."""

from __future__ import annotations

import math
from typing import Any

import cupy
import numpy as np

from ..varying import vary
from .arrays import NUMBERS, Array, check_count, contiguous, divider, launch, number
from .loading import REAL, REALS, Kernels

# What a thread copies at once, by its bytes.
WORDS = {1: "unsigned char", 2: "unsigned short", 4: "uint32", 8: "uint64", 16: "Several<uint32, 4>"}
_take_rows = Kernels("samples.cu", "take_rows", WORDS.values())
# What pictures and targets often come as and networks compute in, and how many numbers of it are read at once.
CONVERTED = {
    (np.dtype(np.uint8), np.dtype(np.float32)): 4,
    (np.dtype(np.uint8), np.dtype(np.float64)): 2,
    (np.dtype(np.float64), np.dtype(np.float32)): 2,
    (np.dtype(np.float32), np.dtype(np.float64)): 2,
}
_NAMES = {np.dtype(np.uint8): "unsigned char", **REAL}
_convert_rows = Kernels(
    "samples.cu", "convert_rows",
    combinations=[(_NAMES[a], _NAMES[b], n) for (a, b), most in CONVERTED.items() for n in (most, 1)],
)  # fmt: skip
_one_hot = Kernels("samples.cu", "one_hot", REALS)

# `Rows` of samples.cu.
ROWS = np.dtype([(name, NUMBERS[np.dtype(np.uint64)]) for name in ("source", "order", "begin")])


def take_rows(rows: Any, out: Array) -> None:
    """See `minicnn.kernels.samples.take_rows`; in a recorded step, rows of what `rows` says when it is replayed."""
    kinds = rows.source.dtype, out.dtype
    if kinds[0] == kinds[1]:
        _copy(rows, out)
    elif kinds in CONVERTED:
        _convert(rows, out, CONVERTED[kinds])
    else:
        taken = cupy.empty(out.shape, rows.source.dtype)
        _copy(rows, taken)
        out[...] = taken


def _copy(rows: Any, out: Array) -> None:
    row = math.prod(out.shape[1:]) * out.itemsize
    word = math.gcd(16, row, rows.source.data.ptr, out.data.ptr)
    _launch(_take_rows[WORDS[word]], rows, out.view(np.uint8), out.nbytes // word, row // word)


def _convert(rows: Any, out: Array, most: int) -> None:
    row = math.prod(out.shape[1:])
    whole = row % most == 0 and all(a.data.ptr % (most * a.itemsize) == 0 for a in (rows.source, out))
    width = most if whole else 1
    kernel = _convert_rows[_NAMES[rows.source.dtype], _NAMES[out.dtype], width]
    _launch(kernel, rows, out, out.size // width, row // width)


def _launch(kernel: Any, rows: Any, out: Array, count: int, to_a_row: int) -> None:
    check_count("take_rows", count)
    where = np.zeros((), ROWS)
    where["source"] = number(vary(lambda: rows.source.data.ptr), np.uint64)
    where["order"] = number(vary(lambda: 0 if rows.order is None else rows.order.data.ptr), np.uint64)
    where["begin"] = number(vary(lambda: rows.begin), np.uint64)
    launch(kernel, count, where, out, np.int32(count), divider(to_a_row))


def one_hot(labels: Array, out: Array) -> None:
    """out[n, k] = 1 where k = labels[n], else 0; labels (N,), out (N, K) of float32 or float64, C-contiguous."""
    check_count("one_hot", out.size)
    labels = contiguous(labels, np.int64)
    launch(_one_hot[REAL[out.dtype]], out.size, labels, out, np.int32(out.size), divider(out.shape[1]))
