"""Archives and descriptions inside files: opened only after what they claim has been checked."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from minicnn.saving.errors import ModelFileError

#: Bytes of JSON: a network of a thousand layers takes one megabyte, and parsed it takes some 25 times as much.
LARGEST_DESCRIPTION = 4 * 2**20
#: Bytes of an archive's table of contents, of which each entry takes some 60.
_LARGEST_TABLE = 2**20
# Deflate packs up to a thousand bytes into one, but weights hardly two into one.
_MOST_EXPANSION = 8
_FREE_BYTES = 4 * 2**20


def open_zip(file: BinaryIO, kind: str) -> zipfile.ZipFile:
    """Open an archive for reading; `kind` is what messages call it, ".keras" for instance.

    Raises:
        ModelFileError: it is none, or damaged, or its table of contents is out of all proportion, or a member is
            encrypted, comes twice or unpacks to far more bytes than any weights do.
    """
    _check_table(file, kind)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ModelFileError(f"not a {kind} file, or damaged ({error})") from error
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise ModelFileError("two members of the archive have the same name")
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise ModelFileError(f"{info.filename!r} is encrypted")
        if info.file_size > _FREE_BYTES + _MOST_EXPANSION * info.compress_size:
            raise ModelFileError(
                f"{info.filename!r} unpacks to {info.file_size:,} bytes from {info.compress_size:,}, as no weights do"
            )
    return archive


def _check_table(file: BinaryIO, kind: str) -> None:
    """Look at the end of the archive, since opening it reads the whole table of contents."""
    size = file.seek(0, 2)
    tail_size = min(size, 22 + 20 + 56 + 65_536)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < 22:
        raise ModelFileError(f"not a {kind} file, or truncated")
    table = int.from_bytes(tail[place + 12 : place + 16], "little")
    large = tail.rfind(b"PK\6\6", 0, place)
    if table == 0xFFFF_FFFF and large >= 0:
        table = int.from_bytes(tail[large + 40 : large + 48], "little")
    if table > _LARGEST_TABLE:
        raise ModelFileError(f"its table of contents claims {table:,} bytes")
    file.seek(0)


def read_member(archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
    """Read a member of an archive.

    Raises:
        ModelFileError: there is none, it is larger than `limit` bytes, or damaged.
    """
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        raise ModelFileError(f"it has no {name}") from None
    if limit is not None and size > limit:
        raise ModelFileError(f"{name} has {size:,} bytes, more than the {limit:,} that it can take")
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, zlib.error) as error:
        raise ModelFileError(f"{name} is damaged, or truncated ({error})") from error


def read_description(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """Read a member of JSON; ModelFileError where it is no dictionary, or too long or too deep."""
    return parse(read_member(archive, name, LARGEST_DESCRIPTION), name)


def parse(data: bytes | str, name: str) -> dict[str, Any]:
    """Parse JSON called `name`; ModelFileError where it is no dictionary, or too long or too deep."""
    if len(data) > LARGEST_DESCRIPTION:
        raise ModelFileError(f"{name} has {len(data):,} bytes, more than any model takes")
    try:
        description = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{name} is damaged ({error})") from error
    if not isinstance(description, Mapping):
        raise ModelFileError(f"{name} must hold a dictionary, but holds {type(description).__name__}")
    return dict(description)


def write_zip(file: BinaryIO, members: Mapping[str, bytes | memoryview]) -> None:
    """Write an archive without compression, so that the same model gives the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
