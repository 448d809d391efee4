"""The bytes of a file, given out only where the file has them."""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

from minicnn.saving.errors import ModelFileError

#: What HDF5 writes where an address is not set.
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
#: Bytes of structure (headers, trees, heaps, attributes) that are read of one file.
_MOST_STRUCTURE = 32 * 2**20


class Source:
    """A file that addresses and sizes are checked against.

    Args:
        file: opened for reading, seekable.

    Attributes:
        size: bytes in the file.
        heaps: for each heap of strings that was looked into, by its address: where its objects lie, by their numbers.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self._structure_left = _MOST_STRUCTURE
        self._data_left = self.size

    def read(self, address: int, size: int) -> bytes:
        """Give bytes of the file's structure; ModelFileError where the file does not have them."""
        # Structures can point at each other in circles, and at the same bytes over and over.
        self._structure_left -= size
        if self._structure_left < 0:
            raise ModelFileError("its structure goes in circles, or takes more than any weights need")
        return self._read(address, size)

    def read_data(self, address: int, size: int) -> bytes:
        """Give bytes of a dataset. All datasets together are no larger than the file, since none overlap."""
        self._data_left -= size
        if self._data_left < 0:
            raise ModelFileError("its datasets overlap, or claim more bytes than the file has")
        return self._read(address, size)

    def _read(self, address: int, size: int) -> bytes:
        if size < 0 or address + size > self.size:
            raise ModelFileError(f"truncated or damaged: bytes {address:,} to {address + size:,} are not in the file")
        self._file.seek(address)
        data = self._file.read(size)
        if len(data) != size:
            raise ModelFileError(f"truncated: bytes {address:,} to {address + size:,} are not in the file")
        return data


class Cursor:
    """Bytes read from front to back; ModelFileError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Number of bytes not read yet."""
        return len(self._data) - self.position

    def take(self, size: int) -> bytes:
        """Give the next bytes."""
        if not 0 <= size <= self.left:
            raise ModelFileError("damaged: a structure ends in its middle")
        data = self._data[self.position : self.position + size]
        self.position += size
        return data

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        self.take(size)

    def align(self, boundary: int) -> None:
        """Pass over the bytes up to the next multiple of `boundary`."""
        self.take(min(-self.position % boundary, self.left))

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Unpack little-endian numbers, as `struct` describes them."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def number(self, size: int) -> int:
        """Give the next `size` bytes as one number without sign."""
        return int.from_bytes(self.take(size), "little")

    def expect(self, signature: bytes, what: str) -> None:
        """Pass over a signature; ModelFileError where it is another."""
        if self.take(len(signature)) != signature:
            raise ModelFileError(f"damaged: no {what} where one should be")
