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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class EngineFailed(RuntimeError):
    """A worker could not do what it was asked."""


class Engine:
    """A worker process, stopped whenever it is not asked something."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        # The usual knobs of thread pools, set alike for all, before any engine is imported.
        limits = {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCHMARKS_STDERR") else None,
            text=True,
            cwd=ROOT,
            env={**os.environ, **limits},
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


def start(names: list[str], threads: int) -> tuple[list[Engine], dict[str, str]]:
    """The engines that run here, and why the others do not."""
    running, missing = [], {}
    for name in names:
        try:
            engine = Engine(name, threads)
        except EngineFailed as error:
            missing[name] = str(error)
            continue
        if engine.missing is None:
            running.append(engine)
        else:
            missing[name] = engine.missing
            engine.close()
    return running, missing
