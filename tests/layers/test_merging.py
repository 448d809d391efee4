from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from tests import oracles
from tests.layers.parity import compare, dtypes, picture, seeds

small = st.integers(1, 3)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
@given(st.integers(2, 4), st.tuples(small, small, small), st.booleans(), dtypes, seeds)
def test_merging_is_keras(name: str, count: int, shape: Any, stretch: bool, dtype: str, seed: int) -> None:
    count = 2 if name == "Subtract" else count
    x = [picture(seed + i, shape, dtype) for i in range(count)]
    if stretch:
        x[-1] = x[-1][:, :1]
    theirs = getattr(oracles.keras().layers, name)(dtype="float64")
    if name in ("Maximum", "Minimum"):
        # Keras' PyTorch backend takes them in float32.
        extreme = getattr(oracles.torch(), name.lower())
        compare(getattr(layers, name)(dtype=dtype), lambda x, *_: functools.reduce(extreme, x), x, seed)
    else:
        compare(getattr(layers, name)(dtype=dtype), theirs, x, seed)


@given(st.integers(2, 4), st.sampled_from([-1, 1, 2, 3]), st.data(), dtypes, seeds)
def test_concatenate_is_keras(count: int, axis: int, data: Any, dtype: str, seed: int) -> None:
    shape = [2, 2, 3, 2]
    x = []
    for i in range(count):
        shape[axis] = data.draw(small)
        x.append(picture(seed + i, tuple(shape), dtype))
    compare(layers.Concatenate(axis, dtype=dtype), oracles.keras().layers.Concatenate(axis, dtype="float64"), x, seed)


def test_symbolic_shapes_stretch_and_stay_open() -> None:
    a, b = layers.Input((None, 4, 3)), layers.Input((5, 4, 1))
    assert layers.Add()([a, b]).shape == (None, 5, 4, 3)
    assert layers.Concatenate()([a, b]).shape == (None, 5, 4, 4)
    assert layers.Concatenate(1)([a, layers.Input((5, 4, 3))]).shape == (None, None, 4, 3)


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (layers.Add(name="a"), [np.zeros((2, 3))] * 1, "Add 'a': expects a list of at least 2 tensors, but 1 came"),
        (layers.Add(name="a"), np.zeros((2, 3)), "Add 'a': expects a list of at least 2 tensors, but one of shape"),
        (layers.Subtract(name="s"), [np.zeros((2, 3))] * 3, "expects a list of exactly 2 tensors, but 3 came"),
        (layers.Add(name="a"), [np.zeros((2, 3)), np.zeros((2, 4))], "the inputs must have the same shape"),
        (layers.Concatenate(name="c"), [np.zeros((2, 3)), np.zeros((2, 3, 4))], "same number of axes"),
        (layers.Concatenate(name="c"), [np.zeros((2, 2, 3)), np.zeros((2, 4, 3))], "agree in every axis but -1"),
        (layers.Concatenate(0, name="c"), [np.zeros((2, 3))] * 2, "axis 0 among them other than the batch"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layer: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(inputs)
