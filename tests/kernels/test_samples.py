"""Samples gathered and looked through: compiled, they are what NumPy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.kernels import dispatch
from minicnn.kernels.samples import Rows, is_finite, one_hot, take_rows

pytest.importorskip("numba", reason="compares the compiled kernels with NumPy", exc_type=ImportError)

# Of one, of some and of several tiles; the first is too small for a kernel.
SHAPES = [(40, 3), (300, 28, 28, 1), (9, 40000), (20000,)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the compiled functions that were called."""
    names: list[str] = []
    cpu = dispatch.load("cpu")
    for name in ("take_rows", "is_finite"):
        function = getattr(cpu, name)

        def spy(*arguments: Any, name: str = name, function: Any = function) -> Any:
            names.append(name)
            return function(*arguments)

        monkeypatch.setattr(cpu, name, spy)
    return names


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_taken_as_numpy_takes_them(shape: tuple[int, ...], dtype: str, calls: list[str]) -> None:
    generator = np.random.default_rng(1)
    source = (generator.standard_normal(shape) * 50).astype(dtype)
    source.flags.writeable = False
    # Some twice, some never.
    indices = generator.integers(0, len(source), len(source) - 3)
    out = np.full((len(indices), *shape[1:]), 77, dtype)
    take_rows(Rows(source, indices, 0), out)
    assert out.tobytes() == source[indices].tobytes()
    assert bool(calls) == (np.dtype(dtype).kind == "f" and out.nbytes >= 32 * 1024)


def test_no_rows_are_taken(calls: list[str]) -> None:
    take_rows(Rows(np.ones((3, 2), np.float32), np.empty(0, np.int64), 0), np.empty((0, 2), np.float32))
    take_rows(Rows(np.ones((3, 0), np.float32), np.array([2, 0]), 0), np.empty((2, 0), np.float32))
    assert not calls


def test_other_indices_and_subclasses_go_to_numpy(calls: list[str]) -> None:
    source = np.random.default_rng(2).random((50, 900), np.float32)
    out = np.empty((30, 900), np.float32)
    take_rows(Rows(source, np.arange(30, dtype=np.int32), 0), out)
    np.testing.assert_array_equal(out, source[:30])
    take_rows(Rows(source.view(np.memmap), np.arange(30) + 20, 0), out)
    np.testing.assert_array_equal(out, source[20:])
    assert not calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [7, 100_003])
@pytest.mark.parametrize("bad", [None, np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(bad: float | None, size: int, dtype: str, calls: list[str]) -> None:
    limits = np.finfo(dtype)
    # The largest numbers there are, whose sum overflows, and the smallest.
    array = np.resize(np.array([limits.max, limits.min, limits.max, limits.smallest_subnormal, 0, -0.0], dtype), size)
    for position in (0, size // 2, size - 1):
        changed = array.copy()
        if bad is not None:
            changed[position] = bad
        changed.flags.writeable = False
        assert is_finite(changed) == (bad is None)
    assert bool(calls) == (size > 7)


def test_whole_numbers_and_strided_arrays_are_looked_through(calls: list[str]) -> None:
    array = np.zeros((300, 400), np.float32)
    array[5, 8] = np.nan
    assert not is_finite(array[:, ::2]) and is_finite(array[:, 1::2])
    assert is_finite(np.zeros(100_000, np.int64)) and is_finite(np.zeros((0, 3)))
    assert not calls


def test_other_kernels_leave_it_to_numpy(calls: list[str]) -> None:
    with minicnn.use_kernels("reference"):
        array = np.ones((200, 100))
        assert is_finite(array)
        out = np.empty((100, 100))
        take_rows(Rows(array, np.arange(100), 0), out)
    assert not calls
    assert (out == 1).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_the_work(threads: int) -> None:
    before = minicnn.get_num_threads()
    source = np.random.default_rng(3).random((500, 2000), np.float32)
    indices = np.random.default_rng(4).permutation(500)
    out = np.empty_like(source)
    try:
        minicnn.set_num_threads(threads)
        take_rows(Rows(source, indices, 0), out)
        assert is_finite(out)
        out[-1, -1] = np.inf
        assert not is_finite(out)
    finally:
        minicnn.set_num_threads(before)
    out[-1, -1] = source[indices[-1], -1]
    np.testing.assert_array_equal(out, source[indices])


@pytest.mark.parametrize("kernels", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [None, -1, 7, 2**62, -(2**63)])
def test_labels_become_one_hot_and_those_outside_are_told_of(bad: int | None, dtype: str, kernels: str) -> None:
    labels = np.random.default_rng(5).integers(0, 7, 50)
    expected = np.eye(7, dtype=dtype)[labels]
    if bad is not None:
        labels[49], expected[49] = bad, 0
    out, outside = np.full((50, 7), 3, dtype), np.zeros(1, np.int64)
    with minicnn.use_kernels(kernels):
        one_hot(labels, out, outside)
    np.testing.assert_array_equal(out, expected)
    assert outside[0] == (bad is not None)
