"""Object headers: the messages that say what an object is, and its attributes (section IV.A.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.saving.errors import ModelFileError
from minicnn.saving.hdf5 import messages
from minicnn.saving.hdf5.source import UNDEFINED, Cursor, Source

#: Blocks of one object's header: this bounds the time that blocks which go in circles cost.
_MOST_BLOCKS = 10_000
#: Values of one attribute: Keras lists the names of layers and weights there.
_MOST_VALUES = 100_000


class Header:
    """The messages of an object, read once."""

    def __init__(self, source: Source, address: int) -> None:
        self.source = source
        self.messages: list[tuple[int, Cursor]] = []
        start = source.read(address, 16)
        if start[:4] == b"OHDR":
            self._read_version_2(address)
        elif start[0] == 1:
            size = int.from_bytes(start[8:12], "little")
            self._read_blocks(address + 16, size, version=1)
        else:
            raise ModelFileError("damaged: no object where one should be")

    def _read_version_2(self, address: int) -> None:
        version, flags = self.source.read(address + 4, 2)
        if version != 2:
            raise ModelFileError(f"damaged: an object of version {version}")
        position = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.source.read(position, width), "little")
        self._read_blocks(position + width, size, version=2, extra=2 if flags & 4 else 0)

    def _read_blocks(self, address: int, size: int, version: int, extra: int = 0) -> None:
        waiting = [(address, size)]
        for _ in range(_MOST_BLOCKS):
            if not waiting:
                return
            block = Cursor(self.source.read(*waiting.pop(0)))
            for kind, data in self._split(block, version, extra):
                if kind == messages.CONTINUATION:
                    position, length = data.numbers("QQ")
                    if version == 2:
                        Cursor(self.source.read(position, 4)).expect(b"OCHK", "block of an object")
                        position, length = position + 4, length - 8
                    waiting.append((position, length))
                else:
                    self.messages.append((kind, data))
        raise ModelFileError("damaged: the blocks of an object go in circles")

    @staticmethod
    def _split(block: Cursor, version: int, extra: int) -> Iterator[tuple[int, Cursor]]:
        least = 8 if version == 1 else 4 + extra
        while block.left >= least:
            if version == 1:
                kind, size, flags = block.numbers("HHB")
                block.skip(3)
            else:
                kind, size, flags = block.numbers("BHB")
                block.skip(extra)
            data = Cursor(block.take(size))
            if flags & 2 and kind in (messages.DATATYPE, messages.DATASPACE, messages.ATTRIBUTE, messages.FILTERS):
                raise ModelFileError("a shared message, which this reader does not know")
            yield kind, data

    def first(self, kind: int) -> Cursor | None:
        """Give the first message of a kind from its beginning, None where there is none."""
        for found, data in self.messages:
            if found == kind:
                data.position = 0
                return data
        return None

    def attributes(self) -> dict[str, Any]:
        """Give the attributes: numbers as arrays, strings as `str`, arrays of strings as lists."""
        info = self.first(messages.ATTRIBUTE_INFO)
        if info is not None:
            _, flags = info.numbers("BB")
            info.skip(2 if flags & 1 else 0)
            if info.number(8) != UNDEFINED:
                raise ModelFileError("attributes in a heap of their own, which this reader does not know")
        found: dict[str, Any] = {}
        for kind, data in self.messages:
            if kind == messages.ATTRIBUTE:
                data.position = 0
                name, shape, dtype, raw = messages.read_attribute(data)
                found[name] = self._value(shape, dtype, raw)
        return found

    def _value(self, shape: tuple[int, ...] | None, dtype: Any, raw: bytes) -> Any:
        if shape is None:
            return None
        count = math.prod(shape)
        size = dtype.size if isinstance(dtype, messages.Variable) else dtype.itemsize
        if count > _MOST_VALUES or count * size > len(raw):
            raise ModelFileError(f"damaged: an attribute of shape {shape} in {len(raw)} bytes")
        if isinstance(dtype, messages.Variable):
            texts = [self._heap_string(Cursor(raw[16 * i : 16 * i + 16])) for i in range(count)]
        else:
            values = np.frombuffer(raw, dtype, count).reshape(shape)
            if dtype.kind != "S":
                return values
            texts = [messages.decode(text) for text in values.ravel().tolist()]
        return texts[0] if shape == () else texts

    def _heap_string(self, reference: Cursor) -> str:
        """Give a string from a global heap."""
        length, address, number = reference.numbers("IQI")
        if length == 0:
            return ""
        heaps = self.source.heaps
        if address not in heaps:
            heaps[address] = _read_heap(self.source, address)
        position, size = heaps[address].get(number, (0, 0))
        if length > size:
            raise ModelFileError("damaged: a string is not where it should be")
        return messages.decode(self.source.read(position, length))


def _read_heap(source: Source, address: int) -> dict[int, tuple[int, int]]:
    """Find the objects of a global heap (section III.E): where each begins, and its bytes, by its number."""
    head = Cursor(source.read(address, 16))
    head.expect(b"GCOL", "heap")
    head.skip(4)
    size = head.number(8)
    body = Cursor(source.read(address, size))
    body.skip(16)
    found: dict[int, tuple[int, int]] = {}
    while body.left >= 16:
        number, _, _, taken = body.numbers("HHIQ")
        if number == 0:
            break
        found[number] = address + body.position, taken
        body.skip(min(-(-taken // 8) * 8, body.left))
    return found
