"""Zip archives for tests: pictures small enough to be quick, and members that are not what they should be."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def picture_bytes(level: int = 90, size: tuple[int, int] = (6, 8), kind: str = "PNG") -> bytes:
    """A picture of one grey level, (height, width), as its file has it."""
    stream = io.BytesIO()
    Image.new("RGB", size[::-1], (level, level, level)).save(stream, kind)
    return stream.getvalue()


def noise_bytes(seed: int, size: tuple[int, int] = (12, 12), kind: str = "JPEG") -> bytes:
    """A picture of noise."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


def make_zip(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    """Write an archive; a list may name a member twice."""
    items = list(members.items()) if isinstance(members, dict) else members
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in items:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def patch_directory(path: Path, name: str, offset: int, value: int, width: str = "<I") -> None:
    """Overwrite a field of a member's entry in the archive's directory, `offset` bytes into it."""
    content = bytearray(path.read_bytes())
    place = 0
    while True:
        place = content.index(b"PK\x01\x02", place)
        length = struct.unpack_from("<H", content, place + 28)[0]
        if content[place + 46 : place + 46 + length] == name.encode():
            break
        place += 4
    struct.pack_into(width, content, place + offset, value)
    path.write_bytes(content)


# Fields of an entry in the directory (PKWARE's APPNOTE, 4.3.12).
FLAGS, METHOD, CRC, PACKED, UNPACKED, ATTRIBUTES = 8, 10, 16, 20, 24, 38
