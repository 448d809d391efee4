"""Whole processes: from the start of Python to one trained epoch, imports and compilation included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from . import driver

UNIT = "seconds"
NAMES = ["lenet5, 10,000 digits, one epoch", "lenet5, one step"]
ENGINES = ("minicnn", "torch", "keras-tensorflow")
SAMPLES = dict(zip(NAMES, (10_000, 128), strict=True))


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Processes in turns, after one each that warms the caches; and one of ours with an empty cache of machine code."""
    names = [engine for engine in ENGINES if engine in options.engines]
    with driver.running(names, options.threads, about) as engines:
        names = [engine.name for engine in engines]
    rounds: driver.Rounds = {engine: {"start to end, s": [], "peak MiB": []} for engine in names}
    for number in range(-1, options.rounds):
        for engine in names:
            seconds, peak = _run(engine, SAMPLES[name], options.threads)
            if number >= 0:
                rounds[engine]["start to end, s"].append(seconds)
                rounds[engine]["peak MiB"].append(peak)
        driver.progress(name, number, options.rounds)
    if "minicnn" in names and not options.quick:
        with tempfile.TemporaryDirectory() as empty:
            rounds["minicnn"]["with an empty cache, s"] = [
                _run("minicnn", SAMPLES[name], options.threads, NUMBA_CACHE_DIR=empty)[0]
            ]
    return {"rounds": rounds}


def _run(engine: str, samples: int, threads: int, **environment: str) -> tuple[float, float]:
    begin = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.whole", engine, str(samples), str(threads)],
        env={**os.environ, **driver.thread_limits(threads), **environment},
        cwd=driver.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if finished.returncode:
        raise driver.EngineFailed(f"{engine}: {finished.stderr.strip().splitlines()[-1:]}")
    return seconds, json.loads(finished.stdout.splitlines()[-1])["peak MiB"]
