"""One adapter for each engine: the same few questions, each engine's own fastest answer.

An adapter is a class with::

    versions() -> dict                     what is measured
    build(workload, dropout) -> None       the network with the workload's initial weights
    epoch(x, y) -> None                    one epoch in shuffled order, optimiser included
    losses(x, y, steps) -> list[float]     the loss at each of some steps on one batch, before the step
    predict(x, batch_size) -> np.ndarray   probabilities (N, classes)
    layer(case, what) -> callable or None  one pass of a layer of `cases`, to be called again and again
    most_pictures                          of a data set, where more would take forever; may be missing

and on a GPU also::

    repeated(run, times) -> callable       a call so many times as one CUDA graph
    wait() -> None                         until all is done that was asked for
    device_memory() -> float               the most memory of the GPU that this process took, in MiB

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


# The same on a GPU.
GPU_ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "minicnn": ("minicnn_engine", {"kernels": "cpu", "device": "cuda"}),
    "torch": ("torch_engine", {"variant": "eager", "device": "cuda"}),
    "torch-channels-last": ("torch_engine", {"variant": "channels-last", "device": "cuda"}),
    "torch-reduce-overhead": ("torch_engine", {"variant": "compiled", "device": "cuda", "mode": "reduce-overhead"}),
    "torch-max-autotune": ("torch_engine", {"variant": "compiled", "device": "cuda", "mode": "max-autotune"}),
    "keras-jax": ("keras_engine", {"backend": "jax", "device": "cuda"}),
}

# Measured beside the engines, and none itself.
_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {"numpy": ("numpy_engine", {})}


def load(name: str, threads: int, device: str = "cpu") -> Any:
    """The adapter of an engine; raises ImportError where the engine is not installed, or sees no GPU."""
    module, options = (GPU_ENGINES if device == "cuda" else ENGINES | _OTHERS)[name]
    return importlib.import_module(f"{__name__}.{module}").Engine(threads=threads, **options)
