"""Pictures of digits brought to what MNIST would have made of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from minicnn import preprocessing
from minicnn.data.sets import drawn_digits
from minicnn.preprocessing import PictureError, fit_digit
from tests import real_data


def on_sheet(digit, scale=8, method=Image.Resampling.NEAREST, left=150, top=30, side=448):
    """The digit enlarged, dark on white, off-centre."""
    sheet = np.zeros((side, side), np.uint8)
    large = np.asarray(Image.fromarray(digit).resize((28 * scale, 28 * scale), method))
    sheet[top : top + 28 * scale, left : left + 28 * scale] = large
    return 255 - sheet


def distance(a, b):
    return np.abs(a.astype(float) - b.astype(float)).mean()


def nearest_shift(fitted, digit):
    """MNIST rounded its centres of mass to whole pixels; a hair's difference there moves everything by one."""
    moves = [np.roll(digit, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(distance(fitted, moved) for moved in moves)


@pytest.fixture(scope="module")
def digits():
    return real_data.require("mnist")[1][0][:30]


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_real_digits_come_back(digits, scale):
    distances = [distance(fit_digit(on_sheet(digit, scale)), digit) for digit in digits]
    assert np.median(distances) < 1.5
    assert max(nearest_shift(fit_digit(on_sheet(digit, scale)), digit) for digit in digits) < 6


@pytest.mark.parametrize("kind", ["smooth", "negative", "shaded", "grainy", "small", "jpeg", "rgba"])
def test_real_digits_come_back_from_photographs(digits, kind, tmp_path):
    generator = np.random.default_rng(0)

    def photographed(digit):
        picture = on_sheet(digit, method=Image.Resampling.BICUBIC)
        if kind == "negative":
            return 255 - picture
        if kind == "shaded":
            return (picture * np.linspace(0.5, 0.9, picture.shape[1])).astype(np.uint8)
        if kind == "grainy":
            return np.clip(picture + generator.normal(0, 15, picture.shape), 0, 255).astype(np.uint8)
        if kind == "small":
            return Image.fromarray(picture).resize((120, 120), Image.Resampling.LANCZOS)
        if kind == "jpeg":
            Image.fromarray(picture).convert("RGB").save(tmp_path / "x.jpg", quality=40)
            return tmp_path / "x.jpg"
        if kind == "rgba":
            return np.dstack([np.zeros((*picture.shape, 3), np.uint8), 255 - picture])
        return picture

    distances = [nearest_shift(fit_digit(photographed(digit)), digit) for digit in digits]
    assert np.mean(distances) < 7
    assert max(distances) < 16


def test_mnist_itself_stays_as_it_is(digits):
    assert np.median([distance(fit_digit(digit), digit) for digit in digits]) < 1.5


def test_drawn_digits_come_back():
    """The same without any real data."""
    (x, _), _ = drawn_digits.load_data(30, 0)
    clean = [np.where(picture > 60, picture, 0).astype(np.uint8) for picture in x]
    fitted = [fit_digit(picture) for picture in clean]
    again = [fit_digit(on_sheet(picture)) for picture in fitted]
    assert np.median([nearest_shift(a, b) for a, b in zip(again, fitted, strict=True)]) < 4


def test_the_box_and_the_centre():
    sheet = np.full((100, 160), 255, np.uint8)
    sheet[20:80, 100:115] = 0
    fitted = fit_digit(sheet)
    rows, columns = np.nonzero(fitted)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 12, 16)
    assert set(np.unique(fitted)) == {0, 255}
    assert fitted.dtype == np.uint8 and fitted.shape == (28, 28)


def test_the_centre_of_mass_is_in_the_middle():
    sheet = np.zeros((100, 100), np.uint8)
    sheet[20:80, 40:44] = 255
    sheet[74:80, 36:64] = 255
    fitted = fit_digit(sheet).astype(float)
    for axis in (0, 1):
        centre = (fitted.sum(axis=1 - axis) * np.arange(28)).sum() / fitted.sum()
        assert abs(centre - 14) <= 0.5


def test_thin_pencil_on_grey_paper():
    image = Image.new("L", (600, 400), 170)
    draw = ImageDraw.Draw(image)
    draw.line([(200, 100), (300, 100), (240, 300)], fill=110, width=6)
    fitted = fit_digit(image.filter(ImageFilter.GaussianBlur(1)))
    assert fitted.max() == 255
    assert fitted[0].max() == 0
    rows = np.flatnonzero(fitted.any(axis=1))
    assert rows[-1] - rows[0] == 19


def test_dust_is_left_out_but_not_the_bar_of_a_five():
    sheet = np.full((200, 200), 255, np.uint8)
    sheet[60:140, 60:72] = 0
    clean = fit_digit(sheet)
    dusty = sheet.copy()
    dusty[10:13, 180:183] = 0
    np.testing.assert_array_equal(fit_digit(dusty), clean)
    barred = sheet.copy()
    barred[60:72, 80:110] = 0
    assert (fit_digit(barred) > 0).any(axis=0).sum() > (clean > 0).any(axis=0).sum() + 5


@pytest.mark.parametrize(
    "blank",
    [
        np.full((50, 60), 255, np.uint8),
        np.zeros((28, 28), np.uint8),
        np.tile(np.linspace(100, 250, 300).astype(np.uint8), (300, 1)),
        np.clip(np.random.default_rng(0).normal(200, 3, (200, 200)), 0, 255).astype(np.uint8),
    ],
    ids=["white", "black", "shadow", "grain"],
)
def test_a_blank_sheet_is_refused(blank):
    with pytest.raises(PictureError, match="nothing to see"):
        fit_digit(blank)


def test_ink_that_drowns_in_grain_is_refused():
    sheet = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    with pytest.raises(PictureError, match="nothing to see: the grain of the paper is as strong as the ink"):
        fit_digit(sheet)


def test_any_size_and_shape_of_sheet():
    for height, width in [(1, 1), (1, 40), (3, 3), (2000, 30), (28, 28), (500, 5000)]:
        sheet = np.full((height, width), 255, np.uint8)
        sheet[height // 2, width // 2] = 0
        try:
            fitted = preprocessing.fit_digit(sheet)
        except PictureError:
            continue
        assert fitted.shape == (28, 28) and fitted.max() > 0
