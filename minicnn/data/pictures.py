"""Opening pictures of any kind, safely, and fitting them to a size.

A picture is a path, an open binary file, a Pillow image or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8,
uint16, bool, or float (0 to 1, or 0 to 255 where a value exceeds 1).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Union, cast

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

Picture = Union[str, "os.PathLike[str]", IO[bytes], "Image.Image", NDArray[Any]]

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: 50 million pixels take 200 MB."""

# Formats whose decoders only decode. Left out on purpose: those that start other programs (EPS runs Ghostscript).
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")

_WHITE = 255


def open_picture(picture: Picture, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a picture and bring it to 8-bit grey or RGB, the right way up.

    Turned as its EXIF data says; transparency laid on white; 16-bit values scaled to 8; of an animation, the first
    frame; palettes, CMYK and the like converted.

    Args:
        picture: path, open binary file, Pillow image or array (see the module).
        max_pixels: pictures that claim to have more are refused before anything is decoded.

    Returns:
        A Pillow image of mode "L" (grey) or "RGB", fully read; nothing stays open.

    Raises:
        PictureError: there is no such file, it is no picture, is cut short or damaged, or is too large.
    """
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if hasattr(picture, "getexif"):
        return _plain(cast("Image.Image", picture), _name(picture))
    return _from_file(picture, max_pixels)


def fit_picture(
    picture: Picture,
    size: tuple[int, int],
    channels: int = 3,
    mode: Literal["squeeze", "crop", "pad"] = "squeeze",
    *,
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Bring a picture to a network's input size, smoothly (bilinear, averaged where it shrinks).

    Args:
        picture: path, open binary file, Pillow image or array (see the module).
        size: (height, width) in pixels.
        channels: 1 (grey) or 3 (RGB).
        mode: ``"squeeze"`` ignores the aspect ratio, ``"crop"`` cuts the ends of the longer side, ``"pad"`` adds
            borders.
        fill: grey level 0..255 of the borders of ``"pad"``.

    Returns:
        uint8 (height, width, channels).

    Raises:
        PictureError: the picture cannot be read.
        ValueError: an argument is out of range.

    >>> fit_picture(np.zeros((40, 30), np.uint8), (8, 8), channels=1).shape
    (8, 8, 1)
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"fit_picture: expected a size of at least (1, 1), got {size}")
    if channels not in (1, 3):
        raise ValueError(f"fit_picture: expected 1 or 3 channels, got {channels}")
    if mode not in ("squeeze", "crop", "pad"):
        raise ValueError(f"fit_picture: expected mode 'squeeze', 'crop' or 'pad', got {mode!r}")
    image = open_picture(picture).convert("L" if channels == 1 else "RGB")
    fitted = _padded(image, height, width, fill) if mode == "pad" else _filled(image, height, width, mode)
    return np.asarray(fitted).reshape(height, width, channels).copy()


def _filled(image: Image.Image, height: int, width: int, mode: str) -> Image.Image:
    from PIL import Image

    if mode == "crop":
        scale = min(image.width / width, image.height / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (image.width - inner[0]) // 2, (image.height - inner[1]) // 2
        image = image.crop((left, top, left + inner[0], top + inner[1]))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _padded(image: Image.Image, height: int, width: int, fill: int) -> Image.Image:
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    sheet = Image.new(image.mode, (width, height), fill if image.mode == "L" else (fill, fill, fill))
    sheet.paste(image.resize(inner, Image.Resampling.BILINEAR), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return sheet


def _from_file(source: str | os.PathLike[str] | IO[bytes], max_pixels: int) -> Image.Image:
    from PIL import Image

    name = _name(source)
    if isinstance(source, str | os.PathLike):
        source = Path(source)
        if not source.is_file():
            raise PictureError(f"{name}: {'a folder, not a picture' if source.is_dir() else 'no such file'}")
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]
    try:
        with Image.open(source, formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise PictureError(_too_large(name, max_pixels, f"{image.width:,} x {image.height:,} pixels"))
            return _plain(image, name)
    except PictureError:
        raise
    except Image.UnidentifiedImageError:
        raise PictureError(f"{name}: not a picture, or of no known kind (known: {', '.join(formats)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(_too_large(name, max_pixels, str(error))) from None
    except Exception as error:
        # Decoders meet damaged files with nearly every kind of exception there is.
        raise PictureError(f"{name}: a damaged or truncated picture ({error})") from None


def _too_large(name: str, max_pixels: int, found: str) -> str:
    return f"{name}: the picture is too large: expected at most {max_pixels:,} pixels, got {found}"


def _plain(image: Image.Image, name: str) -> Image.Image:
    """To mode L or RGB, the right way up."""
    try:
        image.load()
    except Exception as error:
        raise PictureError(f"{name}: a damaged or truncated picture ({error})") from None
    if image.width == 0 or image.height == 0:
        raise PictureError(f"{name}: the picture has no pixels ({image.width} x {image.height})")
    plain = _coloured(image)
    _turn(plain)
    return plain


def _turn(image: Image.Image) -> None:
    """As EXIF asks. A picture whose EXIF data is damaged is taken as it lies."""
    from PIL import ImageOps

    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _coloured(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return image.copy()
    if mode.startswith("I") or mode == "F":
        return _with_exif(_from_array(np.asarray(image)), image)
    if mode == "1":
        return image.convert("L")
    if mode in ("LA", "La"):
        return _on_white(image.convert("LA"))
    if mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    sheet = Image.new("L" if image.mode == "LA" else "RGB", image.size, "white")
    sheet.paste(image.convert(sheet.mode), mask=image.getchannel("A"))
    return _with_exif(sheet, image)


def _with_exif(converted: Image.Image, original: Image.Image) -> Image.Image:
    """Carry over what says how the picture is turned."""
    if "exif" in original.info:
        converted.info["exif"] = original.info["exif"]
    return converted


def _from_array(array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    levels = _levels(array)
    if levels.ndim == 3 and levels.shape[-1] == 1:
        levels = levels[..., 0]
    if levels.size == 0 or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[-1] in (3, 4))):
        raise PictureError(f"expected a picture array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    image = Image.fromarray(np.ascontiguousarray(levels))
    return _on_white(image) if image.mode == "RGBA" else image


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


def _name(source: Any) -> str:
    """What to call a picture in errors."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "filename", None) or getattr(source, "name", None) or "picture")
