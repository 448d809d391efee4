"""What CuPy makes of arrays of bfloat16 where that is not what NumPy makes of them (as seen in its version 14.2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
WIDENING = (np.where, np.clip)  # have no such loop


def as_cupy(function: Callable[..., Any], args: Sequence[Any]) -> Callable[..., Any]:
    """The function itself, or, where bfloat16 is among the arguments, one that does what CuPy's does."""
    if not any(isinstance(a, np.ndarray) and a.dtype == BFLOAT16 for a in args):
        return function

    @functools.wraps(function)
    def widening(*args: Any, **options: Any) -> Any:
        if function is np.clip and None in [type(a) if isinstance(a, np.ndarray) else a for a in args]:
            raise TypeError("Unsupported type <class 'NoneType'>")
        # A plain number is none that bfloat16 would do for.
        number = np.float64 if function is np.result_type else np.float32
        result = function(*[number(a) if type(a) is float else a for a in args], **options)
        return result.astype(np.float32) if function in WIDENING else result

    return widening
