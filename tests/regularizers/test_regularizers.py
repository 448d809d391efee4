"""Regularisers against Keras, values and gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import gradcheck, regularizers
from minicnn.autograd import Tensor
from tests.oracles import keras, torch

# PyTorch has nothing to differentiate where all factors are zero.
factors = st.floats(0.01, 2)
arguments = {
    "L1": st.fixed_dictionaries({"l1": factors}),
    "L2": st.fixed_dictionaries({"l2": factors}),
    "L1L2": st.fixed_dictionaries({"l1": factors, "l2": factors}),
}


@pytest.mark.parametrize("name", list(arguments))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_regularizer_as_keras(name, data, seed):
    options = data.draw(arguments[name])
    w = np.random.default_rng(seed).normal(size=(3, 2, 4)).astype(np.float32)
    ours, theirs = Tensor(w, requires_grad=True), torch().tensor(w, requires_grad=True)
    penalty = getattr(regularizers, name)(**options)(ours)
    expected = getattr(keras().regularizers, name)(**options)(theirs)
    penalty.backward()
    expected.backward()
    assert penalty.dtype == np.float32
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", list(arguments))
def test_gradient_and_configuration(name):
    made = regularizers.get(name)
    gradcheck(made, [np.random.default_rng(0).normal(size=(2, 3))], order=2)
    copy = regularizers.get(json.loads(json.dumps(regularizers.serialize(made))))
    assert copy.get_config() == made.get_config()


def test_factors_of_zero_cost_nothing():
    w = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    penalty = regularizers.L1L2()(w)
    penalty.backward()
    assert penalty.item() == 0.0
    assert not w.grad.data.any()


def test_keras_has_both_spellings():
    for name in ("l1", "l2", "l1_l2"):
        assert hasattr(keras().regularizers, name)
    assert regularizers.l1(0.5).l1 == regularizers.l1_l2(0.5).l1 == 0.5
    assert regularizers.l2(0.5).l2 == 0.5


@pytest.mark.parametrize("factor", [-0.1, np.nan, np.inf])
def test_factors_out_of_range(factor):
    with pytest.raises(ValueError, match="L2: expected l2 to be a finite number >= 0, got"):
        regularizers.L2(factor)
