"""Compiles `.cu` sources with the C++ compiler, once: libraries are kept under a hash of all that went into them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE / "build"
# No contraction of a*b+c: what must round twice on the device (through intrinsics) must do so here.
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-pthread", "-ffp-contract=off", "-fvisibility=hidden", "-Wall",
         "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-parameter")  # fmt: skip


class CompilationError(Exception):
    """The sources do not compile; the message is the compiler's."""


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first of the usual names; None where there is none, or on Windows."""
    if os.name == "nt":
        return None
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return next(filter(None, map(shutil.which, names)), None)


@lru_cache(maxsize=1)
def _version(path: str) -> bytes:
    return subprocess.run([path, "--version"], capture_output=True, check=True).stdout


@lru_cache(maxsize=256)
def library(source: str, kernels: tuple[str, ...]) -> ctypes.CDLL:
    """The compiled form of a source without includes, with these instantiations of its kernels."""
    path = compile_library(source, kernels)
    loaded = ctypes.CDLL(str(path))
    loaded.find_kernel.argtypes = [ctypes.c_char_p]
    loaded.parameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    loaded.launch_kernel.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
        ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t,
    ]  # fmt: skip
    return loaded


def compile_library(source: str, kernels: Sequence[str]) -> Path:
    """Where the compiled form lies; compiles it unless it lies there already."""
    path = compiler()
    if path is None:
        raise CompilationError("there is no C++ compiler")
    entries = ",\n".join(f'host::Thunk<&{name}>::entry("{name}")' for name in kernels)
    text = f'#include "host.h"\n#line 1 "kernel source"\n{source}\nHOST_KERNELS({entries})\n'
    digest = hashlib.sha256("\0".join([text, *FLAGS]).encode() + _version(path))
    for header in ("host.h", "fibers.h"):
        digest.update((HERE / header).read_bytes())
    target = KEPT / f"{digest.hexdigest()[:32]}.so"
    KEPT.mkdir(exist_ok=True)
    # The processes of a parallel test run want the same libraries at the same time.
    with alone(target):
        if not target.exists():
            _compile(text, [path, *FLAGS], target)
    return target


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """With nobody else making this file."""
    import fcntl  # not on Windows, whose compiler these sources are not written for

    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(text: str, command: Sequence[str], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        written, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        written.write_text(text, encoding="utf-8")
        options = ["-I", str(HERE), str(written), "-o", str(made)]
        answer = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        if answer.returncode:
            raise CompilationError(answer.stderr)
        made.replace(target)
