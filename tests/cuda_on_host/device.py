"""Where the tests of the GPU's path run: on a GPU under ``pytest -m gpu``, else on the stand-in for CuPy.

Without a C++ compiler they are skipped; under MINICNN_REQUIRE_CUDA_ON_HOST=1 they fail instead.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from minicnn.device import why_no_gpu

#: Set by conftest.py.
on_gpu = False


@contextlib.contextmanager
def present() -> Iterator[Any]:
    """With CuPy, or its stand-in as `sys.modules["cupy"]`, inside the block."""
    if on_gpu:
        reason = why_no_gpu()
        if reason is not None:
            missing(f"no GPU can be used: {reason}")
        yield importlib.import_module("cupy")
        return
    from tests.cuda_on_host import builder

    if builder.compiler() is None:
        missing("there is no C++ compiler to run the CUDA kernels on the host with (g++, clang++ or $CXX)")
    with standing_in() as module:
        yield module


@contextlib.contextmanager
def standing_in() -> Iterator[Any]:
    """With the stand-in as `sys.modules["cupy"]`; what only needs its names needs no compiler."""
    from tests.cuda_on_host import stand_in

    before = sys.modules.get("cupy")
    sys.modules["cupy"] = stand_in
    try:
        yield stand_in
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def missing(reason: str) -> None:
    """Skip, or fail where the kernels' tests are required."""
    if os.environ.get("MINICNN_REQUIRE_CUDA_ON_HOST") == "1":
        pytest.fail(f"the CUDA kernels' tests are required (MINICNN_REQUIRE_CUDA_ON_HOST=1), but {reason}")
    pytest.skip(reason)
