"""What a user reads when a layer does not fit: layer, argument, what was expected, what came."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from minicnn import layers
from minicnn.layers import Conv2D, Dense, Input, Layer, MaxPooling2D


def refused(match: str) -> Any:
    return pytest.raises(ValueError, match=match)


def test_wrong_rank() -> None:
    with refused(
        r"Conv2D 'conv2d': x must have 4 axes \(N, H, W, C\), but 3 came: shape \(None, 28, 28\); "
        r"give pictures a channel axis, with Reshape or x\[..., None\]"
    ):
        Conv2D(4, 3)(np.zeros((2, 28, 28)))
    with refused(
        r"MaxPooling2D 'max_pooling2d': x must have 4 axes \(N, C, H, W\), but 2 came: .*vectors with Reshape"
    ):
        MaxPooling2D(data_format="channels_first")(np.zeros((2, 784)))
    with refused(r"Dense 'dense': x must have at least 2 axes \(N, ..., C\), but 1 came: shape \(None,\)"):
        Dense(4)(np.zeros(3))
    with refused(r"Conv2D 'conv2d_1': x must be one tensor, but 2 came"):
        Conv2D(4, 3)([np.zeros((1, 5, 5, 1)), np.zeros((1, 5, 5, 1))])
    with refused(r"ReLU 're_lu': x must have a batch axis, but a scalar came"):
        layers.ReLU()(np.float32(3))


def test_wrong_channels() -> None:
    layer = Conv2D(4, 3)
    layer(np.zeros((2, 9, 9, 3)))
    with refused(
        r"Conv2D 'conv2d': x must have 3 channels, as the layer was built for, but 1 came: shape \(None, 9, 9, 1\) "
        r"with data_format='channels_last'$"
    ):
        layer(np.zeros((2, 9, 9, 1)))
    with refused(r"if the channels are on the other side, pass data_format='channels_first'"):
        layer(np.zeros((2, 3, 9, 9)))
    with refused(r"the number of channels must be known, but x has shape \(None, 9, 9, None\)"):
        Conv2D(4, 3)(Input((9, 9, None)))
    with refused(r"the channels of x must be a multiple of groups=2, but 3 came"):
        Conv2D(4, 3, groups=2)(np.zeros((2, 9, 9, 3)))


def test_a_kernel_larger_than_the_padded_picture() -> None:
    with refused(
        r"Conv2D 'conv2d': kernel_size \(5, 5\) reaches over 5x5, more than the picture of 1x28 with padding 'valid' "
        r"\(input shape \(None, 1, 28, 28\)\); .*pass data_format='channels_first'"
    ):
        Conv2D(4, 5)(np.zeros((2, 1, 28, 28)))
    with refused(
        r"kernel_size \(3, 3\) with dilation_rate \(3, 3\) reaches over 7x7, more than the picture of 4x4 with pa"
    ):
        Conv2D(4, 3, dilation_rate=3, padding=1)(Input((4, 4, 1)))
    with refused(r"MaxPooling2D 'max_pooling2d': pool_size \(2, 2\) reaches over 2x2, more than the picture of 1x1"):
        MaxPooling2D()(np.zeros((2, 1, 1, 8)))
    assert Conv2D(4, 5, padding=2)(np.zeros((2, 1, 28, 28))).shape == (2, 1, 28, 4)


def test_dense_where_a_flatten_is_missing() -> None:
    layer = Dense(10)
    layer(np.zeros((2, 3136)))
    with refused(
        r"Dense 'dense': x must have 3136 values along its last axis, as the layer was built for, but 64 came: "
        r"shape \(None, 7, 7, 64\); put a Flatten layer before it"
    ):
        layer(np.zeros((2, 7, 7, 64)))
    with refused(r"the size of the last axis must be known, but x has shape \(None, None\)"):
        Dense(3)(Input((None,)))


def test_a_reshape_that_does_not_fit() -> None:
    with refused(r"Reshape 'reshape': 784 values a sample, of shape \(784,\), do not fit target_shape \(28, 27\)"):
        layers.Reshape((28, 27))(np.zeros((2, 784)))
    with refused(r"Reshape 'r': 784 values a sample, of shape \(784,\), do not fit target_shape \(-1, 27\)"):
        layers.Reshape((-1, 27), name="r")(Input((784,)))
    for shape in ((-1, -1), (2.5, 2), (-2,), (True, 3)):
        with refused(re.escape(f"target_shape must hold sizes and at most one -1, but {shape!r} came")):
            layers.Reshape(shape)


def test_batch_normalization_built_for_other_channels() -> None:
    layer = layers.BatchNormalization()
    layer(np.zeros((2, 9, 9, 3)))
    with refused(
        r"x must have 4 axes with 3 channels at axis -1, .* \(None, 3, 9, 9\) came; for channels first pass axis=1"
    ):
        layer(np.zeros((2, 3, 9, 9)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(0, 3), "Conv2D 'conv2d': filters must be a whole number above 0, but 0 came"),
        (lambda: Conv2D(4.5, 3), "filters must be a whole number above 0, but 4.5 came"),
        (lambda: Conv2D(4, 0), "kernel_size must be an int or a pair of ints of at least 1, but 0 came"),
        (lambda: Conv2D(4, (3, 3, 3)), r"kernel_size must be an int or a pair .* but \(3, 3, 3\) came"),
        (lambda: Conv2D(4, 3, strides=-1), "strides must be an int or a pair of ints of at least 1, but -1 came"),
        (lambda: Conv2D(4, 3, padding="full"), "padding must be 'valid', 'same', an int, a pair .* but 'full' came"),
        (lambda: Conv2D(4, 3, padding=-1), "none of it negative, but -1 came"),
        (lambda: Conv2D(4, 3, data_format="NCHW"), "must be 'channels_last' or 'channels_first', but 'NCHW'"),
        (lambda: Conv2D(5, 3, groups=2), "filters must be a multiple of groups, but filters=5, groups=2 came"),
        (lambda: Conv2D(4, 3, activation="rleu"), "unknown activation 'rleu'; did you mean 'relu'"),
        (lambda: Conv2D(4, 3, kernel_initializer="he_norml"), "unknown initializer 'he_norml'; did you mean"),
        (lambda: Dense(-1), "Dense 'dense': units must be a whole number above 0, but -1 came"),
        (lambda: Dense(3, dtype="int32"), "dtype must be .*mixed_float16 or mixed_bfloat16, but int32 came"),
        (lambda: Dense(3, input_shape=("a",)), r"input_shape must hold the sizes of one sample, .* but \('a'"),
        (lambda: layers.ReLU(max_value=-1.0), "ReLU 're_lu': max_value must be at least 0, but -1.0 came"),
        (lambda: layers.ZeroPadding2D("same"), r"padding must be an int, a pair \(height, width\) or"),
        (lambda: layers.LocalResponseNormalization(-1), "depth_radius must be at least 0, but -1 came"),
        (lambda: layers.Dropout("0.5"), "Dropout 'dropout': rate must be a number from 0 to 1, but '0.5' came"),
        (lambda: layers.Dropout(float("nan")), "rate must be a number from 0 to 1, but nan came"),
        (lambda: layers.BatchNormalization(epsilon=-5), "epsilon must be a number of at least 0, but -5 came"),
        (lambda: layers.BatchNormalization(momentum=2.0), "momentum must be a number from 0 to 1, but 2.0 came"),
        (lambda: layers.BatchNormalization(axis=1.5), "axis must be a whole number, but 1.5 came"),
        (lambda: layers.BatchNormalization(axis=[1, 2]), r"axis must be a whole number, but \[1, 2\] came"),
        (lambda: layers.Concatenate(axis=1.5), "Concatenate 'concatenate': axis must be a whole number, but 1.5 came"),
        (lambda: layers.Softmax(axis="1"), "Softmax 'softmax': axis must be a whole number, but '1' came"),
        (lambda: Dense(3, name=""), "Dense: name must be a string of at least one character, but '' came"),
        (lambda: Dense(3, name=4), "Dense: name must be a string of at least one character, but 4 came"),
        (lambda: layers.registry.get("Conv2DD"), "unknown layer 'Conv2DD'; did you mean 'Conv2D'"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, message: str) -> None:
    with refused(message):
        make()


class Own(Layer):
    def __init__(self, units: int, **options: Any):
        super().__init__(**options)
        self.units = units


def test_an_axis_may_be_a_list_of_one_as_keras_2_has_it() -> None:
    assert layers.BatchNormalization(axis=[3]).get_config()["axis"] == 3
    assert layers.Softmax(axis=(-1,)).axis == -1


def test_unknown_arguments_and_wrong_types() -> None:
    with pytest.raises(TypeError, match="Conv2D: unknown argument 'nb_row'; expected one of: activation, algorithm, "):
        Conv2D(4, 3, nb_row=3)
    with pytest.raises(TypeError, match="Dense: unknown argument 'activtion'; did you mean 'activation'"):
        Dense(3, activtion="relu")
    with pytest.raises(TypeError, match="Own: unknown argument 'unit'; did you mean 'units'"):
        Own(3, unit=3)
    with pytest.raises(TypeError, match="Dense 'dense': x must be an array of numbers, but came with dtype <U1"):
        Dense(3)([["a", "b"]])
    with pytest.raises(TypeError, match="Lambda 'lambda': function must be callable, but 3 came"):
        layers.Lambda(3)  # type: ignore[arg-type]


def test_set_weights_names_what_does_not_fit_and_changes_nothing() -> None:
    layer = Dense(2, name="head")
    with refused(r"Dense 'head': set_weights expects 0 arrays \[\], but 1 came: \[\(3, 2\)\] \(it is not built yet"):
        layer.set_weights([np.zeros((3, 2))])
    layer.build((None, 3))
    before = layer.get_weights()
    with refused(r"Dense 'head': set_weights expects 2 arrays \[\(3, 2\), \(2,\)\], but 1 came: \[\(3, 2\)\]"):
        layer.set_weights([np.zeros((3, 2))])
    with refused(r"Dense 'head': set_weights expects shape \(2,\) for head/bias, but \(3,\) came"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(3)])
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_own_layers_that_are_not_finished() -> None:
    class Silent(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Silent \(layer 'silent'\) does not define call\(x\)"):
        Silent()(np.zeros((1, 2)))

    class Hasty(Layer):
        def __init__(self) -> None:
            self.inner = Dense(3)

    with pytest.raises(RuntimeError, match=r"Hasty: call super\(\).__init__\(\) before layers or weights are set"):
        Hasty()
    with refused(r"Dense 'dense_1' has no weights yet: call it, or build\(input_shape\), first"):
        Dense(3).count_params()
