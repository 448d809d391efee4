"""Pictures and arrays, one into the other, under Keras' names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minicnn.data.pictures.fitting import COLOR_MODES, DATA_FORMATS, INTERPOLATIONS, checked_size, fitted, one_of
from minicnn.data.pictures.opening import Picture, open_picture

if TYPE_CHECKING:
    from PIL import Image


def load_img(
    path: Picture,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image.Image:
    """Open a picture, as `open_picture` does, the right way up.

    Args:
        path: path or open binary file.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: (height, width) to bring it to; its own where None.
        interpolation: "nearest", "bilinear", "bicubic", "box", "hamming" or "lanczos".
        keep_aspect_ratio: cut the ends of the longer side rather than squeeze.

    Returns:
        A Pillow image of mode "RGB", "RGBA" or "L".

    Raises:
        PictureError: it cannot be read.
        ValueError: an argument is none of these.
    """
    mode = COLOR_MODES[one_of("color_mode", color_mode, tuple(COLOR_MODES))]
    one_of("interpolation", interpolation, INTERPOLATIONS)
    image = open_picture(path, alpha=color_mode == "rgba").convert(mode)
    if target_size is None:
        return image
    return fitted(image, checked_size(target_size), "crop" if keep_aspect_ratio else "squeeze", interpolation)


def img_to_array(img: Any, data_format: str | None = None, dtype: DTypeLike = "float32") -> NDArray[Any]:
    """The values of an image, 0 to 255.

    Args:
        img: a Pillow image, or an array (H, W) or (H, W, C).
        data_format: "channels_last" (where None) or "channels_first".
        dtype: of the result.

    Returns:
        Array (H, W, C), or (C, H, W).

    Raises:
        ValueError: it has other axes.
    """
    one_of("data_format", data_format or "channels_last", DATA_FORMATS)
    x = np.array(img, dtype)
    if x.ndim not in (2, 3):
        raise ValueError(f"img_to_array: expected an image of two or three axes, got shape {x.shape}")
    x = x[..., None] if x.ndim == 2 else x
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


def array_to_img(x: ArrayLike, data_format: str | None = None, scale: bool = True) -> Image.Image:
    """An image of an array's values.

    Args:
        x: (H, W, C), or (C, H, W), of 1, 3 or 4 channels.
        data_format: "channels_last" (where None) or "channels_first".
        scale: stretch the values to 0..255; otherwise they are clipped to that.

    Returns:
        A Pillow image of mode "L", "RGB" or "RGBA".

    Raises:
        ValueError: it has other axes or channels, or values that are not finite.
    """
    from PIL import Image

    one_of("data_format", data_format or "channels_last", DATA_FORMATS)
    values = np.asarray(x, np.float32)
    if values.ndim == 3 and data_format == "channels_first":
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or not values.size:
        raise ValueError(f"array_to_img: expected a picture of three axes, of 1, 3 or 4 channels, got {np.shape(x)}")
    if not np.isfinite(values).all():
        raise ValueError("array_to_img: expected finite values, got NaN or infinity")
    if scale:
        values = values - values.min()
        values = values / (values.max() or 1) * 255
    levels = np.clip(values, 0, 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def save_img(
    path: str | os.PathLike[str] | IO[bytes],
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **options: Any,
) -> None:
    """Write an array as a picture.

    Args:
        path: path or open binary file.
        x, data_format, scale: see `array_to_img`.
        file_format: "png", "jpeg", ...; as the path ends where None. JPEG has no transparency, so that is dropped.
        options: for Pillow's `Image.save`.
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = Path(path).suffix[1:]
    kind = {"jpg": "jpeg"}.get((file_format or "png").lower(), file_format or "png")
    image = array_to_img(x, data_format, scale)
    if kind.lower() == "jpeg" and image.mode == "RGBA":
        image = image.convert("RGB")
    image.save(path, format=kind, **options)
