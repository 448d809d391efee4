"""From measured rounds to JSON, a Markdown table and a plot."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

OURS = "minicnn"
# Between these marks in the README stands the table that `summary` makes.
BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"


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
    """The fastest engine that is not ours."""
    others = {
        engine: values[measure]
        for engine, values in figures.items()
        if not engine.startswith(OURS) and measure in values
    }
    return max(others.items(), key=lambda item: item[1]) if others else ("", float("nan"))


def write(results: dict[str, Any], path: Path) -> None:
    """Write the JSON, and beside it the table and the plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(results) + "\n")
    plot(results, path.with_suffix(".png"))


def markdown(results: dict[str, Any]) -> str:
    """One table of medians, with the ratio of ours to the fastest other engine."""
    facts = results["about"]
    lines = [
        f"Pictures a second, medians of {results['rounds']} rounds in turns; {facts['processor']}, "
        f"{facts['threads']} threads, {facts['system']}, {facts['date']}.",
        "",
    ]
    for name, workload in results["workloads"].items():
        figures = medians(workload)
        measures = list(next(iter(figures.values())))
        lines += [f"| {name} | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
        for engine, values in figures.items():
            lines.append(f"| {engine} | " + " | ".join(f"{values[measure]:,.0f}" for measure in measures) + " |")
        if OURS in figures:
            cells = [_ratio(figures, measure) for measure in measures]
            lines.append(f"| **{OURS} / fastest other** | " + " | ".join(cells) + " |")
        lines.append("")
    if facts["missing"]:
        lines.append("Not installed here: " + ", ".join(sorted(facts["missing"])) + ".")
    return "\n".join(lines).rstrip()


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


def update_readme(results: dict[str, Any], readme: Path) -> None:
    """Put the table between the two marks in the README.

    Raises:
        ValueError: the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{readme.name} has no place for the table: {BEGIN} ... {END}")
    readme.write_text(f"{before}{begin}\n{summary(results)}\n{end}{after}", encoding="utf-8")


def _ratio(figures: dict[str, dict[str, float]], measure: str) -> str:
    if measure == "peak MiB":
        smallest = min((v[measure] for engine, v in figures.items() if not engine.startswith(OURS)), default=None)
        return "" if smallest is None else f"**{figures[OURS][measure] / smallest:.2f}** of the smallest"
    engine, speed = best_other(figures, measure)
    return f"**{figures[OURS][measure] / speed:.2f}** ({engine})" if engine else ""


def plot(results: dict[str, Any], path: Path) -> None:
    """Bars of training speed, relative to the fastest other engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(results["workloads"])
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.8 * len(names)))
    engines = list(dict.fromkeys(engine for name in names for engine in results["workloads"][name]["rounds"]))
    height = 0.8 / len(engines)
    for row, engine in enumerate(engines):
        heights, places = [], []
        for column, name in enumerate(names):
            figures = medians(results["workloads"][name])
            reference = best_other(figures, "train")[1]
            if engine in figures:
                heights.append(figures[engine]["train"] / reference)
                places.append(column + (row - len(engines) / 2 + 0.5) * height)
        axes.barh(places, heights, height=height, label=engine)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("training speed over the fastest other engine's")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
