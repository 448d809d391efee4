"""The articles' networks: training and prediction of every engine, in turns."""

from __future__ import annotations

import statistics
from typing import Any

from . import driver
from .workloads import WORKLOADS

UNIT = "pictures a second"
NAMES = list(WORKLOADS)
PREDICT_BATCHES = (1, 32, 256)
# Loops in Python take seconds for one picture in these networks, and minutes in the others.
LOOPS, LOOPS_END = "minicnn-naive", ("lenet5", "fashion-conv1x3")


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Check that the engines agree, then let them take turns."""
    names = [engine for engine in options.engines if engine != LOOPS or name in LOOPS_END]
    with driver.running(names, options.threads, about) as engines:
        agreement = check_agreement(name, engines)
        rounds: driver.Rounds = {engine.name: {} for engine in engines}
        for engine in engines:
            engine.ask("prepare", workload=name)
        for number in range(options.rounds):
            for engine in engines:
                _turn(engine, rounds[engine.name], options.quick)
            driver.progress(name, number, options.rounds)
        for engine in engines:
            rounds[engine.name]["peak MiB"] = [engine.ask("peak_memory")]
    return {"agreement": agreement, "rounds": rounds}


def _turn(engine: driver.Engine, figures: dict[str, list[float]], quick: bool) -> None:
    figures.setdefault("train", []).append(engine.ask("train"))
    for batch_size in () if quick else PREDICT_BATCHES:
        samples = 64 if batch_size == 1 else 512
        figures.setdefault(f"predict {batch_size}", []).append(
            engine.ask("predict", batch_size=batch_size, samples=samples)
        )


def check_agreement(name: str, engines: list[driver.Engine]) -> dict[str, float]:
    """The largest difference of any engine from the median of all, in probabilities and in the first losses.

    Raises:
        SystemExit: an engine computes something else; then its speed would mean nothing.
    """
    worst, wrong = compare([engine.ask("agree", workload=name) for engine in engines])
    for engine, difference in zip(engines, wrong, strict=True):
        if difference is not None:
            raise SystemExit(f"{name}: {engine.name} {difference}")
    return worst


def compare(
    answers: list[dict[str, Any]], predictions: float = 1e-4, losses: float = 1e-3
) -> tuple[dict[str, float], list[str | None]]:
    """How far engines' answers are from the median of all.

    Args:
        answers: of each engine, to "agree" of `worker.Worker`.
        predictions, losses: how far is allowed.

    Returns:
        The largest difference that is allowed, in either, and for each engine why its answer is not.
    """
    worst: dict[str, float] = {}
    wrong: list[str | None] = [None] * len(answers)
    for what, allowed in (("predictions", predictions), ("losses", losses)):
        flat = [_flat(answer[what]) for answer in answers]
        whole = max(map(len, flat))
        middle = [statistics.median(values) for values in zip(*[f for f in flat if len(f) == whole], strict=True)]
        gaps = [max((abs(a - b) for a, b in zip(values, middle, strict=False)), default=0.0) for values in flat]
        worst[what] = max((gap for gap in gaps if gap <= allowed), default=0.0)
        for number, gap in enumerate(gaps):
            if not gap <= allowed:
                wrong[number] = f"differs from the others by {gap:.3g} in its {what}"
    return worst, wrong


def _flat(values: Any) -> list[float]:
    return [number for row in values for number in _flat(row)] if isinstance(values, list) else [values]
