"""Recorded kernels as one program: the same bits as call by call, for any number of threads, late helpers included."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="only compiled kernels are put into programs", exc_type=ImportError)

import minicnn.functional as F
from minicnn.kernels import cpu, current_kernels
from minicnn.kernels.cpu import program, threads
from minicnn.kernels.cpu.cache import compiled
from minicnn.kernels.noting import copy
from minicnn.kernels.recording import Recording, record
from minicnn.kernels.varying import vary


@pytest.fixture(autouse=True)
def keep_num_threads():
    before = cpu.get_num_threads()
    yield
    cpu.set_num_threads(before)


def several_kernels(x: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
    """Kernels with namedtuples, whole numbers and floats among their arguments, shared and not."""
    block: Any = {
        "strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1, "activation": "elu",
        "alpha": 0.5, "pool_size": (2, 2), "pool_strides": (2, 2), "pool_padding": ((0, 0), (0, 0)),
    }  # fmt: skip
    y, winners = cpu.conv2d_block(x, w, None, **block)
    few, _ = cpu.conv2d_block(x, w[..., :3], w[0, 0, 0, :3], **block)
    rows = y.reshape(len(x), -1)
    product = cpu.matmul(rows, rows.T)
    return [y, winners, few, product, cpu.softmax(product), cpu.matmul(rows[:2], rows.T)]


def recorded(*shape: int, dtype: Any = "float32") -> tuple[Recording, np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal((3, 3, shape[-1], 37)).astype(dtype)
    several_kernels(x, w)
    with record() as recording:
        results = several_kernels(x, w)
    return recording, x, w, results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_program_gives_the_bits_of_its_calls_for_what_is_in_the_arrays_now(dtype: str, count: int) -> None:
    cpu.set_num_threads(count)
    recording, x, w, results = recorded(23, 21, 19, 7, dtype=dtype)
    used = [arguments[2] for function, arguments in recording.calls if function is threads.share]
    assert (max(used) > 1) == (count > 1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x[...], w[...] = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
        for result in results:
            result[...] = 0
        recording.replay()
        for result, expected in zip(results, several_kernels(x, w), strict=True):
            assert result.tobytes() == expected.tobytes()


def test_threads_that_wait_for_each_other_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile that takes long: the others lose their patience, sleep, and come back to the same place."""
    cpu.set_num_threads(2)

    @compiled
    def slow(ticket, tiles, values):
        tile = threads.take(ticket)
        while tile < tiles:
            for _ in range(2_000_000 * (1 + 9 * (tile % 2))):
                values[tile] = values[tile] * 1.0000001 + 1.0
            tile = threads.take(ticket)

    values = np.zeros(2)
    threads.share(slow, 2, 1, values)
    expected = values.copy()
    walk = program._walk
    ended: list[bool] = []
    monkeypatch.setattr(program, "_walk", lambda *arguments: ended.append(walk(*arguments)) or ended[-1])
    steps = program.assemble([(threads.share, (slow, 2, 2, values)), (threads.share, (slow, 2, 2, values))])
    for _ in range(4):
        values[...] = 0
        for step in steps:
            step()
        assert values.tolist() != expected.tolist() and np.isfinite(values).all()
    assert ended.count(True) == 4
    # Whoever came back did not begin anew: two runs over the same tiles add up to the same numbers each time.
    values[...] = 0
    threads.share(slow, 2, 1, values)
    threads.share(slow, 2, 1, values)
    again = values.copy()
    values[...] = 0
    steps[0]()
    assert values.tolist() == again.tolist()


@pytest.mark.parametrize(("columns", "steps"), [(40, 1), (12_000, 3)])
def test_copies_between_kernels_keep_their_place(columns: int, steps: int) -> None:
    """Contiguous or not; those that are neither that nor small are left to NumPy."""
    rng = np.random.default_rng(2)
    x, wide = rng.standard_normal((6, columns)).astype("float32"), np.zeros((6, 2 * columns), "float32")
    between, spread = wide[:, ::2], np.zeros((6, 3), "float32")
    cpu.relu(x)
    with record() as recording:
        first = cpu.relu(x)
        copy(between, first)
        copy(spread, np.broadcast_to(first[:, :1], (6, 3)))
        kept = np.zeros_like(first)
        copy(kept, first)
        last = cpu.softmax(np.ascontiguousarray(kept))
    assert len(program.assemble(recording.calls)) == steps
    x[...] = rng.standard_normal(x.shape)
    recording.replay()
    assert np.array_equal(between, np.maximum(x, 0)) and np.array_equal(kept, np.maximum(x, 0))
    assert np.array_equal(spread, np.repeat(np.maximum(x[:, :1], 0), 3, axis=1))
    assert last.tobytes() == cpu.softmax(np.maximum(x, 0)).tobytes()


def test_programs_of_several_python_threads_do_not_disturb_each_other() -> None:
    cpu.set_num_threads(3)
    pieces = [recorded(17 + n, 12, 13, 5) for n in range(3)]
    expected = [[result.copy() for result in results] for *_, results in pieces]
    failures: list[int] = []

    def repeat(number: int) -> None:
        recording, *_, results = pieces[number]
        for _ in range(60):
            for result in results:
                result[...] = 0
            recording.replay()
            same = [a.tobytes() == b.tobytes() for a, b in zip(results, expected[number], strict=True)]
            if not all(same):
                failures.append(number)

    runners = [threading.Thread(target=repeat, args=(number,)) for number in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not failures


def test_a_kernel_that_fails_is_reported_and_the_program_can_run_again() -> None:
    @compiled
    def refusing(ticket, tiles, values):
        tile = threads.take(ticket)
        while tile < tiles:
            if values[tile] < 0:
                raise ValueError("negative")
            values[tile] = np.sqrt(values[tile])
            tile = threads.take(ticket)

    values = np.array([4.0, 9.0])
    (step,) = program.assemble([(threads.share, (refusing, 2, 1, values))])
    step()
    assert values.tolist() == [2.0, 3.0]
    values[0] = -1
    with pytest.raises(RuntimeError, match="a kernel that was called again failed"):
        step()
    values[:] = 16.0
    step()
    assert values.tolist() == [4.0, 4.0]


def test_an_interrupted_run_is_over_before_the_next_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu.set_num_threads(2)
    recording, x, w, results = recorded(23, 21, 19, 7)
    recording.replay()
    walk = program._walk
    cuts: list[bool] = []

    def interrupted(calls: np.ndarray, state: np.ndarray) -> bool:
        if not cuts:
            return walk(calls, state)
        # As after the patience is over in the first kernel, and Ctrl-C came.
        cuts.pop()
        state[: -program.ROW] = 0
        state[program.BEGUN_OR_ENDED - program.ROW] += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_walk", interrupted)
    for seed in (1, 2):
        cuts.append(True)
        with pytest.raises(KeyboardInterrupt):
            recording.replay()
        x[...] = np.random.default_rng(seed).standard_normal(x.shape)
        recording.replay()
        for result, expected in zip(results, several_kernels(x, w), strict=True):
            assert result.tobytes() == expected.tobytes()


def test_a_helper_that_comes_late_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu.set_num_threads(2)
    asked: list[Callable[[], None]] = []
    monkeypatch.setattr(program, "ask", lambda job, helpers: asked.append(job.help))
    recording, x, w, results = recorded(23, 21, 19, 7)
    recording.replay()
    expected = [result.tobytes() for result in results]
    for result in results:
        result[...] = 0
    assert len(asked) == 1
    asked[0]()
    assert not any(result.any() for result in results)
    recording.replay()
    assert [result.tobytes() for result in results] == expected


def test_recorded_arrays_follow_each_other_in_memory_that_nobody_else_is_given() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 500)).astype("float32")

    def chain(x: np.ndarray) -> np.ndarray:
        for _ in range(6):
            x = cpu.softmax(x)
        return x

    chain(x)
    with record() as recording:
        result = chain(x)
    # The input, and two in turn; the last one is held.
    assert sum(owner.nbytes for owner in recording.owners().values()) < 3.5 * x.nbytes
    x[...] = rng.standard_normal(x.shape)
    expected = chain(x).copy()
    others = [cpu.empty(x.shape, "float32") for _ in range(8)]
    for other in others:
        other[...] = np.nan
    recording.replay()
    assert result.tobytes() == expected.tobytes() and all(np.isnan(other).all() for other in others)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_between_kernels_are_kernels_too(dtype: str) -> None:
    assert current_kernels() == "cpu"
    rng = np.random.default_rng(4)
    x, factor = rng.standard_normal((2, 300, 500)).astype(dtype)
    with record() as recording:
        masked = F.multiply(cpu.relu(x), factor)
        result = cpu.softmax(masked)
    assert len(program.assemble(recording.calls)) == 1
    x[...], factor[...] = rng.standard_normal((2, *x.shape))
    recording.replay()
    np.testing.assert_array_equal(masked, np.maximum(x, 0) * factor)
    assert result.tobytes() == cpu.softmax(np.maximum(x, 0) * factor).tobytes()


def test_a_mask_is_drawn_of_the_step_that_the_replay_has() -> None:
    steps = iter([3, 2**63 + 5, 7])
    like, key = np.zeros((3, 20_000), "float32"), 2**64 - 9
    with record() as recording:
        mask = cpu.dropout_mask(like, 0.5, key=key, step=vary(lambda: next(steps)))
    assert mask.tobytes() == cpu.dropout_mask(like, 0.5, key=key, step=3).tobytes()
    for step in (2**63 + 5, 7):
        recording.replay()
        assert mask.tobytes() == cpu.dropout_mask(like, 0.5, key=key, step=step).tobytes()
