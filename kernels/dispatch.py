"""Which implementation serves a call.

The type of the array decides between the processor and the GPU, and a switch decides among the processor's
implementations: `cpu` (Numba) where it works, else `reference` (plain NumPy), said once with the reason.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import warnings
from types import ModuleType
from typing import Any

import numpy as np

NAMES = ("cpu", "reference", "naive")
MIXED = (
    "arrays of NumPy and CuPy are mixed in one operation; move them to one device first "
    "(cupy.asarray(x), or cupy.asnumpy(x))"
)
_NUMBA_CURE = 'python -m pip install --upgrade numba, or use_kernels("reference")'

_modules: dict[str, ModuleType] = {}
_failures: dict[str, str] = {}
_loading = threading.RLock()
_chosen: str | None = None
# What `use_kernels` was last given: unlike `_chosen`, never what the default fell back on.
_asked: str | None = None
# What `set_num_threads` asked for, kept for kernels that are loaded later.
_threads: int | None = None


class KernelsUnavailable(RuntimeError):
    """The kernels that were asked for by name cannot run here; the message says why and what cures it."""


class FallbackWarning(UserWarning):
    """The fast kernels are missing and slower ones serve instead."""


def array_module(*arrays: Any) -> ModuleType:
    """NumPy, or CuPy where the arrays are CuPy's.

    Raises:
        TypeError: when NumPy and CuPy arrays are mixed.
    """
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return np
    # NumPy's scalars, like Python's numbers, take the device of the arrays beside them.
    kinds = (cupy.ndarray, np.ndarray)
    on_gpu = [isinstance(array, cupy.ndarray) for array in arrays if isinstance(array, kinds)]
    if any(on_gpu) and not all(on_gpu):
        raise TypeError(MIXED)
    return cupy if any(on_gpu) else np


def choose(array: Any) -> ModuleType:
    """The module whose functions serve calls on this array."""
    if type(array) is np.ndarray or array_module(array) is np:
        chosen = _chosen or _default()
        return _modules.get(chosen) or load(chosen)
    # The switch chooses for NumPy's arrays; of its names, only "reference" has a meaning for CuPy's too.
    asked = _asked or os.environ.get("MINICNN_KERNELS")
    return load("reference" if asked == "reference" else "cuda")


def room_for(a: Any, b: Any) -> Any:
    """Reused memory for the elementwise result of two arrays, None where NumPy or CuPy shall take new memory.

    That is where the "cpu" kernels do not serve, and where shapes or dtypes differ, or the result might have another
    layout than C's.
    """
    plain = type(a) is np.ndarray and type(b) is np.ndarray and a.shape == b.shape and a.dtype == b.dtype
    if not plain or _chosen != "cpu" or a.dtype.kind != "f" or not (a.flags.c_contiguous or b.flags.c_contiguous):
        return None
    return load("cpu").empty(a.shape, a.dtype)


def load(name: str) -> ModuleType:
    """Import an implementation once; a failure is remembered with its reason."""
    with _loading:
        if name in _failures:
            raise KernelsUnavailable(_failures[name])
        if name not in _modules:
            try:
                _modules[name] = importlib.import_module(f"minicnn.kernels.{name}")
            except Exception as error:
                cure = 'use_kernels("reference")' if name == "cuda" else _NUMBA_CURE
                said = " ".join(f"{type(error).__name__}: {error}".split())  # some say it in many lines
                _failures[name] = f"the {name!r} kernels cannot run here: {said}. Cure: {cure}"
                raise KernelsUnavailable(_failures[name]) from error
            if name == "cpu" and _threads is not None:
                _modules[name].set_num_threads(_threads)
        return _modules[name]


def _default() -> str:
    """Settle the choice at the first call: the environment's, else the fastest that works."""
    global _chosen
    with _loading:
        if _chosen is None:
            wanted = os.environ.get("MINICNN_KERNELS")
            _chosen = _checked(wanted, "MINICNN_KERNELS") if wanted else _fastest()
        return _chosen


def _fastest() -> str:
    try:
        load("cpu")
    except KernelsUnavailable as error:
        warnings.warn(f'{error}. Going on with the slower "reference" kernels.', FallbackWarning, stacklevel=6)
        return "reference"
    return "cpu"


def _checked(name: str, where: str) -> str:
    if name not in NAMES:
        raise ValueError(f"{where}: expected one of {', '.join(map(repr, NAMES))}, got {name!r}")
    load(name)
    return name


class use_kernels:  # noqa: N801 - reads as a function, and as a context manager
    """Choose the implementation that serves NumPy arrays, for the whole process.

    CuPy arrays are served by the GPU's own kernels, or, where `"reference"` is chosen, by the same plain array code.

    Args:
        name: `"cpu"` (Numba), `"reference"` (plain NumPy: im2col and matrix products), `"naive"` (Python loops:
            the definition itself, for tiny arrays) or None (the fastest that works).

    A plain call switches; as a context manager it switches back at the end::

        with minicnn.use_kernels("reference"):
            y = F.conv2d(x, w)

    The environment variable ``MINICNN_KERNELS`` makes the first choice.

    Raises:
        ValueError: the name is none of these.
        KernelsUnavailable: Numba is missing or cannot compile, and `"cpu"` was asked for.
    """

    def __init__(self, name: str | None) -> None:
        global _chosen, _asked
        self._previous = _chosen, _asked
        _chosen = None if name is None else _checked(name, "use_kernels")
        _asked = name

    def __enter__(self) -> use_kernels:
        return self

    def __exit__(self, *exception: object) -> None:
        global _chosen, _asked
        _chosen, _asked = self._previous


def current_kernels() -> str:
    """The name of the implementation that serves NumPy arrays now."""
    return _chosen or _default()


def set_num_threads(count: int) -> None:
    """Let the kernels use this many processor threads (1 or more); results do not depend on it.

    Raises:
        ValueError: no whole number of at least 1. More threads than processors are allowed, and of no use.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"set_num_threads: expected a whole number of at least 1, got {count!r}")
    global _threads
    _threads = count
    if "cpu" in _modules:
        _modules["cpu"].set_num_threads(count)


def get_num_threads() -> int:
    """The number of processor threads that the kernels use (1 for the kernels that have no threads)."""
    return int(load("cpu").get_num_threads()) if current_kernels() == "cpu" else 1
