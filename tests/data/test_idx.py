"""Reading IDX files, and refusing what is none."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minicnn.data.errors import DataError
from minicnn.data.sets.idx import parse_idx, unpack


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0)))
def test_what_was_written_comes_back(array):
    read = parse_idx(idx(array))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.uint8 and read.flags.writeable


def test_big_endian_c_order():
    data = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes([1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(parse_idx(data), [[1, 2, 3], [4, 5, 6]])


GOOD = idx(np.zeros((4, 3, 2), np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG\r\n", "expected it to start with two zero bytes"),
        (b"\0\0\x0d\x03" + GOOD[4:], "got type 13 with 3"),
        (b"\0\0\x08\0", "got type 8 with 0"),
        (GOOD[:9], "expected a header of 16 bytes, got 9"),
        (GOOD[:-1], r"promises 24 bytes for shape \(4, 3, 2\), but 23 follow"),
        (GOOD + b"x", "but 25 follow"),
        (b"\0\0\x08\x04" + b"\xff" * 16, r"but 0 follow"),
    ],
)
def test_what_is_no_such_file_is_refused(data, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_idx(data, name="digits.idx")
    assert str(caught.value).startswith("digits.idx: ")


def test_the_shape_is_checked():
    assert parse_idx(GOOD, (None, 3, 2)).shape == (4, 3, 2)
    for shape in [(4, 3), (4, 3, 3), (5, 3, 2)]:
        with pytest.raises(DataError, match=r"expected shape .* got \(4, 3, 2\)"):
            parse_idx(GOOD, shape)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data):
    try:
        parse_idx(data)
    except DataError:
        return
    assert data[:3] == b"\0\0\x08"


def test_unpack_is_bounded():
    bomb = gzip.compress(bytes(10_000_000))
    assert len(unpack(bomb, 100)) == 101


def test_plain_bytes_pass_through():
    assert unpack(b"plain", 3) == b"plain"


@pytest.mark.parametrize("cut", [3, 12, -9, -1])
def test_truncated_gzip(cut):
    packed = gzip.compress(bytes(range(256)) * 9)
    with pytest.raises(DataError, match=r"x\.gz: truncated gzip file"):
        unpack(packed[:cut], 10_000, "x.gz")


def test_damaged_gzip():
    packed = bytearray(gzip.compress(bytes(range(256)) * 9))
    packed[-6] ^= 1
    with pytest.raises(DataError, match=r"x\.gz: damaged gzip file"):
        unpack(bytes(packed), 10_000, "x.gz")
