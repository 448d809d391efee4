"""`python -m benchmarks.gpu`: minicnn on a GPU beside PyTorch and Keras on JAX there.

Parts: `kernels` (each layer's passes, and each kernel that is bound by memory, beside PyTorch's and beside what the
chip could do at best), `networks` (the articles' training steps: pictures a second, kernels a step, memory) and
`process` (`minicnn train eastmount --device cuda`, from the start of Python to the result), all measured in one run, in
turns; and `parity` (how far losses and gradients are from the processor's). Writes gpu.json and gpu.md. Where there is
no GPU it says why and ends.

All compute in float32 and may round the operands of products to TF32. Kernels are timed within CUDA graphs, so that no
engine's host counts; the networks as their users run them, with the data on the GPU whole.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicnn.device import why_no_gpu

from . import driver, gpu_networks, gpu_parity, gpu_report, report
from .cases import ARTICLES, SWEEP
from .engines import GPU_ENGINES
from .flat_cases import COPY, FLAT, LARGE_PRODUCT

RESULTS = driver.ROOT / "benchmarks" / "results"
# Of each engine, in turns; a round of the networks is an epoch of each.
ROUNDS = {"kernels": 3, "networks": 3}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts that are wanted; the files are written anew whenever there is something more."""
    options = _options(arguments)
    reason = why_no_gpu()
    if reason is not None:
        print(f"benchmarks.gpu: there is no GPU to measure: {reason}", file=sys.stderr)
        return 1
    results: dict[str, Any] = {"rounds": options.rounds, "about": report.about(options.threads) | chip()}
    for part in options.parts:
        results[part] = {}
        for _ in MEASURE[part](options, results["about"], results[part]):
            write(results, options.out)
    print(gpu_report.markdown(results))
    if options.readme:
        report.update_readme(driver.ROOT / "README.md", gpu_report.MARKS, gpu_report.summary(results))
    return 0


def chip() -> dict[str, Any]:
    """What is measured on."""
    runtime = importlib.import_module("cupy").cuda.runtime
    found = runtime.getDeviceProperties(runtime.getDevice())
    return {
        "chip": found["name"].decode(),
        "capability": f"{found['major']}.{found['minor']}",
        "memory, GiB": round(found["totalGlobalMem"] / 2**30, 1),
        "driver": _driver() or f"CUDA {runtime.driverGetVersion()}",
        "runtime": runtime.runtimeGetVersion(),
    }


def _driver() -> str:
    """The driver's version, as the tool that comes with it tells."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the JSON, and beside it the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "gpu.md").write_text(gpu_report.markdown(results) + "\n", encoding="utf-8")


def measure_kernels(options: argparse.Namespace, about: dict[str, Any], found: driver.Rounds) -> Iterator[None]:
    """Case and pass -> engine -> GFLOP/s (kernels bound by memory: numbers) of each round."""
    layers = [*dict.fromkeys(map(str, (*ARTICLES, *SWEEP)))]
    cases = [str(COPY), str(LARGE_PRODUCT), *(case for case in FLAT if case != str(COPY)), *layers]
    chosen = cases[:2] + [case for case in cases[2:] if not options.only or case in options.only]
    wanted = [name for name in options.engines if name in ("minicnn", "torch", "torch-channels-last")]
    with driver.running(wanted, options.threads, about, "cuda") as engines:
        for done, case in enumerate(chosen):
            for _ in range(options.rounds["kernels"]):
                for engine in engines:
                    for what, speed in _speeds(engine, case, options, about).items():
                        found.setdefault(f"{case}: {what}", {}).setdefault(engine.name, []).append(speed)
            driver.progress("kernels", done, len(chosen), "case")
            if done > 0:  # without copy and product there is no table
                yield


def _speeds(engine: driver.Engine, case: str, options: argparse.Namespace, about: dict[str, Any]) -> dict[str, float]:
    """What a case gives; a case that an engine cannot do is left out of the tables, and named."""
    try:
        speeds: dict[str, float] = engine.ask("layer", case=case, seconds=0.005 if options.quick else 0.01)
    except driver.EngineFailed as error:
        about.setdefault("failed", {})[f"{engine.name}, {case}"] = str(error)
        return {}
    return speeds


def measure_process(options: argparse.Namespace, about: dict[str, Any], found: dict[str, Any]) -> Iterator[None]:
    """Seconds that six epochs of MNIST take, Python's start and all, and the test accuracy that they reach.

    Cold is without a single kernel compiled before; the others follow. In strict float32 some kernels are others, so
    that only its accuracy is of interest.
    """
    with tempfile.TemporaryDirectory() as cache:
        for run, more in {"cold": {}, "warm": {}, "strict float32": {"MINICNN_TF32": "0"}}.items():
            found[run] = _train(os.environ | {"CUPY_CACHE_DIR": cache, "MINICNN_TF32": "1"} | more, options.patience)
            yield


def _train(environment: dict[str, str], patience: float) -> dict[str, Any]:
    """Seconds and accuracy of one run, or why there are none."""
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", *gpu_report.COMMAND.split(), "--epochs", "6", "--out", f"{results}/run"]
        begin = time.perf_counter()
        try:
            run = subprocess.run(
                command, cwd=driver.ROOT, env=environment, capture_output=True, text=True, check=False, timeout=patience
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"had not ended after {patience:g} s"}
        seconds = time.perf_counter() - begin
    accuracy = re.search(r"^Test accuracy (\S+)", run.stdout, re.MULTILINE)
    if run.returncode or accuracy is None:
        return {"failed": (run.stderr.strip() or run.stdout.strip() or "it said nothing").splitlines()[-1]}
    return {"s": seconds, "accuracy": float(accuracy[1])}


MEASURE = {
    "kernels": measure_kernels, "networks": gpu_networks.measure, "process": measure_process,
    "parity": gpu_parity.measure,
}  # fmt: skip


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(MEASURE), default=list(MEASURE), help="default: all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks, and kernels as the table has them")
    parser.add_argument("--engines", nargs="+", choices=list(GPU_ENGINES), default=list(GPU_ENGINES))
    parser.add_argument("--rounds", type=int, help="turns of each engine; default: 3")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds in which the networks must be compiled")
    parser.add_argument("--threads", type=int, default=4, help="of the processor")
    parser.add_argument("--quick", action="store_true", help="one round, a moment for each kernel")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--readme", action="store_true", help="renew the README's tables")
    options = parser.parse_args(arguments)
    if options.readme and "networks" not in options.parts:
        parser.error("the README's table is made from the networks")
    rounds = 1 if options.quick else options.rounds
    options.rounds = dict.fromkeys(ROUNDS, rounds) if rounds else ROUNDS
    return options


if __name__ == "__main__":
    sys.exit(main())
