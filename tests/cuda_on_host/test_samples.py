"""Batches put together on the device: what NumPy gives, also in a step that is launched again on other data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes  # noqa: F401 - makes "bfloat16" a name of a type
import numpy as np
import pytest

import minicnn
from minicnn.kernels.capture import Graph
from minicnn.kernels.floats import is_floating
from minicnn.kernels.samples import Rows, one_hot, take_rows
from minicnn.kernels.varying import DeviceNumbers
from tests.cuda_on_host import device

pytestmark = pytest.mark.gpu

# Of which the bytes of a row are cut into words of sixteen, of four, of one, and which are no pictures.
SHAPES = [(9, 4, 4), (9, 7, 1), (9, 3), (9,), (9, 0)]
DTYPES = ["bool", "uint8", "int8", "uint16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.fixture
def cupy() -> Iterator[Any]:
    with device.present() as module:
        yield module


def numbers_of(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    has_sign = np.dtype(dtype).kind == "i" or is_floating(np.dtype(dtype))
    return (np.random.default_rng(3).random(shape) * 200 - (100 if has_sign else 0)).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_taken_as_numpy_takes_them(cupy: Any, dtype: str, shape: tuple[int, ...]) -> None:
    source, order = numbers_of(shape, dtype), np.array([3, 8, 8, 0, 5, 1])
    there = cupy.asarray(source)
    for wanted in {dtype, "float32", "float64"}:
        for begin, count, by in ((0, 6, order), (2, 3, order), (6, 0, order), (4, 5, None)):
            out = cupy.empty((count, *shape[1:]), wanted)
            take_rows(Rows(there, None if by is None else cupy.asarray(by), begin), out)
            rows = source[begin : begin + count] if by is None else source[by[begin : begin + count]]
            assert out.get().tobytes() == rows.astype(wanted).tobytes(), (wanted, begin, count)


def test_rows_that_begin_anywhere_are_taken_whole(cupy: Any) -> None:
    """Words are no longer than what the beginnings of both arrays are multiples of."""
    memory = np.arange(200, dtype=np.uint8)
    there = cupy.asarray(memory)
    for first in range(9):
        source = memory[first : first + 64].reshape(4, 16)
        moved = there[first : first + 64].reshape(4, 16)
        for wanted in ("uint8", "float32", "float64"):
            out = cupy.empty((4, 16), wanted)
            take_rows(Rows(moved, cupy.asarray(np.array([2, 0, 3, 1])), 0), out)
            np.testing.assert_array_equal(out.get(), source[[2, 0, 3, 1]])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
def test_a_launch_takes_the_rows_that_are_named_by_then(cupy: Any, dtype: str) -> None:
    first, second = numbers_of((9, 8), dtype), numbers_of((12, 8), dtype)[::-1].copy()
    orders = [np.array([8, 1, 4, 0]), None, np.array([2, 11, 3, 7, 10])]
    rows, out = Rows(cupy.asarray(first), cupy.asarray(orders[0]), 0), cupy.empty((3, 8), np.float32)
    numbers = DeviceNumbers(cupy.empty(256, np.uint8))
    take_rows(rows, out)
    graph = Graph(lambda: take_rows(rows, out), numbers)
    for source, order, begin in ((first, orders[0], 1), (second, orders[1], 9), (second, orders[2], 2)):
        rows.source, rows.begin = cupy.asarray(source), begin
        rows.order = None if order is None else cupy.asarray(order)
        numbers.renew()
        numbers.device.set(numbers.host)
        graph.launch()
        taken = source if order is None else source[order]
        np.testing.assert_array_equal(out.get(), taken[begin : begin + 3].astype(np.float32))


@pytest.mark.parametrize("kernels", [None, "reference"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_labels_become_one_hot_and_those_outside_nothing(cupy: Any, dtype: str, kernels: str | None) -> None:
    labels = np.array([2, 0, 5, -1, 6, 4])
    expected = (labels[:, None] == np.arange(6)).astype(dtype)
    with minicnn.use_kernels(kernels):
        for kind in ("int64", "int32"):
            out = cupy.empty((6, 6), dtype)
            one_hot(cupy.asarray(labels.astype(kind)), out)
            np.testing.assert_array_equal(out.get(), expected)


def test_the_switch_serves_the_device_too(cupy: Any) -> None:
    source, order = numbers_of((9, 5), "uint8"), np.array([4, 2, 7])
    out = cupy.empty((2, 5), np.float32)
    with minicnn.use_kernels("reference"):
        take_rows(Rows(cupy.asarray(source), cupy.asarray(order), 1), out)
    np.testing.assert_array_equal(out.get(), source[[2, 7]])


def test_more_than_can_be_counted_is_refused(cupy: Any) -> None:
    if device.on_gpu:
        pytest.skip("takes the memory")
    out = cupy.empty((1, 3), np.float32)
    out._array = np.lib.stride_tricks.as_strided(out._array, (2**29, 3), (0, 4))  # pretends to be large
    with pytest.raises(ValueError, match=r"one_hot: an array of 1,610,612,736 numbers is too large for the cuda"):
        one_hot(cupy.asarray(np.zeros(1, np.int64)), out)
