from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import layers
from tests import oracles
from tests.layers.parity import assert_close, compare, data_formats, dtypes, picture, seeds

small = st.integers(1, 5)
shapes = st.lists(small, min_size=2, max_size=4)


activations = st.sampled_from([None, "relu", "tanh", "softmax"])


@given(shapes, small, activations, st.booleans(), seeds)
def test_dense_is_keras(shape: Any, units: int, activation: Any, use_bias: bool, seed: int) -> None:
    # Keras warns that the softmax of a single value is always 1.
    assume(units > 1 or activation != "softmax")
    options = {"units": units, "activation": activation, "use_bias": use_bias}
    theirs = oracles.keras().layers.Dense(**options)
    compare(layers.Dense(**options), theirs, picture(seed, shape, "float32"), seed, oracle_dtype="float32")


@given(shapes, small, activations, st.booleans(), dtypes, seeds)
def test_dense_is_torch(shape: Any, units: int, activation: Any, use_bias: bool, dtype: str, seed: int) -> None:
    # Keras' PyTorch backend multiplies matrices of float64 in float32.
    apply = {
        None: lambda y: y,
        "relu": lambda y: y.relu(),
        "tanh": lambda y: y.tanh(),
        "softmax": lambda y: y.softmax(-1),
    }

    def theirs(x: Any, weights: list[Any], _: bool) -> Any:
        return apply[activation](oracles.torch().nn.functional.linear(x, weights[0].T, *weights[1:]))

    layer = layers.Dense(units, activation, use_bias, dtype=dtype)
    compare(layer, theirs, picture(seed, shape, dtype), seed)


@given(shapes, st.sampled_from([None, "channels_first", "channels_last"]), dtypes, seeds)
def test_flatten_is_keras(shape: Any, data_format: Any, dtype: str, seed: int) -> None:
    theirs = oracles.keras().layers.Flatten(data_format, dtype="float64")
    compare(layers.Flatten(data_format, dtype=dtype), theirs, picture(seed, shape, dtype), seed)


def test_flatten_keeps_the_order_of_channels_first_maps() -> None:
    # The article's channels-first network flattens C, H, W in this order; its dense weights depend on it.
    x = picture(0, (2, 3, 9, 9), "float32")
    convolution = layers.Conv2D(4, 3, data_format="channels_first")
    y = convolution(x)
    np.testing.assert_array_equal(layers.Flatten()(y).numpy(), y.numpy().reshape(2, -1))


@given(st.sampled_from([(6,), (2, 3), (-1,), (3, -1), (1, 2, 3)]), dtypes, seeds)
def test_reshape_is_keras(target: Any, dtype: str, seed: int) -> None:
    theirs = oracles.keras().layers.Reshape(target, dtype="float64")
    compare(layers.Reshape(target, dtype=dtype), theirs, picture(seed, (4, 6), dtype), seed)


def test_shape_layers_on_an_empty_batch() -> None:
    x = np.zeros((0, 2, 3))
    assert layers.Flatten()(x).shape == (0, 6)
    assert layers.Reshape((3, -1))(x).shape == (0, 3, 2)
    assert layers.Dense(4)(x).shape == (0, 2, 4)


slopes = st.sampled_from([0.0, 0.1, 0.5])


@given(st.sampled_from([None, 0.7, 6.0]), slopes, st.sampled_from([0.0, 0.2, 1.0]), shapes, dtypes, seeds)
def test_relu_is_keras(top: Any, slope: float, threshold: float, shape: Any, dtype: str, seed: int) -> None:
    options = {"max_value": top, "negative_slope": slope, "threshold": threshold}
    theirs = oracles.keras().layers.ReLU(**options, dtype="float64")
    # A value at the threshold once rounded to float32 would sit on the other side of it in float64.
    x = 2 * picture(seed, shape, dtype)
    compare(
        layers.ReLU(**options, dtype=dtype), theirs, np.where(abs(x - threshold) < 1e-3, 0.5, x).astype(dtype), seed
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.05}),
        ("ELU", {}),
        ("ELU", {"alpha": 0.5}),
        ("Softmax", {}),
        ("Softmax", {"axis": 1}),
        ("Activation", {"activation": "relu"}),
        ("Activation", {"activation": "softmax"}),
    ],
)
@given(dtypes, seeds)
def test_activation_layers_are_keras(name: str, options: Any, dtype: str, seed: int) -> None:
    theirs = getattr(oracles.keras().layers, name)(**options, dtype="float64")
    compare(getattr(layers, name)(**options, dtype=dtype), theirs, picture(seed, (3, 4, 5), dtype), seed)


@pytest.mark.parametrize(
    "name",
    [
        "relu", "relu6", "sigmoid", "hard_sigmoid", "tanh", "softmax", "log_softmax", "elu", "selu", "gelu",
        "leaky_relu", "silu", "swish", "softplus", "softsign", "linear", "exponential",
    ],
)  # fmt: skip
@given(dtypes, seeds)
def test_activations_by_name_are_keras(name: str, dtype: str, seed: int) -> None:
    functional = oracles.torch().nn.functional
    # Where Keras' PyTorch backend approximates, or leaves float64.
    exact = {"gelu": functional.gelu, "hard_sigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1)}
    theirs = exact.get(name) or oracles.keras().activations.get(name)
    layer = layers.Activation(name, dtype=dtype)
    compare(layer, lambda x, *_: theirs(x), 3 * picture(seed, (3, 7), dtype), seed)


def test_leaky_relu_takes_keras_2s_alpha() -> None:
    assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1


def test_softmax_and_relu_layers_show_the_function_that_training_fuses() -> None:
    import minicnn.functional as F

    assert layers.Softmax().activation is F.softmax
    assert layers.Activation("softmax").activation is F.softmax
    assert layers.Dense(2, activation="sigmoid").activation is F.sigmoid
    assert layers.ReLU().activation is F.relu
    x = layers.Dense(3, activation="relu")
    value = x(picture(0, (2, 4), "float32"))
    np.testing.assert_array_equal(
        value.numpy(),
        x.activation(x.pre_activation(layers.Activation("linear")(picture(0, (2, 4), "float32")))).numpy(),
    )


def test_lambda_applies_a_function() -> None:
    layer = layers.Lambda(lambda x: x * 2.0 + 1.0)
    np.testing.assert_array_equal(layer(np.ones((2, 3))).numpy(), np.full((2, 3), 3.0, "float32"))
    assert layer.compute_output_shape((None, 3)) == (None, 3)


def test_lambda_takes_functions_by_name_with_arguments() -> None:
    layer = layers.Lambda("max", arguments={"axis": -1, "keepdims": True})
    assert layer(layers.Input((4, 5))).shape == (None, 4, 1)
    x = picture(0, (2, 4, 5), "float32")
    assert_close(layer(x).numpy(), x.max(-1, keepdims=True), "float32", "y")


@given(data_formats)
def test_dense_on_maps_works_along_the_last_axis(data_format: str) -> None:
    maps = layers.Conv2D(3, 3, data_format=data_format)(np.zeros((1, 6, 6, 6)))
    assert layers.Dense(7)(maps).shape == (*maps.shape[:-1], 7)


def test_multiply_adds_of_dense() -> None:
    assert layers.Dense(10).multiply_adds((None, 784)) == 7840
    assert layers.Dense(10).multiply_adds((None, 5, 7)) == 350
    assert layers.Flatten().multiply_adds((None, 5, 7)) == 0
