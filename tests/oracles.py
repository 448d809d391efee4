"""The frameworks that the tests measure minicnn against. Import Keras through here only."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from types import ModuleType

# Keras reads it once, when it is imported.
os.environ["KERAS_BACKEND"] = "torch"
SEED = 0


@functools.cache
def torch() -> ModuleType:
    """PyTorch on one thread, so that several test processes share a machine."""
    with warnings.catch_warnings():
        # PyTorch warns about deprecations of its own while it is imported.
        warnings.simplefilter("ignore")
        import torch as module
    module.set_num_threads(1)
    module.manual_seed(SEED)
    return module


@functools.cache
def keras() -> ModuleType:
    """Keras 3 on its PyTorch backend, on the CPU."""
    torch()
    with warnings.catch_warnings():
        # What Keras and its dependencies warn about on import is theirs, not ours.
        warnings.simplefilter("ignore")
        import keras as module
    module.config.disable_traceback_filtering()
    module.utils.set_random_seed(SEED)
    return module


def seed() -> None:
    """Start the random numbers of those that are loaded anew: weights that they draw are the same in every run."""
    if keras.cache_info().currsize:
        keras().utils.set_random_seed(SEED)
    elif torch.cache_info().currsize:
        torch().manual_seed(SEED)


@contextlib.contextmanager
def keras_in(dtype: str) -> Iterator[ModuleType]:
    """Keras with everything computed in one dtype: where it is not told, it falls back on its floatx."""
    module = keras()
    before = module.config.floatx()
    module.config.set_floatx(dtype)
    try:
        yield module
    finally:
        module.config.set_floatx(before)
