"""Thousands of damaged pictures: each opens, or is refused with our own error, in little time and memory.

The damage follows the formats: sizes, offsets, counts and types are changed where they stand, blocks are cut out,
doubled and exchanged, and the check sums made right again, so that decoders get beyond the first look.
"""

from __future__ import annotations

import io
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.preprocessing import PictureError, open_picture

SECONDS, MEGABYTES = 1.0, 200
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Random = np.random.Generator


def picture(random: Random, mode: str) -> Image.Image:
    smooth = np.add.outer(np.arange(24) * 5, np.arange(32) * 4)[..., None] + random.integers(0, 40, (24, 32, 3))
    return Image.fromarray(smooth.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seeds(random: Random) -> dict[str, list[bytes]]:
    rgb, grey, cmyk, rgba, palette, bits = (picture(random, mode) for mode in ("RGB", "L", "CMYK", "RGBA", "P", "1"))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(random.integers(0, 65536, (24, 32)).astype(np.uint16))
    film = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    return {
        "jpeg": [
            encoded(rgb, "JPEG", exif=exif),
            encoded(rgb, "JPEG", progressive=True, subsampling=0),
            encoded(grey, "JPEG", restart_marker_blocks=2),
            encoded(cmyk, "JPEG"),
        ],
        "png": [encoded(image, "PNG") for image in (rgb, grey, rgba, palette, bits, deep)],
        "gif": [encoded(palette, "GIF"), encoded(rgb, "GIF", **film)],
        "bmp": [encoded(image, "BMP") for image in (rgb, palette, bits)],
        "webp": [
            encoded(rgb, "WEBP"),
            encoded(rgba, "WEBP", lossless=True),
            encoded(rgba, "WEBP", exif=exif),
            encoded(rgb, "WEBP", **film),
        ],
        "tiff": [
            encoded(image, "TIFF", compression=compression)
            for image, compression in [
                (rgb, None),
                (rgb, "tiff_lzw"),
                (rgb, "tiff_adobe_deflate"),
                (grey, "jpeg"),
                (bits, "group4"),
                (deep, None),
                (palette, "packbits"),
            ]
        ],
    }


def png_blocks(content: bytes) -> list[bytes]:
    blocks, place = [content[:8]], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        blocks.append(content[place : place + 12 + length])
        place += 12 + length
    return blocks


def jpeg_blocks(content: bytes) -> list[bytes]:
    return re.findall(rb"\xff[\xd8\xd9]|\xff[^\x00\xd0-\xd9\xff](?:[^\xff]|\xff[\x00\xd0-\xd7])*", content, re.DOTALL)


def riff_blocks(content: bytes) -> list[bytes]:
    blocks, place = [content[:12]], 12
    while place < len(content):
        (length,) = struct.unpack("<I", content[place + 4 : place + 8])
        end = place + 8 + length + length % 2
        blocks.append(content[place:end])
        place = end
    return blocks


def halves(content: bytes) -> list[bytes]:
    """Formats of no blocks of their own: pieces of 12 bytes, as long as entries of a TIFF directory."""
    return [content[place : place + 12] for place in range(0, len(content), 12)]


BLOCKS: dict[str, Callable[[bytes], list[bytes]]] = {"png": png_blocks, "jpeg": jpeg_blocks, "webp": riff_blocks}


def with_number(random: Random, block: bytes) -> bytes:
    """A field of 1, 2 or 4 bytes, near the start as a rule, is made an extreme, a neighbour or anything."""
    width = int(random.choice([1, 2, 4]))
    if len(block) < width:
        return block
    place = min(int(random.exponential(12)), len(block) - width)
    order = ("little", "big")[int(random.integers(2))]
    value = int.from_bytes(block[place : place + width], order)
    value = (int(random.choice(EXTREMES)), value + int(random.integers(-3, 4)), int(random.integers(1 << 32)))[
        int(random.integers(3))
    ]
    return block[:place] + (value % (1 << 8 * width)).to_bytes(width, order) + block[place + width :]


def mutated(random: Random, kind: str, content: bytes) -> bytes:
    blocks = BLOCKS.get(kind, halves)(content)
    for _ in range(int(random.integers(1, 4))):
        at, other = (int(random.integers(len(blocks))) for _ in range(2))
        match int(random.integers(8)):
            case 0:
                del blocks[at]
            case 1:
                blocks.insert(other, blocks[at])
            case 2:
                blocks[at], blocks[other] = blocks[other], blocks[at]
            case 3:
                blocks[at] = blocks[at] * int(random.integers(2, 40))
            case 4:
                blocks[at] = blocks[at][: int(random.integers(len(blocks[at]) + 1))]
            case _:
                blocks[at] = with_number(random, blocks[at])
        blocks = blocks or [b""]
    if kind == "png" and random.random() < 0.9:
        blocks = [block if len(block) < 12 else with_check_sum(block) for block in blocks]
    whole = b"".join(blocks)
    return whole[: int(random.integers(len(whole) + 1))] if random.random() < 0.1 else whole


def with_check_sum(block: bytes) -> bytes:
    return block[:-4] + struct.pack(">I", zlib.crc32(block[4:-4]))


class Peak:
    """The most memory the process had in use since the last look, in MB; 0 where the system does not tell."""

    def __init__(self) -> None:
        self.reset = Path("/proc/self/clear_refs")
        self.status = Path("/proc/self/status")
        self.known = self.status.exists()

    def start(self) -> None:
        if self.known:
            self.reset.write_text("5")
            self.before = self._megabytes("VmRSS")

    def grown(self) -> float:
        return self._megabytes("VmHWM") - self.before if self.known else 0.0

    def _megabytes(self, field: str) -> float:
        return int(re.search(rf"{field}:\s*(\d+)", self.status.read_text())[1]) / 1024


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(seed)
    contents = [(kind, content) for kind, several in seeds(random).items() for content in several]
    for number in range(count):
        kind, content = contents[number % len(contents)]
        yield kind, mutated(random, kind, content)


def test_the_seeds_open():
    for kind, contents in seeds(np.random.default_rng(0)).items():
        for content in contents:
            assert open_picture(io.BytesIO(content)).size in [(32, 24), (24, 32)], kind
            assert b"".join(BLOCKS.get(kind, halves)(content)) == content


def fuzz(count: int, seed: int) -> tuple[int, int]:
    peak, opened, refused = Peak(), 0, 0
    for number, (kind, content) in enumerate(mutations(count, seed)):
        what = f"mutation {number} of seed {seed}, {kind}, {len(content)} bytes"
        stream = io.BytesIO(content)
        peak.start()
        begun = time.process_time()
        try:
            open_picture(stream)
            opened += 1
        except PictureError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{what}: {type(error).__name__}: {error}")
        seconds = time.process_time() - begun
        assert seconds < SECONDS, f"{what}: {seconds:.1f} s"
        assert peak.grown() < MEGABYTES, f"{what}: {peak.grown():.0f} MB"
    return opened, refused


def test_thousands_of_damaged_pictures():
    with warnings.catch_warnings():
        # What Pillow says of damaged files is no failure.
        warnings.simplefilter("ignore")
        opened, refused = fuzz(6000, seed=1)
    # Both must happen, or the damage is too light or too heavy to test anything.
    assert opened > 500
    assert refused > 500
