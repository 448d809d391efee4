"""The IDX format of the MNIST files (LeCun, Cortes, Burges, "The MNIST database", file formats).

A file is a header and the numbers: two zero bytes, one byte for the type (8: unsigned byte), one byte for the number
of dimensions, each dimension as a big-endian 32-bit integer, then the elements in C order.
"""

from __future__ import annotations

import io
import struct
import zlib
from math import prod

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import DataError

_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"


def is_gzip(data: bytes) -> bool:
    """Say whether `data` starts as a gzip file does."""
    return data.startswith(_GZIP_MAGIC)


def unpack(data: bytes, limit: int, name: str = "data") -> bytes:
    """Give the contents of the gzip file `data`; data that is not gzip comes back as it is.

    At most `limit` + 1 bytes are unpacked, so that a small file cannot fill the memory.

    Raises:
        DataError: the gzip file `name` is truncated or damaged.
    """
    import gzip

    if not is_gzip(data):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return stream.read(limit + 1)
    except EOFError:
        raise DataError(f"{name}: truncated gzip file (it ends after {len(data):,} bytes)") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{name}: damaged gzip file ({error})") from None


def parse_idx(data: bytes, shape: tuple[int | None, ...] | None = None, name: str = "data") -> NDArray[np.uint8]:
    """Read an unpacked IDX file of unsigned bytes.

    Args:
        data: the whole file.
        shape: the shape it must have; ``None`` stands for any length along that axis.
        name: what to call the file in errors.

    Returns:
        A writeable uint8 array of the shape the header states.

    Raises:
        DataError: the header is not that of such a file, or the length does not fit the header.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(f"{name}: not an IDX file: expected it to start with two zero bytes, got {data[:4]!r}")
    kind, ndim = data[2], data[3]
    if kind != _UNSIGNED_BYTE or ndim == 0:
        raise DataError(
            f"{name}: expected an IDX file of unsigned bytes (type 8) with 1 or more dimensions, "
            f"got type {kind} with {ndim}"
        )
    start = 4 + 4 * ndim
    if len(data) < start:
        raise DataError(f"{name}: truncated: expected a header of {start} bytes, got {len(data)}")
    found = struct.unpack(f">{ndim}I", data[4:start])
    if shape is not None and not _fits(found, shape):
        raise DataError(f"{name}: expected shape {_spell(shape)}, got {_spell(found)}")
    if len(data) - start != prod(found):
        raise DataError(
            f"{name}: its header promises {prod(found):,} bytes for shape {_spell(found)}, "
            f"but {len(data) - start:,} follow"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(found).copy()


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(want in (None, got) for got, want in zip(found, shape, strict=True))


def _spell(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
