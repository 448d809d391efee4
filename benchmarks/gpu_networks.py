"""The articles' training steps on a GPU: every engine's, in turns.

An epoch there has about as many pictures as MNIST, so that what an engine does once an epoch counts as little as it
does for its users. PyTorch may compile for a minute or two: all networks are built, compiled and trained for an epoch
at the same time, each by each engine in a process of its own. Then a network's engines take turns, and nothing else
computes. What compilers choose by timing, they time in that first phase.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack
from typing import Any

from . import driver
from .networks import compare
from .workloads import WORKLOADS

# Products rounded to TF32 keep ten bits: so far may engines be apart that all are right.
PREDICTIONS, LOSSES = 1e-2, 5e-2
PICTURES, LARGE_PICTURES = 60_000, 3_200


def epoch_of(name: str) -> int:
    """Pictures of an epoch: whole batches, since PyTorch compiles again for a batch of another size."""
    work = WORKLOADS[name]
    wanted = PICTURES if work.input_shape[0] < 100 else LARGE_PICTURES
    return wanted // work.batch_size * work.batch_size


def measure(options: argparse.Namespace, about: dict[str, Any], found: dict[str, Any]) -> Iterator[None]:
    """Network -> `agreement`, `pictures` an epoch, and in `rounds` engine -> measure -> figures."""
    names = [name for name in WORKLOADS if not options.only or name in options.only]
    failed: dict[str, str] = about.setdefault("failed", {})
    with futures.ThreadPoolExecutor(len(names) * len(options.engines) or 1) as pool, ExitStack() as stack:
        entries = []
        for name in names:
            # Processes of its own: what one network took of the GPU's memory would be counted with the next.
            engines = stack.enter_context(driver.running(options.engines, options.threads, about, "cuda"))
            entries.append(Entry(name, engines, failed, pool))
        futures.wait([answer for entry in entries for answer in entry.answers.values()], options.patience)
        for entry in entries:
            entry.agree(options.patience)
        for entry in entries:
            for number in range(options.rounds["networks"]):
                entry.train()
                driver.progress(entry.name, number, options.rounds["networks"])
            found[entry.name] = entry.results
            yield
        for entry in entries:
            entry.begin_to_count(pool)
        for entry in entries:
            entry.count()
        yield


class Entry:
    """A network and the engines that train it. One that fails is left out of it, and named.

    Args:
        name: of the network.
        engines: which begin at once to build it and to train it for an epoch.
        failed: takes the reasons, by engine and network.
        pool: threads to wait for them.

    Attributes:
        answers: what each is to agree upon, once it is ready.
        results: see `measure`.
    """

    def __init__(
        self, name: str, engines: Sequence[driver.Engine], failed: dict[str, str], pool: futures.Executor
    ) -> None:
        self.name = name
        self.engines = list(engines)
        self.failed = failed
        self.rounds: driver.Rounds = {engine.name: {"train": []} for engine in engines}
        self.results: dict[str, Any] = {"pictures": epoch_of(name), "rounds": self.rounds}
        self.answers = {engine: pool.submit(self._get_ready, engine) for engine in engines}

    def _get_ready(self, engine: driver.Engine) -> Any:
        begin = time.monotonic()
        answer = engine.ask("agree", workload=self.name)
        engine.ask("prepare", workload=self.name, samples=epoch_of(self.name))
        seconds = time.monotonic() - begin
        print(f"{self.name}: {engine.name} is ready after {seconds:.0f} s", file=sys.stderr, flush=True)
        return answer

    def agree(self, patience: float) -> None:
        """Keep the engines that are ready and compute the same."""
        for engine, answer in self.answers.items():
            if not answer.done():
                engine.close()
                self._leave_out(engine, f"was not ready within {patience:g} s")
            elif answer.exception() is not None:
                self._leave_out(engine, answer.exception())
        if not self.engines:
            return
        answers = [self.answers[engine].result() for engine in self.engines]
        self.results["agreement"], wrong = compare(answers, PREDICTIONS, LOSSES)
        for engine, difference in zip(tuple(self.engines), wrong, strict=True):
            if difference is not None:
                self._leave_out(engine, difference)

    def train(self) -> None:
        """An epoch by each engine, one after the other."""
        for engine in tuple(self.engines):
            try:
                self.rounds[engine.name]["train"].append(engine.ask("train"))
            except driver.EngineFailed as error:
                self._leave_out(engine, error)

    def begin_to_count(self, pool: futures.Executor) -> None:
        """Let all engines look at the memory that they took, and count kernels: nothing that takes its time."""
        self.answers = {engine: pool.submit(self._counts, engine) for engine in self.engines}

    @staticmethod
    def _counts(engine: driver.Engine) -> dict[str, float | None]:
        return {"device MiB": engine.ask("device_memory"), "kernels a step": engine.ask("kernels")}

    def count(self) -> None:
        """Wait for them."""
        for engine, answer in self.answers.items():
            try:
                counts = answer.result()
            except driver.EngineFailed as error:
                self.failed[f"counting, {engine.name}, {self.name}"] = str(error)
                continue
            self.rounds[engine.name].update({what: [count] for what, count in counts.items() if count is not None})

    def _leave_out(self, engine: driver.Engine, why: object) -> None:
        self.engines.remove(engine)
        del self.rounds[engine.name]
        self.failed[f"{engine.name}, {self.name}"] = str(why)
