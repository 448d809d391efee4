"""What pictures may claim, and how they are opened beyond grey and RGB."""

from __future__ import annotations

import io
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.preprocessing import PictureError, open_picture

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refused(content: bytes, message: str) -> None:
    begun = time.process_time()
    with pytest.raises(PictureError, match=message):
        open_picture(io.BytesIO(content))
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_claims_more_than_its_bytes_can_hold(progressive):
    content = bytearray(encoded(Image.fromarray(NOISE), "JPEG", progressive=progressive))
    place = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", 7000, 7000)
    refused(bytes(content), r"picture: a damaged or truncated picture \(7,000 x 7,000 pixels in [\d,]+ bytes\)")


def test_a_progressive_jpeg_of_many_scans():
    content = encoded(Image.new("RGB", (2000, 2000), (200, 90, 30)), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    assert open_picture(io.BytesIO(content)).size == (2000, 2000)
    refused(content[:-2] + content[last:-2] * 5000 + content[-2:], "2,000 x 2,000 pixels in 5,010 scans take too long")


@pytest.mark.parametrize(
    ("options", "place", "claim"),
    [
        ({}, 26, struct.pack("<HH", 9000, 8000)),
        ({"lossless": True}, 21, struct.pack("<I", 8999 | 7999 << 14)),
        ({"icc_profile": b"any"}, 24, (8999).to_bytes(3, "little") + (7999).to_bytes(3, "little")),
    ],
    ids=["lossy", "lossless", "extended"],
)
def test_a_webp_is_judged_before_its_decoder_is_made(options, place, claim, monkeypatch):
    content = bytearray(encoded(Image.fromarray(NOISE), "WEBP", **options))
    content[place : place + len(claim)] = claim
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("it was opened"))
    refused(bytes(content), "the picture is too large: expected at most 50,000,000 pixels, got 9,000 x 8,000 pixels")


def test_plain_pictures_of_one_colour_are_no_bombs():
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF"):
        content = encoded(Image.new("RGB", (3000, 1500), (10, 20, 30)), kind)
        assert open_picture(io.BytesIO(content)).size == (3000, 1500), kind


def test_files_that_are_too_large_are_not_read(monkeypatch):
    monkeypatch.setattr("minicnn.data.pictures.limits.MAX_FILE_BYTES", 100)
    refused(encoded(Image.fromarray(NOISE), "PNG"), r"picture: expected at most 100 bytes, got [\d,]+")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(PictureError, match=r"x\.jpg: a device or a pipe, not a file"):
        open_picture(tmp_path / "x.jpg")


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(NOISE), "PNG"))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureError, match=r"x\.png: cannot be opened \(Permission denied\)"):
        open_picture(tmp_path / "x.png")


def test_streams_that_cannot_be_rewound():
    class Once(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    np.testing.assert_array_equal(open_picture(Once(encoded(Image.fromarray(NOISE), "PNG"))), NOISE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_can_be_kept(mode):
    options = {}
    if mode == "P":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 250, 10, 20])
        options["transparency"] = 1
        expected = (250, 10, 20, 0)
    else:
        image = Image.new("RGBA", (4, 4), (90, 90, 90, 77)).convert(mode)
        expected = (90, 90, 90, 77)
    opened = open_picture(io.BytesIO(encoded(image, "PNG", **options)), alpha=True)
    assert (opened.mode, opened.getpixel((2, 2))) == ("RGBA", expected)
    assert open_picture(NOISE, alpha=True).mode == "RGB"


@pytest.mark.parametrize(
    ("enough", "side"),
    [((30, 40), 50), ((100, 100), 100), ((101, 10), 200), ((399, 399), 400)],
)
def test_jpegs_may_be_decoded_smaller(enough, side):
    image = Image.fromarray(np.repeat(np.repeat(NOISE[:50, :50], 8, 0), 8, 1))
    assert open_picture(io.BytesIO(encoded(image, "JPEG")), enough=enough).size == (side, side)
    assert open_picture(io.BytesIO(encoded(image, "PNG")), enough=enough).size == (400, 400)
