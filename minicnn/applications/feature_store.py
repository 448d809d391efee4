"""Rows of numbers under keys, in one file that grows at its end and survives being killed.

The file begins with a line of JSON, padded to 4 KiB: what the rows are, and their shape. Records of one size follow:
the key, a checksum, the row. A record that is cut short or damaged does not count, so that at worst its row has to be
made again.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.errors import DataError
from minicnn.saving.files import replacing

KEY_BYTES = 16
_HEADER = 4096
_BYTES_AT_A_TIME = 16 * 2**20


class FeatureStore:
    """Rows of float32 under keys of 16 bytes.

    Args:
        path: of the file; it and its folder are made where they are not there.
        about: what the rows are, for readers and for checking; JSON must be able to hold it in 4,000 bytes.
        shape: of a row.

    Raises:
        DataError: the file holds something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(Path(folder) / "two.features", {"of": "pictures"}, (2,))
    ...     store.append([b"a" * 16], np.array([[1, 2]], np.float32))
    ...     b"a" * 16 in store, store.read([b"a" * 16]).tolist()
    (True, [[1.0, 2.0]])
    """

    def __init__(self, path: Path, about: Mapping[str, Any], shape: Sequence[int]) -> None:
        self.path = path
        self.shape = tuple(shape)
        self._record = np.dtype([("key", f"V{KEY_BYTES}"), ("check", "<u4"), ("row", "<f4", (math.prod(self.shape),))])
        header = json.dumps({**about, "shape": list(self.shape)}, sort_keys=True).encode()
        self._at_a_time = max(1, _BYTES_AT_A_TIME // self._record.itemsize)
        self._header = header.ljust(_HEADER - 1) + b"\n"
        if len(self._header) != _HEADER:
            raise ValueError(f"FeatureStore: {len(header):,} bytes are too many to say what the rows are")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(self._header)
        self._places = self._index()

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Add rows (len(keys), *shape); they are on the disk when this returns."""
        records = np.zeros(len(keys), self._record)
        records["key"] = np.array(list(keys), f"V{KEY_BYTES}")
        records["row"] = rows.reshape(len(keys), -1)
        records["check"] = [_checksum(record) for record in records]
        first = self._whole_records()
        with self.path.open("r+b") as file:
            # What an interrupted call before this one left half-written.
            file.truncate(_HEADER + first * self._record.itemsize)
            file.seek(0, os.SEEK_END)
            file.write(records.tobytes())
            file.flush()
            os.fsync(file.fileno())
        self._places.update(zip(keys, range(first, first + len(keys)), strict=True))

    def read(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """Give the rows of these keys, (len(keys), *shape); KeyError where one is not there."""
        places = np.array([self._places[key] for key in keys], np.intp)
        rows = np.empty((len(keys), *self.shape), np.float32)
        if len(keys):
            flat, records = rows.reshape(len(keys), -1), self._records()
            for start in range(0, len(keys), self._at_a_time):
                some = slice(start, start + self._at_a_time)
                flat[some] = records["row"][places[some]]
        return rows

    def _index(self) -> dict[bytes, int]:
        """Where each key's row lies."""
        with self.path.open("rb") as file:
            if file.read(_HEADER) != self._header:
                raise DataError(
                    f"{self.path}: not a file of these features, or damaged: delete it, and it is made again"
                )
        places: dict[bytes, int] = {}
        for start, records in self._blocks():
            for place, record in enumerate(records, start):
                if _checksum(record) == record["check"]:
                    places[record["key"].tobytes()] = place
        return places

    def _blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        count = self._whole_records()
        for start in range(0, count, self._at_a_time):
            yield start, np.array(self._records()[start : start + self._at_a_time])

    def _records(self) -> NDArray[Any]:
        return np.memmap(self.path, self._record, "r", _HEADER, (self._whole_records(),))

    def _whole_records(self) -> int:
        return (self.path.stat().st_size - _HEADER) // self._record.itemsize


def _checksum(record: Any) -> int:
    return zlib.crc32(record["row"].tobytes(), zlib.crc32(record["key"].tobytes()))
