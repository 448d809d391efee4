"""`python -m benchmarks.algorithms`: every way to convolve, on the shapes of the articles' layers.

Loops (on a tiny shape only), im2col and a matrix product, the direct algorithm, each variant of Winograd's and PyTorch
in its channels-last layout take turns on the same arrays, forward and backward. First each must give the right numbers:
those of the direct algorithm in float64, within 1e-4 of the largest.

Writes benchmarks/results/algorithms.json (machine, versions, date, every round) and algorithms.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import kernels
from minicnn.kernels import cpu, naive, reference
from minicnn.kernels.cpu import winograd, winograd_gradient
from minicnn.kernels.cpu.algorithms import choose_variant
from minicnn.kernels.cpu.transforms import VARIANTS

from . import report

Array = np.ndarray
RESULTS = Path(__file__).resolve().parent / "results" / "algorithms.json"
# Of the largest number. In sums over a whole batch some are off by more than 1e-5, PyTorch among them.
ALLOWED = 1e-4
# The loops are given no more multiply-adds than this.
LOOPS = 100_000
# Short calls are repeated until a turn takes this long.
TURN = 5e-3
# The threads of other libraries go on spinning after their work; this lets them fall asleep before the next turn.
PAUSE = 0.03


class Layer(NamedTuple):
    """A convolution with stride 1 and as much padding as keeps the picture's size."""

    name: str
    images: int
    size: int
    channels: int
    filters: int
    kernel: int

    @property
    def multiply_adds(self) -> int:
        """Of the direct algorithm."""
        return self.images * self.size**2 * self.channels * self.filters * self.kernel**2

    @property
    def padding(self) -> Any:
        """The same on all sides."""
        side = self.kernel // 2
        return (side, side), (side, side)

    def __str__(self) -> str:
        size = f"{self.images} x {self.size} x {self.size}"
        return f"{self.name}: {size}, {self.channels} to {self.filters}, {self.kernel}x{self.kernel}"


LAYERS = (
    Layer("tiny", 1, 6, 2, 4, 3),
    Layer("khuyen 1", 128, 28, 1, 32, 5),
    Layer("khuyen 2", 128, 28, 32, 32, 5),
    Layer("khuyen 3", 128, 14, 32, 64, 3),
    Layer("khuyen 4", 128, 14, 64, 64, 3),
    Layer("eastmount 2", 64, 14, 32, 64, 5),
    Layer("besbes 1", 32, 150, 3, 32, 3),
    Layer("besbes 2", 32, 75, 32, 32, 3),
    Layer("besbes 3", 32, 37, 32, 64, 3),
    Layer("as in VGG", 8, 56, 128, 128, 3),
)
FORWARD, BY_X, BY_W = PASSES = ("forward", "gradient by x", "gradient by w")
Call = Callable[[], Array]


def operands(layer: Layer, pass_: str) -> tuple[Array, Array]:
    """What a pass takes: x and w, gy and w, or x and gy."""
    generator = np.random.default_rng(0)
    shapes = {
        "x": (layer.images, layer.size, layer.size, layer.channels),
        "gy": (layer.images, layer.size, layer.size, layer.filters),
        "w": (layer.kernel, layer.kernel, layer.channels, layer.filters),
    }
    first, second = {FORWARD: ("x", "w"), BY_X: ("gy", "w"), BY_W: ("x", "gy")}[pass_]
    return generator.standard_normal(shapes[first], np.float32), generator.standard_normal(shapes[second], np.float32)


def contestants(layer: Layer, pass_: str, a: Array, b: Array) -> dict[str, Call]:
    """Algorithm -> a call that computes the pass from its two operands."""
    options: dict[str, Any] = {"strides": (1, 1), "padding": layer.padding, "dilation": (1, 1), "groups": 1}
    size, taps, padding = (layer.size, layer.size), (layer.kernel, layer.kernel), layer.padding

    def of(module: Any, **more: Any) -> Call:
        return {
            FORWARD: lambda: module.conv2d(a, b, None, **options, **more),
            BY_X: lambda: module.conv2d_input_gradient(a, b, input_size=size, **options, **more),
            BY_W: lambda: module.conv2d_kernel_gradient(a, b, kernel_size=taps, **options, **more),
        }[pass_]

    def by(variant: Any) -> Call:
        return {
            FORWARD: lambda: winograd.conv2d(a, b, None, padding=padding, variant=variant)[0],
            BY_X: lambda: winograd.conv2d_input_gradient(a, b, input_size=size, padding=padding, variant=variant),
            BY_W: lambda: winograd_gradient.conv2d_kernel_gradient(a, b, padding=padding, variant=variant),
        }[pass_]

    calls = {"loops": of(naive)} if layer.multiply_adds <= LOOPS else {}
    calls |= {"im2col": of(reference), "direct": of(cpu, algorithm="direct")}
    calls |= {str(variant): by(variant) for variant in VARIANTS if variant.taps == layer.kernel}
    torch = _torch()
    if torch is not None:
        calls["PyTorch"] = _torch_call(torch, layer, pass_, a, b)
    return calls


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _torch_call(torch: Any, layer: Layer, pass_: str, a: Array, b: Array) -> Call:
    def picture(array: Array) -> Any:
        return torch.from_numpy(array).permute(0, 3, 1, 2)  # a view that is channels-last

    def kernel(array: Array) -> Any:
        return torch.from_numpy(array).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)

    padding, sides = layer.kernel // 2, (layer.size, layer.size)
    first, second = picture(a), picture(b) if pass_ == BY_W else kernel(b)
    shapes = (layer.images, layer.channels, *sides), (layer.filters, layer.channels, layer.kernel, layer.kernel)
    gradients = torch.nn.grad
    return {
        FORWARD: lambda: torch.nn.functional.conv2d(first, second, padding=padding).permute(0, 2, 3, 1).numpy(),
        BY_X: lambda: gradients.conv2d_input(shapes[0], second, first, padding=padding).permute(0, 2, 3, 1).numpy(),
        BY_W: lambda: gradients.conv2d_weight(first, shapes[1], second, padding=padding).permute(2, 3, 1, 0).numpy(),
    }[pass_]


def race(layer: Layer, pass_: str, rounds: int) -> dict[str, Any]:
    """Errors, and seconds to a call for every round.

    Raises:
        SystemExit: an algorithm computes something else; then its speed would mean nothing.
    """
    a, b = operands(layer, pass_)
    calls = contestants(layer, pass_, a, b)
    exact = contestants(layer, pass_, a.astype(np.float64), b.astype(np.float64))["direct"]()
    largest, errors, repeats = np.abs(exact).max(), {}, {}
    for name, call in calls.items():
        errors[name] = float(np.abs(call() - exact).max() / largest)
        if not errors[name] <= ALLOWED:
            raise SystemExit(f"{layer}, {pass_}: {name} is off by {errors[name]:.2g} of the largest number")
        repeats[name] = max(1, round(TURN / _seconds(call, 1)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            found[name].append(_seconds(call, repeats[name]))
    return {"seconds": found, "errors": errors, "auto": _auto(layer, pass_)}


def _auto(layer: Layer, pass_: str) -> str:
    """What "auto" takes."""
    channels, filters = (layer.filters, layer.channels) if pass_ == BY_X else (layer.channels, layer.filters)
    variant = choose_variant(
        "auto", layer.images, (layer.size, layer.size), channels, filters, (layer.kernel, layer.kernel), (1, 1),
        (1, 1), 1, np.dtype(np.float32),
    )  # fmt: skip
    return "direct" if variant is None else str(variant)


def _seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return float(f"{(time.perf_counter() - start) / repeats:.4g}")


def markdown(results: dict[str, Any]) -> str:
    """A table of medians for each pass, in milliseconds."""
    facts = results["about"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        f"Milliseconds to a call, medians of {results['rounds']} rounds in turns; {facts['processor']}, "
        f"{facts['threads']} threads, {facts['system']}, {versions}, {facts['date']}. The error is that of the "
        'algorithm that "auto" takes, against float64, of the largest number. The last column divides the time of the '
        "direct algorithm by its time.",
    ]
    raced = {name for passes in results["layers"].values() for pass_ in PASSES for name in passes[pass_]["seconds"]}
    names = [name for name in ("loops", "im2col", "direct", *map(str, VARIANTS), "PyTorch") if name in raced]
    for pass_ in PASSES:
        head = [pass_, *names, '"auto" takes', "error", "direct / auto"]
        lines += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += [_row(layer, passes[pass_], names) for layer, passes in results["layers"].items()]
    return "\n".join(lines)


def _row(layer: str, found: dict[str, Any], names: list[str]) -> str:
    medians = {name: statistics.median(seconds) for name, seconds in found["seconds"].items()}
    fastest, auto = min(medians.values()), found["auto"]
    cells = []
    for name in names:
        cell = f"{1e3 * medians[name]:.3g}" if name in medians else ""
        cells.append(f"**{cell}**" if medians.get(name) == fastest else cell)
    ratio = medians["direct"] / medians[auto]
    return "| " + " | ".join([layer, *cells, auto, f"{found['errors'][auto]:.1e}", f"{ratio:.2f}"]) + " |"


def _versions() -> dict[str, str]:
    names = ("numpy", "numba", *(() if _torch() is None else ("torch",)))
    return {name: importlib.metadata.version(name) for name in names}


def main() -> int:
    """Race, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.algorithms", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[layer.name for layer in LAYERS], help="layers (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each algorithm; medians are reported")
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kernels.set_num_threads(options.threads)
    torch = _torch()
    if torch is not None:
        torch.set_num_threads(options.threads)
    facts = {name: value for name, value in report.about(options.threads).items() if value and name != "not equal"}
    results: dict[str, Any] = {"about": facts | {"versions": _versions()}, "rounds": options.rounds, "layers": {}}
    for layer in LAYERS:
        if not options.only or layer.name in options.only:
            results["layers"][str(layer)] = {pass_: race(layer, pass_, options.rounds) for pass_ in PASSES}
            print(layer, file=sys.stderr, flush=True)
    table = markdown(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
