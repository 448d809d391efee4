"""From measured rounds to JSON, a Markdown table and a plot."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from . import layers

OURS = "minicnn"
# Between these marks in the README stands the table that `summary` makes, and between the others that of `goals`.
BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"
GOALS = "<!-- benchmark goals: begin -->", "<!-- benchmark goals: end -->"


def about(threads: int) -> dict[str, Any]:
    """The machine, the date, and what every engine was given alike."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {},
        "missing": {},
        "not equal": (
            "PyTorch's loop is written out by hand, the others use their fit; the fits keep a running mean of the "
            "loss, PyTorch's loop does not; Keras divides dropout's work into its own kernels"
        ),
    }


def _processor() -> str:
    """The processor's model and its widest vectors, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return f"{model}, {widest}" if widest else model


def medians(workload: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Engine -> measure -> median over the rounds."""
    return {
        engine: {measure: statistics.median(values) for measure, values in figures.items()}
        for engine, figures in workload["rounds"].items()
    }


def best_other(figures: dict[str, dict[str, float]], measure: str) -> tuple[str, float]:
    """The best engine that is not ours in a measure, and its figure; no name and NaN where there is none."""
    others = {
        engine: values[measure]
        for engine, values in figures.items()
        if not engine.startswith(OURS) and measure in values
    }
    choose = min if _less_is_better(measure) else max
    return choose(others.items(), key=lambda item: item[1]) if others else ("", float("nan"))


def write(results: dict[str, Any], path: Path) -> None:
    """Write the JSON, and beside it the table and the plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(results) + "\n")
    plot(results, path.with_suffix(".png"))


def markdown(results: dict[str, Any]) -> str:
    """A table of medians for each workload, with the ratio of ours to the best other engine."""
    facts = results["about"]
    unit = results.get("unit", "pictures a second")
    lines = [
        f"{unit[0].upper()}{unit[1:]}, medians of {results['rounds']} rounds in turns; {facts['processor']}, "
        f"{facts['threads']} threads, {facts['system']}, {facts['date']}.",
        "",
    ]
    for name, workload in results["workloads"].items():
        figures = medians(workload)
        lines += layers.table(figures) if results.get("part") == "layers" else _table(name, figures)
        lines.append("")
    if facts["missing"]:
        lines.append("Not installed here: " + ", ".join(sorted(facts["missing"])) + ".")
    return "\n".join(lines).rstrip()


def _table(name: str, figures: dict[str, dict[str, float]]) -> list[str]:
    measures = list(dict.fromkeys(measure for values in figures.values() for measure in values))
    lines = [f"| {name} | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    for engine, values in figures.items():
        cells = [_number(values[measure]) if measure in values else "" for measure in measures]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    if OURS in figures and any(best_other(figures, measure)[0] for measure in measures):
        cells = [_ratio(figures, measure) for measure in measures]
        lines.append(f"| **{OURS} / best other** | " + " | ".join(cells) + " |")
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _less_is_better(measure: str) -> bool:
    return measure.endswith((", s", " MiB"))


def summary(results: dict[str, Any]) -> str:
    """The README's table: one row for each network, ours against the fastest other engine of each column."""
    facts = results["about"]
    engines = ", ".join(name for name in facts["versions"] if not name.startswith(OURS))
    lines = [
        "| network | training, pictures/s | fastest other | ratio | prediction ratio, batch 1 / 32 / 256 | memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, workload in results["workloads"].items():
        figures = medians(workload)
        ours = figures[OURS]
        engine, speed = best_other(figures, "train")
        asked = [measure for measure in ours if measure.startswith("predict")]
        predictions = [f"{ours[measure] / best_other(figures, measure)[1]:.2f}" for measure in asked]
        memory = min(v["peak MiB"] for other, v in figures.items() if not other.startswith(OURS))
        lines.append(
            f"| `{name}` | {ours['train']:,.0f} | {speed:,.0f} ({engine}) | **{ours['train'] / speed:.2f}** | "
            f"{' / '.join(predictions)} | {ours['peak MiB'] / memory:.2f} |"
        )
    lines += [
        "",
        f"Medians of {results['rounds']} rounds in turns, {facts['threads']} threads on {facts['processor']}, "
        f"{facts['date']}; against {engines}. The ratios divide by the fastest of these in each measure, memory by the "
        "smallest; above 1 (memory: below) minicnn is ahead.",
    ]
    return "\n".join(lines)


def update_readme(readme: Path, marks: tuple[str, str], table: str) -> None:
    """Put a table between two marks in the README.

    Raises:
        ValueError: the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not end:
        raise ValueError(f"{readme.name} has no place for the table: {marks[0]} ... {marks[1]}")
    readme.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def _ratio(figures: dict[str, dict[str, float]], measure: str) -> str:
    engine, value = best_other(figures, measure)
    if not engine or measure not in figures[OURS]:
        return ""
    return f"**{figures[OURS][measure] / value:.2f}** ({engine})"


def plot(results: dict[str, Any], path: Path) -> None:
    """Lines of speed by what grows; for the other parts bars of each engine's first measure over the best other's.

    Two figures of one engine, as `pictures` has them, are none.
    """
    if results.get("part") == "pictures":
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    draw = _draw_growth if results.get("part") == "growth" else _draw_layers
    if results.get("part") in (None, "networks", "process"):
        draw = _draw_bars
    figure = draw(results, pyplot)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_bars(results: dict[str, Any], pyplot: Any) -> Any:
    names = list(results["workloads"])
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.8 * len(names)))
    engines = list(dict.fromkeys(engine for name in names for engine in results["workloads"][name]["rounds"]))
    measure = next(iter(results["workloads"][names[0]]["rounds"][engines[0]]))
    height = 0.8 / len(engines)
    for row, engine in enumerate(engines):
        lengths, places = [], []
        for column, name in enumerate(names):
            figures = medians(results["workloads"][name])
            if engine in figures:
                lengths.append(figures[engine][measure] / best_other(figures, measure)[1])
                places.append(column + (row - len(engines) / 2 + 0.5) * height)
        axes.barh(places, lengths, height=height, label=engine)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{measure}, over the best other engine's")
    axes.legend(fontsize=8)
    return figure


def _draw_growth(results: dict[str, Any], pyplot: Any) -> Any:
    names = [name for name in results["workloads"] if name != "threads"] or ["threads"]
    figure, grid = pyplot.subplots(1, len(names), figsize=(4.5 * len(names), 3.6), squeeze=False)
    for axes, name in zip(grid[0], names, strict=True):
        for engine, values in medians(results["workloads"][name]).items():
            axes.plot(list(values), list(values.values()), marker="o", label=engine)
        axes.set_yscale("log")
        axes.set_xlabel(name)
        axes.set_ylabel(results["unit"])
        axes.legend(fontsize=8)
    return figure


def _draw_layers(results: dict[str, Any], pyplot: Any) -> Any:
    rows = [(engine, m, value) for work in results["workloads"].values() for engine, values in medians(work).items()
            for m, value in values.items() if m.endswith(": forward")]  # fmt: skip
    cases = list(dict.fromkeys(measure.removesuffix(": forward") for _, measure, _ in rows))
    engines = list(dict.fromkeys(engine for engine, _, _ in rows))
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.3 * len(cases)))
    for row, engine in enumerate(engines):
        speeds = {measure.removesuffix(": forward"): value for name, measure, value in rows if name == engine}
        places = [cases.index(case) + (row - len(engines) / 2 + 0.5) * 0.8 / len(engines) for case in speeds]
        axes.barh(places, list(speeds.values()), height=0.8 / len(engines), label=engine)
    axes.set_yticks(range(len(cases)), cases, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("forward, GFLOP/s")
    axes.legend(fontsize=8)
    return figure
