"""Compiling with Numba, and keeping the machine code between runs.

Numba stores compiled functions next to the sources (or in the user's cache folder) and decides by a key whether stored
code may be used again. The key covers the function's own file, its signature, its closure, Numba and the processor. It
does not cover the other files a kernel is made of: after an edit of `simd.py`, which every hot loop inlines, Numba
would run stale machine code. `compiled` therefore hangs a hash of all kernel sources, and of the vector width in use,
into a closure cell of every function: change one line and the key changes with it.

A key names the classes of a kernel's arguments. Those that other sources left may be gone, and then Numba could not
even read the list of what is stored, so such lists are taken for those of another version of Numba: they are replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, TypeVar

from numba import njit

from .vectors import VECTOR_BYTES

Kernel = TypeVar("Kernel", bound=Callable)


def _sources() -> str:
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    # The matrices of Winograd's transforms become constants in the machine code.
    for source in (*sorted(folder.glob("*.py")), folder.parent / "winograd.py"):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


SOURCES = _sources()
FINGERPRINT = f"{SOURCES} {VECTOR_BYTES}"


def _with_fingerprint(function: FunctionType) -> FunctionType:
    """The same function with one more closure cell, which holds the hash and which nobody reads."""
    code = function.__code__.replace(co_freevars=(*function.__code__.co_freevars, "kernel_sources"))
    closure = (*(function.__closure__ or ()), CellType(FINGERPRINT))
    keyed = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    keyed.__doc__ = function.__doc__
    keyed.__module__ = function.__module__
    keyed.__qualname__ = function.__qualname__
    return keyed


def compiled(function: Kernel) -> Kernel:
    """Compile `function` with Numba at its first call, keep the machine code, and release Python's lock inside it.

    Where no folder can be written (a read-only installation without a home), the function is compiled in every process.
    Division by zero gives infinity, as in NumPy, which also lets LLVM vectorise loops that divide.
    """
    keyed: Any = _with_fingerprint(function)  # type: ignore[arg-type]
    try:
        keyed = njit(cache=True, nogil=True, error_model="numpy")(keyed)
    except RuntimeError:
        keyed = njit(nogil=True, error_model="numpy")(keyed)
    with contextlib.suppress(AttributeError):  # no public name, and what is not stored has none
        keyed._cache._cache_file._version += SOURCES
    return keyed


def inlined(function: Kernel) -> Kernel:
    """For helpers that only compiled functions call: part of their callers' machine code, not stored on their own."""
    helper: Any = njit(nogil=True, error_model="numpy")(function)
    return helper


def reassociated(function: Kernel) -> Kernel:
    """As `inlined`, for a sum whose terms the compiler may add up in another order, so that it fills vectors.

    The order is then that of the machine code: a function of the length and of the processor, not of the threads.
    """
    helper: Any = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})(function)
    return helper
