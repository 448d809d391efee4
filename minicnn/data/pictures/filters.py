"""Fixed kernels for pictures, by name, and the strength of edges that two of them give."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.errors import unknown_name


def _kernel(*rows: tuple[float, ...], divisor: float = 1) -> np.ndarray:
    taps = np.asarray(rows, np.float32) / np.float32(divisor)
    taps.setflags(write=False)
    return taps


PRESETS: dict[str, np.ndarray] = {
    "identity": _kernel((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "sharpen": _kernel((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": _kernel((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    "outline": _kernel((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "box": _kernel((1, 1, 1), (1, 1, 1), (1, 1, 1), divisor=9),
    "box-8": _kernel(*[(1,) * 8] * 8, divisor=64),
    "gauss": _kernel((1, 2, 1), (2, 4, 2), (1, 2, 1), divisor=16),
    "sobel-x": _kernel((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "sobel-y": _kernel((1, 2, 1), (0, 0, 0), (-1, -2, -1)),
}
"""Kernels (KH, KW) by name. "sobel-x" answers to what changes from left to right, which are upright edges; "sobel-y" to
what changes from top to bottom. (Sobel & Feldman 1968; Gauss: the binomial approximation.)"""

SOBEL = "sobel"


def filter_picture(picture: Any, name: str, mode: str = "same") -> np.ndarray:
    """Convolve a picture with a kernel by its name; "sobel" gives the strength of edges, `sobel_magnitude`.

    A true convolution, as SciPy's `convolve2d` has it: the kernel is flipped, zeros stand outside the picture.

    Args:
        picture: (H, W) or (H, W, 1), or (H, W, 3) which is made grey first.
        name: of `PRESETS`, or "sobel".
        mode: "same" keeps the size; "full" and "valid" as in `minicnn.functional.convolve2d`.

    Returns:
        (H, W) float32 for "same".

    Raises:
        ValueError: another shape or an unknown name.
    """
    if name == SOBEL:
        return sobel_magnitude(picture, mode)
    if name not in PRESETS:
        raise ValueError(unknown_name("filter", name, (*PRESETS, SOBEL)))
    return F.convolve2d(grey(picture), PRESETS[name], mode)


def sobel_magnitude(picture: Any, mode: str = "same") -> np.ndarray:
    """The strength of edges, 0..255: hypot(gx, gy) * 255 / its largest value; zeros where nothing changes."""
    image = grey(picture)
    strength = np.hypot(F.convolve2d(image, PRESETS["sobel-x"], mode), F.convolve2d(image, PRESETS["sobel-y"], mode))
    largest = strength.max(initial=0)
    return strength * np.float32(255 / largest) if largest > 0 else strength


def grey(picture: Any) -> np.ndarray:
    """(H, W), (H, W, 1) or (H, W, 3) as (H, W) float32: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Raises:
        ValueError: another shape.
    """
    pixels = np.asarray(picture, np.float32)
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    raise ValueError(f"grey: expected a picture (H, W), (H, W, 1) or (H, W, 3), got shape {pixels.shape}")
