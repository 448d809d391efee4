"""`python -m benchmarks.whole ENGINE SAMPLES THREADS`: trains lenet5 for one epoch and ends: what `process` times."""

from __future__ import annotations

import dataclasses
import json
import sys

from . import engines
from .worker import peak_memory
from .workloads import WORKLOADS


def main() -> None:
    """Build, train, and say how much memory it took."""
    name, samples, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = dataclasses.replace(WORKLOADS["lenet5"], samples=samples)
    engine = engines.load(name, threads)
    engine.build(work, dropout=True)
    engine.epoch(*work.data())
    print(json.dumps({"peak MiB": peak_memory()}))


if __name__ == "__main__":
    main()
