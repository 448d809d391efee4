"""Initialisers: Keras' distributions, one stream of random numbers for each parameter, no float64 creep."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import initializers
from tests.oracles import keras

NAMES = [
    "Zeros", "Ones", "Constant", "Identity", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "Orthogonal",
]  # fmt: skip
RANDOM = NAMES[4:]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_defaults_as_keras(name):
    ours = inspect.signature(getattr(initializers, name)).parameters
    theirs = inspect.signature(getattr(keras().initializers, name)).parameters
    assert {key: p.default for key, p in ours.items()} == {key: theirs[key].default for key in ours}
    snake = minicnn.registry.snake_case(name)
    assert type(initializers.get(snake)) is type(initializers.get(name)) is getattr(initializers, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 4), (3, 3, 2, 5), (4, 7)])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype(name, shape, dtype):
    if name == "Identity" and len(shape) != 2:
        pytest.skip("only for matrices")
    array = initializers.get(name)(shape, dtype, np.random.default_rng(0))
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous


@pytest.mark.parametrize("name", RANDOM)
def test_where_the_numbers_come_from(name):
    make = getattr(initializers, name)
    first = make()((5, 4), "float32", np.random.default_rng(1))
    np.testing.assert_array_equal(first, make()((5, 4), "float32", np.random.default_rng(1)))
    assert not np.array_equal(first, make()((5, 4), "float32", np.random.default_rng(2)))
    seeded = make(seed=3)
    np.testing.assert_array_equal(seeded((5, 4)), seeded((5, 4), "float32", np.random.default_rng(9)))
    minicnn.set_seed(4)
    drawn = [make()((5, 4)), make()((5, 4))]
    minicnn.set_seed(4)
    np.testing.assert_array_equal(drawn, [make()((5, 4)), make()((5, 4))])
    assert not np.array_equal(*drawn)


@given(shape=st.lists(st.integers(1, 30), min_size=0, max_size=5).map(tuple))
def test_fans_as_keras(shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert initializers.fans(shape) == compute_fans(shape)


@pytest.mark.parametrize(
    ("name", "options", "deviation", "bound"),
    [
        ("RandomNormal", {"stddev": 0.3}, 0.3, math.inf),
        ("RandomUniform", {"minval": -0.6, "maxval": 0.6}, 0.6 / math.sqrt(3), 0.6),
        ("TruncatedNormal", {"stddev": 0.3}, 0.3 * initializers.TRUNCATED_STDDEV, 0.6),
        ("GlorotUniform", {}, math.sqrt(2 / (72 + 1800)), math.sqrt(6 / (72 + 1800))),
        ("GlorotNormal", {}, math.sqrt(2 / (72 + 1800)), 2 * math.sqrt(2 / (72 + 1800)) / 0.87962566103423978),
        ("HeUniform", {}, math.sqrt(2 / 72), math.sqrt(6 / 72)),
        ("HeNormal", {}, math.sqrt(2 / 72), 2 * math.sqrt(2 / 72) / 0.87962566103423978),
        ("LecunUniform", {}, math.sqrt(1 / 72), math.sqrt(3 / 72)),
        ("LecunNormal", {}, math.sqrt(1 / 72), 2 * math.sqrt(1 / 72) / 0.87962566103423978),
        ("VarianceScaling", {"mode": "fan_out", "distribution": "untruncated_normal"}, math.sqrt(1 / 1800), math.inf),
    ],
)
def test_distribution(name, options, deviation, bound):
    """The same deviation and bounds as Keras' (its own values are measured too)."""
    shape = (3, 3, 8, 200)
    ours = getattr(initializers, name)(**options)(shape, "float64", np.random.default_rng(0))
    theirs = getattr(keras().initializers, name)(**options, seed=1)(shape).numpy()
    assert abs(ours.mean()) < 5 * deviation / math.sqrt(ours.size)
    assert ours.std() == pytest.approx(deviation, rel=0.03)
    assert theirs.std() == pytest.approx(deviation, rel=0.03)
    assert np.abs(ours).max() <= bound * (1 + 1e-6)
    if bound < math.inf:
        assert np.abs(ours).max() > 0.97 * bound


def test_truncated_normal_against_scipy():
    from scipy import stats

    values = initializers.TruncatedNormal(0.0, 1.0)((20000,), "float64", np.random.default_rng(0))
    assert stats.kstest(values, stats.truncnorm(-2, 2).cdf).pvalue > 0.01


@given(shape=st.lists(st.integers(1, 12), min_size=2, max_size=4).map(tuple), seed=st.integers(0, 99))
def test_orthogonal(shape, seed):
    matrix = initializers.Orthogonal(2.0, seed)(shape, "float64").reshape(-1, shape[-1]) / 2.0
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(min(matrix.shape)), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_configuration_goes_through_json(name):
    made = getattr(initializers, name)()
    copy = initializers.get(json.loads(json.dumps(initializers.serialize(made))))
    assert type(copy) is type(made)
    assert copy.get_config() == made.get_config()


def test_own_functions_and_unknown_names():
    def halves(shape, dtype, generator):
        return np.full(shape, 0.5, dtype)

    assert initializers.get(halves) is halves
    assert initializers.get(None) is None
    with pytest.raises(ValueError, match="unknown initializer 'he_nromal'; did you mean 'HeNormal'"):
        initializers.get("he_nromal")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=0), "VarianceScaling: expected scale > 0, got 0"),
        (lambda: initializers.VarianceScaling(mode="fan"), r"expected mode to be one of .*, got 'fan'"),
        (
            lambda: initializers.VarianceScaling(distribution="beta"),
            r"expected distribution to be one of .*, got 'beta'",
        ),
        (lambda: initializers.Orthogonal()((3,)), r"Orthogonal: expected a shape of at least 2 axes, got \(3,\)"),
        (lambda: initializers.Identity()((3, 3, 1)), r"Identity: expected a shape of 2 axes, got \(3, 3, 1\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="HeNormal: expected dtype float32 or float64, got int64"):
        initializers.HeNormal()((3, 3), "int64")
