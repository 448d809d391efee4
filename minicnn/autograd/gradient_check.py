"""`gradcheck`: gradients compared with slopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .backward import grad
from .tensor import Tensor, TensorLike, as_array


class GradientError(AssertionError):
    """A gradient that does not match the slope of its function."""


def gradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Iterable[TensorLike],
    *,
    order: int = 1,
    step: float = 1e-4,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> bool:
    """Compare the gradients of a function with its slope, in float64.

    The outputs are weighted with random numbers v and the inputs moved along a random direction u: then
    ``<grad(v), u>`` must equal the slope of ``<v, function(x + t*u)>`` at t = 0, which central differences measure
    at two step sizes (Richardson's extrapolation, error of order step**4). Random weights matter: with ones instead,
    a softmax, whose outputs always sum to one, would pass with any gradient at all.

    Args:
        function: takes as many tensors as there are inputs; returns one or several.
        inputs: arrays or tensors, converted to float64. Keep them away from kinks (a ReLU's zero, ties of a maximum).
        order: 1, or 2 to check the gradients of the gradients as well.
        step: the largest distance moved along the unit direction.
        tolerance: the largest difference allowed, as a part of the slope's own scale (at least 1).
        seed: of the random weights and directions; three of each are tried.

    Returns:
        True.

    Raises:
        GradientError: the gradient is wrong; the message gives both numbers.
        ValueError: the function has a kink within a step of the inputs, so that it has no slope to compare with, or
            returns something whose values are not finite.
    """
    arrays = [np.array(as_array(value), dtype=np.float64) for value in inputs]
    generator = np.random.default_rng(seed)
    for _ in range(3):
        _check_once(function, arrays, generator, step, tolerance)
    if order > 1:
        points = [Tensor(array, requires_grad=True) for array in arrays]
        cotangents = [generator.standard_normal(y.shape) for y in _listed(function(*points))]

        def first_gradients(*tensors: Tensor) -> list[Tensor]:
            points, weights = tensors[: len(arrays)], tensors[len(arrays) :]
            outputs = _listed(function(*points))
            kept = [(y, weight) for y, weight in zip(outputs, weights, strict=True) if y.requires_grad]
            return grad([y for y, _ in kept], list(points), [weight for _, weight in kept], create_graph=True)

        gradcheck(
            first_gradients, [*arrays, *cotangents], order=order - 1, step=step, tolerance=10 * tolerance, seed=seed
        )
    return True


def _check_once(
    function: Callable[..., Any], arrays: list[np.ndarray], generator: np.random.Generator, step: float,
    tolerance: float,
) -> None:  # fmt: skip
    directions = [generator.standard_normal(array.shape) for array in arrays]
    norm = np.sqrt(sum(float(np.sum(u * u)) for u in directions)) or 1.0
    directions = [u / norm for u in directions]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    outputs = _listed(function(*tensors))
    weights = [generator.standard_normal(y.shape) for y in outputs]

    def along(t: float) -> float:
        moved = [Tensor(array + t * u, requires_grad=True) for array, u in zip(arrays, directions, strict=True)]
        values = _listed(function(*moved))
        return sum(float(np.sum(v * y.data)) for v, y in zip(weights, values, strict=True))

    slope, kink = _slope(along, step)
    kept = [(y, v) for y, v in zip(outputs, weights, strict=True) if y.requires_grad]
    if kept:
        gradients = grad([y for y, _ in kept], tensors, [v for _, v in kept])
        claimed = sum(float(np.sum(g.data * u)) for g, u in zip(gradients, directions, strict=True))
    else:
        claimed = 0.0
    allowed = tolerance * max(1.0, abs(slope))
    if kink > 100 * allowed:
        raise ValueError(
            f"gradcheck: the function has a kink within {step:g} of these inputs (its slopes differ by {kink:.3g}); "
            "move the inputs away from it"
        )
    if not abs(claimed - slope) <= allowed:
        raise GradientError(
            f"gradcheck: along a random direction the gradient says {claimed:.9g}, the function's slope is "
            f"{slope:.9g}; they differ by {abs(claimed - slope):.3g}, allowed are {allowed:.3g}"
        )


def _slope(along: Callable[[float], float], step: float) -> tuple[float, float]:
    """The slope at 0 by Richardson's extrapolation, and by how much the measurements disagree about it."""
    half = step / 2
    centre = along(0.0)
    samples = {t: along(t) for t in (-step, -half, half, step)}
    if not all(map(np.isfinite, [centre, *samples.values()])):
        raise ValueError("gradcheck: the function's values are not finite at these inputs")
    wide = (samples[step] - samples[-step]) / (2 * step)
    narrow = (samples[half] - samples[-half]) / step
    # For a smooth function, the two one-sided slopes differ by a multiple of the step: halving it halves that.
    bend_wide = (samples[step] - 2 * centre + samples[-step]) / step
    bend_narrow = (samples[half] - 2 * centre + samples[-half]) / half
    return (4 * narrow - wide) / 3, max(abs(wide - narrow), abs(bend_wide - 2 * bend_narrow))


def _listed(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
