"""`minicnn doctor`: what this machine offers and what minicnn makes of it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from . import machine
from .estimate import describe_bytes


@click.command()
def doctor() -> None:
    """Say what minicnn finds on this machine.

    Processor and vectors, memory, threads, BLAS, GPU or why none, caches, and where the data is.
    """
    reports: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("minicnn", _versions),
        ("processor", _processor),
        ("memory", _memory),
        ("kernels", _kernels),
        ("threads", _threads),
        ("BLAS", _blas),
        ("GPU", _gpu),
        ("caches", _caches),
        ("data", _data),
    ]
    for title, report in reports:
        for position, line in enumerate(_told(report)):
            click.echo(f"{title if position == 0 else '':<11}{line}")


def _told(report: Callable[[], Iterator[str]]) -> list[str]:
    """The report's lines; a doctor must not fall ill where something is broken."""
    try:
        return list(report())
    except Exception as error:
        return [f"unknown: {' '.join(str(error).split()) or type(error).__name__}"]


def _versions() -> Iterator[str]:
    from .results import versions

    found = versions()
    yield f"{found.pop('minicnn', 'not installed')} in {Path(__file__).parent.parent}"
    yield ", ".join(f"{name} {version}" for name, version in found.items())


def _processor() -> Iterator[str]:
    yield f"{machine.processor_name()}, {machine.usable_processors()} usable"
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    known = ("avx512f", "avx2", "fma", "avx", "sse4.2", "neon")
    present = [feature for feature in known if features.get(feature)]
    yield f"{binding.get_host_cpu_name()}: {', '.join(present) or 'no vector features known to minicnn'}"


def _memory() -> Iterator[str]:
    available = machine.available_memory()
    yield "unknown" if available is None else f"{describe_bytes(available)} available"


def _kernels() -> Iterator[str]:
    from minicnn import kernels

    name = kernels.current_kernels()
    yield f"{name}, {_vector_width()}" if name == "cpu" else f"{name} (MINICNN_KERNELS or --kernels can change it)"


def _vector_width() -> str:
    width = importlib.import_module("minicnn.kernels.cpu.simd").VECTOR_BYTES
    asked = " (MINICNN_VECTOR_WIDTH)" if os.environ.get("MINICNN_VECTOR_WIDTH") else ""
    return f"vectors of {8 * width} bits, {width // 4} float32{asked}"


def _threads() -> Iterator[str]:
    from minicnn import kernels

    used, usable = kernels.get_num_threads(), machine.usable_processors()
    yield f"{used} on {usable} processors; train --threads N or minicnn.set_num_threads(N) changes it"


def _blas() -> Iterator[str]:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    yield f"{blas.get('name', 'unknown')} {blas.get('version', '')} in NumPy; the cpu kernels use none"


def _gpu() -> Iterator[str]:
    cards = machine.graphics_cards()
    if not cards:
        yield "none: no NVIDIA card answers (nvidia-smi)"
        return
    yield ", ".join(cards)
    from minicnn import device

    reason = device.why_no_gpu()
    yield f"cannot be used: {reason}" if reason else "train --device cuda (or $MINICNN_DEVICE) computes on it"


def _caches() -> Iterator[str]:
    from minicnn.data.sets.cache import cache_folder

    numba = os.environ.get("NUMBA_CACHE_DIR")
    where = numba or f"__pycache__ beside the sources, {Path(__file__).parent.parent}, if that can be written to"
    yield f"compiled kernels: {where}"
    folder = cache_folder()
    yield f"data: {folder}{'' if folder.is_dir() else ' (nothing there yet)'}"


def _data() -> Iterator[str]:
    from minicnn import datasets

    for name in datasets.NAMES:
        try:
            yield str(datasets.find(name))
        except datasets.DataError as error:
            yield f"{name}: {error}"
