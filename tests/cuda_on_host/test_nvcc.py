"""Where there is an nvcc, it compiles every kernel for the GPUs too, and none keeps much outside of registers.

All architectures that CUDA 13 knows under MINICNN_ALL_ARCHITECTURES=1. By default two, one without TF32 and one with,
and of the many kernels that are products only the one with: they take ten seconds each. What was found is kept, under a
hash of the source, beside the host's builds.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from minicnn.kernels import dispatch
from tests.cuda_on_host import builder, device

ALL = ("75", "80", "86", "89", "90", "100", "120")
DEFAULT, WITH_TF32 = ("75", "90"), ("90",)
PRODUCTS = ("convolution.cu", "matrices.cu")
# A few products of float32 in tiles of 128 rows take some; more would go through memory again and again.
MOST_SPILLED = 64  # bytes to a thread
ENTRY = re.compile(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads", re.DOTALL)

if device.on_gpu:
    # The kernels' modules must meet the real CuPy first.
    pytest.skip("compiles without a GPU", allow_module_level=True)

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")

with device.standing_in():
    dispatch.load("cuda")
    from minicnn.kernels.cuda import loading


def cases() -> list[tuple[str, str]]:
    """Files and the architectures they are compiled for."""
    everything = os.environ.get("MINICNN_ALL_ARCHITECTURES") == "1"
    return [
        (file, architecture) for file in loading.files()
        for architecture in (ALL if everything else WITH_TF32 if file in PRODUCTS else DEFAULT)
    ]  # fmt: skip


def assembler_says(file: str, architecture: str) -> str:
    """What nvcc and its assembler say of all kernels of a file."""
    names = loading.declared(file)
    table = ", ".join(f"(const void*)&{name}" for name in names)
    text = f"{loading.source(file)}\nconst void* all_kernels[] = {{{table}}};\n"
    version = subprocess.run(["nvcc", "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(text.encode() + architecture.encode() + version).hexdigest()[:32]
    kept = builder.KEPT / f"{digest}.txt"
    builder.KEPT.mkdir(exist_ok=True)
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=builder.KEPT) as folder:
        written = Path(folder) / "kernels.cu"
        written.write_text(text, encoding="utf-8")
        command = ["nvcc", "-std=c++17", "-cubin", "-Xptxas", "-v", f"-arch=sm_{architecture}", str(written)]
        answer = subprocess.run([*command, "-o", f"{written}bin"], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        (Path(folder) / "found.txt").write_text(answer.stderr, encoding="utf-8")
        (Path(folder) / "found.txt").replace(kept)
    return answer.stderr


@pytest.mark.parametrize(("file", "architecture"), cases())
def test_every_kernel_compiles_and_fits_into_registers(file: str, architecture: str) -> None:
    said = assembler_says(file, architecture)
    assert "warning" not in said, said
    found = {name: max(int(stores), int(loads)) for name, stores, loads in ENTRY.findall(said)}
    assert len(found) == len(loading.declared(file))
    assert max(found.values()) <= MOST_SPILLED, found
