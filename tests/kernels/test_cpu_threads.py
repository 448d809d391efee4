"""Threads change nothing but the time: same bits for any number, and any number of Python threads may call at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicnn.kernels import cpu
from minicnn.kernels.cpu import threads


@pytest.fixture(autouse=True)
def keep_num_threads():
    before = cpu.get_num_threads()
    yield
    cpu.set_num_threads(before)


def every_kernel(dtype) -> list[np.ndarray]:
    """One result of each kernel, at sizes that make several tiles and divide by nothing."""
    rng = np.random.default_rng(5)

    def array(*shape):
        return rng.standard_normal(shape).astype(dtype)

    convolution = {"strides": (1, 1), "padding": ((2, 2), (2, 2)), "dilation": (1, 1), "groups": 1}
    pool = {"pool_size": (3, 2), "strides": (2, 2), "padding": ((1, 0), (0, 1))}
    x, w, b = array(13, 23, 21, 7), array(5, 5, 7, 37), array(37)
    y = cpu.conv2d(x, w, b, **convolution)
    pooled, winners = cpu.max_pool2d(y, **pool)
    average = cpu.avg_pool2d(y, **pool)
    rows = y.reshape(-1, 37)
    p, g, m, v = array(300_001), array(300_001), array(300_001), abs(array(300_001))
    cpu.adam_step(p, g, m, v, learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.1, step=2)
    return [
        y, pooled, winners, average, p, m, v,
        cpu.conv2d_kernel_gradient(x, y, kernel_size=(5, 5), **convolution),
        cpu.conv2d_input_gradient(y, w, input_size=(23, 21), **convolution),
        cpu.max_pool2d_gradient(pooled, winners, input_size=(23, 21), **pool),
        cpu.avg_pool2d_gradient(average, input_size=(23, 21), **pool),
        cpu.matmul(rows.T, rows), cpu.matmul(rows[:50].reshape(2, -1), array(925, 1200)),
        cpu.matmul(array(61, 700), array(700, 331), array(331)), cpu.matmul(array(61, 700), array(331, 700).T),
        cpu.matmul(array(40, 1700), array(1700, 35), array(35)),
        cpu.sum_rows(rows), cpu.softmax(rows), *cpu.softmax_cross_entropy(rows, rows), cpu.relu(y),
        cpu.relu_gradient(y, y), cpu.dropout_mask(y, 0.3, key=2**40 + 1, step=3),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_gives_the_same_bits_with_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(threads, "WORTH_WAKING", 1000)
    cpu.set_num_threads(1)
    alone = every_kernel(dtype)
    for count in (2, 3, 7):
        cpu.set_num_threads(count)
        for number, (one, many) in enumerate(zip(alone, every_kernel(dtype), strict=True)):
            assert one.tobytes() == many.tobytes(), f"result {number} with {count} threads"


def test_eight_python_threads_may_call_at_once():
    cpu.set_num_threads(4)
    expected = [array.tobytes() for array in every_kernel("float32")]
    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(lambda _: every_kernel("float32"), range(16)):
            assert [array.tobytes() for array in results] == expected


def test_helpers_take_part_and_every_tile_is_done_once():
    arrived = []

    def kernel(ticket, tiles, done):
        arrived.append(1)
        while (tile := threads.take(ticket)) < tiles:
            done[tile] += 1

    done = np.zeros(10_000, np.int64)
    for _ in range(50):
        threads.share(kernel, done.size, 3, done)
    assert (done == 50).all()
    assert len(arrived) > 50


class _Leaving(set):
    """One listener, who goes to sleep as soon as it has been counted."""

    def __len__(self):
        there = super().__len__()
        self.clear()
        return there


class _Found(deque):
    """Jobs that somebody finds as soon as they are there."""

    def extend(self, jobs):
        self.found = jobs


@pytest.mark.parametrize(("called", "woken"), [(deque(), True), (_Found(), False)])
def test_a_helper_that_goes_to_sleep_while_it_is_called_is_woken(called, woken):
    """Unless another helper has found the job that was meant for it."""
    pool, job = threads._Pool(), threads._Job(print, np.zeros(3, np.int64), (), 1)
    pool.helpers, pool.listeners, pool.called = 1, _Leaving({1}), called  # no thread starts
    pool.call(job, 1)
    assert [pool.jobs.get_nowait() for _ in range(pool.jobs.qsize())] == [job] * woken
    assert not called


def test_an_error_in_a_helper_reaches_the_caller():
    import threading

    caller = threading.current_thread()
    failed = threading.Event()

    def kernel(ticket, tiles):
        if threading.current_thread() is caller:
            failed.wait(10)
        else:
            failed.set()
            raise MemoryError("no scratch")

    with pytest.raises(MemoryError, match="no scratch"):
        threads.share(kernel, 2, 2)


def test_num_threads_must_be_positive():
    with pytest.raises(ValueError, match="expected at least 1 thread, got 0"):
        cpu.set_num_threads(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_starts_threads_of_its_own():
    source = """
import os, warnings
import numpy as np
from minicnn.kernels import cpu
cpu.set_num_threads(2)
a = np.ones((600, 600), np.float32)
assert (cpu.matmul(a, a) == 600).all()
warnings.simplefilter("ignore")  # Python warns of forking with threads
child = os.fork()
if not child:
    os._exit(0 if (cpu.matmul(a, a) == 600).all() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    finished = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr


def test_calls_beyond_the_prepared_tickets_are_served_too():
    pool = threads._Pool()
    taken = [pool.take_ticket() for _ in range(threads.CALLS)]
    places = [place for _, place in taken]
    assert sorted(places) == list(range(threads.CALLS))
    assert not any(np.shares_memory(taken[-1][0], ticket) for ticket, _ in taken[:-1])
    for place in places:
        pool.give_back(place)
    assert sorted(pool.take_ticket()[1] for _ in range(threads.CALLS)) == list(range(threads.CALLS))


@pytest.mark.parametrize("looks", [0, 20, 4000])
def test_whoever_comes_late_or_not_at_all(looks, monkeypatch):
    """Helpers that sleep, that just fall asleep, and that listen; several callers, whose tickets are used again."""
    monkeypatch.setattr(threads, "LOOKS", looks)
    a = np.random.default_rng(0).standard_normal((64, 300)).astype("float32")
    monkeypatch.setattr(threads, "WORTH_WAKING", 1000)
    cpu.set_num_threads(1)
    expected = cpu.matmul(a, a.T).tobytes()
    cpu.set_num_threads(3)
    with ThreadPoolExecutor(3) as pool:
        for results in pool.map(lambda _: [cpu.matmul(a, a.T).tobytes() for _ in range(150)], range(3)):
            assert results == [expected] * 150
    assert len(threads._pool._free) == threads.CALLS - 1
