"""Digits drawn on the fly with Pillow's own font, in MNIST's format: training with no data and no network at all.

Each picture is one glyph seen through a random affine map (size, width, turn, shear, shift), with strokes of random
thickness, blurred and with noise. Much easier than handwriting: one font, no handwriting's variety.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicnn.data.sets.idx_dataset import Arrays, Source

if TYPE_CHECKING:
    from PIL import Image, ImageFont

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

_SIDE = 28
# Pictures are drawn this many times larger and averaged down, which keeps thin strokes whole.
_FINE = 3
# Glyphs are prepared once, this high, in the middle of a square sheet that leaves room for thick strokes.
_GLYPH_HEIGHT = 72
_SHEET = 120
# Thickness of the strokes: the size of the filter that spreads (positive) or thins (negative) the ink.
_THICKNESS = (0, 3, 5, 7)
# Every chunk has its own stream, so the first pictures are the same however many are asked for.
_CHUNK = 1000


def load_data(n_train: int = 10_000, n_test: int = 2_000, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Draw digits.

    Same seed, same pictures (for one version of Pillow, whose font it is); asking for more adds to them at the end.
    Training and test pictures come from different random streams. Every ten pictures
    in a row are the ten digits.

    Args:
        n_train: how many to train on.
        n_test: how many to test on.
        seed: a whole number from 0.

    Returns:
        ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, 28, 28), ink 255 on paper 0; labels uint8 (N,).

    Raises:
        ValueError: a number is negative.

    >>> (x_train, y_train), _ = load_data(n_train=20, n_test=10)
    >>> x_train.shape, x_train.dtype, y_train.shape
    ((20, 28, 28), dtype('uint8'), (20,))
    """
    for name, number in (("n_train", n_train), ("n_test", n_test), ("seed", seed)):
        if number < 0:
            raise ValueError(f"drawn_digits.load_data: expected {name} >= 0, got {number}")
    return _draw(n_train, seed, stream=0), _draw(n_test, seed, stream=1)


def find() -> Source:
    """Say where `load_data` takes the digits from."""
    return Source("drawn digits", "drawn")


def _draw(count: int, seed: int, stream: int) -> Arrays:
    x = np.empty((count, _SIDE, _SIDE), np.uint8)
    y = np.empty(count, np.uint8)
    for start in range(0, count, _CHUNK):
        here = slice(start, min(start + _CHUNK, count))
        sequence = np.random.SeedSequence(seed, spawn_key=(stream, start // _CHUNK))
        x[here], y[here] = _draw_chunk(np.random.default_rng(sequence), here.stop - start)
    return x, y


def _draw_chunk(generator: np.random.Generator, count: int) -> Arrays:
    """Draw the first `count` of a chunk's pictures; everything random is drawn for the whole chunk, in one order."""
    labels = generator.permuted(np.tile(np.arange(10, dtype=np.uint8), (_CHUNK // 10, 1)), axis=1).ravel()
    thickness = generator.integers(len(_THICKNESS), size=_CHUNK)
    maps = _random_maps(generator)
    blur = generator.uniform(0.0, 0.2, (_CHUNK, 1, 1)).astype(np.float32)
    noise = generator.uniform(0.0, 20.0, (_CHUNK, 1, 1)).astype(np.float32)
    grain = generator.standard_normal((_CHUNK, _SIDE, _SIDE), np.float32)

    ink = np.stack([_see(*glyph) for glyph in zip(labels[:count], thickness, maps)])  # noqa: B905 (only the first)
    ink = _blurred(ink, blur[:count]) + noise[:count] * grain[:count]
    return np.clip(np.rint(ink), 0, 255).astype(np.uint8), labels[:count]


def _random_maps(generator: np.random.Generator) -> NDArray[np.float64]:
    """Affine maps from the fine picture to the sheet, (chunk, 6), as Pillow takes them: x' = a x + b y + c, ..."""
    height = generator.uniform(16.0, 21.0, _CHUNK)
    width = generator.uniform(0.9, 1.2, _CHUNK)
    turn = np.radians(generator.uniform(-12.0, 12.0, _CHUNK))
    shear = generator.uniform(-0.2, 0.2, _CHUNK)
    shift = generator.uniform(-1.8, 1.8, (_CHUNK, 2))
    scale = _GLYPH_HEIGHT / (height * _FINE)
    cos, sin = np.cos(turn), np.sin(turn)
    a, b = scale / width * (cos - shear * sin), scale / width * (sin + shear * cos)
    d, e = -scale * sin, scale * cos
    middle = (_SIDE / 2 + shift) * _FINE
    c = _SHEET / 2 - a * middle[:, 0] - b * middle[:, 1]
    f = _SHEET / 2 - d * middle[:, 0] - e * middle[:, 1]
    return np.stack([a, b, c, d, e, f], axis=1)


def _see(digit: int, thickness: int, affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """One glyph through one affine map: float32 (28, 28), 0..255."""
    from PIL import Image

    fine = _glyphs()[digit][thickness].transform(
        (_SIDE * _FINE, _SIDE * _FINE), Image.Transform.AFFINE, tuple(affine), Image.Resampling.BILINEAR
    )
    blocks = np.asarray(fine).reshape(_SIDE, _FINE, _SIDE, _FINE)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _blurred(ink: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix every pixel with its neighbours: (w, 1 - 2w, w) along both axes."""
    for axis in (1, 2):
        width = [(0, 0), (0, 0), (0, 0)]
        width[axis] = (1, 1)
        padded = np.pad(ink, width)
        before, after = (np.take(padded, range(s, s + _SIDE), axis=axis) for s in (0, 2))
        ink = (1 - 2 * weight) * ink + weight * (before + after)
    return ink


@lru_cache(maxsize=1)
def _glyphs() -> list[list[Image.Image]]:
    """Sheet of every digit in every thickness: `_glyphs()[digit][thickness]`."""
    from PIL import ImageFilter

    def spread(sheet: Image.Image, size: int) -> Image.Image:
        if size == 0:
            return sheet
        return sheet.filter(ImageFilter.MaxFilter(size) if size > 0 else ImageFilter.MinFilter(-size))

    return [[spread(_sheet(name), size) for size in _THICKNESS] for name in CLASS_NAMES]


def _sheet(character: str) -> Image.Image:
    """The character white on black, `_GLYPH_HEIGHT` high, in the middle of a square sheet."""
    from PIL import Image, ImageDraw

    font = _font()
    large = Image.new("L", (4 * _GLYPH_HEIGHT, 4 * _GLYPH_HEIGHT))
    ImageDraw.Draw(large).text((_GLYPH_HEIGHT, _GLYPH_HEIGHT), character, fill=255, font=font)
    glyph = large.crop(large.getbbox())
    # A Pillow without FreeType has one small bitmap font; scaled up it comes out soft, but at the same size.
    width = max(1, round(glyph.width * _GLYPH_HEIGHT / glyph.height))
    glyph = glyph.resize((width, _GLYPH_HEIGHT), Image.Resampling.BICUBIC)
    sheet = Image.new("L", (_SHEET, _SHEET))
    sheet.paste(glyph, ((_SHEET - width) // 2, (_SHEET - _GLYPH_HEIGHT) // 2))
    return sheet


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=_GLYPH_HEIGHT)
    except ImportError:
        return ImageFont.load_default()
