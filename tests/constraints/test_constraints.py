"""Constraints against Keras."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import constraints
from tests.oracles import keras

arguments = {
    "MaxNorm": st.fixed_dictionaries({"max_value": st.floats(0.1, 5), "axis": st.sampled_from([0, 1, [0, 1, 2]])}),
    "UnitNorm": st.fixed_dictionaries({"axis": st.sampled_from([0, 1, [0, 1, 2]])}),
    "MinMaxNorm": st.fixed_dictionaries(
        {"min_value": st.floats(0, 1), "max_value": st.floats(1, 5), "rate": st.floats(0, 1), "axis": st.just([0, 1])}
    ),
    "NonNeg": st.just({}),
}


@pytest.mark.parametrize("name", list(arguments))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_constraint_as_keras(name, data, seed):
    options = data.draw(arguments[name])
    w = np.random.default_rng(seed).normal(size=(3, 2, 4, 5)).astype(np.float32)
    w[:, :, :, 0] = 0
    ours = getattr(constraints, name)(**options)(w)
    theirs = getattr(keras().constraints, name)(**options)(w).numpy()
    assert ours.dtype == np.float32
    assert np.max(np.abs(ours - theirs)) <= 1e-5 * np.max(np.abs(theirs))


@pytest.mark.parametrize("name", list(arguments))
def test_names_and_configuration(name):
    made = constraints.get(name)
    assert type(made).__name__ == name
    copy = constraints.get(json.loads(json.dumps(constraints.serialize(made))))
    assert copy.get_config() == made.get_config()


def test_float64_stays_float64():
    """Keras computes norms in float32 whatever comes in; the 1e-7 in the denominator is all that is lost here."""
    w = np.random.default_rng(0).normal(size=(7, 3)) * 10
    assert constraints.NonNeg()(w).dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(constraints.MaxNorm(2.0)(w), axis=0), 2.0, rtol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(constraints.UnitNorm()(w), axis=0), 1.0, rtol=1e-7)


def test_an_axis_may_be_a_whole_number_of_numpys():
    w = np.float32([[3, 0.3], [4, 0.4]])
    np.testing.assert_array_equal(constraints.MaxNorm(1, axis=np.int64(0))(w), constraints.MaxNorm(1, axis=0)(w))


def test_none_and_unknown():
    assert constraints.get(None) is None
    with pytest.raises(ValueError, match="unknown constraint 'max_nrom'; did you mean 'MaxNorm'"):
        constraints.get("max_nrom")
