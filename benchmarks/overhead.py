"""`python -m benchmarks.overhead NETWORK`: where a training step's time goes, compiled kernels or Python.

Python overhead is a step's wall time less the time in which any thread was inside a compiled kernel, its call and the
handing over of arguments included. With several threads the gaps count in which a helper wakes up or finishes; so the
default is one thread, where nothing but Python is left.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import inspect
import json
import pkgutil
import pstats
import statistics
import time
from collections import defaultdict
from typing import Any

from minicnn.kernels import cpu
from minicnn.kernels.cpu import program

from .engines.minicnn_engine import Engine
from .workloads import WORKLOADS, Workload


class Timed:
    """A compiled kernel that notes when it was entered and left."""

    spans: list[tuple[float, float, str]] = []

    def __init__(self, kernel: Any, name: str) -> None:
        self.kernel = kernel
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.kernel, attribute)

    def __call__(self, *arguments: Any) -> Any:
        begin = time.perf_counter()
        answer = self.kernel(*arguments)
        self.spans.append((begin, time.perf_counter(), self.name))
        return answer


def time_kernels() -> None:
    """Put a `Timed` in the place of every kernel, which takes tiles from a ticket, and of what walks through many."""
    timed: dict[Any, Timed] = {}  # one for each, in whichever modules it has a name
    for module in pkgutil.iter_modules(cpu.__path__):
        names = vars(importlib.import_module(f"{cpu.__name__}.{module.name}"))
        for name, value in list(names.items()):
            function = getattr(value, "py_func", None)
            if function is not None and list(inspect.signature(function).parameters)[:2] == ["ticket", "tiles"]:
                names[name] = timed.setdefault(value, Timed(value, name))
    names = vars(program)
    names["_walk"] = Timed(names["_walk"], "kernels of a recorded step")


def covered(spans: list[tuple[float, float, str]]) -> float:
    """Seconds in which at least one kernel ran."""
    total, reached = 0.0, 0.0
    for begin, end, _ in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def measure(work: Workload, threads: int, rounds: int) -> dict[str, Any]:
    """Microseconds a step, medians over epochs: in all, inside kernels, outside, and by kernel."""
    # Before the first step, which is recorded to be called again.
    time_kernels()
    engine = Engine(threads, "cpu")
    engine.build(work, dropout=True)
    x, y = work.data(work.samples // work.batch_size * work.batch_size)
    engine.epoch(x, y)
    scale = 1e6 / (len(x) // work.batch_size)
    walls, inside, by_kernel = [], [], defaultdict(list)
    for _ in range(rounds):
        Timed.spans.clear()
        begin = time.perf_counter()
        engine.epoch(x, y)
        walls.append((time.perf_counter() - begin) * scale)
        inside.append(covered(Timed.spans) * scale)
        for name in {name for _, _, name in Timed.spans}:
            by_kernel[name].append(sum(end - begin for begin, end, this in Timed.spans if this == name) * scale)
    profile = cProfile.Profile()
    profile.runcall(engine.epoch, x, y)
    return {
        "step": statistics.median(walls),
        "kernels": statistics.median(inside),
        "outside": statistics.median(wall - within for wall, within in zip(walls, inside, strict=True)),
        "by kernel": {name: statistics.median(times) for name, times in by_kernel.items()},
        "profile": profile,
    }


def main() -> None:
    """Print the profile of a network's training step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("network", choices=list(WORKLOADS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--functions", type=int, default=0, help="show so many Python functions, by time of their own")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead")
    options = parser.parse_args()
    figures = measure(WORKLOADS[options.network], options.threads, options.rounds)
    profile = figures.pop("profile")
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.network}, {options.threads} thread(s), microseconds a training step:")
    for name in ("step", "kernels", "outside"):
        print(f"  {name:<32}{figures[name]:10,.0f}")
    print("by kernel:")
    for name, value in sorted(figures["by kernel"].items(), key=lambda item: -item[1]):
        print(f"  {name:<32}{value:10,.0f}")
    if options.functions:
        pstats.Stats(profile).sort_stats("tottime").print_stats(options.functions)


if __name__ == "__main__":
    main()
