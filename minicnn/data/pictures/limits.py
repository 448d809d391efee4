"""What a picture may claim: one that would take more memory or time than real ones do is refused before it is decoded.

A few hundred bytes can claim any size, and decoders set memory aside, and fill it, by what is claimed. Decoders cannot
be stopped once they run, so all of this is judged by the file's own bytes.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING

from minicnn.data.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: 50 million pixels take 200 MB."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are refused unread."""

# Up to here any claim is affordable.
_FREE_PIXELS = 4_000_000
# The emptiest JPEGs hold some 340 pixels a byte (progressive, one colour), other formats that end where their bytes
# end 1,500; so do bilevel and lossless WebP pictures unless there is nothing on them.
_PIXELS_PER_BYTE = {"JPEG": 400, "MPO": 400}
_OTHER_PIXELS_PER_BYTE = 2_000
# A progressive JPEG goes over all of its pixels in each of its scans: ten in real ones, as many thousands as it has
# kilobytes in hostile ones.
_MOST_SCANNED = 600_000_000
_START_OF_SCAN = b"\xff\xda"
_BLOCK = 1 << 20


def readable(stream: IO[bytes]) -> IO[bytes]:
    """A stream that can be read more than once."""
    if stream.seekable():
        return stream
    content = stream.read(MAX_FILE_BYTES + 1)
    copy = io.BytesIO(content)
    copy.name = getattr(stream, "name", "picture")
    return copy


def check_content(stream: IO[bytes], name: str, max_pixels: int) -> None:
    """Look at what has to be judged before a decoder as much as opens the file; leaves the stream at its start.

    Raises:
        PictureError: the file is too large, or a WebP picture claims too many pixels.
    """
    size = _size(stream)
    if size > MAX_FILE_BYTES:
        raise PictureError(f"{name}: expected at most {MAX_FILE_BYTES:,} bytes, got {size:,}")
    stream.seek(0)
    claimed = _webp_size(stream.read(30))
    stream.seek(0)
    if claimed is not None:
        _check_pixels(*claimed, size, "WEBP", name, max_pixels)


def check_claims(image: Image.Image, stream: IO[bytes], name: str, max_pixels: int) -> None:
    """Look at what an opened, undecoded picture would take; leaves the stream where it was.

    Raises:
        PictureError: it claims too many pixels, more than its bytes can hold, or scans that would take for ever.
    """
    place = stream.tell()
    format_name = image.format or ""
    _check_pixels(image.width, image.height, _size(stream), format_name, name, max_pixels)
    if format_name in ("JPEG", "MPO"):
        stream.seek(0)
        scans = _count(stream, _START_OF_SCAN)
        if scans * image.width * image.height > max(_MOST_SCANNED, max_pixels):
            raise PictureError(f"{name}: {image.width:,} x {image.height:,} pixels in {scans:,} scans take too long")
    stream.seek(place)


def too_large(name: str, max_pixels: int, found: str) -> PictureError:
    """The error for a picture of too many pixels."""
    return PictureError(f"{name}: the picture is too large: expected at most {max_pixels:,} pixels, got {found}")


def _check_pixels(width: int, height: int, size: int, format_name: str, name: str, max_pixels: int) -> None:
    pixels, claim = width * height, f"{width:,} x {height:,} pixels"
    if pixels > max_pixels:
        raise too_large(name, max_pixels, claim)
    if pixels > max(_FREE_PIXELS, size * _PIXELS_PER_BYTE.get(format_name, _OTHER_PIXELS_PER_BYTE)):
        raise PictureError(f"{name}: a damaged or truncated picture ({claim} in {size:,} bytes)")


def _size(stream: IO[bytes]) -> int:
    place = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(place)
    return size


def _count(stream: IO[bytes], marker: bytes) -> int:
    """How often two bytes follow each other in what is left of a stream."""
    count, last = 0, b""
    while block := stream.read(_BLOCK):
        count += (last + block).count(marker)
        last = block[-1:]
    return count


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """The (width, height) that a WebP file claims: its decoder is made, canvas and all, before anyone can ask.

    None for other files. (RFC 9649, sections 2.5 to 2.7.)
    """
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
