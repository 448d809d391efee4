"""Samples on their way into a batch, in NumPy's terms: compiled where the "cpu" kernels are in use, else by NumPy.

Not part of the contract, since NumPy's functions mean the same; only that a thread of Python waits while they run.
"""

from __future__ import annotations

import math

import numpy as np

from .dispatch import current_kernels, load

# Calling a kernel takes a few microseconds, in which NumPy has moved so many bytes.
_WORTH_A_KERNEL = 32 * 1024


def take_rows(source: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """out[n] = source[indices[n]].

    Args:
        source: (M, ...), C-contiguous. indices: (N,), whole numbers of 0..M-1. out: (N, ...) of the source's dtype,
            C-contiguous.
    """
    if _is_served(out) and type(source) is np.ndarray and indices.dtype == np.int64 and indices.flags.carray:
        load("cpu").take_rows(source, indices, out)
    else:
        # mode="clip" writes straight into `out`, where "raise" would go through a copy.
        source.take(indices, 0, out, "clip")


def one_hot(labels: np.ndarray, out: np.ndarray, outside: np.ndarray) -> None:
    """out[n, k] = 1 where k = labels[n], else 0.

    Args:
        labels: (N,) of int64. out: (N, K).
        outside: (1,) of int64, set to 1 where a label is none of 0..K-1; its row is then zero.
    """
    if current_kernels() == "cpu":
        load("cpu").one_hot(labels, out, outside)
        return
    np.equal(labels[:, None], np.arange(out.shape[1]), out=out, casting="unsafe")
    if (labels < 0).any() or (labels >= out.shape[1]).any():
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
        and array.dtype in (np.float32, np.float64)
        and array.flags.c_contiguous
        and current_kernels() == "cpu"
    )
