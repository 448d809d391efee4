"""NumPy's copies, products and sums between two recorded kernels, as kernels themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .cache import compiled
from .threads import share, take, threads_for

COPIED = 64 * 1024  # numbers to a tile


@compiled
def _copy(ticket, tiles, target, source):
    tile = take(ticket)
    while tile < tiles:
        target[tile * COPIED : (tile + 1) * COPIED] = source[tile * COPIED : (tile + 1) * COPIED]
        tile = take(ticket)


@compiled
def _multiply(ticket, tiles, a, b, product):
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * COPIED, min((tile + 1) * COPIED, product.size)):
            product[i] = a[i] * b[i]
        tile = take(ticket)


@compiled
def _add(ticket, tiles, a, b, total):
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * COPIED, min((tile + 1) * COPIED, total.size)):
            total[i] = a[i] + b[i]
        tile = take(ticket)


@compiled
def copy_strided(ticket, tiles, target, source):
    """Copy what has four axes, whatever its strides; a tile is an element of the first axis."""
    tile = take(ticket)
    while tile < tiles:
        for j in range(target.shape[1]):
            for k in range(target.shape[2]):
                for m in range(target.shape[3]):
                    target[tile, j, k, m] = source[tile, j, k, m]
        tile = take(ticket)


_OF_TWO = {np.multiply: _multiply, np.add: _add}


def as_shared(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What `share` was given, or would be given for NumPy's copies, products and sums; None for any other call."""
    if function is share:
        return arguments
    if function in _OF_TWO and all(array.flags.c_contiguous for array in arguments):
        result = arguments[-1]
        flat = [array.reshape(-1) for array in arguments]
        return _OF_TWO[function], -(-result.size // COPIED), threads_for(3 * result.nbytes), *flat
    return _as_shared_copy(*arguments) if function is np.copyto else None


def _as_shared_copy(target: Any, source: Any) -> tuple[Any, ...] | None:
    if target.shape != source.shape or target.dtype != source.dtype:
        return None
    if target.flags.c_contiguous and source.flags.c_contiguous and source.flags.writeable:
        return _copy, -(-target.size // COPIED), 1, target.reshape(-1), source.reshape(-1)
    if target.ndim > 4 or target.size > COPIED:
        return None
    axes = (..., *(None,) * (4 - target.ndim))
    target, source = target[axes], source[axes]
    return copy_strided, len(target), threads_for(4 * target.nbytes), target, source
