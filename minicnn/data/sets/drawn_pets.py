"""Cats and dogs drawn on the fly: coloured pictures of any size for lessons and tests, with no data and no network.

Each picture is one face, turned, shifted and of any size, before a background of blurred colours and blobs. Fur and
background take their colours from the same palette in both classes, so colour tells nothing. What tells a cat is
pointed ears, slit pupils and whiskers; what tells a dog is hanging ears, round pupils and a snout. Much easier than
photographs.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicnn.data.sets.idx_dataset import Arrays, Source

if TYPE_CHECKING:
    from PIL import ImageDraw

CLASS_NAMES = ("cat", "dog")

# Pictures are drawn this many times larger and averaged down, which keeps whiskers whole.
_FINE = 2
_CORNERS = 20

Colour = tuple[int, int, int]
Place = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def load_data(
    n_train: int = 2_000, n_test: int = 500, size: tuple[int, int] = (64, 64), seed: int = 0
) -> tuple[Arrays, Arrays]:
    """Draw cats and dogs.

    Same seed, same pictures (for one version of Pillow, which draws them); asking for more adds to them at the end.
    Training and test pictures come from different random streams. Every two pictures in a row are a cat and a dog, in
    random order.

    Args:
        n_train: how many to train on.
        n_test: how many to test on.
        size: (height, width) in pixels, at least 8 each.
        seed: a whole number from 0.

    Returns:
        ((x_train, y_train), (x_test, y_test)): pictures uint8 (N, height, width, 3), RGB; labels uint8 (N,), 0 for a
        cat and 1 for a dog.

    Raises:
        ValueError: a number is negative, or the size too small.

    >>> (x_train, y_train), _ = load_data(n_train=4, n_test=0, size=(40, 30))
    >>> x_train.shape, x_train.dtype, sorted(y_train.tolist())
    ((4, 40, 30, 3), dtype('uint8'), [0, 0, 1, 1])
    """
    for name, number in (("n_train", n_train), ("n_test", n_test), ("seed", seed)):
        if number < 0:
            raise ValueError(f"drawn_pets.load_data: expected {name} >= 0, got {number}")
    if len(size) != 2 or min(size) < 8:
        raise ValueError(f"drawn_pets.load_data: expected size (height, width) of at least 8 pixels each, got {size}")
    return _draw(n_train, size, seed, stream=0), _draw(n_test, size, seed, stream=1)


def find() -> Source:
    """Say where `load_data` takes the pictures from."""
    return Source("drawn cats and dogs", "drawn")


def _draw(count: int, size: tuple[int, int], seed: int, stream: int) -> Arrays:
    x = np.empty((count, *size, 3), np.uint8)
    y = np.empty(count, np.uint8)
    for pair in range(0, count, 2):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, pair // 2)))
        labels = generator.permutation(2)
        for index, label in zip(range(pair, min(pair + 2, count)), labels, strict=False):
            x[index], y[index] = _picture(generator, int(label), size), label
    return x, y


def _picture(generator: np.random.Generator, label: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """One face: uint8 (height, width, 3)."""
    from PIL import Image, ImageDraw

    height, width = size
    corners = np.array([[_colour(generator) for _ in range(2)] for _ in range(2)], np.uint8)
    sheet = Image.fromarray(corners).resize((width * _FINE, height * _FINE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(sheet)
    _blobs(draw, generator, sheet.size)
    (_dog if label else _cat)(draw, generator, _pose(generator, sheet.size))
    levels = np.asarray(sheet.reduce(_FINE), np.float32)
    grain = generator.uniform(0.0, 8.0) * generator.standard_normal(levels.shape, np.float32)
    return np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8)


def _blobs(draw: ImageDraw.ImageDraw, generator: np.random.Generator, sheet: tuple[int, int]) -> None:
    for _ in range(generator.integers(2, 6)):
        middle = generator.uniform(0, 1, 2) * sheet
        radii = generator.uniform(0.05, 0.2, 2) * min(sheet)
        draw.polygon(_points(_round(*radii, *middle)), fill=_colour(generator))


def _pose(generator: np.random.Generator, sheet: tuple[int, int]) -> Place:
    """How a face, about 2 high and 2 wide around (0, 0), lies on the sheet."""
    side = min(sheet)
    scale = side * generator.uniform(0.2, 0.3)
    stretch = generator.uniform(0.9, 1.1)
    turn = math.radians(generator.uniform(-20, 20))
    middle = np.array(sheet) / 2 + side * generator.uniform(-0.1, 0.1, 2) + (0, 0.04 * side)
    cos, sin = math.cos(turn), math.sin(turn)
    turned = scale * np.array([[cos * stretch, sin * stretch], [-sin, cos]])
    return lambda points: points @ turned + middle


def _cat(draw: ImageDraw.ImageDraw, generator: np.random.Generator, place: Place) -> None:
    fur, inner = _fur(generator)
    tip, spread = generator.uniform(1.35, 1.7), generator.uniform(0.6, 0.95)
    for side in (-1, 1):
        ear = np.array([(0.95 * side, -0.25), (spread * side, -tip), (0.15 * side, -0.9)])
        draw.polygon(_points(place(ear)), fill=fur)
        draw.polygon(_points(place(ear.mean(axis=0) + 0.55 * (ear - ear.mean(axis=0)))), fill=inner)
    _head(draw, place, fur)
    _eyes(draw, generator, place, pupil=(0.05, 0.17))
    draw.polygon(_points(place(np.array([(-0.12, 0.25), (0.12, 0.25), (0.0, 0.4)]))), fill=inner)
    thick = max(1, round(float(np.ptp(place(np.array([(0.0, 0.0), (0.04, 0.0)]))[:, 0]))))
    for side in (-1, 1):
        for fall in generator.uniform(-0.1, 0.3, 3):
            whisker = place(np.array([(0.25 * side, 0.4), (1.25 * side, 0.3 + fall)]))
            draw.line(_points(whisker), fill=(20, 20, 20), width=thick)


def _dog(draw: ImageDraw.ImageDraw, generator: np.random.Generator, place: Place) -> None:
    fur, inner = _fur(generator)
    _head(draw, place, fur)
    drop, width = generator.uniform(0.55, 0.8), generator.uniform(0.25, 0.35)
    for side in (-1, 1):
        middle = (0.95 + 0.4 * width) * side, -0.6 + drop
        draw.polygon(_points(place(_round(width, drop, *middle))), fill=fur)
        draw.polygon(_points(place(_round(0.5 * width, 0.7 * drop, *middle))), fill=inner)
    _eyes(draw, generator, place, pupil=(0.11, 0.11))
    draw.polygon(_points(place(_round(0.42, 0.36, 0, 0.5))), fill=tuple((3 * a + 255) // 4 for a in fur))
    draw.polygon(_points(place(_round(0.2, 0.14, 0, 0.3))), fill=(20, 20, 20))


def _head(draw: ImageDraw.ImageDraw, place: Place, fur: Colour) -> None:
    draw.polygon(_points(place(_round(1.0, 0.95))), fill=fur)


def _eyes(draw: ImageDraw.ImageDraw, generator: np.random.Generator, place: Place, pupil: tuple[float, float]) -> None:
    iris = _colour(generator)
    apart = generator.uniform(0.35, 0.45)
    for side in (-1, 1):
        for radii, fill in (((0.2, 0.18), iris), (pupil, (10, 10, 10))):
            draw.polygon(_points(place(_round(*radii, apart * side, -0.2))), fill=fill)


def _fur(generator: np.random.Generator) -> tuple[Colour, Colour]:
    """The colour of the face, and one for what is inside its ears."""
    return _colour(generator), _colour(generator)


def _colour(generator: np.random.Generator) -> Colour:
    hue, saturation, value = generator.uniform(0, 1), generator.uniform(0.1, 0.7), generator.uniform(0.25, 0.95)
    red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def _round(across: float, down: float, x: float = 0.0, y: float = 0.0) -> NDArray[np.float64]:
    """Corners of an ellipse around (x, y): (corners, 2)."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    return np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1)


def _points(corners: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in corners]
