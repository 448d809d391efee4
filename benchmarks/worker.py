"""One engine in a process of its own: answers questions on standard input, one JSON object a line."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import engines
from .cases import CASES
from .engines.on_gpu import count_kernels
from .flat_cases import GPU_CASES
from .growth import GROWTH
from .workloads import WORKLOADS, Workload

# Of a kernel on a GPU, in one graph.
CALLS = 20
# In which kernels are counted: a profiler takes its time over each.
STEPS = 100


def _workload(name: str) -> Workload:
    """A network of the articles, or of the growth measurements."""
    grown = {work.name: work for series in GROWTH.values() for work in series.values()}
    return (WORKLOADS | grown)[name]


class Worker:
    """Keeps the engine, its network and the data between questions."""

    def __init__(self, engine: str, threads: int, device: str = "cpu") -> None:
        self.engine = engines.load(engine, threads, device)
        self.device = device
        self.most_pictures = getattr(self.engine, "most_pictures", None)
        # What a GPU is asked for is not done when the call returns.
        self.wait: Callable[[], Any] = self.engine.wait if device == "cuda" else lambda: None
        self.layers: dict[tuple[str, str], Callable[[], Any] | None] = {}

    def versions(self) -> dict[str, str]:
        """What is measured."""
        return self.engine.versions()

    def agree(self, workload: str) -> dict[str, Any]:
        """Numbers that all engines must share: predictions and the first losses, dropout off.

        An engine that takes forever answers for fewer pictures, and without losses.
        """
        work = WORKLOADS[workload]
        x, y = work.data(work.batch_size)
        self.engine.build(work, dropout=False)
        predictions = np.asarray(self.engine.predict(x[: self.most_pictures], work.batch_size))
        losses = [] if self.most_pictures else self.engine.losses(x, y, 5)
        return {"predictions": predictions.tolist(), "losses": losses}

    def prepare(self, workload: str, samples: int | None = None) -> None:
        """Build the network and train one epoch, of the workload's own number of pictures or this one, to warm up."""
        self.work = _workload(workload)
        self.x, self.y = (array[: self.most_pictures] for array in self.work.data(samples))
        self.engine.build(self.work, dropout=True)
        self.engine.epoch(self.x, self.y)
        self.wait()

    def train(self) -> float:
        """Pictures a second over one epoch."""
        start = time.perf_counter()
        self.engine.epoch(self.x, self.y)
        self.wait()
        return len(self.x) / (time.perf_counter() - start)

    def kernels(self) -> float | None:
        """Kernels that the GPU runs for a training step, on the average of a short epoch."""
        size = self.work.batch_size
        x, y = self.x[: STEPS * size], self.y[: STEPS * size]
        self.engine.epoch(x, y)  # brings them there
        found = count_kernels(lambda: self.engine.epoch(x, y))
        return None if found is None else found / -(-len(x) // size)

    def device_memory(self) -> float:
        """The most memory of the GPU that this process took, in MiB."""
        return float(self.engine.device_memory())

    def predict(self, batch_size: int, samples: int) -> float:
        """Pictures a second over some samples, after one batch to warm up."""
        part = self.x[: max(samples, batch_size)]
        self.engine.predict(part[:batch_size], batch_size)
        start = time.perf_counter()
        self.engine.predict(part, batch_size)
        return len(part) / (time.perf_counter() - start)

    def layer(self, case: str, seconds: float) -> dict[str, float]:
        """GFLOP/s of each pass of a layer that the engine has; each is repeated for some time."""
        speeds = {}
        found = (CASES | GPU_CASES)[case]
        if self.device == "cuda":
            # The arrays of all cases are too many for most GPUs.
            self.layers = {key: run for key, run in self.layers.items() if key[0] == case}
        for what in found.passes:
            if (case, what) not in self.layers:
                self.layers[case, what] = self._pass(found, what)
            run = self.layers[case, what]
            if run is not None:
                speeds[what] = found.operations(what) / self._seconds_a_call(run, seconds) / 1e9
        return speeds

    def prepare_pictures(self, folder: str) -> None:
        """Build besbes and train one epoch on the pictures of a folder to warm up."""
        self.engine.build(WORKLOADS["besbes"], dropout=True)
        self.files = self.engine.changed_pictures(folder)
        self.engine.model.fit(self.files, epochs=1, verbose=0)

    def train_on_pictures(self) -> tuple[float, float]:
        """Pictures a second over one epoch, and the share of the time that `fit` waited for them."""
        waited, total = self.files.waiting.seconds, self.files.waiting.total
        start = time.perf_counter()
        self.engine.model.fit(self.files, epochs=1, verbose=0)
        speed = self.files.n / (time.perf_counter() - start)
        return speed, (self.files.waiting.seconds - waited) / (self.files.waiting.total - total)

    def _pass(self, case: Any, what: str) -> Callable[[], Any] | None:
        """A pass of a layer, warm; on a GPU `CALLS` of them as one graph, so that the host's time is not measured."""
        run = self.engine.layer(case, what)
        if run is None:
            return None
        run()
        return self.engine.repeated(run, CALLS) if self.device == "cuda" else run

    def _seconds_a_call(self, run: Callable[[], Any], seconds: float) -> float:
        begin, calls = time.perf_counter(), 0
        while calls == 0 or time.perf_counter() - begin < seconds:
            run()
            self.wait()
            calls += CALLS if self.device == "cuda" else 1
        return (time.perf_counter() - begin) / calls

    def peak_memory(self) -> float:
        """The most memory that this process ever held, in MiB."""
        return peak_memory()


def peak_memory() -> float:
    """The most memory that this process ever held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Answer until standard input ends; whatever engines print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"answer": worker.versions()}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            reply = {"answer": getattr(worker, question.pop("do"))(**question)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
