"""One tree of seeds."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minicnn
from minicnn import random


def draws(count: int = 3) -> list[float]:
    return [random.generator(random.spawn()).random() for _ in range(count)]


def test_the_same_seed_gives_the_same_children() -> None:
    minicnn.set_seed(5)
    first = draws()
    minicnn.set_seed(np.int64(5))
    assert draws() == first
    minicnn.set_seed(6)
    assert draws() != first
    assert len(set(first)) == 3


def test_children_do_not_depend_on_what_their_siblings_drew() -> None:
    minicnn.set_seed(5)
    _, second = draws(2)
    minicnn.set_seed(5)
    random.generator(random.spawn()).random(1000)
    assert draws(1) == [second]


def test_the_global_state_of_numpy_plays_no_part() -> None:
    minicnn.set_seed(5)
    first = draws()
    minicnn.set_seed(5)
    np.random.seed(3)  # noqa: NPY002 - what a user's own code may do
    assert draws() == first


def test_none_takes_fresh_entropy() -> None:
    minicnn.set_seed(None)
    first = draws()
    minicnn.set_seed(None)
    assert draws() != first


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True, np.array([1])], ids=repr)
def test_what_is_no_seed(seed: object) -> None:
    with pytest.raises(ValueError, match="set_seed: seed must be a whole number of at least 0 or None, got"):
        minicnn.set_seed(seed)


def test_spawning_from_many_threads_gives_every_child_once() -> None:
    minicnn.set_seed(1)
    children: list[tuple[int, ...]] = []

    def work() -> None:
        children.extend(random.spawn().spawn_key for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(children) == [(i,) for i in range(200)]


def test_the_key_of_a_stream_has_64_bits_and_stays() -> None:
    seeds = np.random.SeedSequence(0)
    assert random.counter_key(seeds) == random.counter_key(seeds)
    keys = [random.counter_key(child) for child in seeds.spawn(50)]
    assert len(set(keys)) == 50
    assert max(keys) > 2**60 and min(keys) >= 0
