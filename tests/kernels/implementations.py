"""Every implementation of the contract by name, so that one suite runs them all on NumPy's arrays.

"cuda" takes and gives arrays on a device; here they are brought there and back, and what a kernel did to its arguments
is brought back too.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

import numpy as np
import pytest

from minicnn.kernels import dispatch, use_tf32
from tests.cuda_on_host import device

#: All of them, as pytest's parameters; "cuda" is what `pytest -m gpu` selects.
NAMES = (*dispatch.NAMES, pytest.param("cuda", marks=pytest.mark.gpu))
COMPILED = ("cpu", NAMES[-1])
FAST = ("reference", *COMPILED)


def load(name: str) -> Any:
    """The implementation of that name; one that cannot be loaded fails its tests, it is not skipped."""
    if name != "cuda":
        return dispatch.load(name)
    with device.present():
        return _OnDevice(dispatch.load("cuda"))


class _OnDevice:
    """The functions of `minicnn.kernels.cuda` for NumPy's arrays."""

    def __init__(self, kernels: types.ModuleType) -> None:
        self._kernels = kernels

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._kernels, name)

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            moved: list[tuple[np.ndarray, Any]] = []
            with device.present(), use_tf32(False):
                results = function(*(_to_device(a, moved) for a in args),
                                   **{key: _to_device(a, moved) for key, a in options.items()})  # fmt: skip
                for array, on_device in moved:
                    after = on_device.get()
                    if after.tobytes() != np.ascontiguousarray(array).tobytes():
                        array[...] = after
                    if results is on_device:
                        return array
                return _to_host(results)

        return call


def _to_device(value: Any, moved: list[tuple[np.ndarray, Any]]) -> Any:
    """The array on the device, in memory of the same order."""
    if not isinstance(value, np.ndarray):
        return value
    on_device = _with_strides(value)
    moved.append((value, on_device))
    return on_device


def _with_strides(array: np.ndarray) -> Any:
    cupy = sys.modules["cupy"]
    if array.ndim and any(stride < 0 for stride in array.strides):
        backwards = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in array.strides)
        return _with_strides(array[backwards])[backwards]
    if array.ndim and array.flags.f_contiguous and not array.flags.c_contiguous:
        return _with_strides(array.T).T
    if array.ndim and array.size > 1 and array.strides[-1] == 2 * array.itemsize:
        wide = cupy.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = cupy.asarray(np.ascontiguousarray(array))
        return wide[..., ::2]
    return cupy.asarray(np.ascontiguousarray(array) if array.ndim else array)


def _to_host(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_to_host, value))
    return value.get() if hasattr(value, "get") and not isinstance(value, types.ModuleType) else value
