"""One-hot labels as Keras makes them; holding data back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import utils
from minicnn.preprocessing import split
from minicnn.utils import to_categorical
from tests.oracles import keras


@pytest.mark.parametrize("shape", [(), (5,), (5, 1), (1,), (1, 1), (2, 3), (2, 3, 1), (0,)])
@pytest.mark.parametrize("num_classes", [10, 7])
def test_as_keras(shape, num_classes):
    y = np.random.default_rng(0).integers(0, 7, shape)
    ours, theirs = to_categorical(y, num_classes), keras().utils.to_categorical(y, num_classes)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.float32


def test_the_number_of_classes_is_found():
    assert to_categorical([0, 2, 1]).shape == (3, 3)
    assert to_categorical(np.array([1.0, 0.0]), dtype="float64").dtype == np.float64
    np.testing.assert_array_equal(to_categorical([True, False]), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("y", "num_classes", "message"),
    [
        ([0, 3], 3, "expected labels from 0 to 2, got 0 to 3"),
        ([-1, 0], 3, "got -1 to 0"),
        ([0.5], None, "fractions"),
        ([np.nan], None, "NaN"),
        (["cat"], None, "expected whole numbers as labels, got dtype"),
        ([], None, "num_classes is needed"),
    ],
)
def test_wrong_labels(y, num_classes, message):
    with pytest.raises(ValueError, match=message):
        to_categorical(y, num_classes)


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
    stratify=st.booleans(),
)
def test_split_is_a_partition(labels, fraction, seed, stratify):
    y = np.array(labels)
    x = np.arange(len(y)) * 10
    (x_kept, y_kept), (x_held, y_held) = split(x, y, fraction, seed, stratify)
    assert len(x_held) == min(max(round(fraction * len(y)), 1), len(y) - 1)
    np.testing.assert_array_equal(np.sort(np.concatenate([x_kept, x_held])), x)
    np.testing.assert_array_equal(y[x_kept // 10], y_kept)
    np.testing.assert_array_equal(y[x_held // 10], y_held)
    assert (np.diff(x_kept) > 0).all() and (np.diff(x_held) > 0).all()
    if stratify:
        share = len(x_held) / len(y)
        for label in set(labels):
            assert abs((y_held == label).sum() - share * (y == label).sum()) <= 1.5


def test_split_shuffles_and_repeats():
    x, y = np.arange(100), np.repeat([0, 1], 50)
    held = split(x, y, 0.2, seed=1)[1][0]
    np.testing.assert_array_equal(held, split(x, y, 0.2, seed=1)[1][0])
    assert set(held) != set(split(x, y, 0.2, seed=2)[1][0])
    assert set(held) != set(range(80, 100))


def test_split_without_a_seed_follows_the_package_seed():
    x, y = np.arange(100), np.zeros(100)
    utils.set_random_seed(5)
    first, second = split(x, y, 0.3)[1][0], split(x, y, 0.3)[1][0]
    assert set(first) != set(second)
    utils.set_random_seed(5)
    np.testing.assert_array_equal(split(x, y, 0.3)[1][0], first)


def test_stratified_by_one_hot_rows_and_names():
    y = np.repeat(["cat", "dog"], [90, 10])
    for labels in (y, to_categorical((y == "dog").astype(int)), (y == "dog")[:, None]):
        (_, _), (held, _) = split(np.arange(100), labels, 0.2, seed=0, stratify=True)
        assert (held >= 90).sum() == 2


@pytest.mark.parametrize(
    ("x", "y", "fraction", "message"),
    [
        (np.zeros(3), np.zeros(4), 0.5, r"got x \(3,\) and y \(4,\)"),
        (np.zeros(3), np.zeros(3), 0.0, "expected 0 < fraction < 1, got 0.0"),
        (np.zeros(3), np.zeros(3), 1, "got 1"),
        (np.zeros(1), np.zeros(1), 0.5, "at least 2 samples"),
        (np.zeros(3), np.zeros((3, 2, 2)), 0.5, "one label a sample or one-hot rows"),
    ],
)
def test_wrong_splits(x, y, fraction, message):
    with pytest.raises(ValueError, match=message):
        split(x, y, fraction, seed=0, stratify=True)
