"""One step of each optimiser, in place on flat buffers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..varying import vary
from .arrays import Array, floating, launch, number
from .loading import REAL, REALS, Kernels

_sgd = Kernels("optimizer.cu", "sgd", REALS)
_adam = Kernels("optimizer.cu", "adam", REALS)
_rmsprop = Kernels("optimizer.cu", "rmsprop", REALS)
_adagrad = Kernels("optimizer.cu", "adagrad", REALS)


def _run(
    kernels: Kernels, buffers: tuple[Any, ...], rates: tuple[Any, ...], *scalars: float, more: tuple[Any, ...] = ()
) -> None:
    """The first buffer is the parameters'; one that is None is not wanted. Rates may change from step to step."""
    p = buffers[0]
    dtype = floating(f"an optimiser's step ({kernels.file})", p)
    numbers = [number(rate, dtype) for rate in rates]
    launch(kernels[REAL[dtype]], p.size, *buffers, np.int64(p.size), *numbers, *map(dtype.type, scalars), *more)


def sgd_step(
    p: Array, g: Array, velocity: Array | None, *, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """See `minicnn.kernels.sgd_step`."""
    _run(_sgd, (p, g, velocity), (learning_rate,), momentum, more=(np.int32(nesterov),))


def adam_step(
    p: Array, g: Array, m: Array, v: Array, *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float,
    weight_decay: float, step: int,
) -> None:  # fmt: skip
    """See `minicnn.kernels.adam_step`."""

    def alpha(rate: float, t: int) -> float:
        return rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)

    rates = vary(alpha, learning_rate, step), vary(lambda rate: rate * weight_decay, learning_rate)
    _run(_adam, (p, g, m, v), rates, 1 - beta_1, 1 - beta_2, epsilon)


def rmsprop_step(
    p: Array, g: Array, v: Array, velocity: Array | None, mean_gradient: Array | None, *, learning_rate: float,
    rho: float, momentum: float, epsilon: float,
) -> None:  # fmt: skip
    """See `minicnn.kernels.rmsprop_step`."""
    _run(_rmsprop, (p, g, v, velocity, mean_gradient), (learning_rate,), rho, 1 - rho, momentum, epsilon)


def adagrad_step(p: Array, g: Array, accumulator: Array, *, learning_rate: float, epsilon: float) -> None:
    """See `minicnn.kernels.adagrad_step`."""
    _run(_adagrad, (p, g, accumulator), (learning_rate,), epsilon)
