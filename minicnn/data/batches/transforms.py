"""What `ImageDataGenerator` does to a picture, one function for each change; values as Keras has them.

Pictures are arrays of three axes, the channels last or first. Whole numbers are computed with as floats, rounded and
clipped to what their type holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import kernels
from minicnn.data.pictures.fitting import one_of

FILL_MODES = ("constant", "nearest", "reflect", "wrap")
SHEAR_UNITS = ("degrees", "radians")


def affine_matrix(
    size: tuple[int, ...],
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    *,
    shear_unit: str = "degrees",
) -> NDArray[np.float64] | None:
    """Where the cells of a picture are read when it is turned, shifted, sheared and zoomed about a fixed point.

    The cell in row i and column j of the result is read at (r, s), with (s', r', 1) = T · (j', i', 1) in coordinates
    x = column, y = row around the fixed point, and T the product, in this order, of

        turn [[cos θ, -sin θ], [sin θ, cos θ]], shift (tx, ty), shear [[1, -sin φ], [0, cos φ]], zoom [[zx, 0], [0, zy]]

    The fixed point is, as in Keras, column H/2 - 1/2 and row W/2 - 1/2: the middle of square pictures only.

    Args:
        size: (H, W).
        theta: degrees.
        tx, ty: pixels along the columns and the rows.
        shear: the angle φ.
        zx, zy: along the columns and the rows; above 1 shows more of the picture, smaller.
        shear_unit: of `shear`: "degrees", or "radians" as Keras had it up to 2.1.2.

    Returns:
        (2, 3) float64, M with (r, s) = M · (i, j, 1); None where nothing is changed.
    """
    steps = []
    if theta != 0:
        angle = np.deg2rad(theta)
        steps.append([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    if tx != 0 or ty != 0:
        steps.append([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    if shear != 0:
        angle = np.deg2rad(shear) if one_of("shear_unit", shear_unit, SHEAR_UNITS) == "degrees" else shear
        steps.append([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])
    if zx != 1 or zy != 1:
        steps.append([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])
    if not steps:
        return None
    # The order of the products is Keras', so that coordinates halfway between two cells fall to the same one.
    product = np.array(steps[0], np.float64)
    for step in steps[1:]:
        product = product @ np.array(step, np.float64)
    x, y = size[0] / 2 - 0.5, size[1] / 2 - 0.5
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = (x, y), (-x, -y)
    whole = there @ product @ back
    return whole[[1, 0]][:, [1, 0, 2]]


def apply_affine_transform(
    x: NDArray[Any],
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
    shear_unit: str = "degrees",
) -> NDArray[Any]:
    """Turn, shift, shear and zoom a picture, as `affine_matrix` says.

    Args:
        x: picture of three axes.
        theta, tx, ty, shear, zx, zy, shear_unit: see `affine_matrix`.
        row_axis, col_axis, channel_axis: which axis is which, 0 to 2; the channels are first or last.
        fill_mode: what lies outside the picture: "nearest", "constant" (`cval`), "reflect" or "wrap".
        order: 0 takes the nearest cell, 1 interpolates linearly.

    Returns:
        Array of the shape and dtype of `x`; `x` itself where nothing is changed.

    Raises:
        ValueError: an argument is none of these.
    """
    one_of("fill_mode", fill_mode, FILL_MODES)
    if order not in (0, 1):
        raise ValueError(f"order: expected 0 (nearest) or 1 (linear), got {order!r}")
    axes = (row_axis, col_axis, channel_axis)
    if x.ndim != 3 or sorted(axes) != [0, 1, 2] or channel_axis == 1:
        raise ValueError(
            "apply_affine_transform: expected a picture of three axes, the channels first or last, got shape "
            f"{x.shape} with rows on axis {row_axis}, columns on {col_axis}, channels on {channel_axis}"
        )
    if x.size == 0:
        return x
    rows_first = x.transpose(axes)
    matrix = affine_matrix(rows_first.shape[:2], theta, tx, ty, shear, zx, zy, shear_unit=shear_unit)
    if matrix is None:
        return x
    if not np.isfinite(matrix).all():
        raise ValueError("apply_affine_transform: expected finite angles, shifts and zooms, got NaN or infinity")
    warped = kernels.affine_warp(
        floating(rows_first)[None], matrix[None, :, :2], matrix[None, :, 2], order=order, fill_mode=fill_mode, cval=cval
    )[0]
    return rounded(warped, x.dtype).transpose(np.argsort(axes))


def apply_channel_shift(x: NDArray[Any], intensity: float, channel_axis: int = 0) -> NDArray[Any]:
    """Brighten all channels by `intensity`, within the least and the largest value of the picture.

    Keras' function of this name; all channels are shifted alike, so `channel_axis` makes no difference.
    """
    return rounded(np.clip(floating(x) + intensity, x.min(), x.max()), x.dtype) if x.size else x


def apply_brightness_shift(x: NDArray[Any], brightness: float, scale: bool = True) -> NDArray[Any]:
    """Multiply the brightness of a picture, as of 8 bits: min(255, whole part of (whole part of x · brightness)).

    Args:
        x: picture with the channels last; of four channels the last one is left alone, as it is transparency.
        brightness: the factor, from 0.
        scale: stretch the picture's values to 0..255 first. Without, that is done where they leave 0..255, and undone
            after.

    Returns:
        Array of the shape and dtype of `x`.
    """
    if not x.size:
        return x
    low, high = float(x.min()), float(x.max())
    outside = low < 0 or high > 255
    levels = floating(x)
    if outside or scale:
        # In Keras' order, so that the whole parts are the same.
        levels = levels - levels.min()
        levels = levels / (levels.max() or 1) * 255
    levels = np.trunc(levels)
    lit = np.clip(np.trunc(levels * levels.dtype.type(brightness)), 0, 255)
    if x.shape[-1] == 4:
        lit[..., 3] = levels[..., 3]
    if outside and not scale:
        lit = lit / 255 * (high - low) + low
    return rounded(lit.astype(levels.dtype), x.dtype)


def flip_axis(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """The picture the other way round along an axis, without copying it."""
    return np.flip(x, axis)


def floating(x: NDArray[Any]) -> NDArray[Any]:
    """float64 as it is, everything else as float32."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)


def rounded(x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Floats in the dtype asked for; rounded and clipped to what it holds where it holds whole numbers."""
    if dtype.kind not in "iu":
        return x.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(x), limits.min, limits.max).astype(dtype)
