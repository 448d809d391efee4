"""Buffers are reused when the last view of an array is gone, and never before."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicnn.kernels import cpu
from minicnn.kernels.cpu.memory import ALIGNMENT, SMALLEST, Pool
from minicnn.kernels.recording import record

LARGE = (SMALLEST, 2)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@pytest.fixture
def pool() -> Pool:
    return Pool(limit=64 * 1024 * 1024)


def test_a_dead_array_makes_room_for_the_next(pool):
    first = address(pool.empty(LARGE, np.float32))
    again = pool.empty(LARGE, np.float32)
    assert address(again) == first
    assert pool.idle_bytes == 0


def test_living_arrays_do_not_share_memory(pool):
    arrays = [pool.empty(LARGE, np.float32) for _ in range(5)]
    assert len({address(array) for array in arrays}) == 5
    assert not np.shares_memory(arrays[0], arrays[1])


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[1:],
        lambda array: array.T,
        lambda array: array.reshape(-1)[5:].reshape(1, -1)[:, ::2],
        lambda array: array.view(np.int32)[3],
        lambda array: np.lib.stride_tricks.as_strided(array, (2, 2), (4, 4)),
        lambda array: memoryview(array),
        lambda array: np.frombuffer(array, np.uint8),
        lambda array: np.broadcast_to(array[0], (3, 2)),
    ],
)
def test_a_view_keeps_the_buffer_alive(pool, view):
    array = pool.empty(LARGE, np.float32)
    place = address(array)
    kept = view(array)
    del array
    gc.collect()
    assert pool.idle_bytes == 0
    assert address(pool.empty(LARGE, np.float32)) != place
    del kept
    gc.collect()
    assert place in {address(array) for array in [pool.empty(LARGE, np.float32) for _ in range(2)]}


def test_values_of_views_survive_many_allocations(pool):
    """Three rounds of arrays of one size, of which only views are kept: their sums must not change."""
    views, sums = [], []
    for value in range(30):
        array = pool.empty(LARGE, np.float32)
        array[...] = value
        views.append(array[::3].T[1:])
        sums.append(float(views[-1].sum()))
        del array
        pool.empty(LARGE, np.float32)[...] = -1
    assert [float(view.sum()) for view in views] == sums


def test_idle_memory_is_bounded():
    pool = Pool(limit=3 * 2**20)
    held = [pool.empty((2**18,), np.float32) for _ in range(8)]
    held.clear()
    assert 0 < pool.idle_bytes <= 3 * 2**20
    pool.clear()
    assert pool.idle_bytes == 0


def test_the_size_longest_unused_is_dropped_first():
    pool = Pool(limit=3 * 2**20)
    old, new = pool.empty((2**19,), np.float32), pool.empty((2**18 + 2**17,), np.float32)
    kept = address(new)
    del old
    del new
    assert address(pool.empty((2**18 + 2**17,), np.float32)) == kept


def test_arrays_are_aligned_and_small_ones_come_from_numpy(pool):
    assert address(pool.empty(LARGE, np.float64)) % ALIGNMENT == 0
    small = pool.empty((3,), np.float32)
    assert small.flags.owndata
    assert pool.empty((0, 7), np.float32).shape == (0, 7)


def test_threads_get_different_buffers(pool):
    def work(number: int) -> bool:
        ok = True
        for _ in range(200):
            array = pool.empty(LARGE, np.float32)
            array[...] = number
            ok &= bool((array == number).all())
        return ok

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(work, range(8)))
    assert pool.idle_bytes <= 8 * (np.prod(LARGE) * 4 * 2)


@pytest.mark.parametrize(
    "view", [lambda array: array, lambda array: array[3:, 1], lambda array: array.T, lambda array: array[::-2, ::-1]]
)
def test_an_untied_array_looks_at_the_memory_without_keeping_it(pool, view):
    array = pool.empty(LARGE, np.float32)
    array[...] = np.arange(array.size).reshape(LARGE)
    place, seen = address(array), view(array)
    untied = pool.untied(seen)
    assert address(untied) == address(seen) and untied.strides == seen.strides
    np.testing.assert_array_equal(untied, seen)
    del array, seen
    again = pool.empty(LARGE, np.float32)
    assert address(again) == place
    again[...] = 7
    assert (untied == 7).all()


def test_what_is_not_the_pools_own_is_not_untied(pool):
    for value in (Pool(limit=0).empty(LARGE, np.float32), np.zeros(3), np.zeros(2).reshape(1, 2), 4, (1, 2), None):
        assert pool.untied(value) is value


def test_memory_that_came_from_the_pool_below_does_not_go_back(pool):
    place = address(pool.empty(LARGE, np.float32))
    above = Pool(limit=np.inf, below=pool)
    assert address(above.empty(LARGE, np.float32)) == place
    assert above.idle_bytes > 0 and pool.idle_bytes == 0
    assert address(pool.empty(LARGE, np.float32)) != place
    assert address(above.empty(LARGE, np.float32)) == place


def test_memory_of_a_dropped_pool_does_not_wait_for_the_garbage_collector():
    gc.disable()
    try:
        pool = Pool(limit=np.inf)
        pool.empty(LARGE, np.float32)
        held = pool.empty(LARGE, np.float64)
        dropped = weakref.ref(pool)
        del pool
        assert dropped() is not None  # an array of its is still held
        del held
        assert dropped() is None
    finally:
        gc.enable()


def test_what_a_dropped_recording_kept_is_free_at_once():
    x = np.ones(LARGE, np.float32)
    gc.disable()
    try:
        with record() as recording:
            cpu.softmax(cpu.softmax(x))
        memory, recorded = weakref.ref(recording.memory), weakref.ref(recording)
        recording.replay()
        del recording
        assert recorded() is None and memory() is None
    finally:
        gc.enable()
