"""Files of every layer that minicnn and Keras both have: written by either, read by the other, with one prediction."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import constraints, initializers, regularizers
from minicnn.layers import activations
from tests.oracles import keras
from tests.saving.keras_side import OURS, THEIRS, WAY_NAMES, WAYS, other_layers, save, shared, spread

# What Keras and PyTorch are warned of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

#: For each layer: what makes it, applied to a picture (5, 6, 4), or to several of them.
CASES = {
    "Activation": [lambda L: L.Activation("tanh")],
    # Not padded: on PyTorch, Keras averages zeros of the padding in.
    "AveragePooling2D": [lambda L: L.AveragePooling2D((2, 3), strides=2)],
    "BatchNormalization": [
        lambda L: L.BatchNormalization(epsilon=0.01, momentum=0.8, beta_regularizer="l2"),
        lambda L: L.BatchNormalization(axis=1, center=False),
        lambda L: L.BatchNormalization(scale=False),
    ],
    "Concatenate": [lambda L: L.Concatenate(axis=2)],
    "Conv2D": [
        lambda L: L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", groups=2, activation="relu"),
        lambda L: L.Conv2D(3, 2, dilation_rate=2, use_bias=False),
    ],
    "Conv2DTranspose": [lambda L: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1)],
    "Dense": [lambda L: L.Dense(3, activation="softmax"), lambda L: L.Dense(2, use_bias=False)],
    "DepthwiseConv2D": [lambda L: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")],
    "Dropout": [lambda L: L.Dropout(0.3, noise_shape=(None, 1, 1, 4), seed=3), lambda L: L.Dropout(0)],
    "ELU": [lambda L: L.ELU(0.7)],
    "Flatten": [lambda L: L.Flatten(), lambda L: L.Flatten(data_format="channels_first")],
    "GlobalAveragePooling2D": [lambda L: L.GlobalAveragePooling2D(keepdims=True)],
    "GlobalMaxPooling2D": [lambda L: L.GlobalMaxPooling2D()],
    "LeakyReLU": [lambda L: L.LeakyReLU(negative_slope=0.15)],
    "MaxPooling2D": [lambda L: L.MaxPooling2D(2, strides=1), lambda L: L.MaxPooling2D((3, 2), padding="same")],
    "ReLU": [lambda L: L.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.3), lambda L: L.ReLU()],
    "Reshape": [lambda L: L.Reshape((6, -1))],
    "Softmax": [lambda L: L.Softmax(axis=1)],
    "ZeroPadding2D": [lambda L: L.ZeroPadding2D(((1, 2), (0, 3)))],
    **{
        name: [lambda L, name=name: getattr(L, name)()]
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
    },
}
#: What has tests of its own: inputs are in every model, and Lambdas hold code.
ELSEWHERE = {"InputLayer", "Lambda"}
SEVERAL = {"Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"}
SHAPE = (5, 6, 4)


def test_every_layer_that_both_have_is_tried():
    assert set(CASES) | ELSEWHERE == other_layers()


def network(side, name, number):
    make = CASES[name][number]
    x = side.layers.Input(SHAPE, name="x")
    layer = make(side.layers)
    if name not in SEVERAL:
        return side.model(x, layer(x), name="net")
    parts = [side.layers.Conv2D(4, 1, name=f"part{i}")(x) for i in range(2)]
    return side.model(x, layer(parts), name="net")


def agree(first, model, second, again, x):
    a, b = first.predict(model, x), second.predict(again, x)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize(("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))])
def test_layer(tmp_path, first, second, name, number):
    model = network(first, name, number)
    spread(model)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    for ending in (".keras", ".h5"):
        save(model, tmp_path / f"model{ending}")
        agree(first, model, second, second.load(tmp_path / f"model{ending}"), x)
    other = network(second, name, number)
    if model.get_weights():
        model.save_weights(tmp_path / "w.weights.h5")
        other.load_weights(tmp_path / "w.weights.h5")
        agree(first, model, second, other, x)


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
def test_activations(tmp_path, first, second):
    names = sorted(set(activations.registry.names()) - {"exp", "identity"})
    assert all(hasattr(keras().activations, name) for name in names)
    x = first.layers.Input((4,))
    model = first.model(x, [first.layers.Dense(3, activation=name)(x) for name in names])
    data = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    for ending in (".keras", ".h5"):
        save(model, tmp_path / f"model{ending}")
        again = second.load(tmp_path / f"model{ending}")
        for a, b in zip(first.predict(model, data), second.predict(again, data), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
def test_a_layer_as_activation(tmp_path, first, second):
    model = first.sequential(
        [first.layers.Input((4,)), first.layers.Dense(3, activation=first.layers.LeakyReLU(negative_slope=0.4))]
    )
    data = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    save(model, tmp_path / "m.keras")
    agree(first, model, second, second.load(tmp_path / "m.keras"), data)


OPTIONS = {
    "Constant": {"value": 0.25},
    "Identity": {"gain": 2.0},
    "RandomNormal": {"mean": 0.1, "stddev": 0.2, "seed": 3},
    "RandomUniform": {"minval": -0.2, "maxval": 0.1, "seed": 3},
    "TruncatedNormal": {"mean": 0.1, "stddev": 0.2, "seed": 3},
    "VarianceScaling": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": 3},
    "Orthogonal": {"gain": 1.5, "seed": 3},
    "L1": {"l1": 0.03},
    "L2": {"l2": 0.03},
    "L1L2": {"l1": 0.02, "l2": 0.03},
    "MaxNorm": {"max_value": 1.5, "axis": [0, 1]},
    "MinMaxNorm": {"min_value": 0.1, "max_value": 0.7, "rate": 0.5, "axis": 1},
    "UnitNorm": {"axis": 1},
}


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("kind", ["initializer", "regularizer", "constraint"])
def test_what_layers_are_given(tmp_path, first, second, kind):
    """Initializers, regularizers and constraints arrive with every argument that both have."""
    registry = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}[kind].registry
    names = sorted(shared(registry, getattr(keras(), f"{kind}s")))
    assert {registry.find(name).__name__ for name in registry.names()} == set(names)
    source = getattr(keras(), f"{kind}s") if first is THEIRS else None

    def make(name):
        options = OPTIONS.get(name, {})
        return getattr(source, name)(**options) if source else registry.find(name)(**options)

    model = first.sequential([first.layers.Input((3,))])
    for number, name in enumerate(names):
        model.add(first.layers.Dense(3, **{f"kernel_{kind}": make(name)}, name=f"dense{number}"))
    for ending in (".keras", ".h5"):
        save(model, tmp_path / f"model{ending}")
        again = second.load(tmp_path / f"model{ending}")
        for number, name in enumerate(names):
            before = getattr(model.get_layer(f"dense{number}"), f"kernel_{kind}")
            after = getattr(again.get_layer(f"dense{number}"), f"kernel_{kind}")
            assert type(after).__name__ == name
            for option, value in OPTIONS.get(name, {}).items():
                # Keras' own description of Identity leaves its gain out.
                if first is OURS or option in before.get_config():
                    arrived = getattr(after, option)
                    assert arrived == value if isinstance(value, str) else np.allclose(arrived, value)


def test_what_keras_does_not_have_is_said_before_anything_is_written(tmp_path):
    L = OURS.layers
    model = OURS.sequential([L.Conv2D(2, 3, padding=1, input_shape=(5, 5, 1), name="c")])
    for ending in (".keras", ".h5"):
        with pytest.raises(ValueError, match=r"layer 'c': Keras has no Conv2D with padding \(\(1, 1\), \(1, 1\)\)"):
            model.save(tmp_path / f"m{ending}")
    part = OURS.model(model.layers[0].output, L.Flatten()(model.layers[0].output))
    with pytest.raises(ValueError, match="begins in the middle of another model"):
        part.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


def test_layers_of_ours_alone_come_back_to_us(tmp_path):
    model = OURS.sequential([OURS.layers.LocalResponseNormalization(2, 2.0, 1e-4, 0.75, input_shape=(3, 3, 6))])
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 6)).astype(np.float32)
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"m{ending}")
        np.testing.assert_array_equal(OURS.load(tmp_path / f"m{ending}").predict(x), model.predict(x))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("Dense", {"units": 2, "activity_regularizer": "l2"}, "Dense has no activity_regularizer"),
        ("BatchNormalization", {"renorm": True}, "BatchNormalization has no renorm"),
        ("UnitNormalization", {}, "unknown layer 'UnitNormalization'"),
    ],
)
def test_what_we_do_not_have_is_refused(tmp_path, name, options, text):
    model = THEIRS.sequential([THEIRS.layers.Input((4,)), getattr(THEIRS.layers, name)(**options)])
    for ending in (".keras", ".h5"):
        save(model, tmp_path / f"m{ending}")
        with pytest.raises(ValueError, match=rf"load_model: .*m\{ending}: .*{text}"):
            OURS.load(tmp_path / f"m{ending}")
