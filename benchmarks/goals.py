"""What minicnn aims at, and what was measured: one line for each goal, from the results of all parts."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import growth, pictures, report
from .cases import CASES, PRODUCT, ConvCase
from .networks import PREDICT_BATCHES

KERAS = "keras-tensorflow"
HEAD = "| measure | goal | measured | reached |", "|---|---|---|---|"


class Goal(NamedTuple):
    """A figure, what it shall be, and what it is."""

    measure: str
    at_least: bool
    goal: float
    value: float

    @property
    def reached(self) -> bool:
        """Whether the value, as the table shows it, is as good as the goal."""
        value = self.value if self.goal < 0.1 else round(self.value, 2)
        return value >= self.goal if self.at_least else value <= self.goal

    def row(self) -> str:
        """A line of the table."""
        word = "at least" if self.at_least else "at most"
        value = f"{self.value:.1e}" if self.goal < 0.1 else f"{self.value:.2f}"
        return f"| {self.measure} | {word} {self.goal:g} | **{value}** | {'yes' if self.reached else 'no'} |"


def _ratio(figures: dict[str, dict[str, float]], measure: str, other: str) -> float:
    return figures[report.OURS][measure] / figures[other][measure]


def _networks(results: dict[str, Any]) -> Iterator[Goal]:
    medians = {name: report.medians(work) for name, work in results["workloads"].items()}
    over_keras = []
    for name, figures in medians.items():
        other, speed = report.best_other(figures, "train")
        if not other:
            continue
        value = figures[report.OURS]["train"] / speed
        yield Goal(f"`{name}`: training over the fastest other engine ({other})", True, 2.0, value)
        if KERAS in figures:
            over_keras.append(_ratio(figures, "train", KERAS))
    if over_keras:
        mean = math.exp(statistics.mean(map(math.log, over_keras)))
        yield Goal("training over Keras on TensorFlow, geometric mean", True, 3.0, mean)
    for name, figures in medians.items():
        for batch in PREDICT_BATCHES:
            measure = f"predict {batch}"
            other, speed = report.best_other(figures, measure)
            if other and measure in figures[report.OURS]:
                value = figures[report.OURS][measure] / speed
                yield Goal(f"`{name}`: prediction over the fastest other, batch {batch} ({other})", True, 1.0, value)
    figures = medians.get("besbes", {})
    if "torch" in figures:
        yield Goal("`besbes`: peak memory over PyTorch's", False, 0.5, _ratio(figures, "peak MiB", "torch"))


def _layers(results: dict[str, Any]) -> Iterator[Goal]:
    product, wide = f"{PRODUCT}: forward", []
    for work in results["workloads"].values():
        figures = report.medians(work)
        ours, best = figures[report.OURS], max(values[product] for values in figures.values() if product in values)
        wide += [
            (ours[f"{name}: forward"] / best, name)
            for name, case in CASES.items()
            if isinstance(case, ConvCase) and min(case.C, case.F) >= 32 and f"{name}: forward" in ours
        ]
    if wide:
        value, name = min(wide)
        yield Goal(f"forward convolutions from 32 channels on over BLAS' product: the least ({name})", True, 0.8, value)


def _process(results: dict[str, Any]) -> Iterator[Goal]:
    for name, work in results["workloads"].items():
        figures = report.medians(work)
        if "epoch" in name and KERAS in figures:
            value = _ratio(figures, "start to end, s", KERAS)
            yield Goal(f"whole process over Keras on TensorFlow ({name})", False, 0.33, value)


def _growth(results: dict[str, Any]) -> Iterator[Goal]:
    figures = report.medians(results["workloads"].get("threads", {"rounds": {}}))
    if "minicnn, 2 threads" in figures:
        ours, product = (
            figures[f"{engine}, 2 threads"][measure] / figures[f"{engine}, 1 thread"][measure]
            for engine, measure in (("minicnn", "besbes"), ("NumPy's BLAS", growth.BLAS))
        )
        yield Goal(f"`besbes`: 2 threads over 1 (BLAS' product in the same run: {product:.2f})", True, 1.8, ours)


def _pictures(results: dict[str, Any]) -> Iterator[Goal]:
    for name, work in results["workloads"].items():
        value = report.medians(work)[report.OURS][pictures.WAITS]
        yield Goal(f"{name}: share of its time that fit waits for pictures", False, 0.1, value)


_OF_PART: dict[str, Callable[[dict[str, Any]], Iterator[Goal]]] = {
    "networks": _networks, "layers": _layers, "process": _process, "growth": _growth, "pictures": _pictures,
}  # fmt: skip


def _load(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for part in _OF_PART:
        path = folder / f"{part}.json"
        if path.is_file():
            found[part] = json.loads(path.read_text(encoding="utf-8"))
    return found


def table(folder: Path) -> str:
    """The goals that the results in a folder speak of."""
    parts = _load(folder)
    lines = [*HEAD]
    lines += [goal.row() for part, results in parts.items() for goal in _OF_PART[part](results)]
    machines = {f"{results['about']['processor']} ({results['about']['date']})" for results in parts.values()}
    return "\n".join([*lines, "", "Measured on " + "; ".join(sorted(machines)) + "."])


def write(folder: Path) -> str:
    """Write goals.md, and give it."""
    text = table(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "goals.md").write_text(text + "\n", encoding="utf-8")
    return text


def update_readme(folder: Path, readme: Path) -> None:
    """Renew the tables between the marks in the README, from the results in a folder."""
    report.update_readme(readme, (report.BEGIN, report.END), report.summary(_load(folder)["networks"]))
    report.update_readme(readme, report.GOALS, table(folder))
