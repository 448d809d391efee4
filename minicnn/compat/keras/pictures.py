"""`cv2` and `scipy.signal`, as far as the articles use them, for machines that have neither."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.data.errors import PictureError
from minicnn.data.pictures.opening import open_picture

COLOR_BGR2GRAY, COLOR_BGR2RGB, COLOR_RGB2BGR, COLOR_RGB2GRAY = 6, 4, 4, 7
IMREAD_GRAYSCALE, IMREAD_COLOR = 0, 1


def imread(filename: str, flags: int = IMREAD_COLOR) -> np.ndarray | None:
    """Read a picture as uint8: (H, W, 3), blue first, or (H, W) for IMREAD_GRAYSCALE; None where it cannot be read.

    As OpenCV does, it says nothing of the reason; `minicnn.preprocessing.open_picture` does.
    """
    try:
        pixels = np.asarray(open_picture(filename).convert("RGB"))[..., ::-1]
    except PictureError:
        return None
    return cvtColor(pixels, COLOR_BGR2GRAY) if flags == IMREAD_GRAYSCALE else np.ascontiguousarray(pixels)


def cvtColor(src: np.ndarray, code: int) -> np.ndarray:  # noqa: N802 - OpenCV's name
    """Grey, (H, W), by .299 R + .587 G + .114 B (ITU-R BT.601), or the channels in the opposite order.

    Raises:
        ValueError: src is not (H, W, 3), or a conversion that is not answered.
    """
    if src.ndim != 3 or src.shape[2] != 3:
        raise ValueError(f"cvtColor: expected a picture (H, W, 3), got shape {src.shape}")
    if code == COLOR_BGR2RGB:
        return np.ascontiguousarray(src[..., ::-1])
    weights = {COLOR_BGR2GRAY: (0.114, 0.587, 0.299), COLOR_RGB2GRAY: (0.299, 0.587, 0.114)}.get(code)
    if weights is None:
        raise ValueError(f"cvtColor: minicnn answers BGR or RGB to grey, and BGR to RGB and back, got code {code}")
    grey = src @ np.array(weights)
    return np.rint(grey).astype(src.dtype) if src.dtype == np.uint8 else grey.astype(src.dtype)


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> np.ndarray:
    """Convolve two matrices as `scipy.signal.convolve2d` does: the second one is turned by 180 degrees.

    Args:
        in1: (H, W). in2: (KH, KW).
        mode: "full" (H + KH - 1, W + KW - 1), "same" as in1, or "valid" (H - KH + 1, W - KW + 1).
        boundary, fillvalue: "fill" with 0 only.

    Raises:
        ValueError: no matrices, another mode, or another boundary.
    """
    if boundary != "fill" or fillvalue != 0:
        raise ValueError(f"convolve2d: minicnn answers boundary='fill' with 0 only, got {boundary!r}, {fillvalue!r}")
    picture, kernel = np.asarray(in1, dtype=np.float64), np.asarray(in2, dtype=np.float64)
    if picture.ndim != 2:
        raise ValueError(f"convolve2d: expected two matrices, got in1 of shape {picture.shape}")
    return F.convolve2d(picture, kernel, mode)
