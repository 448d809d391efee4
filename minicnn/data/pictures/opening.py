"""Opening pictures of any kind, safely.

A picture is a path, an open binary file, a Pillow image or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8,
uint16, bool, or float (0 to 1, or 0 to 255 where a value exceeds 1).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Union, cast

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import PictureError
from minicnn.data.pictures.arrays import image_from_array
from minicnn.data.pictures.limits import MAX_PIXELS, check_claims, check_content, readable, too_large

if TYPE_CHECKING:
    from PIL import Image

Picture = Union[str, "os.PathLike[str]", IO[bytes], "Image.Image", NDArray[Any]]

# Formats whose decoders only decode. Left out on purpose: those that start other programs (EPS runs Ghostscript).
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")


def open_picture(
    picture: Picture, *, max_pixels: int = MAX_PIXELS, alpha: bool = False, enough: tuple[int, int] | None = None
) -> Image.Image:
    """Open a picture and bring it to 8-bit grey or RGB, the right way up.

    Turned as its EXIF data says; transparency laid on white; 16-bit values scaled to 8; of an animation, the first
    frame; palettes, CMYK and the like converted.

    Args:
        picture: path, open binary file, Pillow image or array (see the module).
        max_pixels: pictures that claim to have more are refused before anything is decoded.
        alpha: keep transparency instead, as mode "RGBA", where there is any.
        enough: a JPEG may be decoded at a half, a quarter or an eighth of its size where its height and width still
            are at least these: several times quicker, and the same picture averaged in blocks.

    Returns:
        A Pillow image of mode "L" (grey) or "RGB", or with `alpha` also "RGBA", fully read; nothing stays open.

    Raises:
        PictureError: there is no such file, it is no picture, is cut short or damaged, or is too large.
    """
    if isinstance(picture, np.ndarray):
        return _plain(image_from_array(picture), "picture", alpha)
    if hasattr(picture, "getexif"):
        return _plain(cast("Image.Image", picture).copy(), _name(picture), alpha)
    with _undecoded(picture, max_pixels, enough) as image:
        return _plain(image, _name(picture), alpha)


class Facts(NamedTuple):
    """How a picture is stored.

    Attributes:
        height, width: in pixels, the right way up.
        mode: Pillow's name for what a pixel holds: "RGB", "L" (grey), "P" (palette), "CMYK", "RGBA", "I;16", ...
        format: "JPEG", "PNG", ...
    """

    height: int
    width: int
    mode: str
    format: str


def picture_facts(picture: str | os.PathLike[str] | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> Facts:
    """Say how a picture file is stored, having decoded all of it.

    Args:
        picture: path or open binary file.
        max_pixels: pictures that claim to have more are refused before anything is decoded.

    Raises:
        PictureError: `open_picture` could not open it.
    """
    with _undecoded(picture, max_pixels) as image:
        mode, kind = image.mode, image.format or "unknown"
        plain = _plain(image, _name(picture), alpha=False)
        return Facts(plain.height, plain.width, mode, kind)


@contextlib.contextmanager
def _undecoded(
    source: str | os.PathLike[str] | IO[bytes], max_pixels: int, enough: tuple[int, int] | None = None
) -> Iterator[Image.Image]:
    """A picture file of which nothing is decoded yet; what goes wrong while it is used becomes a PictureError."""
    from PIL import Image

    name = _name(source)
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]
    try:
        with _opened(source, name) as stream:
            check_content(stream, name, max_pixels)
            with Image.open(stream, formats=formats) as image:
                if enough is not None:
                    # Turned pictures change their sides over: enough of the longer one does for both.
                    image.draft(None, (max(enough), max(enough)))
                check_claims(image, stream, name, max_pixels)
                yield image
    except PictureError:
        raise
    except Image.UnidentifiedImageError:
        raise PictureError(f"{name}: not a picture, or of no known kind (known: {', '.join(formats)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(name, max_pixels, str(error)) from None
    except Exception as error:
        # Decoders meet damaged files with nearly every kind of exception there is.
        raise PictureError(f"{name}: a damaged or truncated picture ({error})") from None


def _opened(source: str | os.PathLike[str] | IO[bytes], name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if not isinstance(source, str | os.PathLike):
        return contextlib.nullcontext(readable(source))
    path = Path(source)
    if not path.is_file():
        raise PictureError(f"{name}: {_why_no_file(path)}")
    try:
        return path.open("rb")
    except OSError as error:
        raise PictureError(f"{name}: cannot be opened ({error.strerror})") from None


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "a folder, not a picture"
    return "a device or a pipe, not a file" if path.exists() else "no such file"


def _plain(image: Image.Image, name: str, alpha: bool) -> Image.Image:
    """To mode L or RGB (or RGBA), the right way up; the image is the caller's no more."""
    try:
        image.load()
    except Exception as error:
        raise PictureError(f"{name}: a damaged or truncated picture ({error})") from None
    if image.width == 0 or image.height == 0:
        raise PictureError(f"{name}: the picture has no pixels ({image.width} x {image.height})")
    plain = _coloured(image, alpha)
    _turn(plain)
    return plain


def _turn(image: Image.Image) -> None:
    """As EXIF asks. A picture whose EXIF data is damaged is taken as it lies."""
    from PIL import ImageOps

    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _coloured(image: Image.Image, alpha: bool) -> Image.Image:
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if mode.startswith("I") or mode == "F":
        return _with_exif(image_from_array(np.asarray(image)), image)
    if mode == "1":
        return image.convert("L")
    if mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        if alpha:
            return _with_exif(image.convert("RGBA"), image)
        return _on_white(image.convert("LA" if mode in ("LA", "La") else "RGBA"))
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


def _name(source: Any) -> str:
    """What to call a picture in errors."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "filename", None) or getattr(source, "name", None) or "picture")
