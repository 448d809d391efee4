"""Kernels one by one: GFLOP/s of each layer's passes, beside BLAS' own square product in the same rounds."""

from __future__ import annotations

from typing import Any

from . import driver
from .cases import ARTICLES, CASES, PRODUCT, SWEEP

UNIT = "GFLOP/s"
NAMES = ["articles", "sweep"]
ENGINES = ("minicnn", "torch", "torch-channels-last", "numpy")


def measure(name: str, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """Every engine's every case once a round. An engine leaves out what it has no kernel for."""
    cases = [str(case) for case in (PRODUCT, *(ARTICLES if name == "articles" else SWEEP))]
    wanted = [engine for engine in ENGINES if engine in options.engines or engine == "numpy"]
    rounds: driver.Rounds = {}
    with driver.running(wanted, options.threads, about) as engines:
        for number in range(options.rounds):
            for case in cases:
                for engine in engines:
                    for what, speed in engine.ask("layer", case=case, seconds=0.005 if options.quick else 0.02).items():
                        measures = rounds.setdefault(f"{case}: {what}", {})
                        measures.setdefault(engine.name, []).append(speed)
            driver.progress(f"layers, {name}", number, options.rounds)
    return {"rounds": _by_engine(rounds), "cases": cases}


def _by_engine(rounds: driver.Rounds) -> driver.Rounds:
    engines: driver.Rounds = {}
    for measure_, figures in rounds.items():
        for engine, values in figures.items():
            engines.setdefault(engine, {})[measure_] = values
    return engines


def table(figures: dict[str, dict[str, float]]) -> list[str]:
    """A row for each case: ours in each pass, times the faster PyTorch, and forward over the best square product."""
    best = max(values[f"{PRODUCT}: forward"] for values in figures.values() if f"{PRODUCT}: forward" in values)
    passes = list(dict.fromkeys(what for case in CASES.values() for what in case.passes))
    lines = [
        f"The best {PRODUCT} by BLAS in the same rounds: {best:.0f} GFLOP/s. In brackets: over the faster PyTorch.",
        "",
        "| layer | " + " | ".join(passes) + " | forward / BLAS |",
        "|---" * (len(passes) + 2) + "|",
    ]
    ours = figures.get("minicnn", {})
    for case in CASES:
        if f"{case}: forward" not in ours:
            continue
        cells = [_cell(figures, f"{case}: {what}") for what in passes]
        lines.append(f"| {case} | " + " | ".join(cells) + f" | {ours[f'{case}: forward'] / best:.2f} |")
    return lines


def _cell(figures: dict[str, dict[str, float]], measure_: str) -> str:
    if measure_ not in figures["minicnn"]:
        return ""
    speed = figures["minicnn"][measure_]
    others = [values[measure_] for name, values in figures.items() if name.startswith("torch") and measure_ in values]
    return f"{speed:.0f} ({speed / max(others):.2f})" if others else f"{speed:.0f}"
