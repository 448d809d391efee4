"""Groups, attributes and datasets of an HDF5 file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from minicnn.saving.errors import ModelFileError
from minicnn.saving.hdf5 import messages
from minicnn.saving.hdf5.chunks import read_chunks
from minicnn.saving.hdf5.header import Header
from minicnn.saving.hdf5.source import UNDEFINED, Cursor, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Entries of one group: nodes are read one by one, so this bounds the time that a tree which goes in circles costs.
_MOST_ENTRIES = 100_000


def open_hdf5(file: BinaryIO) -> Group:
    """Give the root group of a file that is open for reading; ModelFileError where it is no HDF5 file (section II)."""
    source = Source(file)
    if source.size < 96 or source.read(0, 8) != SIGNATURE:
        raise ModelFileError("not an HDF5 file, or truncated")
    version = source.read(8, 1)[0]
    if version in (0, 1):
        head = Cursor(source.read(0, 96 if version == 0 else 100))
        head.skip(13)
        sizes = head.numbers("BB")
        head.skip(9 if version == 0 else 13)
        base, _, end, _ = head.numbers("4Q")
        head.skip(8)
        root = head.number(8)
    elif version in (2, 3):
        head = Cursor(source.read(0, 48))
        head.skip(9)
        sizes = head.numbers("BB")
        head.skip(1)
        base, _, end, root = head.numbers("4Q")
    else:
        raise ModelFileError(f"damaged, or HDF5 of a newer kind: superblock version {version}")
    if sizes != (8, 8) or base != 0:
        raise ModelFileError(f"HDF5 with addresses of {sizes} bytes from {base}, which this reader does not know")
    if end > source.size:
        raise ModelFileError(f"truncated: {end:,} bytes were written, {source.size:,} are here")
    return Group(Header(source, root), "")


class Dataset:
    """An array in a file.

    Attributes:
        shape, dtype: of the array, as the file says.
    """

    def __init__(self, header: Header, path: str) -> None:
        self._header = header
        self.path = path
        space, kind, layout = (
            header.first(number) for number in (messages.DATASPACE, messages.DATATYPE, messages.LAYOUT)
        )
        if space is None or kind is None or layout is None:
            raise ModelFileError(f"damaged: {path!r} has no shape, type or place")
        if header.first(messages.EXTERNAL_FILES) is not None:
            raise ModelFileError(f"{path!r} lies in another file, which is not read")
        shape = messages.read_shape(space)
        dtype = messages.read_type(kind)
        if shape is None or isinstance(dtype, messages.Variable):
            raise ModelFileError(f"{path!r} holds strings or nothing, not numbers")
        self.shape, self.dtype = shape, dtype
        self._layout = layout

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """Give the array; ModelFileError where the file does not have all of it."""
        layout = messages.read_layout(self._layout)
        self._layout.position = 0
        source = self._header.source
        size = self.nbytes
        if size == 0:
            return np.zeros(self.shape, self.dtype)
        if layout.kind == "chunked":
            filters = self._header.first(messages.FILTERS)
            packing = [] if filters is None else messages.read_filters(filters)
            return read_chunks(source, layout.address, layout.chunk, packing, self.shape, self.dtype, self.path)
        if layout.kind == "compact":
            data = layout.inline
        else:
            if layout.address == UNDEFINED or layout.size < size:
                raise ModelFileError(f"{self.path!r} of shape {self.shape} has {layout.size:,} bytes of data")
            data = source.read_data(layout.address, size)
        if len(data) < size:
            raise ModelFileError(f"{self.path!r} of shape {self.shape} has {len(data):,} bytes of data")
        return np.frombuffer(data, self.dtype, math.prod(self.shape)).reshape(self.shape)


class Group:
    """A folder of groups and datasets."""

    def __init__(self, header: Header, path: str) -> None:
        self._header = header
        self.path = path
        self._links: dict[str, int] | None = None
        self._members: dict[str, Group | Dataset] = {}
        self._attributes: dict[str, Any] | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """The group's attributes by name."""
        if self._attributes is None:
            self._attributes = self._header.attributes()
        return self._attributes

    def names(self) -> list[str]:
        """Give the names of what is in the group."""
        return list(self._read_links())

    def __contains__(self, name: str) -> bool:
        return name in self._read_links()

    def __getitem__(self, path: str) -> Group | Dataset:
        """Give what is called so, in groups within the group where slashes say so.

        Raises:
            ModelFileError: there is nothing of that name.
        """
        node: Group | Dataset = self
        for name in filter(None, path.split("/")):
            if not isinstance(node, Group):
                raise ModelFileError(f"{node.path!r} is an array and holds no {name!r}")
            node = node._member(name)
        return node

    def _member(self, name: str) -> Group | Dataset:
        if name not in self._members:
            full = f"{self.path}/{name}"
            address = self._read_links().get(name)
            if address is None:
                raise ModelFileError(f"there is no {full!r}")
            header = Header(self._header.source, address)
            known = header.first(messages.LAYOUT) is not None
            self._members[name] = Dataset(header, full) if known else Group(header, full)
        return self._members[name]

    def group(self, path: str) -> Group:
        """Give the group called so; ModelFileError where there is none."""
        node = self[path]
        if not isinstance(node, Group):
            raise ModelFileError(f"{node.path!r} is an array where a group should be")
        return node

    def dataset(self, path: str) -> Dataset:
        """Give the dataset called so; ModelFileError where there is none."""
        node = self[path]
        if not isinstance(node, Dataset):
            raise ModelFileError(f"{node.path!r} is a group where an array should be")
        return node

    def _read_links(self) -> dict[str, int]:
        if self._links is None:
            table = self._header.first(messages.SYMBOL_TABLE)
            self._links = dict(self._new_links() if table is None else self._old_links(*table.numbers("QQ")))
        return self._links

    def _new_links(self) -> Iterator[tuple[str, int]]:
        info = self._header.first(messages.LINK_INFO)
        if info is not None:
            _, flags = info.numbers("BB")
            info.skip(8 if flags & 1 else 0)
            if info.number(8) != UNDEFINED:
                raise ModelFileError(
                    f"the group {self.path or '/'!r} is kept in a heap of its own, which this reader does not know; "
                    "written with h5py.File(path, 'w', libver='earliest') it can be read"
                )
        for kind, data in self._header.messages:
            if kind == messages.LINK:
                data.position = 0
                yield messages.read_link(data)

    def _old_links(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Follow a group's tree to its leaves (sections III.A.1, III.B and III.D)."""
        source = self._header.source
        head = Cursor(source.read(heap, 32))
        head.expect(b"HEAP", "heap of names")
        head.skip(4)
        size, _, address = head.numbers("3Q")
        names = source.read(address, size)
        waiting, entries = [tree], 0
        while waiting:
            node = waiting.pop()
            if source.read(node, 4) == b"TREE":
                waiting.extend(reversed(tree_children(source, node, kind=0, key_size=8)))
                continue
            leaf = Cursor(source.read(node, 8))
            leaf.expect(b"SNOD", "list of names")
            leaf.skip(2)
            count = leaf.number(2)
            entries += max(count, 1)
            if entries > _MOST_ENTRIES:
                raise ModelFileError(f"the group {self.path or '/'!r} has more than {_MOST_ENTRIES:,} entries")
            table = Cursor(source.read(node + 8, 40 * count))
            for _ in range(count):
                name, header, cached = table.numbers("QQI")
                table.skip(20)
                text = messages.decode(names[name : name + 4096])
                if cached == 2:
                    raise ModelFileError(f"{text!r} is a link to another place, which is not followed")
                yield text, header


def tree_children(source: Source, address: int, kind: int, key_size: int) -> list[int]:
    """Give the children of a node of a version 1 B-tree (section III.A.1)."""
    head = Cursor(source.read(address, 24))
    head.expect(b"TREE", "tree")
    found, _, count = head.numbers("BBH")
    if found != kind:
        raise ModelFileError(f"damaged: a tree of kind {found} where one of kind {kind} should be")
    body = Cursor(source.read(address + 24, count * (key_size + 8)))
    children = []
    for _ in range(count):
        body.skip(key_size)
        children.append(body.number(8))
    return children
