"""How training speed changes with the batch, the picture's size, the channels and the threads."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from . import driver
from .cases import PRODUCT
from .workloads import WORKLOADS, Conv, Dense, Pool, Workload

UNIT = "pictures a second"
ENGINES = ("minicnn", "torch-channels-last", "keras-tensorflow")

# To an epoch: enough to be timed, few enough for batches of one.
MOST_STEPS = 256


def _network(what: str, value: int, *, batch: int = 32, size: int = 32, channels: int = 16) -> Workload:
    samples = max(batch * 4, min(2048, batch * MOST_STEPS, 2**20 // (size * size) * 32 // channels))
    return Workload(
        f"growth: {what} {value}",
        (size, size, 3),
        (Conv(channels, (3, 3)), Pool(), Conv(channels, (3, 3)), Pool(), Dense(10, None)),
        batch_size=batch,
        optimizer="sgd",
        learning_rate=0.01,
        samples=samples // batch * batch,
    )


GROWTH: dict[str, dict[int, Workload]] = {
    "batch": {n: _network("batch", n, batch=n) for n in (1, 8, 32, 128, 512)},
    "picture size": {n: _network("picture size", n, size=n) for n in (16, 32, 64, 128)},
    "channels": {n: _network("channels", n, channels=n) for n in (4, 8, 16, 32, 64, 128)},
}
THREADS = "threads"
BLAS = f"{PRODUCT}, GFLOP/s"
NAMES = [*GROWTH, THREADS]


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Pictures a second by what grows."""
    names = [engine for engine in ENGINES if engine in options.engines]
    if name == THREADS:
        return _threads(options, about)
    rounds: driver.Rounds = {}
    with driver.running(names, options.threads, about) as engines:
        for value, work in GROWTH[name].items():
            for engine in engines:
                engine.ask("prepare", workload=work.name)
            for _ in range(options.rounds):
                for engine in engines:
                    rounds.setdefault(engine.name, {}).setdefault(str(value), []).append(engine.ask("train"))
            driver.progress(f"{name} {value}", options.rounds - 1, options.rounds)
    return {"rounds": rounds}


def _threads(options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Ours with one thread and with all, in turns, on every network, and what the machine gives BLAS meanwhile."""
    rounds: driver.Rounds = {}

    def note(engine: str, measure: str, speed: float) -> None:
        rounds.setdefault(engine, {}).setdefault(measure, []).append(speed)

    for work in WORKLOADS:
        with ExitStack() as stack:
            engines = {
                label: stack.enter_context(driver.running(["minicnn", "numpy"], threads, about))
                for label, threads in (("1 thread", 1), (f"{options.threads} threads", options.threads))
            }
            for ours, _ in engines.values():
                ours.ask("prepare", workload=work)
            for _ in range(options.rounds):
                for label, (ours, numpy) in engines.items():
                    note(f"minicnn, {label}", work, ours.ask("train"))
                    speeds = numpy.ask("layer", case=str(PRODUCT), seconds=0.1)
                    note(f"NumPy's BLAS, {label}", BLAS, speeds["forward"])
        driver.progress(f"threads, {work}", options.rounds - 1, options.rounds)
    return {"rounds": rounds}
