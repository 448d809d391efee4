"""Norms of gradients, for clipping: on a GPU nothing is waited for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.device import array_module


def sum_of_squares(g: Any) -> Any:
    """Sum g^2, on a processor in pieces that stay in the cache, without a temporary of g's size.

    Not a BLAS dot product: its bits depend on the number of threads. On a GPU the sum stays there.
    """
    if array_module(g) is not np:
        # Side by side, as far as they come in rows: the kernel reads 32 columns at a time.
        rows = np.square(g).reshape(-1, math.gcd(g.size, 32) or 1)
        return kernels.sum_rows(kernels.sum_rows(rows).reshape(-1, 1))[0]
    piece = 16384
    scratch = np.empty(min(piece, g.size), g.dtype)
    total = 0.0
    for begin in range(0, g.size, piece):
        part = g[begin : begin + piece]
        total += float(np.sum(np.square(part, out=scratch[: part.size])))
    return total


def square_root(x: Any) -> Any:
    """The square root of a number, or of an array on a GPU."""
    return math.sqrt(x) if isinstance(x, float) else np.sqrt(x)


def scale_to_norm(g: Any, limit: float, norm: Any) -> None:
    """Scale g by ``limit / norm`` in place where its norm is above the limit; NaN where the norm is not finite."""
    if array_module(g) is not np:
        # The host need not know the norm, and so does not wait for it.
        factor = np.where(np.isfinite(norm), limit / norm, norm.dtype.type(math.nan))
        g *= np.where(norm <= limit, norm.dtype.type(1), factor)
    elif not norm <= limit:
        g *= limit / norm if math.isfinite(norm) else math.nan
