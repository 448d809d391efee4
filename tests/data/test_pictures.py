"""Opening pictures of every kind, refusing what is none, and fitting them to a size."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.preprocessing import PictureError, fit_picture, open_picture

LEFT_DARK = np.zeros((6, 10), np.uint8)
LEFT_DARK[:, 5:] = 200


def saved(image, path, **options):
    image.save(path, **options)
    return path


def test_grey_and_rgb_come_in_as_they_are(tmp_path):
    grey = Image.fromarray(LEFT_DARK)
    opened = open_picture(saved(grey, tmp_path / "ünï code.png"))
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened), LEFT_DARK)
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    opened = open_picture(saved(Image.fromarray(colours), tmp_path / "c.bmp"))
    assert opened.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(opened), colours)


def test_nothing_stays_open(tmp_path):
    path = saved(Image.fromarray(LEFT_DARK), tmp_path / "x.png")
    opened = open_picture(path)
    path.unlink()
    assert opened.getpixel((9, 0)) == 200


def test_open_files_and_bytes_in_memory(tmp_path):
    path = saved(Image.fromarray(LEFT_DARK), tmp_path / "x.png")
    with path.open("rb") as stream:
        np.testing.assert_array_equal(np.asarray(open_picture(stream)), LEFT_DARK)
    np.testing.assert_array_equal(np.asarray(open_picture(io.BytesIO(path.read_bytes()))), LEFT_DARK)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_white(mode, tmp_path):
    image = Image.new("LA", (4, 4), (0, 0))
    image.putpixel((1, 2), (40, 255))
    image.putpixel((3, 3), (0, 128))
    opened = open_picture(image.convert("RGBA") if mode == "PA" else image.convert(mode)).convert("L")
    assert opened.getpixel((0, 0)) == 255
    assert opened.getpixel((1, 2)) == 40
    assert opened.getpixel((3, 3)) == pytest.approx(127, abs=1)


def test_a_transparent_palette_is_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 250, 10, 20])
    image.putpixel((1, 1), 1)
    opened = open_picture(saved(image, tmp_path / "x.png", transparency=0))
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 1)) == (250, 10, 20)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_sixteen_bits(extension, tmp_path):
    levels = np.array([[0, 257 * 100], [65535, 257 * 7]], np.uint16)
    opened = open_picture(saved(Image.fromarray(levels), tmp_path / f"x.{extension}"))
    np.testing.assert_array_equal(np.asarray(opened), [[0, 100], [255, 7]])


def test_cmyk(tmp_path):
    image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    opened = open_picture(saved(image, tmp_path / "x.jpg", quality=95))
    assert opened.mode == "RGB"
    np.testing.assert_allclose(opened.getpixel((8, 8)), (200, 30, 60), atol=6)


def test_black_and_white(tmp_path):
    image = Image.fromarray(LEFT_DARK).convert("1", dither=Image.Dither.NONE)
    np.testing.assert_array_equal(np.asarray(open_picture(saved(image, tmp_path / "x.png"))), 255 * (LEFT_DARK > 0))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("L", (5, 5), level) for level in (10, 200)]
    path = saved(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert open_picture(path).convert("L").getpixel((2, 2)) == 10


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_exif_says(orientation, extension, tmp_path):
    picture = np.zeros((16, 32), np.uint8)
    picture[:8, :8] = 255
    undo = {1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1], 5: picture.T,
            6: picture.T[::-1], 7: picture.T[::-1, ::-1], 8: picture.T[:, ::-1]}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation]))
    opened = open_picture(saved(stored, tmp_path / f"x.{extension}", exif=exif))
    np.testing.assert_allclose(np.asarray(opened), picture, atol=3)


def test_damaged_exif_does_not_matter(tmp_path):
    image = Image.fromarray(LEFT_DARK)
    opened = open_picture(saved(image, tmp_path / "x.png", exif=b"Exif\0\0MM\0*\0\0\xff\xffrubbish"))
    np.testing.assert_array_equal(np.asarray(opened), LEFT_DARK)


def png_that_claims(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [100_000, 10_000, 8_000])
def test_a_picture_that_claims_to_be_huge(side, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    with pytest.raises(PictureError, match=r"bomb\.png: the picture is too large: expected at most 50,000,000 pixels"):
        open_picture(path)


def test_the_limit_can_be_set(tmp_path):
    path = saved(Image.fromarray(LEFT_DARK), tmp_path / "x.png")
    assert open_picture(path, max_pixels=60).size == (10, 6)
    with pytest.raises(PictureError, match="got 10 x 6 pixels"):
        open_picture(path, max_pixels=59)


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"<html></html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_an_image_that_is_no_image(content, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"x\.png: not a picture, or of no known kind \(known: .*JPEG.*PNG"):
        open_picture(path)


@pytest.mark.parametrize("extension", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_truncated_pictures(extension, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"x.{extension}")
    content = path.read_bytes()
    for part in (0.1, 0.5, 0.9):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(PictureError, match=r"x\.\w+: (a damaged or truncated|not a) picture"):
            open_picture(path)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(PictureError, match=r"gone\.png: no such file"):
        open_picture(tmp_path / "gone.png")
    with pytest.raises(PictureError, match="a folder, not a picture"):
        open_picture(str(tmp_path))


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (np.full((2, 3), 77, np.uint8), 77),
        (np.full((2, 3, 1), 77, np.uint8), 77),
        (np.full((2, 3), True), 255),
        (np.full((2, 3), 257 * 9, np.uint16), 9),
        (np.full((2, 3), 0.2), 51),
        (np.full((2, 3, 3), 130.0, np.float32), (130, 130, 130)),
        (np.full((2, 3), 12, np.int64), 12),
        (np.dstack([np.zeros((2, 3, 3), np.uint8), np.full((2, 3), 255, np.uint8)]), (0, 0, 0)),
    ],
)
def test_arrays(array, level):
    opened = open_picture(array)
    assert opened.size == (3, 2)
    assert opened.getpixel((0, 0)) == level


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.zeros((0, 4)), np.zeros((2, 3, 2)), np.full((2, 2), np.nan), np.full((2, 2), np.inf),
     np.full((2, 2), -1.0), np.full((2, 2), 300.0), np.full((2, 2), "x"), np.zeros((1, 2, 3, 3))],
)  # fmt: skip
def test_arrays_that_are_no_picture(array):
    with pytest.raises(PictureError, match="expected a picture array"):
        open_picture(array)


def test_the_caller_keeps_the_picture():
    array = np.zeros((4, 4), np.uint8)
    image = Image.fromarray(array)
    open_picture(image).putpixel((0, 0), 9)
    fit_picture(array, (4, 4), 1)[0, 0] = 9
    assert image.getpixel((0, 0)) == 0 and array[0, 0] == 0


@pytest.mark.parametrize("mode", ["squeeze", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 1), (40, 3)])
def test_the_size_asked_for(mode, channels, size):
    for height, width in [(10, 30), (30, 10), (1, 7), (8, 8)]:
        fitted = fit_picture(np.full((height, width), 90, np.uint8), size, channels, mode, fill=90)
        assert fitted.shape == (*size, channels) and fitted.dtype == np.uint8
        assert (fitted == 90).all()


def test_squeeze_crop_and_pad_differ_as_they_should():
    # Three squares side by side: black, grey, white.
    picture = np.repeat(np.repeat(np.array([[0, 128, 255]], np.uint8), 20, 0), 20, 1)
    squeezed = fit_picture(picture, (9, 9), 1)[..., 0]
    np.testing.assert_array_equal(squeezed[4, [0, 4, 8]], [0, 128, 255])
    cropped = fit_picture(picture, (9, 9), 1, "crop")[..., 0]
    assert (cropped == 128).all()
    padded = fit_picture(picture, (9, 9), 1, "pad", fill=7)[..., 0]
    assert (padded[:3] == 7).all() and (padded[6:] == 7).all()
    np.testing.assert_array_equal(padded[4, [0, 4, 8]], [0, 128, 255])


def test_shrinking_averages():
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    fitted = fit_picture(checks, (8, 8), 1)
    np.testing.assert_allclose(fitted, 127.5, atol=8)


def test_the_nearest_pixel_is_taken_as_it_is():
    picture = np.arange(144, dtype=np.uint8).reshape(12, 12)
    np.testing.assert_array_equal(fit_picture(picture, (4, 4), 1, interpolation="nearest")[..., 0], picture[1::3, 1::3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 4)}, "expected a size of at least"),
        ({"size": (4, 4), "channels": 2}, "expected 1 or 3 channels, got 2"),
        ({"size": (4, 4), "mode": "stretch"}, "expected mode 'squeeze', 'crop' or 'pad', got 'stretch'"),
        ({"size": (4, 4), "interpolation": "cubic"}, "interpolation: expected one of 'nearest', .*, got 'cubic'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_picture(LEFT_DARK, **arguments)
