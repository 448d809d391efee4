"""`python -m benchmarks`: the articles' networks on every engine that is installed.

Writes benchmarks/results/NAME.json (machine, versions, date, every round), NAME.md and NAME.png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from . import driver, report
from .engines import ENGINES
from .workloads import WORKLOADS

PREDICT_BATCHES = (1, 32, 256)


def main() -> int:
    """Check that the engines agree, then let them take turns."""
    options = _options()
    results: dict[str, Any] = {"about": report.about(options.threads), "rounds": options.rounds, "workloads": {}}
    for name in options.only or WORKLOADS:
        results["workloads"][name] = _measure(name, options, results["about"])
        report.write(results, options.out)
    print(report.markdown(results))
    if options.readme:
        report.update_readme(results, driver.ROOT / "README.md")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(WORKLOADS), help="networks to measure (default: all)")
    parser.add_argument("--engines", nargs="*", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine; medians are reported")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round, training only")
    parser.add_argument("--out", type=Path, default=driver.ROOT / "benchmarks" / "results" / "networks.json")
    parser.add_argument("--readme", action="store_true", help="renew the table in the README from this run")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def _measure(name: str, options: argparse.Namespace, about: dict[str, Any]) -> dict[str, Any]:
    engines, missing = driver.start(options.engines, options.threads)
    about["missing"] = {**about.get("missing", {}), **missing}
    try:
        agreement = _agreement(name, engines)
        rounds: dict[str, dict[str, list[float]]] = {engine.name: {} for engine in engines}
        for engine in engines:
            about["versions"][engine.name] = engine.versions
            engine.ask("prepare", workload=name)
        for number in range(options.rounds):
            for engine in engines:
                _turn(engine, rounds[engine.name], options.quick)
            print(f"{name}: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for engine in engines:
            rounds[engine.name]["peak MiB"] = [engine.ask("peak_memory")]
    finally:
        for engine in engines:
            engine.close()
    return {"agreement": agreement, "rounds": rounds}


def _turn(engine: driver.Engine, figures: dict[str, list[float]], quick: bool) -> None:
    figures.setdefault("train", []).append(engine.ask("train"))
    for batch_size in () if quick else PREDICT_BATCHES:
        samples = 64 if batch_size == 1 else 512
        figures.setdefault(f"predict {batch_size}", []).append(
            engine.ask("predict", batch_size=batch_size, samples=samples)
        )


def _agreement(name: str, engines: list[driver.Engine]) -> dict[str, float]:
    """The largest difference of any engine from the median of all, in probabilities and in the first losses.

    Raises:
        SystemExit: an engine computes something else; then its speed would mean nothing.
    """
    answers = [engine.ask("agree", workload=name) for engine in engines]
    worst = {}
    for what, allowed in (("predictions", 1e-4), ("losses", 1e-3)):
        flat = [_flat(answer[what]) for answer in answers]
        middle = [statistics.median(values) for values in zip(*flat, strict=True)]
        gaps = [max(abs(a - b) for a, b in zip(values, middle, strict=True)) for values in flat]
        worst[what] = max(gaps)
        for engine, gap in zip(engines, gaps, strict=True):
            if not gap <= allowed:
                raise SystemExit(f"{name}: {engine.name} differs from the others by {gap:.3g} in its {what}")
    return worst


def _flat(values: Any) -> list[float]:
    return [number for row in values for number in _flat(row)] if isinstance(values, list) else [values]


if __name__ == "__main__":
    sys.exit(main())
