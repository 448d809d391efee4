"""Asks worker processes in turns, round after round, so that ratios hold on a machine whose speed drifts.

A worker that waits is stopped (SIGSTOP), not just silent: the thread pools of OpenMP, oneDNN and TensorFlow go on
spinning after their work and would take time from the engine whose turn it is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


# Engine -> what is measured -> a value for each round.
Rounds = dict[str, dict[str, list[float]]]


def thread_limits(threads: int) -> dict[str, str]:
    """The usual knobs of thread pools, set alike for all, before any engine is imported."""
    return {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


class EngineFailed(RuntimeError):
    """A worker could not do what it was asked."""


class Engine:
    """A worker process, stopped whenever it is not asked something."""

    def __init__(self, name: str, threads: int, device: str = "cpu") -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(threads), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCHMARKS_STDERR") else None,
            text=True,
            cwd=ROOT,
            env={**os.environ, **thread_limits(threads)},
        )
        first = self._reply()
        self.missing: str | None = first.get("missing")
        self.versions: dict[str, str] = first.get("answer", {})
        if self.missing is None:
            self.process.send_signal(signal.SIGSTOP)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Wake the worker, let it answer, stop it again."""
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # where it has ended, there is no reply either
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        reply = self._reply()
        self.process.send_signal(signal.SIGSTOP)
        if "error" in reply:
            raise EngineFailed(f"{self.name}: {reply['error']}")
        return reply["answer"]

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise EngineFailed(f"{self.name}: the process ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what was asked last may still lie there
                pipe.close()


@contextmanager
def running(
    names: Sequence[str], threads: int, about: dict[str, Any], device: str = "cpu"
) -> Iterator[list[Engine]]:
    """The engines that run here, until the block ends; what they are, and why others are missing, goes to `about`."""
    engines, missing = start(names, threads, device)
    about["missing"] = {**about.get("missing", {}), **missing}
    about["versions"].update({engine.name: engine.versions for engine in engines})
    try:
        yield engines
    finally:
        for engine in engines:
            engine.close()


def progress(what: str, number: int, count: int, of: str = "round") -> None:
    """Say on standard error which round is done."""
    print(f"{what}: {of} {number + 1} of {count}", file=sys.stderr, flush=True)


def start(names: Sequence[str], threads: int, device: str = "cpu") -> tuple[list[Engine], dict[str, str]]:
    """The engines that run here, and why the others do not; all are started at once."""
    running, missing = [], {}
    with ThreadPoolExecutor(len(names) or 1) as pool:
        found = [pool.submit(Engine, name, threads, device) for name in names]
    for name, started in zip(names, found, strict=True):
        try:
            engine = started.result()
        except EngineFailed as error:
            missing[name] = str(error)
            continue
        if engine.missing is None:
            running.append(engine)
        else:
            missing[name] = engine.missing
            engine.close()
    return running, missing
