"""The reader of HDF5 files against h5py."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from minicnn.saving import ModelFileError
from minicnn.saving.hdf5 import Group, open_hdf5


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [text(item) for item in value.tolist()]
    return value


def same(theirs, ours):
    assert sorted(theirs.keys()) == sorted(ours.names())
    assert set(theirs.attrs) == set(ours.attributes)
    for name, value in theirs.attrs.items():
        np.testing.assert_array_equal(ours.attributes[name], text(value))
    for name, item in theirs.items():
        assert name in ours
        if isinstance(item, h5py.Group):
            same(item, ours.group(name))
        else:
            array = ours.dataset(name).read()
            assert array.dtype == item.dtype and array.shape == item.shape
            np.testing.assert_array_equal(array, item[()])


def fill(file, many=0):
    file["deep/er/matrix"] = np.arange(12.0).reshape(3, 4)
    file["scalar"] = np.float32(3)
    file["empty"] = np.zeros((0, 4), np.float32)
    for dtype in ("f2", "f4", "f8", ">f4", ">f8", "i1", "u2", "i4", "<u8", ">i8"):
        file[f"types/{dtype.strip('<>')}{dtype[0] == '>'}"] = np.arange(5).astype(dtype)
    file.attrs["fixed"] = np.array([b"conv", b"dense_long_name"])
    file.attrs["variable"] = ["conv", "dense", "größe"]
    file.attrs["one"] = "text"
    file.attrs["bytes"] = np.bytes_("raw")
    file.attrs["number"] = 3
    file.attrs["none"] = []
    file["deep"].attrs["long"] = [f"name_{i}" for i in range(3000)]
    for number in range(many):
        file[f"many/item{number}"] = np.full(number % 3, number)


@pytest.mark.parametrize("libver", ["earliest", ("v108", "v110"), "latest"])
def test_everything_that_weights_need(libver):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=libver) as file:
        # In the newer layouts, groups of more than eight are kept in heaps.
        fill(file, many=300 if libver == "earliest" else 3)
    if libver != "earliest":
        with h5py.File(buffer, "r+", libver=libver) as file:
            del file["types"]
    with h5py.File(buffer, "r") as file:
        same(file, open_hdf5(buffer))


@pytest.mark.parametrize("shape", [(20, 50), (1,), (64, 3, 2), (7,)])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "gzip"}, {"compression": 9, "shuffle": True, "fletcher32": True}]
)
def test_chunks(shape, options):
    buffer = io.BytesIO()
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    chunks = tuple(max(1, size // 3) for size in shape)
    with h5py.File(buffer, "w") as file:
        file.create_dataset("x", data=array, chunks=chunks, **options)
    np.testing.assert_array_equal(open_hdf5(buffer).dataset("x").read(), array)


def test_what_is_not_there():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    root = open_hdf5(buffer)
    assert isinstance(root.group("deep/er"), Group)
    for path, error in [("deep/nothing", "there is no '/deep/nothing'"), ("scalar/x", "is an array and holds no 'x'")]:
        with pytest.raises(ModelFileError, match=error):
            root[path]
    with pytest.raises(ModelFileError, match="is an array where a group should be"):
        root.group("scalar")


def test_files_that_are_something_else():
    for data in (b"", b"PK\3\4" + bytes(200), b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\x07" * 200):
        with pytest.raises(ModelFileError, match=r"not an HDF5 file|superblock"):
            open_hdf5(io.BytesIO(data))


def test_a_group_that_contains_itself_ends():
    """A hard link to the group itself: followed as often as it is asked for, and never by itself."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("g")
        group["again"] = group
    root = open_hdf5(buffer)
    assert root.group("g/again/again/again").names() == ["again"]
