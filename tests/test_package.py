"""What `import minicnn` costs and offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minicnn

HEAVY = ("numba", "cupy", "h5py", "matplotlib", "safetensors", "PIL", "scipy", "click")


def test_import_brings_nothing_heavy():
    code = f"import sys, minicnn; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_import_takes_little_more_than_numpy():
    code = "import time, numpy; start = time.perf_counter(); import minicnn; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", code]
    # The quickest of a few: a busy machine makes an import slow, but never quick.
    seconds = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
    assert min(seconds) <= 0.1


def test_every_public_name_is_there():
    for name in minicnn.__all__:
        assert getattr(minicnn, name) is not None
    assert set(minicnn.__all__) <= set(dir(minicnn))


def test_a_misspelt_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match=r"has no attribute 'Sequental'; did you mean 'Sequential'\?$"):
        _ = minicnn.Sequental
    with pytest.raises(AttributeError, match=r"module 'minicnn' has no attribute 'zzz'$"):
        _ = minicnn.zzz
