"""Machine code is kept between processes, belongs to one state of the sources, and is done without where it must."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.kernels.cpu import cache, convolution, matrices

CODE = """
import sys
import numpy as np
from minicnn.kernels import cpu
from minicnn.kernels.cpu import elementwise
y = cpu.relu(np.array([-1.0, 2.0], np.float32))
assert list(y) == [0.0, 2.0]
print(sum(elementwise._relu.stats.cache_hits.values()), sum(elementwise._relu.stats.cache_misses.values()))
"""


def run(root: Path, **environment: str) -> str:
    """The code above with the package under `root`."""
    finished = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's code, to edit and to lock."""
    import minicnn

    source = Path(minicnn.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "*.nb?")
    shutil.copytree(source, tmp_path / "minicnn", symlinks=False, ignore=ignored)
    return tmp_path


def test_the_hash_of_the_sources_is_a_cell_of_every_compiled_function():
    for kernel in (convolution._correlate, convolution._sum_chunks, matrices._multiply_tiles):
        cells = [cell.cell_contents for cell in kernel.py_func.__closure__]
        assert cache.FINGERPRINT in cells


@pytest.mark.parametrize("file", ["cpu/simd.py", "winograd.py"])
def test_an_edit_of_any_kernel_file_means_compiling_anew(package, file):
    assert run(package) == "0 1"
    assert run(package) == "1 0"
    source = package / "minicnn" / "kernels" / file
    source.write_text(source.read_text() + "\n# edited\n")
    assert run(package) == "0 1"


def test_what_other_sources_left_is_replaced_though_its_classes_are_gone(package, monkeypatch):
    """Numba stores the classes of arguments by their names, and reads all of them before it looks whose they are."""
    monkeypatch.setattr(sys.modules[__name__], "CODE", """
import numpy as np
from minicnn.kernels import cpu
from minicnn.kernels.cpu import pooling
x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
y, _ = cpu.max_pool2d(x, pool_size=(2, 2), strides=(2, 2), padding=((0, 0), (0, 0)))
assert y.tolist() == [[[[3.0]]]]
print(sum(pooling._max_pool.stats.cache_hits.values()), sum(pooling._max_pool.stats.cache_misses.values()))
""")
    assert run(package) == "0 1"
    for source in (package / "minicnn" / "kernels" / "cpu").glob("*.py"):
        source.write_text(re.sub(r"\bGrid\b", "Mesh", source.read_text()))
    assert run(package) == "0 1"
    assert run(package) == "1 0"


def test_processes_that_start_at_once_with_an_empty_cache_do_not_disturb_each_other(package):
    """Each writes what it compiled; none may read what another has half written."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", CODE], env=environment, cwd=package, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        answer, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
        assert answer.strip() in ("0 1", "1 0")
    assert run(package) == "1 0"


def test_another_vector_width_means_other_machine_code(package):
    assert run(package) == "0 1"
    assert run(package, MINICNN_VECTOR_WIDTH="4") == "0 1"
    assert run(package, MINICNN_VECTOR_WIDTH="4") == "1 0"


def test_without_a_writable_folder_kernels_compile_in_every_process(package, monkeypatch):
    """Numba refuses to cache where no place can be written, as it does in a read-only installation without a home."""
    start = """
from numba.core import caching
for locator in (caching.FunctionCache._impl_class._locator_classes):
    locator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError("read-only"))
"""
    monkeypatch.setattr(sys.modules[__name__], "CODE", start + CODE)
    assert run(package) == "0 1"
    assert run(package) == "0 1"
    assert not list(package.rglob("*.nbi"))
