"""`python -m benchmarks`: minicnn beside the engines that are installed, part by part.

Parts: `networks` (training and prediction of the articles' networks), `layers` (their kernels one by one, and a sweep),
`process` (from the start of Python to a trained epoch), `growth` (with batch, picture size, channels and threads),
`pictures` (how long training waits for pictures from files).
Writes PART.json (machine, versions, date, every round), PART.md and PART.png for each, and goals.md for all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from . import driver, goals, growth, layers, networks, pictures, process, report
from .engines import ENGINES

PARTS: dict[str, Any] = {
    "networks": networks, "layers": layers, "process": process, "growth": growth, "pictures": pictures,
}  # fmt: skip
RESULTS = driver.ROOT / "benchmarks" / "results"


def main() -> int:
    """Measure the parts that are wanted, one after the other; each is written as soon as it is there."""
    options = _options()
    for part in options.parts:
        names = [name for name in PARTS[part].NAMES if not options.only or name in options.only]
        if names:
            results = measure(part, names, options)
            print(report.markdown(results), end="\n\n", flush=True)
    print(goals.write(options.out))
    if options.readme:
        goals.update_readme(options.out, driver.ROOT / "README.md")
    return 0


def measure(part: str, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The results of one part, written after each of its names."""
    module, begin = PARTS[part], time.perf_counter()
    results: dict[str, Any] = {
        "part": part, "unit": module.UNIT, "about": report.about(options.threads), "rounds": options.rounds,
        "workloads": {},
    }  # fmt: skip
    for name in names:
        results["workloads"][name] = module.measure(name, options, results["about"])
        results["about"]["minutes"] = round((time.perf_counter() - begin) / 60, 1)
        report.write(results, options.out / f"{part}.json")
    return results


def _options() -> argparse.Namespace:
    names = [name for module in PARTS.values() for name in module.NAMES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all")
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"of a part: {', '.join(names)} (default: all)"
    )
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine; medians are reported")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round, training only, a moment for each kernel")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--readme", action="store_true", help="renew the tables in the README from the results")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


if __name__ == "__main__":
    sys.exit(main())
