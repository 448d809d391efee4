"""Floating-point types, bfloat16 among them: to NumPy one of the package ml_dtypes, and of kind "V"."""

from __future__ import annotations

import numpy as np


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether this is `ml_dtypes.bfloat16`."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def is_floating(dtype: np.dtype) -> bool:
    """Whether numbers of this type are floating-point."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def is_real(dtype: np.dtype) -> bool:
    """Whether this is a type of real numbers."""
    return dtype.kind in "biu" or is_floating(dtype)


def is_half(dtype: np.dtype) -> bool:
    """Whether numbers of this type have 16 bits, in which activations are kept and nothing is summed."""
    return dtype.itemsize == 2 and is_floating(dtype)


def epsilon(dtype: np.dtype) -> float:
    """What lies between 1 and the next larger number of a floating-point type."""
    return 2.0**-7 if is_bfloat16(dtype) else float(np.finfo(dtype).eps)
