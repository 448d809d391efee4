"""Arrays of brightness as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

_WHITE = 255


def image_from_array(array: NDArray[Any]) -> Image.Image:
    """A Pillow image of mode L, RGB or RGBA: values brought to 0..255; see `opening` for what is taken.

    Raises:
        PictureError: the shape or the values are no picture's.
    """
    from PIL import Image

    levels = _levels(array)
    if levels.ndim == 3 and levels.shape[-1] == 1:
        levels = levels[..., 0]
    if levels.size == 0 or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[-1] in (3, 4))):
        raise PictureError(f"expected a picture array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    return Image.fromarray(np.ascontiguousarray(levels))


def _levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Any array of brightness to 0..255."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(_WHITE)
    if array.size == 0 or kind not in "uif":
        raise PictureError(f"expected a picture array of numbers, got shape {array.shape}, dtype {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and np.isfinite(high)):
        raise PictureError(f"expected a picture array of values from 0, got {low} to {high}")
    top = _full_scale(kind, array.dtype.itemsize, high)
    if high > top:
        raise PictureError(f"expected a picture array of values up to {top:,}, got {high:,}")
    return np.rint(array.astype(np.float32) * np.float32(_WHITE / top)).astype(np.uint8)


def _full_scale(kind: str, itemsize: int, high: float) -> int:
    """The value that stands for white."""
    if kind == "f":
        return 1 if high <= 1 else 255
    if itemsize == 2 and kind == "u":
        return 65535
    return 255 if high <= 255 else 65535
