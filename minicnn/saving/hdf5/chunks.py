"""Datasets that were written in pieces, compressed or not."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from minicnn.saving.errors import ModelFileError
from minicnn.saving.hdf5.source import Cursor, Source

_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3
#: Deflate packs at most about 1032 bytes into one, weights hardly two. Between the two is the mark of a bomb.
_MOST_EXPANSION = 8
_FREE_BYTES = 2**20


def read_chunks(
    source: Source,
    tree: int,
    chunk: Sequence[int],
    filters: Sequence[int],
    shape: tuple[int, ...],
    dtype: np.dtype,
    path: str,
) -> np.ndarray:
    """Put a dataset together from its chunks.

    Args:
        source: the file.
        tree: address of the tree that finds the chunks.
        chunk: shape of a chunk; those at the edges reach over it.
        filters: numbers of the filters that packed the chunks, in their order.
        shape, dtype: of the dataset.
        path: of the dataset, for messages.

    Raises:
        ModelFileError: a chunk is missing, damaged, unknown to this reader, or unpacks to far more than it is packed.
    """
    if len(chunk) != len(shape) or 0 in chunk or not set(filters) <= {_DEFLATE, _SHUFFLE, _CHECKSUM}:
        raise ModelFileError(f"{path!r} is kept in chunks of {tuple(chunk)} with filters {list(filters)}")
    places = list(_find_chunks(source, tree, len(shape)))
    packed = sum(size for _, size, _ in places)
    chunk_bytes = math.prod(chunk) * dtype.itemsize
    wanted = math.prod(-(-axis // size) for axis, size in zip(shape, chunk, strict=True))
    unpacked = max(wanted * chunk_bytes, math.prod(shape) * dtype.itemsize)
    if len(places) != wanted:
        raise ModelFileError(f"{path!r} of shape {shape} has {len(places)} chunks, not {wanted}")
    if unpacked > _FREE_BYTES + _MOST_EXPANSION * packed:
        raise ModelFileError(f"{path!r} unpacks to {unpacked:,} bytes from {packed:,}, as no weights do")
    array = np.zeros(shape, dtype)
    for offsets, size, mask in places:
        data = source.read_data(offsets[-1], size)
        kept = [number for place, number in enumerate(filters) if not mask >> place & 1]
        data = _unpack(data, kept, chunk_bytes, dtype.itemsize, path)
        values = np.frombuffer(data, dtype).reshape(tuple(chunk))
        begin = offsets[:-1]
        window = tuple(slice(b, min(b + c, s)) for b, c, s in zip(begin, chunk, shape, strict=True))
        if any(b >= s for b, s in zip(begin, shape, strict=True)):
            raise ModelFileError(f"damaged: {path!r} has a chunk beyond its end")
        array[window] = values[tuple(slice(0, w.stop - w.start) for w in window)]
    return array


def _find_chunks(source: Source, tree: int, rank: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Give for each chunk where it begins in the dataset and, at last, in the file; its bytes; the filters left out.

    Trees of kind 1 of section III.A.1.
    """
    key_size = 8 + 8 * (rank + 1)
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        head = Cursor(source.read(node, 24))
        head.expect(b"TREE", "tree of chunks")
        kind, level, count = head.numbers("BBH")
        if kind != 1:
            raise ModelFileError(f"damaged: a tree of kind {kind} where chunks should be")
        body = Cursor(source.read(node + 24, count * (key_size + 8)))
        for _ in range(count):
            size, mask, *begin, _, child = body.numbers(f"II{rank}QQQ")
            if level:
                waiting.append(child)
            else:
                yield (*begin, child), size, mask


def _unpack(data: bytes, filters: Sequence[int], size: int, itemsize: int, path: str) -> bytes:
    for number in reversed(filters):
        if number == _CHECKSUM:
            data = data[:-4]
        elif number == _DEFLATE:
            try:
                # One byte more than there may be tells a chunk that is too long from one that fits.
                data = zlib.decompressobj().decompress(data, size + 8)
            except zlib.error as error:
                raise ModelFileError(f"damaged: a chunk of {path!r} does not unpack ({error})") from None
        else:
            planes = np.frombuffer(data, np.uint8)
            if len(planes) % itemsize == 0:
                data = planes.reshape(itemsize, -1).T.tobytes()
    if len(data) != size:
        raise ModelFileError(f"damaged: a chunk of {path!r} has {len(data)} bytes, not {size}")
    return data
