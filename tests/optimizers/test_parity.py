"""Every optimizer against Keras over 20 steps, fed the same gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import optimizers
from minicnn.autograd import Tensor
from minicnn.parameter import Parameter
from tests.oracles import keras, keras_in

STEPS = 20
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
SHAPES = [(3, 2), (2,), (1, 1, 2, 3), (17,)]


def make_parameters(seed, dtype):
    generator = np.random.default_rng(seed)
    values = [generator.normal(size=shape).astype(dtype) for shape in SHAPES]
    return [
        Parameter(value.shape, dtype, initializer=lambda *_, value=value: value.copy(), name=f"p{i}")
        for i, value in enumerate(values)
    ]


def gradients(seed, dtype):
    """Gradients of each step, of sizes that clipping sometimes touches."""
    generator = np.random.default_rng([seed, 1])
    for _ in range(STEPS):
        scale = np.exp(generator.normal())
        yield [(generator.normal(size=shape) * scale).astype(dtype) for shape in SHAPES]


def clipped(step, clipnorm=None, clipvalue=None, global_clipnorm=None):
    """The gradients of one step as the options leave them."""
    if clipvalue is not None:
        return [np.clip(g, -clipvalue, clipvalue) for g in step]
    norms = [np.linalg.norm(g) for g in step]
    if global_clipnorm is not None:
        clipnorm, norms = global_clipnorm, [np.linalg.norm(norms)] * len(step)
    if clipnorm is not None:
        return [g * min(1.0, clipnorm / norm) for g, norm in zip(step, norms, strict=True)]
    return step


def compare(name, seed, dtype, options):
    ours = make_parameters(seed, dtype)
    optimizer = getattr(optimizers, name)(parameters=ours, **options)
    # Keras on PyTorch clips in float32 whatever comes in, so in float64 it is given clipped gradients.
    clips = {key: value for key, value in options.items() if "clip" in key and dtype == "float64"}
    with keras_in(dtype) as keras:
        oracle = getattr(keras.optimizers, name)(**{key: options[key] for key in options.keys() - clips.keys()})
        theirs = [keras.Variable(parameter.data, dtype=dtype) for parameter in ours]
        oracle.build(theirs)
        for step in gradients(seed, dtype):
            oracle.apply([keras.ops.convert_to_tensor(g) for g in clipped(step, **clips)])
            for parameter, g in zip(ours, step, strict=True):
                parameter.grad = Tensor(g.copy())
            optimizer.step()
            optimizer.zero_grad()
    assert all(parameter.data.dtype == dtype for parameter in ours)
    result = np.concatenate([parameter.data.ravel() for parameter in ours])
    expected = np.concatenate([variable.value.detach().numpy().ravel() for variable in theirs])
    assert np.max(np.abs(result - expected)) <= TOLERANCE[dtype] * np.max(np.abs(expected))


seeds = st.integers(0, 2**32 - 1)
rates = st.floats(1e-4, 0.1)
common = st.one_of(
    st.just({}),
    st.builds(lambda value: {"clipnorm": value}, st.floats(0.1, 5)),
    st.builds(lambda value: {"clipvalue": value}, st.floats(0.1, 2)),
    st.builds(lambda value: {"global_clipnorm": value}, st.floats(0.1, 5)),
    st.builds(lambda value: {"weight_decay": value}, st.floats(0.001, 0.5)),
)
own = {
    "SGD": st.fixed_dictionaries({"momentum": st.sampled_from([0.0, 0.5, 0.9]), "nesterov": st.booleans()}),
    "Adam": st.fixed_dictionaries(
        {"beta_1": st.floats(0.5, 0.95), "beta_2": st.floats(0.9, 0.999), "amsgrad": st.booleans()}
    ),
    "AdamW": st.fixed_dictionaries({"amsgrad": st.booleans(), "epsilon": st.sampled_from([1e-7, 1e-3])}),
    "RMSprop": st.fixed_dictionaries(
        {"rho": st.floats(0.5, 0.95), "momentum": st.sampled_from([0.0, 0.7]), "centered": st.booleans()}
    ),
    "Adagrad": st.fixed_dictionaries({"initial_accumulator_value": st.floats(0.01, 1)}),
}


@pytest.mark.parametrize("name", list(own))
@given(data=st.data(), dtype=st.sampled_from(["float32", "float64"]))
def test_as_keras_over_20_steps(name, data, dtype):
    options = {"learning_rate": data.draw(rates), **data.draw(own[name]), **data.draw(common)}
    compare(name, data.draw(seeds), dtype, options)


@pytest.mark.parametrize("name", list(own))
def test_defaults_as_keras(name):
    compare(name, 0, "float64", {})
    theirs = inspect.signature(getattr(keras().optimizers, name)).parameters
    ours = inspect.signature(getattr(optimizers, name)).parameters
    for argument, parameter in ours.items():
        if argument != "options":
            assert parameter.default == theirs[argument].default
