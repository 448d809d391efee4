"""Samples on their way into a batch, in NumPy's terms: compiled where the "cpu" or "cuda" kernels serve, else by NumPy.

Not part of the contract, since NumPy's functions mean the same; only that a thread of Python waits while they run, and
that on a GPU a recorded step can take its batch itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dispatch import array_module, choose, current_kernels, load

# Calling a kernel takes a few microseconds, in which NumPy has moved so many bytes.
_WORTH_A_KERNEL = 32 * 1024
_COMPUTED = (np.float32, np.float64)


@dataclass(slots=True)
class Rows:
    """Rows of an array that follow each other in an order.

    Attributes:
        source: the array (M, ...), C-contiguous.
        order: whole numbers of 0..M-1, where the source lies; None for 0, 1, 2, ...
        begin: the place in that order of the first row.
    """

    source: Any
    order: Any
    begin: int

    def find(self, count: int) -> Any:
        """What the source is indexed with for so many rows."""
        window = slice(self.begin, self.begin + count)
        return window if self.order is None else self.order[window]


def take_rows(rows: Rows, out: Any) -> None:
    """out[n] = source[order[begin + n]], as out's dtype has it.

    On a GPU, in a recorded step, these are the rows that `rows` names when the step is replayed: of another source of
    the same form, by another order, from another place on.

    Args:
        rows: which.
        out: (N, ...), C-contiguous.
    """
    source, indices = rows.source, rows.find(len(out))
    if array_module(out) is not np:
        if choose(out) is load("cuda"):
            load("cuda").take_rows(rows, out)
        else:
            out[...] = source[indices]
    elif isinstance(indices, slice) or source.dtype != out.dtype:
        np.copyto(out, source[indices], casting="unsafe")
    elif _is_served(out) and type(source) is np.ndarray and indices.dtype == np.int64 and indices.flags.carray:
        load("cpu").take_rows(source, indices, out)
    else:
        # mode="clip" writes straight into `out`, where "raise" would go through a copy.
        source.take(indices, 0, out, "clip")


def one_hot(labels: Any, out: Any, outside: np.ndarray | None = None) -> None:
    """out[n, k] = 1 where k = labels[n], else 0; the row of a label that is none of 0..K-1 is zero.

    Args:
        labels: (N,), whole numbers. out: (N, K), C-contiguous.
        outside: (1,) of int64, set to 1 where there is such a label; on a GPU nobody looks.
    """
    xp = array_module(out)
    if out.dtype in _COMPUTED and xp is not np and choose(out) is load("cuda"):
        load("cuda").one_hot(labels, out)
        return
    if out.dtype in _COMPUTED and xp is np and current_kernels() == "cpu":
        found = np.zeros(1, np.int64) if outside is None else outside
        load("cpu").one_hot(np.ascontiguousarray(labels, np.int64), out, found)
        return
    out[...] = labels[:, None] == xp.arange(out.shape[1])
    if outside is not None and ((labels < 0).any() or (labels >= out.shape[1]).any()):
        outside[0] = 1


def is_finite(array: np.ndarray) -> bool:
    """Whether no entry is NaN or infinite, in one pass without a temporary array where that is so."""
    if array.dtype.kind != "f":
        return True
    if _is_served(array):
        return bool(load("cpu").is_finite(array))
    with np.errstate(over="ignore", invalid="ignore"):
        # A NaN or an infinity in the array shows in its sum; a sum that overflows has to be looked at again.
        return math.isfinite(float(np.sum(array))) or bool(np.isfinite(array).all())


def _is_served(array: np.ndarray) -> bool:
    return (
        type(array) is np.ndarray
        and array.nbytes >= _WORTH_A_KERNEL
        and array.dtype in _COMPUTED
        and array.flags.c_contiguous
        and current_kernels() == "cpu"
    )
