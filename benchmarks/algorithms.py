"""`python -m benchmarks.algorithms`: every way to convolve, on the shapes of the articles' layers.

Loops (on a tiny shape only), im2col and a matrix product, the direct algorithm, each variant of Winograd's and PyTorch
in its channels-last layout take turns on the same arrays, forward and backward to the picture. First each must give the
right numbers: those of the direct algorithm in float64, within 1e-5 of the largest.

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
from minicnn.kernels.cpu import winograd
from minicnn.kernels.cpu.algorithms import choose_variant
from minicnn.kernels.cpu.transforms import VARIANTS

from . import report

Array = np.ndarray
RESULTS = Path(__file__).resolve().parent / "results" / "algorithms.json"
ALLOWED = 1e-5  # of the largest number
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
PASSES = ("forward", "gradient by x")
Call = Callable[[], Array]


def contestants(layer: Layer, pass_: str, x: Array, w: Array) -> dict[str, Call]:
    """Algorithm -> a call that computes the pass; x is the picture, or the gradient that comes back."""
    options: dict[str, Any] = {"strides": (1, 1), "padding": layer.padding, "dilation": (1, 1), "groups": 1}
    size = (layer.size, layer.size)

    def of(module: Any, **more: Any) -> Call:
        if pass_ == "forward":
            return lambda: module.conv2d(x, w, None, **options, **more)
        return lambda: module.conv2d_input_gradient(x, w, input_size=size, **options, **more)

    def by(variant: Any) -> Call:
        if pass_ == "forward":
            return lambda: winograd.conv2d(x, w, None, padding=layer.padding, variant=variant)[0]
        return lambda: winograd.conv2d_input_gradient(x, w, input_size=size, padding=layer.padding, variant=variant)

    calls = {"loops": of(naive)} if layer.multiply_adds <= LOOPS else {}
    calls |= {"im2col": of(reference), "direct": of(cpu, algorithm="direct")}
    calls |= {str(variant): by(variant) for variant in VARIANTS if variant.taps == layer.kernel}
    torch = _torch()
    if torch is not None:
        calls["PyTorch"] = _torch_call(torch, layer, pass_, x, w)
    return calls


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _torch_call(torch: Any, layer: Layer, pass_: str, x: Array, w: Array) -> Call:
    picture = torch.from_numpy(x).permute(0, 3, 1, 2)  # a view that is channels-last
    kernel = torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    padding = layer.kernel // 2

    def call() -> Array:
        if pass_ == "forward":
            y = torch.nn.functional.conv2d(picture, kernel, padding=padding)
        else:
            y = torch.nn.grad.conv2d_input(
                (layer.images, layer.channels, layer.size, layer.size), kernel, picture, padding=padding
            )
        return y.permute(0, 2, 3, 1).numpy()

    return call


def race(layer: Layer, pass_: str, rounds: int) -> dict[str, Any]:
    """Errors, and seconds to a call for every round.

    Raises:
        SystemExit: an algorithm computes something else; then its speed would mean nothing.
    """
    generator = np.random.default_rng(0)
    forward = pass_ == "forward"
    channels = layer.channels if forward else layer.filters
    x = generator.standard_normal((layer.images, layer.size, layer.size, channels), np.float32)
    w = generator.standard_normal((layer.kernel, layer.kernel, layer.channels, layer.filters), np.float32)
    calls = contestants(layer, pass_, x, w)
    exact = contestants(layer, pass_, x.astype(np.float64), w.astype(np.float64))["direct"]()
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
    output = layer.filters if forward else layer.channels
    chosen = choose_variant(
        "auto", layer.images, (layer.size, layer.size), channels, output, (layer.kernel, layer.kernel), (1, 1), (1, 1),
        1, x.dtype,
    )  # fmt: skip
    return {"seconds": found, "errors": errors, "auto": "direct" if chosen is None else str(chosen)}


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
