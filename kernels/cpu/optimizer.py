"""One step of each optimiser, in place on flat buffers: each parameter's numbers are read and written exactly once.

A plain NumPy step makes a temporary array for every operation, so the parameters travel through memory ten times.
Scalars are brought to the arrays' dtype first: one float64 among them would turn the whole loop to float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..varying import Number, vary
from .cache import compiled
from .threads import share, take, threads_for

BLOCK = 16 * 1024  # elements to a tile


def _run(kernel: Callable[..., None], buffers: tuple[np.ndarray, ...], *scalars: Any) -> None:
    p = buffers[0]
    numbers = [_number(scalar, p.dtype) for scalar in scalars]
    share(kernel, -(-p.size // BLOCK), threads_for(4 * p.size), *(b.reshape(-1) for b in buffers), *numbers)


def _number(value: Any, dtype: np.dtype) -> Any:
    return vary(dtype.type, value) if isinstance(value, Number) else dtype.type(value)


@compiled
def _sgd(ticket, tiles, p, g, learning_rate):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        pb, gb = p[block], g[block]
        for i in range(pb.size):
            pb[i] -= learning_rate * gb[i]
        tile = take(ticket)


@compiled
def _momentum(ticket, tiles, p, g, velocity, learning_rate, momentum, nesterov):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        pb, gb, vb = p[block], g[block], velocity[block]
        for i in range(pb.size):
            step = learning_rate * gb[i]
            v = momentum * vb[i] - step
            vb[i] = v
            pb[i] += momentum * v - step if nesterov != 0 else v
        tile = take(ticket)


@compiled
def _adam(ticket, tiles, p, g, m, v, alpha, rate_1, rate_2, epsilon, decay):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        pb, gb, mb, vb = p[block], g[block], m[block], v[block]
        for i in range(pb.size):
            first = mb[i] + rate_1 * (gb[i] - mb[i])
            second = vb[i] + rate_2 * (gb[i] * gb[i] - vb[i])
            mb[i], vb[i] = first, second
            pb[i] -= decay * pb[i] + alpha * first / (np.sqrt(second) + epsilon)
        tile = take(ticket)


@compiled
def _rmsprop(ticket, tiles, p, g, v, learning_rate, rho, rate, epsilon):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        pb, gb, vb = p[block], g[block], v[block]
        for i in range(pb.size):
            second = rho * vb[i] + rate * (gb[i] * gb[i])
            vb[i] = second
            pb[i] -= learning_rate * gb[i] / np.sqrt(second + epsilon)
        tile = take(ticket)


@compiled
def _rmsprop_variants(ticket, tiles, p, g, v, velocity, mean, learning_rate, rho, rate, momentum, epsilon):
    """With momentum, centred, or both: an empty velocity or mean is one that is not wanted. Not worth vectorising."""
    tile = take(ticket)
    while tile < tiles:
        for i in range(tile * BLOCK, min((tile + 1) * BLOCK, p.size)):
            v[i] = rho * v[i] + rate * (g[i] * g[i])
            denominator = v[i] + epsilon
            if mean.size:
                mean[i] = rho * mean[i] + rate * g[i]
                denominator -= mean[i] * mean[i]
            update = learning_rate * g[i] / np.sqrt(denominator)
            if velocity.size:
                update += momentum * velocity[i]
                velocity[i] = update
            p[i] -= update
        tile = take(ticket)


@compiled
def _adagrad(ticket, tiles, p, g, accumulator, learning_rate, epsilon):
    tile = take(ticket)
    while tile < tiles:
        block = slice(tile * BLOCK, (tile + 1) * BLOCK)
        pb, gb, ab = p[block], g[block], accumulator[block]
        for i in range(pb.size):
            ab[i] += gb[i] * gb[i]
            pb[i] -= learning_rate * gb[i] / np.sqrt(ab[i] + epsilon)
        tile = take(ticket)


def sgd_step(
    p: np.ndarray, g: np.ndarray, velocity: np.ndarray | None, *, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """v = momentum*v - lr*g; p += v, or with Nesterov p += momentum*v - lr*g; without v: p -= lr*g."""
    if velocity is None:
        _run(_sgd, (p, g), learning_rate)
    else:
        _run(_momentum, (p, g, velocity), learning_rate, momentum, nesterov)


def adam_step(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, *, learning_rate: float, beta_1: float, beta_2: float,
    epsilon: float, weight_decay: float, step: int,
) -> None:  # fmt: skip
    """m += (1-b1)*(g-m); v += (1-b2)*(g*g-v); p -= lr*decay*p + lr*sqrt(1-b2^t)/(1-b1^t) * m/(sqrt(v)+eps)."""

    def alpha(rate: float, t: int) -> float:
        return rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)

    rate, decay = vary(alpha, learning_rate, step), vary(lambda rate: rate * weight_decay, learning_rate)
    _run(_adam, (p, g, m, v), rate, 1 - beta_1, 1 - beta_2, epsilon, decay)


def rmsprop_step(
    p: np.ndarray, g: np.ndarray, v: np.ndarray, velocity: np.ndarray | None, mean_gradient: np.ndarray | None, *,
    learning_rate: float, rho: float, momentum: float, epsilon: float,
) -> None:  # fmt: skip
    """v = rho*v + (1-rho)*g*g; u = lr*g/sqrt(v + eps [- mean gradient squared]) [+ momentum*velocity]; p -= u."""
    if velocity is None and mean_gradient is None:
        _run(_rmsprop, (p, g, v), learning_rate, rho, 1 - rho, epsilon)
        return
    nothing = np.empty(0, p.dtype)
    buffers = (p, g, v, nothing if velocity is None else velocity, nothing if mean_gradient is None else mean_gradient)
    _run(_rmsprop_variants, buffers, learning_rate, rho, 1 - rho, momentum, epsilon)


def adagrad_step(
    p: np.ndarray, g: np.ndarray, accumulator: np.ndarray, *, learning_rate: float, epsilon: float
) -> None:
    """accumulator += g*g; p -= lr * g / sqrt(accumulator + epsilon)."""
    _run(_adagrad, (p, g, accumulator), learning_rate, epsilon)
