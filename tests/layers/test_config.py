from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

from minicnn import layers
from minicnn.layers import registry
from tests import oracles

CASES: list[tuple[Any, Any]] = [
    (layers.Conv2D(4, (3, 2), (2, 1), ((1, 0), (2, 1)), dilation_rate=2, groups=2, activation="relu"), (6, 6, 2)),
    (layers.Conv2D(4, 3, padding="same", data_format="channels_first", use_bias=False), (2, 6, 6)),
    (
        layers.Conv2D(
            4,
            3,
            kernel_initializer="he_normal",
            kernel_regularizer="l2",
            bias_constraint="non_neg",
            dtype="float64",
            trainable=False,
            input_shape=(6, 6, 2),
            name="first",
            activation=layers.LeakyReLU(0.1),
        ),
        (6, 6, 2),
    ),
    (layers.Conv2D(4, 5, padding=2, algorithm="winograd"), (6, 6, 2)),
    (layers.Conv2DTranspose(3, 3, 2, "same", output_padding=1), (4, 4, 2)),
    (layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_regularizer="l1"), (5, 5, 3)),
    (layers.MaxPooling2D(3, 2, "same"), (7, 7, 2)),
    (layers.AveragePooling2D((2, 3), data_format="channels_first"), (2, 7, 7)),
    (layers.GlobalMaxPooling2D(keepdims=True), (4, 4, 3)),
    (layers.GlobalAveragePooling2D("channels_first"), (3, 4, 4)),
    (layers.ZeroPadding2D(((1, 2), (3, 4))), (4, 4, 3)),
    (layers.Dense(5, "softmax", kernel_constraint="max_norm"), (4,)),
    (layers.Flatten("channels_first"), (2, 3, 4)),
    (layers.Reshape((-1, 2)), (3, 4)),
    (layers.Activation("tanh"), (3,)),
    (layers.ReLU(6.0, 0.1, 0.5), (3,)),
    (layers.LeakyReLU(0.2), (3,)),
    (layers.ELU(0.5), (3,)),
    (layers.Softmax(1), (3, 2)),
    (layers.Lambda("max", arguments={"axis": -1}), (3, 4)),
    (layers.BatchNormalization(1, 0.9, 1e-5, scale=False, beta_regularizer="l2"), (3, 4)),
    (layers.LocalResponseNormalization(2, 2.0, 1e-4, 0.75), (3, 3, 4)),
    (layers.Dropout(0.3, noise_shape=(None, 1), seed=4), (3,)),
    (layers.Add(), [(3,), (3,)]),
    (layers.Subtract(), [(3,), (3,)]),
    (layers.Multiply(), [(3,), (3,)]),
    (layers.Average(), [(3,), (3,)]),
    (layers.Maximum(), [(3,), (3,)]),
    (layers.Minimum(), [(3,), (3,)]),
    (layers.Concatenate(1), [(3, 2), (4, 2)]),
    (layers.InputLayer((3, 4), batch_size=2), (3, 4)),
]


@pytest.mark.parametrize(("layer", "shape"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_a_layer_comes_back_from_json(layer: Any, shape: Any) -> None:
    description = json.loads(json.dumps(registry.serialize(layer)))
    twin = registry.get(description)
    assert type(twin) is type(layer)
    assert json.dumps(twin.get_config()) == json.dumps(layer.get_config())
    generator = np.random.default_rng(0)
    several = isinstance(shape, list)
    x = [generator.standard_normal((2, *s)).astype("float32") for s in (shape if several else [shape])]
    given = x if several else x[0]
    y = layer(given, training=True)
    twin(given)
    twin.set_weights(layer.get_weights())
    assert twin.trainable is layer.trainable
    np.testing.assert_array_equal(twin(given).numpy(), layer(given).numpy())
    np.testing.assert_array_equal(twin(given, training=True).shape, y.shape)


def test_every_layer_is_in_the_table_above() -> None:
    classes = {c for c in vars(layers).values() if inspect.isclass(c) and issubclass(c, layers.Layer)}
    assert classes - {type(layer) for layer, _ in CASES} == {layers.Layer}


def test_arguments_and_defaults_are_keras() -> None:
    keras = oracles.keras().layers
    # The base, what follows a function of TensorFlow, and what Keras makes from many things beside a shape.
    ours_alone = {"Layer", "LocalResponseNormalization", "InputLayer"}
    # What only Keras has.
    beyond = {"activity_regularizer", "kwargs", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "mask"}
    beyond |= {"sparse", "ragged", "optional", "batch_shape", "input_tensor", "quantization_config"}
    beyond |= {"lora_rank", "lora_alpha"}
    for name in layers.__all__:
        mine = getattr(layers, name)
        if not (inspect.isclass(mine) and issubclass(mine, layers.Layer)) or name in ours_alone:
            continue
        theirs = {k: p.default for k, p in inspect.signature(getattr(keras, name)).parameters.items()}
        signature = inspect.signature(mine)
        own = {k: p.default for k, p in signature.parameters.items() if k not in ("options", "alpha") or name == "ELU"}
        shared = [k for k in theirs if k in own]
        missing = set(theirs) - set(own) - beyond - {"name", "dtype", "axes"}
        assert not missing, f"{name} lacks {missing}"
        assert [k for k in own if k in theirs] == shared, f"{name}: other order of arguments"
        # Where Keras 3 demands an argument, Keras 2's default may serve.
        for key in (k for k in shared if theirs[k] is not inspect.Parameter.empty):
            assert as_pair(own[key]) == as_pair(theirs[key]), f"{name}({key}={own[key]!r}), Keras {theirs[key]!r}"


def as_pair(value: Any) -> Any:
    """An int and a pair of it are one default."""
    return (value, value) if type(value) is int else value


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("MaxPool2D", "MaxPooling2D"),
        ("AvgPool2D", "AveragePooling2D"),
        ("Convolution2D", "Conv2D"),
        ("GlobalMaxPool2D", "GlobalMaxPooling2D"),
        ("GlobalAvgPool2D", "GlobalAveragePooling2D"),
    ],
)
def test_keras_aliases(alias: str, name: str) -> None:
    assert getattr(layers, alias) is getattr(layers, name)
    assert registry.find(alias) is registry.find(name) is getattr(layers, name)


def test_a_lambda_of_ones_own_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match=r"Lambda 'lambda': a file can name only functions of minicnn.functional, but"):
        layers.Lambda(lambda x: x).get_config()
    with pytest.raises(ValueError, match=r"minicnn.functional has no function 'eval'"):
        layers.Lambda("eval")
    with pytest.raises(ValueError, match=r"minicnn.functional has no function 'geometry.np'"):
        layers.Lambda("geometry.np")
    with pytest.raises(ValueError, match=r"minicnn.functional has no function 'geometry'"):
        layers.Lambda("geometry")


def test_an_activation_of_ones_own_cannot_be_saved() -> None:
    layer = layers.Dense(2, activation=lambda x: x * 2.0)
    assert layer(np.ones((1, 2))).shape == (1, 2)
    with pytest.raises(ValueError, match="is not registered"):
        layer.get_config()
