"""Fitting a picture of a handwritten digit to what a network trained on MNIST expects.

MNIST's digits were scaled, aspect ratio kept, into a box of 20x20 pixels and put by their centre of mass into the
middle of 28x28 (LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III.A). A
network that saw nothing else needs the same done to every picture it is asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import PictureError
from minicnn.data.pictures.opening import Picture, open_picture

if TYPE_CHECKING:
    from PIL import Image

_SIDE, _BOX = 28, 20
# Measured on MNIST: its centres of mass lie in the middle of pixel 14, half a pixel beyond the middle of the sheet.
_CENTRE = 14.5
# Larger pictures are reduced first: a digit of twenty pixels needs no more, and filters stay fast.
_WORKING_SIDE = 480
# Grey levels by which the ink must stand out from the paper.
_FAINTEST_INK = 24
# Share of full ink above which a pixel belongs to the digit when it is cropped.
_EDGE = 0.2
# Grain above this share of full ink would pass for ink in single pixels, so neighbours are asked too.
_GRAINY = 0.05
# Pieces of ink with less than this share of the largest one's are dust; the bar of a 5 has more.
_SPECK = 0.05
_PIECES_SIDE = 120


def fit_digit(picture: Picture) -> NDArray[np.uint8]:
    """Make of a picture of one digit what MNIST would have made of it.

    Bright paper is inverted, the paper's shade and shadows are removed, the ink is stretched to full contrast, cropped,
    scaled so that its longer side is 20 pixels, and centred by mass.

    Args:
        picture: path, open binary file, Pillow image or array (see `opening`): dark ink on brighter paper
            or the reverse, with some paper around the digit.

    Returns:
        uint8 (28, 28), ink 255 on paper 0.

    Raises:
        PictureError: the picture cannot be read, or nothing on it stands out.
    """
    grey = _reduced(open_picture(picture).convert("L"))
    ink, grain = _ink(np.asarray(grey, np.float32))
    strong = (_smoothed(ink) if grain > _GRAINY else ink) >= _EDGE
    if not strong.any():
        raise PictureError("nothing to see: the grain of the paper is as strong as the ink on it")
    digit = _without_specks(strong)
    ink[strong & ~digit] = 0
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    return _placed(_scaled(ink, rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))


def _reduced(image: Image.Image) -> Image.Image:
    factor = -(-max(image.size) // _WORKING_SIDE)
    return image.reduce(factor) if factor > 1 else image


def _ink(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """From brightness to the amount of ink, 0 to 1, without paper and shadows; and how strong the paper's grain was."""
    paper = float(np.median(_border(grey)))
    smooth = _smoothed(grey)
    darker, brighter = paper - float(smooth.min()), float(smooth.max()) - paper
    if max(darker, brighter) < _FAINTEST_INK:
        raise PictureError(
            f"nothing to see: expected a digit that differs from its paper by at least {_FAINTEST_INK} of 255 grey "
            f"levels, got {max(darker, brighter):.0f}"
        )
    if darker > brighter:
        grey, smooth = 255 - grey, 255 - smooth
    ink = grey - _shade(grey)
    if float(ink.max()) < _FAINTEST_INK:
        raise PictureError(
            "nothing to see: what differs from the paper is as wide as a shadow, not as thin as a stroke"
        )
    grain = _grain(ink)
    strokes = ink[ink > 0.5 * float(ink.max())]
    # Not the very darkest spot: strokes vary in strength, and their bulk shall be full ink.
    full = float(np.percentile(strokes, 50))
    return np.clip((ink - grain) / max(full - grain, 1.0), 0.0, 1.0), grain / full


def _border(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _smoothed(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grain must not pass for ink: in larger pictures, every pixel with its eight neighbours."""
    if min(grey.shape) < 2 * _SIDE:
        return grey
    padded = np.pad(grey, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)


def _shade(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness of the (dark) paper under and around the ink: an opening, which removes all that is thin.

    An opening is the brightest of the darkest in a window; the window is wider than any stroke, about half the picture.
    """
    from PIL import Image

    image = Image.fromarray(np.rint(grey).astype(np.uint8))
    # A shadow is smooth, so it can be found in a small copy, where a wide window costs little.
    small = image.resize([max(1, min(side, 64)) for side in image.size], Image.Resampling.BOX)
    window = max(3, min(small.size) // 2) | 1
    # Padded once for both steps: a shadow that runs up to the edge must not end half a window before it.
    padded = np.pad(np.asarray(small), 2 * (window // 2), mode="edge")
    opened = _extreme(_extreme(padded, window, np.min), window, np.max)
    return np.asarray(Image.fromarray(opened).resize(image.size, Image.Resampling.BILINEAR), np.float32)


def _extreme(grey: NDArray[np.uint8], window: int, pick: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The least or greatest value in every square window that fits, one axis after the other."""
    for axis in (0, 1):
        grey = pick(np.lib.stride_tricks.sliding_window_view(grey, window, axis=axis), axis=-1)
    return grey


def _grain(ink: NDArray[np.float32]) -> float:
    """A level that the paper's noise rarely exceeds, from the noise along the border."""
    border = _border(ink)
    middle = float(np.median(border))
    deviation = 1.4826 * float(np.median(np.abs(border - middle)))
    return middle + 4 * deviation


def _without_specks(digit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the connected pieces (8 neighbours) that are not tiny beside the largest; found in a small copy."""
    factor = -(-max(digit.shape) // _PIECES_SIDE)
    height, width = (-(-side // factor) for side in digit.shape)
    padded = np.zeros((height * factor, width * factor), bool)
    padded[: digit.shape[0], : digit.shape[1]] = digit
    cells = padded.reshape(height, factor, width, factor)
    pieces = _pieces(np.asarray(cells.any(axis=(1, 3))))
    mass = np.bincount(pieces.ravel(), weights=cells.sum(axis=(1, 3)).ravel())
    keep = mass >= _SPECK * mass.max()
    kept = np.repeat(np.repeat(keep[pieces], factor, 0), factor, 1)[: digit.shape[0], : digit.shape[1]]
    return np.logical_and(digit, kept)


def _pieces(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number the connected pieces: every cell takes its neighbourhood's largest number until nothing changes."""
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(numbers, 1)
        rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        spread = np.where(mask, np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), 0)
        if np.array_equal(spread, numbers):
            return numbers
        numbers = spread


def _scaled(ink: NDArray[np.float32], top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
    """The box scaled so that its longer side is 20 pixels."""
    from PIL import Image

    scale = _BOX / max(bottom - top, right - left)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    image = Image.fromarray(ink).resize(size, Image.Resampling.BOX, box=(left, top, right, bottom))
    digit = np.asarray(image)
    # A line much thinner than MNIST's pen is diluted by shrinking; its strokes too were black somewhere.
    return digit / digit.max()


def _placed(digit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The digit's centre of mass in the middle of 28x28, as far as it has room."""
    mass = float(digit.sum())
    sheet = np.zeros((_SIDE, _SIDE), np.float32)
    start = []
    for axis in (0, 1):
        size = digit.shape[axis]
        along = digit.sum(axis=1 - axis)
        centre = float((along * (np.arange(size) + 0.5)).sum()) / mass
        start.append(min(max(round(_CENTRE - centre), 0), _SIDE - size))
    top, left = start
    sheet[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return np.rint(255 * sheet).astype(np.uint8)
