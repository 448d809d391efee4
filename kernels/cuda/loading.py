"""Kernels by name: each is compiled by CuPy (NVRTC) when it is first launched on a device, and remembered.

A `.cu` file is handed over as one text with its headers in place, because CuPy keeps compiled kernels on disk under a
hash of the text alone. Every instantiation of a template that the library may launch is declared when its module is
imported: so the tests know them all.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

FOLDER = Path(__file__).parent
REALS = ("float", "double")
REAL = {np.dtype(np.float32): "float", np.dtype(np.float64): "double", np.dtype(np.float16): "Half"}
if importlib.util.find_spec("ml_dtypes") is not None:  # without it no array of bfloat16 comes
    REAL[np.dtype(importlib.import_module("ml_dtypes").bfloat16)] = "BFloat"
# What activations may be kept in.
KEPT = (*REALS, "Half", "BFloat")

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_declared: dict[str, list[str]] = {}


class Kernels:
    """The instantiations of one kernel template: ``kernels["float", 4](grid, block, arguments)``.

    Args:
        file: the `.cu` file.
        template: the kernel's name.
        choices: the values of each template parameter; all combinations are declared, or those of `combinations`.
    """

    def __init__(
        self, file: str, template: str, *choices: Iterable[Any], combinations: Iterable[Sequence[Any]] | None = None
    ) -> None:
        self.file = file
        wanted = itertools.product(*choices) if combinations is None else combinations
        self._names = {tuple(c): f"{template}<{', '.join(map(str, c))}>" for c in wanted}
        _declared.setdefault(file, []).extend(self._names.values())

    def __getitem__(self, arguments: Any) -> Any:
        """CuPy's function for these template arguments on the current device."""
        key = arguments if isinstance(arguments, tuple) else (arguments,)
        return _function(self.file, self._names[key])


@cupy.memoize(for_each_device=True)
def _function(file: str, name: str) -> Any:
    return cupy.RawModule(code=source(file), options=("-std=c++17",), name_expressions=(name,)).get_function(name)


@lru_cache(maxsize=64)
def source(file: str) -> str:
    """A `.cu` file as one text, each header where it is first included."""
    seen: set[str] = set()

    def insert(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return ""
        seen.add(name)
        return read(name)

    def read(name: str) -> str:
        text = (FOLDER / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return _INCLUDE.sub(insert, text)

    return read(file)


def files() -> list[str]:
    """The `.cu` files that kernels are declared of."""
    return sorted(_declared)


def declared(file: str) -> tuple[str, ...]:
    """The names of all kernels of a file that may be launched."""
    return tuple(_declared[file])


def declared_in(text: str) -> tuple[str, ...]:
    """The same, by the text that `source` gave; none where the text is another."""
    return next((declared(file) for file in _declared if source(file) == text), ())
