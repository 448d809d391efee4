"""Tables of what was measured on a GPU, beside what the chip could do at best."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

from .cases import CASES, ConvCase
from .flat_cases import COPY, FLAT, GPU_CASES, LARGE_PRODUCT, traffic
from .goals import HEAD, Goal
from .gpu_parity import ALONE, HOW
from .report import OURS, best_other, medians

# Between these in the README stands what `summary` makes.
MARKS = "<!-- benchmark gpu: begin -->", "<!-- benchmark gpu: end -->"
COMMAND = "minicnn train eastmount --device cuda"

# Articles whose networks are so small that asking for the kernels is most of PyTorch's work.
SMALL = ("lenet5", "fashion-conv1x3", "eastmount")
MEASURES = ("train", "kernels a step", "device MiB")
# Channels from which on a convolution shall come near the limit, and how near.
WIDE, WIDE_GOAL = 64, 0.7


class Limits(NamedTuple):
    """What the chip reached in the same run.

    bandwidth: bytes a second of a large copy. rate: operations a second of a large matrix product, and by whom.
    """

    bandwidth: float
    rate: float
    by: str

    def seconds(self, case: Any, what: str) -> tuple[float, str]:
        """How long a pass takes at least, and what it waits for."""
        memory = traffic(case, what) / self.bandwidth
        arithmetic = 0.0 if str(case) in FLAT else case.operations(what) / self.rate
        return (memory, "memory") if memory >= arithmetic else (arithmetic, "arithmetic")


def limits(kernels: dict[str, Any]) -> Limits:
    """The limits, from the measured copy and product."""
    copies = _medians(kernels[f"{COPY}: forward"])
    products = _medians(kernels[f"{LARGE_PRODUCT}: forward"])
    by = max(products, key=lambda name: products[name])
    return Limits(max(copies.values()) * 1e9 * COPY.traffic("forward") / COPY.count, products[by] * 1e9, by)


def _medians(figures: dict[str, list[float]]) -> dict[str, float]:
    return {engine: statistics.median(values) for engine, values in figures.items()}


def markdown(results: dict[str, Any]) -> str:
    """All tables of the parts that were measured."""
    facts = results["about"]
    versions = ", ".join(f"{name} {_version(found)}" for name, found in facts["versions"].items())
    machine = (
        f"{facts['chip']} (capability {facts['capability']}, {facts['memory, GiB']} GiB), driver {facts['driver']}, "
        f"CUDA runtime {facts['runtime']}, {facts['date']}"
    )
    lines = [f"{'; '.join(filter(None, (machine, versions)))}.{_rounds(results)}", ""]
    if "note" in results:  # of whoever joined what was not measured in one run
        lines[:0] = [results["note"], ""]
    if results.get("kernels"):
        lines += [*kernel_table(results["kernels"]), ""]
    if results.get("networks"):
        lines += [*ratio_table(results["networks"]), "", *network_table(results["networks"]), ""]
    if results.get("process"):
        lines += [*process_table(results["process"]), ""]
    if results.get("parity"):
        lines += [*parity_table(results["parity"]), ""]
    lines += [*goal_table(results), ""]
    # Compilers explain at length.
    lines += [f"Failed: {name}: {why.partition(chr(10))[0]}" for name, why in facts.get("failed", {}).items()]
    if facts["missing"]:
        missing = [f"{name} ({why})" for name, why in sorted(facts["missing"].items())]
        lines.append(f"Not here: {'; '.join(missing)}.")
    return "\n".join(lines).rstrip()


def _rounds(results: dict[str, Any]) -> str:
    """How the parts were measured that take turns, if there is one."""
    counts = [f"{count} rounds ({part})" for part, count in results["rounds"].items() if results.get(part)]
    how = "in turns; float32, operands of products rounded to TF32"
    return f" Medians of {', '.join(counts)} {how}." if counts else ""


def _version(found: dict[str, str]) -> str:
    return " ".join(f"{key} {value}" for key, value in found.items() if key not in ("variant", "mode", "kernels"))


def kernel_table(kernels: dict[str, Any]) -> list[str]:
    """A row for each pass: its time, times PyTorch's, and the share of the limit."""
    best = limits(kernels)
    lines = [
        f"Copies on the device: {best.bandwidth / 1e9:,.0f} GB/s. The product of two {LARGE_PRODUCT.size} x "
        f"{LARGE_PRODUCT.size} matrices: {best.rate / 1e12:.1f} TFLOP/s, by {best.by}. A kernel's limit is the longer "
        "of its bytes and its operations at these rates.",
        "",
        "| kernel | pass | microseconds | over the faster PyTorch | limit, microseconds | of the limit |",
        "|---|---|---|---|---|---|",
    ]
    for label, what, case, found in _passes(kernels):
        seconds = case.operations(what) / found[OURS] / 1e9
        least, why = best.seconds(case, what)
        others = [speed for engine, speed in found.items() if engine != OURS]
        ratio = f"{found[OURS] / max(others):.2f}" if others else ""
        lines.append(
            f"| {label} | {what} | {seconds * 1e6:.1f} | {ratio} | {least * 1e6:.1f} ({why}) | {least / seconds:.2f} |"
        )
    return lines


def _passes(kernels: dict[str, Any]) -> Iterator[tuple[str, str, Any, dict[str, float]]]:
    """Label, pass and case of what minicnn was measured in, and each engine's figure."""
    for name, figures in kernels.items():
        label, _, what = name.rpartition(": ")
        case = (CASES | GPU_CASES)[label]
        if OURS in figures and case not in (COPY, LARGE_PRODUCT):
            yield label, what, case, _medians(figures)


def network_table(networks: dict[str, Any]) -> list[str]:
    """A row for each engine."""
    lines = ["| network | engine | pictures/s | kernels a step | device MiB |", "|---|---|---|---|---|"]
    for name, network in networks.items():
        for engine, values in medians(network).items():
            cells = [f"{values[what]:,.0f}" if what in values else "" for what in MEASURES]
            lines.append(f"| {name} | {engine} | {' | '.join(cells)} |")
    return lines


def ratio_table(networks: dict[str, Any]) -> list[str]:
    """A row for each network: minicnn's speed beside the others', and the geometric means; none without PyTorch."""
    lines = [
        "| network | pictures/s | PyTorch's fastest | over it | of its time | over PyTorch eager | over Keras on JAX |",
        "|---|---|---|---|---|---|---|",
    ]
    columns: list[list[float]] = [[], [], []]
    for name, figures in _compared(networks):
        engine, speed = best_other(_pytorch(figures), "train")
        ours = figures[OURS]["train"]
        ratios = [_over(figures, other) for other in (engine, "torch", "keras-jax")]
        for column, ratio in zip(columns, ratios, strict=True):
            column += [] if ratio is None else [ratio]
        over, eager, keras = map(_cell, ratios)
        theirs = f"{speed:,.0f} ({engine})"
        lines.append(f"| `{name}` | {ours:,.0f} | {theirs} | **{over}** | {speed / ours:.0%} | {eager} | {keras} |")
    if not columns[0]:
        return []
    over, eager, keras = (_cell(statistics.geometric_mean(column) if column else None) for column in columns)
    return [*lines, f"| geometric mean | | | **{over}** | | {eager} | {keras} |"]


def _compared(networks: dict[str, Any]) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """The networks that both minicnn and PyTorch trained, and their figures."""
    for name, network in networks.items():
        figures = medians(network)
        if OURS in figures and _pytorch(figures):
            yield name, figures


def _pytorch(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {engine: values for engine, values in figures.items() if engine.startswith("torch")}


def _over(figures: dict[str, dict[str, float]], other: str) -> float | None:
    return figures[OURS]["train"] / figures[other]["train"] if other in figures else None


def _cell(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def process_table(process: dict[str, Any]) -> list[str]:
    """Six epochs from start to result, and what they reach."""
    lines = [f"`{COMMAND}`, six epochs of MNIST, from the start of Python to the result:", ""]
    for run, found in process.items():
        failed = found.get("failed")
        lines.append(f"- {run}: " + (failed or f"{found['s']:.1f} s, test accuracy {found['accuracy']:.4f}"))
    return lines


def goals(results: dict[str, Any]) -> Iterator[Goal]:
    """What was aimed at, beside what was reached, of the parts that were measured."""
    for name, figures in _compared(results.get("networks", {})):
        engine, speed = best_other(_pytorch(figures), "train")
        yield Goal(f"`{name}`: training over PyTorch's fastest ({engine})", True, 1.0, figures[OURS]["train"] / speed)
        eager = _over(figures, "torch")
        if name in SMALL and eager is not None:
            yield Goal(f"`{name}`: training over PyTorch eager", True, 3.0, eager)
    shares = _wide_shares(results.get("kernels", {}))
    if shares:
        share, name = min(shares)
        reached = sum(round(each, 2) >= WIDE_GOAL for each, _ in shares)
        measure = f"convolutions' passes from {WIDE} channels on, of the chip's limit: the least ({name}; "
        yield Goal(f"{measure}{reached} of {len(shares)} reach it)", True, WIDE_GOAL, share)
    yield from _parity_goals(results.get("parity", {}))
    runs = {run: found for run, found in results.get("process", {}).items() if "s" in found}
    if "warm" in runs:
        yield Goal(f"`{COMMAND}`: seconds, kernels compiled before", False, 10.0, runs["warm"]["s"])
    if {"warm", "strict float32"} <= set(runs):
        points = 100 * abs(runs["warm"]["accuracy"] - runs["strict float32"]["accuracy"])
        yield Goal(f"`{COMMAND}`: points between its accuracy with TF32 and in strict float32", False, 0.5, points)


def parity_table(parity: dict[str, Any]) -> list[str]:
    """How far each network's losses and gradients are from the processor's."""
    lines = [
        "Ten steps from the same weights, beside the processor's: how far the losses are apart at most, and a "
        f"gradient, over its largest value. {ALONE.capitalize()}: the furthest that its own losses go, in sixteen "
        "trainings whose weights are moved by half of their last bit before each step.",
        "",
        "| network | arithmetic | losses | gradients |",
        "|---|---|---|---|",
    ]
    for name, found in parity.items():
        for how in HOW:
            lines.append(f"| {name} | {how} | {found[how]['losses']:.1e} | {found[how]['gradients']:.1e} |")
        if ALONE in found:
            lines.append(f"| {name} | {ALONE} | {found[ALONE]['losses']:.1e} | |")
    return lines


def _parity_goals(parity: dict[str, Any]) -> Iterator[Goal]:
    """The furthest of all networks; of gradients, of those without ReLU and maxima."""
    wanted = (("strict float32", "losses", 1e-4), ("strict float32", "gradients", 1e-5), ("TF32", "gradients", 2e-3))
    for how, what, goal in wanted:
        apart = [(found[how][what], name) for name, found in parity.items() if found["smooth"] or what == "losses"]
        if apart:
            value, name = max(apart)
            kind = "networks" if what == "losses" else "without ReLU and maxima"
            measure = f"{what} on the GPU in {how} beside the processor's, the furthest of {len(apart)} {kind}"
            alone = parity[name].get(ALONE, {}).get(what)
            own = "" if alone is None else f"; half a bit takes the processor's own {alone:.1e} apart"
            yield Goal(f"{measure} (`{name}`{own})", False, goal, value)


def _wide_shares(kernels: dict[str, Any]) -> list[tuple[float, str]]:
    """How much of the limit each single pass of a wide convolution reaches."""
    if not kernels:
        return []
    best = limits(kernels)
    return [
        (best.seconds(case, what)[0] / (case.operations(what) / found[OURS] / 1e9), f"{label}, {what}")
        for label, what, case, found in _passes(kernels)
        if isinstance(case, ConvCase) and min(case.C, case.F) >= WIDE and what in ("forward", "by x", "by w")
    ]


def goal_table(results: dict[str, Any]) -> list[str]:
    """The goals as a table."""
    rows = [goal.row() for goal in goals(results)]
    return [*HEAD, *rows] if rows else []


def summary(results: dict[str, Any]) -> str:
    """What the README shows between the marks."""
    facts = results["about"]
    rounds = results["rounds"]["networks"]
    return "\n".join([
        *ratio_table(results["networks"]),
        "",
        f"Training steps, medians of {rounds} epochs in turns on an {facts['chip']} with driver {facts['driver']}, "
        f"{facts['date']}; the products' operands are rounded to TF32 by all.",
        "",
        *goal_table(results),
    ])  # fmt: skip
