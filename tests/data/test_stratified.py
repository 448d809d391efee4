"""Parts that share no picture, with the same classes in each, for any order of the names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data.sets.stratified import balanced_parts, proportional_parts

NAMES = [f"train/{kind}.{number}.jpg" for kind in ("cat", "dog") for number in range(50)]
LABELS = np.repeat([0, 1], 50)


def chosen(parts, names):
    return [[names[index] for index in part] for part in parts]


def counted(part, labels=LABELS):
    return np.bincount(labels[part], minlength=2).tolist()


@pytest.mark.parametrize("divide", [balanced_parts, proportional_parts])
def test_disjoint_seeded_and_balanced(divide):
    parts = divide(NAMES, LABELS, (60, 20, 10), seed=1)
    assert [len(part) for part in parts] == [60, 20, 10]
    assert len(np.unique(np.concatenate(parts))) == 90
    assert [counted(part) for part in parts] == [[30, 30], [10, 10], [5, 5]]
    again, other = divide(NAMES, LABELS, (60, 20, 10), seed=1), divide(NAMES, LABELS, (60, 20, 10), seed=2)
    assert chosen(again, NAMES) == chosen(parts, NAMES) != chosen(other, NAMES)


@pytest.mark.parametrize("divide", [balanced_parts, proportional_parts])
def test_the_order_of_the_listing_does_not_matter(divide):
    order = np.random.default_rng(0).permutation(100)
    expected = chosen(divide(NAMES, LABELS, (30, 30)), NAMES)
    shuffled = [NAMES[index] for index in order]
    assert chosen(divide(shuffled, LABELS[order], (30, 30)), shuffled) == expected


@pytest.mark.parametrize("divide", [balanced_parts, proportional_parts])
def test_folder_and_archive_are_divided_alike(divide):
    flat = [name.removeprefix("train/") for name in NAMES]
    parts = divide(NAMES, LABELS, (30, 30))
    for part, other in zip(parts, divide(flat, LABELS, (30, 30)), strict=True):
        np.testing.assert_array_equal(part, other)
    scattered = [f"{index % 7}/{name}" for index, name in enumerate(flat)]
    for part, other in zip(parts, divide(scattered, LABELS, (30, 30)), strict=True):
        np.testing.assert_array_equal(part, other)


def test_another_class_does_not_move_pictures():
    names, labels = [*NAMES, "horse.0.jpg", "horse.1.jpg"], np.array([*LABELS, 2, 2])
    before = balanced_parts(NAMES, LABELS, (4,))[0]
    after = balanced_parts(names, labels, (6,))[0]
    assert set(before) <= set(after)


def test_more_dogs_than_cats_are_balanced_all_the_same():
    names, labels = NAMES[40:], LABELS[40:]
    (part, other) = balanced_parts(names, labels, (14, 5))
    assert counted(part, labels) == [7, 7]
    assert counted(other, labels) == [3, 2]


def test_too_few_of_a_class():
    with pytest.raises(ValueError, match=r"^60 \+ 42 pictures, as many of each class, need 51 of 'cat', but there are"):
        balanced_parts(NAMES, LABELS, (60, 42), classes=("cat", "dog"))
    with pytest.raises(ValueError, match=r"^60 \+ 42 pictures are wanted, but there are 100$"):
        proportional_parts(NAMES, LABELS, (60, 42))


@pytest.mark.parametrize("divide", [balanced_parts, proportional_parts])
def test_bad_arguments(divide):
    with pytest.raises(ValueError, match=r"expected counts of pictures from 0, got \[3, -1\]"):
        divide(NAMES, LABELS, (3, -1))
    with pytest.raises(ValueError, match="a name of its own"):
        divide(["a.jpg", "a.jpg"], [0, 1], (1,))


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    seed=st.integers(0, 3),
)
def test_every_class_gives_its_share(sizes, cuts, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = [f"{index}.jpg" for index in range(len(labels))]
    counts = [cut for index, cut in enumerate(cuts) if sum(cuts[: index + 1]) <= len(labels)][: len(cuts)]
    if sum(counts) > len(labels):
        return
    parts = proportional_parts(names, labels, counts, seed)
    assert [len(part) for part in parts] == counts
    assert len({index for part in parts for index in part}) == sum(counts)
    for part, count in zip(parts, counts, strict=True):
        given_by = np.bincount(labels[part], minlength=len(sizes))
        np.testing.assert_array_less(np.abs(given_by - count * np.array(sizes) / len(labels)), 2.001)
