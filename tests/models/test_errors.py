"""What goes wrong inside a model is explained with the shapes on the way."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.layers import Conv2D, Dense, Flatten, Input, Layer, MaxPooling2D
from minicnn.models import Model, Sequential


def test_chain_lists_the_shapes_up_to_the_layer_that_fails():
    with pytest.raises(ValueError) as caught:
        Sequential([Conv2D(4, 3, input_shape=(8, 8, 1)), MaxPooling2D(2), Conv2D(4, 5)])
    text = str(caught.value)
    assert "Sequential 'sequential'" in text
    assert "(None, 8, 8, 1)" in text and "(None, 6, 6, 4)" in text and "(None, 3, 3, 4)" in text
    assert "conv2d_1" in text and "fails" in text
    assert "Padding ('same')" in text


def test_convolution_after_flatten():
    with pytest.raises(ValueError, match=r"Reshape\(\(height, width, channels\)\)"):
        Sequential([Flatten(input_shape=(8, 8, 1)), Conv2D(2, 3)])


def test_grey_pictures_without_a_channel_axis():
    with pytest.raises(ValueError, match="channel axis is missing"):
        Sequential([Conv2D(2, 3, input_shape=(28, 28))])


def test_swapped_channels():
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        Sequential([Conv2D(2, 3, input_shape=(1, 28, 28))])


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((5, 1, 28, 28), r"np.moveaxis\(x, 1, -1\)"),
        ((5, 784), r"x.reshape\(\(-1, 28, 28, 1\)\)"),
        ((28, 28, 1), r"x\[np.newaxis\]"),
        ((5, 27, 28, 1), r"must have shape \(N, 28, 28, 1\), but \(N, 27, 28, 1\) came"),
    ],
)
def test_input_of_another_shape(shape, hint):
    model = Sequential([Conv2D(2, 3, input_shape=(28, 28, 1)), Flatten(), Dense(2)])
    with pytest.raises(ValueError, match=hint):
        model.predict(np.zeros(shape, np.float32))


def test_missing_channel_axis_is_added():
    model = Sequential([Conv2D(2, 3, input_shape=(28, 28, 1)), Flatten(), Dense(2)])
    x = np.random.default_rng(0).standard_normal((3, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x), model.predict(x[..., None]))


def test_number_of_inputs():
    a, b = Input((2,)), Input((2,))
    model = Model([a, b], [Dense(1)(a), Dense(1)(b)])
    with pytest.raises(ValueError, match="2 inputs are expected"):
        model(np.zeros((1, 2)))


def test_layer_that_fails_while_running_is_named_with_the_shapes():
    class Fails(Layer):
        def call(self, x):
            if x.shape[0] == 3:
                raise ValueError("three is too many")
            return x

    model = Sequential([Dense(4, input_shape=(2,)), Fails(), Dense(1)])
    with pytest.raises(ValueError) as caught:
        model.predict(np.zeros((3, 2)))
    text = str(caught.value)
    assert "three is too many" in text and "(None, 4)" in text and "fails" in text


def test_other_errors_of_a_layer_pass_unchanged():
    class Fails(Layer):
        def call(self, x):
            if x.shape[0] == 3:
                raise KeyError("mine")
            return x

    model = Sequential([Fails(input_shape=(2,))])
    with pytest.raises(KeyError, match="mine"):
        model.predict(np.zeros((3, 2)))


def test_sequential_refuses_several_inputs_and_late_inputs():
    with pytest.raises(ValueError, match="only be the first element"):
        Sequential([Dense(2, input_shape=(3,)), Input((2,))])


def test_symbols_of_an_unbuilt_model():
    with pytest.raises(AttributeError, match="input is not known yet"):
        _ = Sequential([Dense(2)]).input
