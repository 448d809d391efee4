"""Batches that are uploaded ahead: whole, in order, and never over what is still read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minicnn.training.uploads import Uploads, unpack
from tests.cuda_on_host import device, streams

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy() -> Iterator[Any]:
    with device.present() as module:
        yield module


def batches(count: int) -> list[list[np.ndarray]]:
    generator = np.random.default_rng(0)
    return [[generator.random((3 + i, 5)), generator.integers(0, 9, 3 + i), np.full((), i, np.float32)]
            for i in range(count)]  # fmt: skip


def test_what_arrives_is_what_was_sent(cupy: Any) -> None:
    uploads, copies = Uploads(), []
    for arrays in batches(5):
        sent = [array.copy() for array in arrays]
        there = unpack(uploads.send(sent), sent)
        for array in sent:
            array[...] = 0  # a batch's own buffer is filled anew at once
        copies.append([view + 0 for view in there])
    for arrays, found in zip(batches(5), copies, strict=True):
        for expected, actual in zip(arrays, found, strict=True):
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual.get(), expected)


def test_a_batch_stays_until_the_next_but_one(cupy: Any) -> None:
    uploads, (first, second, _) = Uploads(), batches(3)
    there = unpack(uploads.send(first), first)
    uploads.send(second)
    np.testing.assert_array_equal(there[0].get(), first[0])


def test_parts_that_are_not_contiguous_arrive_whole(cupy: Any) -> None:
    x = np.arange(24.0).reshape(4, 6)[:, ::2]
    np.testing.assert_array_equal(unpack(Uploads().send([x]), [x])[0].get(), x)


def test_what_is_small_arrives_in_memory_of_ones_own(cupy: Any) -> None:
    """Between larger ones that go the other way."""
    uploads, target, found = Uploads(), cupy.empty(64, np.uint8), []
    for number, arrays in enumerate(batches(5)):
        there = unpack(uploads.send(arrays), arrays)
        for _ in range(number):
            uploads.send_small([np.full(64, number, np.uint8)], target)
            found.append(target + 0)
        np.testing.assert_array_equal(there[0].get(), arrays[0])
    assert [copy.get().tolist() for copy in found] == [[n] * 64 for n in range(5) for _ in range(n)]


def test_what_is_small_is_not_overwritten_on_its_way(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness: a copy that is not waited for before its memory is filled anew."""
    if device.on_gpu:
        pytest.skip("a GPU may be lucky")
    monkeypatch.setattr(streams.Event, "synchronize", lambda self: None)
    uploads, target = Uploads(), cupy.empty(64, np.uint8)
    for _ in range(2):
        uploads.send_small([np.zeros(64, np.uint8)], target)
    with pytest.raises(streams.StreamError, match="filled anew while its last copy may have been under way"):
        uploads.send_small([np.zeros(64, np.uint8)], target)


def test_memory_that_was_just_anothers_is_waited_for(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool gives what was given back before the GPU is done with it."""
    if device.on_gpu:
        pytest.skip("a GPU may be lucky")
    empty, uploads, (small, *_) = cupy.empty, Uploads(), batches(1)

    def used(*shape: Any) -> Any:
        array = empty(*shape)
        array[...] = 0
        return array

    monkeypatch.setattr(cupy, "empty", used)
    large = [np.full(5000, 7.0)]
    for arrays in (small, large, large):
        there = unpack(uploads.send(arrays), arrays)
        np.testing.assert_array_equal(there[0].get(), arrays[0])


@pytest.mark.parametrize(("missing", "message"), [
    ("wait", "differs"), ("synchronize", "differs"), ("record", "has not waited for those who read it")])  # fmt: skip
def test_without_any_one_of_its_waits_it_fails(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    """The harness: what is sent then arrives too late, or over what is still read."""
    if device.on_gpu:
        pytest.skip("a GPU may be lucky")
    uploads = Uploads()
    if missing == "wait":
        monkeypatch.setattr(streams.DEFAULT, "wait_event", lambda event: None)
    elif missing == "synchronize":
        monkeypatch.setattr(streams.DEFAULT, "wait_event", lambda event: None)
        # The current stream waits at the very end: the pinned memory must have been left alone until then.
        monkeypatch.setattr(streams.Event, "synchronize", lambda self: None)
    else:
        monkeypatch.setattr(streams.Event, "record", lambda self, stream=None: setattr(self, "stream", stream))

    def run() -> None:
        arrived = []
        for arrays in batches(4):
            there = unpack(uploads.send(arrays), arrays)
            if missing == "synchronize":
                arrived.append((arrays, there))
            else:
                assert (there[0] + 0).get().tobytes() == arrays[0].tobytes(), "differs"
        uploads._stream.catch_up()
        for arrays, there in arrived[-2:-1]:
            assert there[0].get().tobytes() == arrays[0].tobytes(), "differs"
        if missing == "synchronize":
            first, place = arrived[1][0], arrived[3][1]
            assert place[0].get().tobytes() == first[0].tobytes(), "differs"

    with pytest.raises(AssertionError, match=message):
        run()
