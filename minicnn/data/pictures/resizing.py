"""Resizing by sampling, as ``tf.image.resize`` does it: nothing is averaged where pictures shrink, but for "area".

Each side is resized on its own: cell i of n' is a weighted mean of the cells j of n around the place (i + 1/2) n/n',

    y[i] = Σ_j k(j + 1/2 - (i + 1/2) n/n') x[j] / Σ_j k(j + 1/2 - (i + 1/2) n/n'),

where the kernel k is, with its radius: "bilinear" a triangle, 1; "bicubic" Keys' with a = -1/2, 2 ("Cubic convolution
interpolation for digital image processing", 1981); "mitchellcubic" Mitchell and Netravali's with B = C = 1/3, 2
("Reconstruction filters in computer graphics", 1988); "gaussian" of σ = 1/2, 3/2; "lanczos3" and "lanczos5" a sinc
times a wider one, 3 and 5. "nearest" takes the cell at that place, "area" the mean over the cell's share of the side.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _cubic(b: float, c: float) -> Kernel:
    """The family of cubics that Mitchell and Netravali give, by B and C; Keys' with a is B = 0, C = -a."""

    def kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
        near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
        far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
        return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6

    return kernel


_KERNELS: dict[str, tuple[float, Kernel]] = {
    "bilinear": (1, lambda x: 1 - x),
    "bicubic": (2, _cubic(0, 0.5)),
    "mitchellcubic": (2, _cubic(1 / 3, 1 / 3)),
    "gaussian": (1.5, lambda x: np.exp(-2 * x**2)),
    "lanczos3": (3, lambda x: np.sinc(x) * np.sinc(x / 3)),
    "lanczos5": (5, lambda x: np.sinc(x) * np.sinc(x / 5)),
}
METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


def resized(picture: NDArray[np.uint8], size: tuple[int, int], method: str = "bilinear") -> NDArray[np.float32]:
    """Resize a picture (H, W, C) to (height, width, C); `method` is one of `METHODS`."""
    x = picture.astype(np.float32)
    for axis, count in enumerate(size):
        x = _along(x, axis, *_taps(x.shape[axis], count, method))
    return x


def _along(
    x: NDArray[np.float32], axis: int, places: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    shape = [1] * x.ndim
    shape[axis] = len(places)
    total = x.take(places[:, 0], axis) * weights[:, 0].reshape(shape)
    for tap in range(1, places.shape[1]):
        total += x.take(places[:, tap], axis) * weights[:, tap].reshape(shape)
    return total


@functools.lru_cache(maxsize=256)
def _taps(n: int, count: int, method: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which cells of n make each of `count` cells, and with which weights: two arrays (count, taps)."""
    scale = n / count
    if method == "nearest":
        # In float32, so that places on a border between two cells fall to the same one as in TensorFlow.
        places = np.floor((np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(scale)).astype(np.intp)
        return np.minimum(places, n - 1)[:, None], np.ones((count, 1), np.float32)
    if method == "area":
        begins = np.arange(count)[:, None] * scale
        cells = np.floor(begins).astype(np.intp) + np.arange(math.ceil(scale) + 1)
        weights = np.minimum(cells + 1, begins + scale) - np.maximum(cells, begins)
    else:
        radius, kernel = _KERNELS[method]
        centres = (np.arange(count)[:, None] + 0.5) * scale
        cells = np.floor(centres - radius).astype(np.intp) + np.arange(math.ceil(2 * radius) + 1)
        distances = np.abs(cells + 0.5 - centres)
        weights = np.where(distances < radius, kernel(distances), 0)
    weights = np.where((cells >= 0) & (cells < n), np.maximum(weights, 0) if method == "area" else weights, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(cells, 0, n - 1), weights.astype(np.float32)
