"""One adapter for each engine: the same few questions, each engine's own fastest answer.

An adapter is a class with::

    versions() -> dict                     what is measured
    build(workload, dropout) -> None       the network with the workload's initial weights
    epoch(x, y) -> None                    one epoch in shuffled order, optimiser included
    losses(x, y, steps) -> list[float]     the loss at each of some steps on one batch, before the step
    predict(x, batch_size) -> np.ndarray   probabilities (N, classes)
    layer(case, what) -> callable or None  one pass of a layer of `cases`, to be called again and again
    most_pictures                          of a data set, where more would take forever; may be missing

Adapters are imported inside worker processes only, so that an engine which is not installed costs nothing but its row.
"""

from __future__ import annotations

import importlib
from typing import Any

# Name on the command line and in tables -> module, class and what tells variants apart.
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "minicnn": ("minicnn_engine", {"kernels": "cpu"}),
    "minicnn-reference": ("minicnn_engine", {"kernels": "reference"}),
    "minicnn-naive": ("minicnn_engine", {"kernels": "naive"}),
    "torch": ("torch_engine", {"variant": "eager"}),
    "torch-channels-last": ("torch_engine", {"variant": "channels-last"}),
    "torch-compiled": ("torch_engine", {"variant": "compiled"}),
    "keras-tensorflow": ("keras_engine", {"backend": "tensorflow"}),
    "keras-jax": ("keras_engine", {"backend": "jax"}),
    "keras-torch": ("keras_engine", {"backend": "torch"}),
}


# Measured beside the engines, and none itself.
_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {"numpy": ("numpy_engine", {})}


def load(name: str, threads: int) -> Any:
    """The adapter of an engine; raises ImportError where the engine is not installed."""
    module, options = (ENGINES | _OTHERS)[name]
    return importlib.import_module(f"{__name__}.{module}").Engine(threads=threads, **options)
