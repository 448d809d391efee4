"""Tables of what was measured on a GPU, beside what the chip could do at best."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from .cases import CASES, ConvCase
from .flat_cases import COPY, FLAT, GPU_CASES, LARGE_PRODUCT, traffic
from .report import OURS, best_other, medians

# Articles whose networks are so small that asking for the kernels is most of PyTorch's work.
SMALL = ("lenet5", "fashion-conv1x3", "eastmount")
MEASURES = ("train", "kernels a step", "device MiB")
WIDE = 64  # channels from which on a convolution shall come near the limit


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
    lines = [
        f"{facts['chip']} (capability {facts['capability']}, {facts['memory, GiB']} GiB), driver {facts['driver']}, "
        f"CUDA runtime {facts['runtime']}, {facts['date']}; {versions}. Medians of "
        f"{_rounds(results)} in turns; float32, operands of products rounded to TF32.",
        "",
    ]
    if results.get("kernels"):
        lines += [*kernel_table(results["kernels"]), ""]
    if results.get("networks"):
        lines += [*network_table(results["networks"]), ""]
    if results.get("process"):
        lines += [_process_line(results["process"]), ""]
    # Compilers explain at length.
    lines += [f"Failed: {name}: {why.partition(chr(10))[0]}" for name, why in facts.get("failed", {}).items()]
    if facts["missing"]:
        missing = [f"{name} ({why})" for name, why in sorted(facts["missing"].items())]
        lines.append(f"Not here: {'; '.join(missing)}.")
    return "\n".join(lines).rstrip()


def _rounds(results: dict[str, Any]) -> str:
    return ", ".join(f"{count} rounds ({part})" for part, count in results["rounds"].items() if results.get(part))


def _version(found: dict[str, str]) -> str:
    return " ".join(f"{key} {value}" for key, value in found.items() if key not in ("variant", "mode", "kernels"))


def kernel_table(kernels: dict[str, Any]) -> list[str]:
    """A row for each pass: its time, times PyTorch's, and the share of the limit; below, how wide convolutions do."""
    best = limits(kernels)
    lines = [
        f"Copies on the device: {best.bandwidth / 1e9:,.0f} GB/s. The product of two {LARGE_PRODUCT.size} x "
        f"{LARGE_PRODUCT.size} matrices: {best.rate / 1e12:.1f} TFLOP/s, by {best.by}. A kernel's limit is the longer "
        "of its bytes and its operations at these rates.",
        "",
        "| kernel | pass | microseconds | over the faster PyTorch | limit, microseconds | of the limit |",
        "|---|---|---|---|---|---|",
    ]
    shares = []
    for name, figures in kernels.items():
        label, _, what = name.rpartition(": ")
        case = (CASES | GPU_CASES)[label]
        found = _medians(figures)
        if OURS not in found or case in (COPY, LARGE_PRODUCT):
            continue
        seconds = case.operations(what) / found[OURS] / 1e9
        least, why = best.seconds(case, what)
        others = [speed for engine, speed in found.items() if engine != OURS]
        ratio = f"{found[OURS] / max(others):.2f}" if others else ""
        lines.append(
            f"| {label} | {what} | {seconds * 1e6:.1f} | {ratio} | {least * 1e6:.1f} ({why}) | {least / seconds:.2f} |"
        )
        if isinstance(case, ConvCase) and min(case.C, case.F) >= WIDE and what in ("forward", "by x", "by w"):
            shares.append(least / seconds)
    if shares:
        least_share = f"{min(shares):.2f} at least (goal 0.7)"
        lines += ["", f"Single passes with {WIDE} channels or more, of the limit: {least_share}."]
    return lines


def network_table(networks: dict[str, Any]) -> list[str]:
    """A row for each engine, and the ratios that are aimed at."""
    lines = ["| network | engine | pictures/s | kernels a step | device MiB |", "|---|---|---|---|---|"]
    goals = []
    for name, network in networks.items():
        figures = medians(network)
        for engine, values in figures.items():
            cells = [f"{values[what]:,.0f}" if what in values else "" for what in MEASURES]
            lines.append(f"| {name} | {engine} | {' | '.join(cells)} |")
        theirs = {engine: values for engine, values in figures.items() if engine.startswith("torch")}
        if OURS in figures and theirs:
            engine, speed = best_other(theirs, "train")
            goals.append(f"{name}: {figures[OURS]['train'] / speed:.2f} times {engine} (goal 1.0)")
            if name in SMALL and "torch" in theirs:
                ratio = figures[OURS]["train"] / theirs["torch"]["train"]
                goals[-1] += f", {ratio:.2f} times torch, eager (goal 3.0)"
    return [*lines, *(["", "Training, " + "; ".join(goals) + "."] if goals else [])]


def _process_line(process: dict[str, Any]) -> str:
    if "warm, s" not in process:
        return f"`minicnn train eastmount --device cuda` failed: {' '.join(process['failed'])}"
    return (
        f"`minicnn train eastmount --device cuda`, six epochs of MNIST, start to result: {process['warm, s']:.1f} s "
        f"(goal 10), the first time {process['cold, s']:.1f} s."
    )
