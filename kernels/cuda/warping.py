"""Pictures turned, shifted, sheared and stretched on the device."""

from __future__ import annotations

import cupy
import numpy as np

from .arrays import Array, check_count, contiguous, divider, floating, launch
from .loading import REAL, REALS, Kernels

_affine_warp = Kernels("warping.cu", "affine_warp", REALS)

# Numbers of `FillMode` in warping.cu.
FILL_MODES = {name: np.int32(number) for number, name in enumerate(("constant", "nearest", "reflect", "wrap"))}


def affine_warp(
    pictures: Array, matrices: Array, offsets: Array, *, order: int, fill_mode: str, cval: float
) -> Array:
    """See `minicnn.kernels.affine_warp`."""
    dtype = floating("affine_warp", pictures)
    check_count("affine_warp", pictures.size)
    _, H, W, C = pictures.shape
    y = cupy.empty(pictures.shape, dtype)
    launch(
        _affine_warp[REAL[dtype]], y.size, contiguous(pictures, dtype), contiguous(matrices, np.float64),
        contiguous(offsets, np.float64), y, np.int32(y.size), np.int32(H), np.int32(W), divider(H), divider(W),
        divider(C), np.int32(order), FILL_MODES[fill_mode], dtype.type(cval),
    )  # fmt: skip
    return y
