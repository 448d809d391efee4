"""Where arrays live: NumPy's on the processor, CuPy's on the GPU.

There is no device to switch to: an operation runs where its arrays are. What is here brings arrays from one place to
the other, always because somebody asked, and says why a GPU cannot be used where it cannot.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .kernels.dispatch import array_module

__all__ = [
    "NAMES",
    "DeviceError",
    "DeviceMemoryError",
    "array_module",
    "bfloat16",
    "check",
    "choose",
    "device_of",
    "free_memory",
    "native",
    "place",
    "to_host",
    "total_memory",
    "why_no_bfloat16",
    "why_no_gpu",
]

NAMES = ("cpu", "cuda")


class DeviceError(RuntimeError):
    """A device that was asked for by name cannot be used; the message says why in one line."""


class DeviceMemoryError(MemoryError):
    """The GPU's memory is full; the message says where, and which batch size should fit."""


def total_memory() -> int:
    """Bytes of memory that the current GPU has."""
    return int(importlib.import_module("cupy").cuda.Device().mem_info[1])


def free_memory() -> int:
    """Bytes of the current GPU's memory that nobody has taken."""
    return int(importlib.import_module("cupy").cuda.Device().mem_info[0])


def check(operation: str, name: Any) -> str:
    """The name, if it is one of a device.

    Raises:
        ValueError: it is not.
        DeviceError: "cuda", and no GPU can be used.
    """
    if name not in NAMES:
        raise ValueError(f"{operation}: expected a device, one of {', '.join(map(repr, NAMES))}, got {name!r}")
    if name == "cuda":
        reason = why_no_gpu()
        if reason is not None:
            raise DeviceError(f"{operation}: no GPU can be used: {reason}")
    return name


def choose(name: str | None = None) -> str:
    """The device for "cuda", "cpu", "auto", or None: what ``MINICNN_DEVICE`` says, else "cpu".

    "auto" takes a GPU where one can be used, and otherwise warns in one line that and why it does not; "cuda" never
    falls back.

    Raises:
        ValueError: another name.
        DeviceError: "cuda", and no GPU can be used.
    """
    where = "device" if name is not None else "MINICNN_DEVICE"
    name = name or os.environ.get("MINICNN_DEVICE") or "cpu"
    if name != "auto":
        if name not in NAMES:
            raise ValueError(f"{where}: expected 'cuda', 'cpu' or 'auto', got {name!r}")
        return check(where, name)
    reason = why_no_gpu()
    if reason is not None:
        warnings.warn(f"computing on the processor, since no GPU can be used: {reason}", stacklevel=2)
    return "cpu" if reason is not None else "cuda"


def why_no_gpu() -> str | None:
    """None where CuPy, a driver and a GPU work together, else what is missing and what cures it, in one line."""
    if "cupy" not in sys.modules and importlib.util.find_spec("cupy") is None:
        return 'CuPy is not installed; python -m pip install "cupy-cuda13x[ctk]" (older drivers: cupy-cuda12x[ctk])'
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:
        return f"CuPy cannot be imported: {_one_line(error)}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        text = _one_line(error)
        if _has_no_driver(cupy):
            return f"there is no NVIDIA driver, or none that CuPy {cupy.__version__} finds: {text}"
        if "Insufficient" in text:
            return f"the NVIDIA driver is too old for CuPy {cupy.__version__}: {text}; update it, or install [cuda12]"
        return f"the NVIDIA driver does not answer: {text}"
    return _why_no_compiler(cupy) if count else "the driver finds no GPU"


def _has_no_driver(cupy: Any) -> bool:
    """Whether CUDA says so: without any, CuPy calls it insufficient."""
    try:
        return bool(cupy.cuda.runtime.driverGetVersion() == 0)
    except Exception:
        return False


def _why_no_compiler(cupy: Any) -> str | None:
    """None where CuPy has what compiles kernels, which it looks for when it first needs it."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        # "cupy-cuda13x" brings none, "cupy-cuda13x[ctk]" does.
        cure = f"cupy-cuda{cupy.cuda.runtime.runtimeGetVersion() // 1000}x[ctk]"
        return f'CuPy finds no compiler for kernels: {_one_line(error)}; python -m pip install "{cure}"'
    return None


@lru_cache(maxsize=1)
def why_no_bfloat16() -> str | None:
    """None where CuPy's arrays may be of bfloat16, else what is missing and what cures it, in one line."""
    if importlib.util.find_spec("ml_dtypes") is None:
        return "the package ml_dtypes is not installed; python -m pip install ml_dtypes"
    versions = ("CuPy", importlib.import_module("cupy").__version__, "14.0.0"), ("NumPy", np.__version__, "2.1.2")
    for name, version, least in versions:
        if np.lib.NumpyVersion(version) < least:
            return f"{name} {version} does not have it; update it to {least} or later"
    return None


def bfloat16(owner: Callable[[], str]) -> np.dtype:
    """The type of CuPy's arrays of bfloat16, which is that of the package ml_dtypes.

    Raises:
        DeviceError: there is none; the message begins with what `owner` gives, and says why.
    """
    reason = why_no_bfloat16()
    if reason is not None:
        raise DeviceError(f"{owner()}: there is no bfloat16 on this GPU: {reason}")
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def device_of(array: Any) -> str:
    """The name of the device that an array lives on."""
    return "cpu" if array_module(array) is np else "cuda"


def native(value: Any, dtype: Any = None) -> Any:
    """An array of NumPy or CuPy as it is, anything else as NumPy's."""
    if array_module(value) is np:
        return np.asarray(value, dtype)
    return value if dtype is None else value.astype(dtype, copy=False)


def to_host(array: Any) -> np.ndarray:
    """The array in NumPy's form; one on a GPU is copied, and its work waited for."""
    return np.asarray(array) if array_module(array) is np else array.get()


def place(array: Any, device: str) -> Any:
    """The array on that device: itself where it is there already, else a copy."""
    if device_of(array) == device:
        return array
    return to_host(array) if device == "cpu" else importlib.import_module("cupy").asarray(array)
