"""What the messages of an object header say (section IV.A): shapes, types, where data lies, attributes, links."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minicnn.saving.errors import ModelFileError
from minicnn.saving.hdf5.source import UNDEFINED, Cursor

# Message types, by their numbers in section IV.A.2.
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15

_INTEGER, _FLOAT, _STRING, _VARIABLE = 0, 1, 3, 9
_CLASSES = (
    "an integer", "a float", "a time", "a string", "a bit field", "an opaque type", "a compound type", "a reference",
    "an enumeration", "a variable-length type", "an array type",
)  # fmt: skip
_MOST_AXES = 32
#: Exponent bits and bias of the IEEE formats by their size; bfloat16 and others of odd layout are none of these.
_IEEE = {2: (5, 15), 4: (8, 127), 8: (11, 1023)}


class Variable(NamedTuple):
    """The type of variable-length strings: each is an address in the global heap."""

    size: int


class Layout(NamedTuple):
    """Where a dataset's data lies: in the header, at one address, or in chunks found through a tree."""

    kind: str
    address: int = UNDEFINED
    size: int = 0
    inline: bytes = b""
    chunk: tuple[int, ...] = ()


def read_shape(cursor: Cursor) -> tuple[int, ...] | None:
    """Read a dataspace: the shape, None where there is not even a scalar (section IV.A.2.b)."""
    version, rank, flags = cursor.numbers("BBB")
    if version not in (1, 2) or rank > _MOST_AXES:
        raise ModelFileError(f"damaged: a shape of version {version} and {rank} axes")
    if version == 1:
        cursor.skip(5)
    elif cursor.number(1) == 2:
        return None
    shape = cursor.numbers(f"{rank}Q")
    if flags & 1:
        cursor.skip(8 * rank)
    if math.prod(shape) >= 2**62:
        raise ModelFileError(f"damaged: a dataset of the absurd shape {shape}")
    return shape


def read_type(cursor: Cursor) -> np.dtype | Variable:
    """Read a datatype (section IV.A.2.d); ModelFileError for objects, references and the like, which weights never are.

    Strings come as ``S`` dtypes.
    """
    head, *bits, size = cursor.numbers("BBBBI")
    kind = head & 0x0F
    order = ">" if bits[0] & 1 else "<"
    if kind == _INTEGER and size in (1, 2, 4, 8):
        offset, precision = cursor.numbers("HH")
        if (offset, precision) == (0, 8 * size):
            return np.dtype(f"{order}{'i' if bits[0] & 8 else 'u'}{size}")
    elif kind == _FLOAT and size in _IEEE and not bits[0] & 0x40:
        offset, precision, _, exponent, _, mantissa, bias = cursor.numbers("HHBBBBI")
        exponent_bits, expected_bias = _IEEE[size]
        ieee = (0, 8 * size, exponent_bits, 8 * size - 1 - exponent_bits, expected_bias)
        if (offset, precision, exponent, mantissa, bias) == ieee:
            return np.dtype(f"{order}f{size}")
    elif kind == _STRING:
        if 0 < size < 2**31:
            return np.dtype(f"S{size}")
    elif kind == _VARIABLE and bits[0] & 0x0F == 1 and size == 16:
        return Variable(size)
    name = _CLASSES[kind] if kind < len(_CLASSES) else f"class {kind}"
    raise ModelFileError(f"it holds {name} of {size} bytes, which no weights are made of")


def read_layout(cursor: Cursor) -> Layout:
    """Read where data lies (section IV.A.2.i)."""
    version, kind = cursor.numbers("BB")
    if version not in (3, 4) or kind > 2 or (version == 4 and kind == 2):
        raise ModelFileError(
            f"a dataset has storage of version {version}, class {kind}, which this reader does not know; "
            "written with h5py.File(path, 'w', libver='earliest') it can be read"
        )
    if kind == 0:
        return Layout("compact", inline=cursor.take(cursor.number(2)))
    if kind == 1:
        return Layout("contiguous", *cursor.numbers("QQ"))
    axes = cursor.number(1)
    if not 1 < axes <= _MOST_AXES + 1:
        raise ModelFileError(f"damaged: chunks of {axes} axes")
    address = cursor.number(8)
    # The last axis is the bytes of an entry.
    return Layout("chunked", address, chunk=cursor.numbers(f"{axes}I")[:-1])


def read_filters(cursor: Cursor) -> list[int]:
    """Read the numbers of the filters that packed the chunks, in their order (section IV.A.2.l)."""
    version, count = cursor.numbers("BB")
    if version not in (1, 2):
        raise ModelFileError(f"damaged: filters of version {version}")
    if version == 1:
        cursor.skip(6)
    found = []
    for _ in range(count):
        number = cursor.number(2)
        name_size = cursor.number(2) if version == 1 or number >= 256 else 0
        _, values = cursor.numbers("HH")
        cursor.skip(-(-name_size // 8) * 8 if version == 1 else name_size)
        cursor.skip(4 * (values + (values % 2 if version == 1 else 0)))
        found.append(number)
    return found


def read_attribute(cursor: Cursor) -> tuple[str, tuple[int, ...] | None, Any, bytes]:
    """Read an attribute (section IV.A.2.m): its name, shape, type, and bytes."""
    version, flags = cursor.numbers("BB")
    if version not in (1, 2, 3) or (version > 1 and flags & 3):
        raise ModelFileError(f"an attribute of version {version} with flags {flags}, which this reader does not know")
    sizes = cursor.numbers("HHH")
    if version == 3:
        cursor.skip(1)
    parts = []
    for size in sizes:
        parts.append(cursor.take(size))
        if version == 1:
            cursor.skip(-size % 8)
    name = decode(parts[0])
    return name, read_shape(Cursor(parts[2])), read_type(Cursor(parts[1])), cursor.take(cursor.left)


def read_link(cursor: Cursor) -> tuple[str, int]:
    """Read a link (section IV.A.2.g): the name, and the address that it stands for."""
    version, flags = cursor.numbers("BB")
    kind = cursor.number(1) if flags & 8 else 0
    if flags & 4:
        cursor.skip(8)
    if flags & 16:
        cursor.skip(1)
    name = decode(cursor.take(cursor.number(1 << (flags & 3))))
    if version != 1:
        raise ModelFileError(f"damaged: a link of version {version}")
    if kind != 0:
        raise ModelFileError(f"{name!r} is a link to another place or another file, which is not followed")
    return name, cursor.number(8)


def decode(text: bytes) -> str:
    """Give a string up to its closing zero, if there is one; ModelFileError where it is not UTF-8."""
    try:
        return text.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError:
        raise ModelFileError("damaged: a name is not UTF-8") from None
