"""Bringing pictures of all sizes to one, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.pictures.opening import Picture, open_picture

if TYPE_CHECKING:
    from PIL import Image

    from minicnn.data.pictures.sources import PictureSource

COLOR_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
FITTINGS = ("squeeze", "crop", "pad")
DATA_FORMATS = ("channels_last", "channels_first")

_WHITE = 255


class Fitting:
    """What is done to each picture of a source before it joins a batch.

    Args:
        size: (height, width).
        color_mode: "grayscale", "rgb" or "rgba".
        mode: "squeeze", "crop" or "pad".
        interpolation: a method of Pillow's, in lower case.
        data_format: "channels_last" or "channels_first".
        draft: see `PictureLoader`.

    Raises:
        ValueError: an argument is none of these, or a draft would not do what the interpolation means.
    """

    interpolations: tuple[str, ...] = INTERPOLATIONS

    def __init__(
        self, size: tuple[int, int], color_mode: str, mode: str, interpolation: str, data_format: str, draft: bool
    ) -> None:
        self.size = checked_size(size)
        self.color_mode = one_of("color_mode", color_mode, tuple(COLOR_MODES))
        self.mode = one_of("fitting", mode, FITTINGS)
        self.interpolation = one_of("interpolation", interpolation, self.interpolations)
        self.data_format = one_of("data_format", data_format, DATA_FORMATS)
        if draft and interpolation == "nearest":
            raise ValueError("draft: averages neighbouring pixels, which interpolation='nearest' does not")
        self.draft = draft

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a picture's array."""
        channels = len(COLOR_MODES[self.color_mode])
        return (*self.size, channels) if self.data_format == "channels_last" else (channels, *self.size)

    def __call__(self, source: PictureSource, index: int) -> NDArray[Any]:
        """Open a picture and give it as an array of `shape`.

        Raises:
            PictureError: it cannot be read.
        """
        how: dict[str, Any] = {"enough": self.size} if self.draft else {}
        image = source.open(index, alpha=self.color_mode == "rgba", **how).convert(COLOR_MODES[self.color_mode])
        pixels = self._resized(image)
        return pixels if self.data_format == "channels_last" else pixels.transpose(2, 0, 1)

    def _resized(self, image: Image.Image) -> NDArray[Any]:
        return np.asarray(fitted(image, self.size, self.mode, self.interpolation)).reshape(*self.size, -1)


def fit_picture(
    picture: Picture,
    size: tuple[int, int],
    channels: int = 3,
    mode: str = "squeeze",
    *,
    interpolation: str = "bilinear",
    fill: int = 0,
) -> NDArray[np.uint8]:
    """Bring a picture to a network's input size.

    Args:
        picture: path, open binary file, Pillow image or array (see `minicnn.data.pictures.opening`).
        size: (height, width) in pixels.
        channels: 1 (grey) or 3 (RGB).
        mode: ``"squeeze"`` ignores the aspect ratio, ``"crop"`` cuts the ends of the longer side, ``"pad"`` adds
            borders.
        interpolation: "nearest", "bilinear", "bicubic", "box", "hamming" or "lanczos". All but the first average where
            the picture shrinks.
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
    one_of("interpolation", interpolation, INTERPOLATIONS)
    image = open_picture(picture).convert("L" if channels == 1 else "RGB")
    return np.asarray(fitted(image, (height, width), mode, interpolation, fill)).reshape(height, width, channels).copy()


def fitted(
    image: Image.Image, size: tuple[int, int], mode: str, interpolation: str = "bilinear", fill: int = 0
) -> Image.Image:
    """Bring an image to (height, width), as `fit_picture` says."""
    from PIL import Image

    height, width = size
    method = Image.Resampling[interpolation.upper()]
    if image.size == (width, height):
        return image
    if mode == "pad":
        return _padded(image, height, width, method, fill)
    if mode == "crop":
        # Not through resize's own box, which lets the filter look beyond it.
        image = image.crop(middle(image, height, width))
    return image.resize((width, height), method)


def middle(image: Image.Image, height: int, width: int) -> tuple[int, int, int, int]:
    """The largest box in the middle of an image that has the aspect ratio of height and width, in whole pixels."""
    across = max(1, min(image.width, image.height * width // height))
    down = max(1, min(image.height, image.width * height // width))
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return left, top, left + across, top + down


def _padded(image: Image.Image, height: int, width: int, method: Image.Resampling, fill: int) -> Image.Image:
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    border: Any = {"L": fill, "RGB": (fill, fill, fill), "RGBA": (fill, fill, fill, _WHITE)}[image.mode]
    sheet = Image.new(image.mode, (width, height), border)
    sheet.paste(image.resize(inner, method), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return sheet


def one_of(name: str, value: Any, known: tuple[str | None, ...]) -> Any:
    """The value, if it is one of those known.

    Raises:
        ValueError: it is none.
    """
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {value!r}")
    return value


def checked_size(size: Any) -> tuple[int, int]:
    """A (height, width) of whole numbers of at least 1.

    Raises:
        ValueError: it is none.
    """
    sides = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in sides):
        raise ValueError(f"size: expected (height, width), whole numbers of at least 1, got {size!r}")
    return int(sides[0]), int(sides[1])
