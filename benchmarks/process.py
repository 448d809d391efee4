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
FIRST_STEP = "lenet5, one step"
NAMES = ["lenet5, 10,000 digits, one epoch", FIRST_STEP]
ENGINES = ("minicnn", "torch", "keras-tensorflow")
SAMPLES = dict(zip(NAMES, (10_000, 128), strict=True))
# Compiling all kernels of a step takes some 20 seconds.
COLD_ROUNDS = 3
# Longer than any of these processes may take, in seconds.
LIMIT = 300


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Processes in turns, after one each that warms the caches; and ours with an empty cache of machine code."""
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
    if "minicnn" in names and name == FIRST_STEP:
        rounds["minicnn"]["with an empty cache, s"] = [
            _run_cold(SAMPLES[name], options.threads) for _ in range(min(options.rounds, COLD_ROUNDS))
        ]
    return {"rounds": rounds}


def _run_cold(samples: int, threads: int) -> float:
    with tempfile.TemporaryDirectory() as empty:
        return _run("minicnn", samples, threads, NUMBA_CACHE_DIR=empty)[0]


def _run(engine: str, samples: int, threads: int, **environment: str) -> tuple[float, float]:
    begin = time.perf_counter()
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.whole", engine, str(samples), str(threads)],
            env={**os.environ, **driver.thread_limits(threads), **environment},
            cwd=driver.ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise driver.EngineFailed(f"{engine}: has not come to its end within {LIMIT} seconds") from None
    seconds = time.perf_counter() - begin
    if finished.returncode:
        raise driver.EngineFailed(f"{engine}: {finished.stderr.strip().splitlines()[-1:]}")
    return seconds, json.loads(finished.stdout.splitlines()[-1])["peak MiB"]
