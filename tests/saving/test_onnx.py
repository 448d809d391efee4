"""ONNX files: onnxruntime computes from them what the model predicts, for every layer."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import minicnn.functional as F
from minicnn import Input, Model, Sequential, layers, load_model
from minicnn import layers as L
from minicnn.applications import ResNet50, SqueezeNet
from minicnn.layers import activations

with warnings.catch_warnings():
    # What it warns about on import is its own.
    warnings.simplefilter("ignore")
    import onnx
    import onnxruntime

PICTURE = (9, 8, 3)


def chain(*members, shape=PICTURE):
    return Sequential([Input(shape), *members])


def conv(**options):
    return L.Conv2D(4, 3, **options)


def merged(layer, *shapes):
    inputs = [Input(shape) for shape in shapes or (PICTURE, PICTURE)]
    # Convolutions before and after: whether it joins what lies channels first.
    return Model(inputs, L.Conv2D(2, 1)(layer([L.Conv2D(4, 1)(x) for x in inputs])))


def normalised(**options):
    layer = L.BatchNormalization(**options)
    shape = (4, 6, 5)
    model = chain(layer, shape=shape)
    generator = np.random.default_rng(1)
    layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return model


def nested():
    inner = Sequential([L.Conv2D(2, 3, activation="relu"), L.MaxPooling2D(2, padding="same")])
    x = Input((None, None, 3))
    shared = Model(x, inner(x))
    left, right = Input(PICTURE), Input((7, 6, 3))
    pooled = [L.GlobalAveragePooling2D()(shared(x)) for x in (left, right)]
    return Model([left, right], [L.Dense(2)(L.Concatenate()(pooled)), shared(right)])


# A name, and what makes the model; what stands before the blank is the class of the layer that it is about.
CASES = {
    "Activation": lambda: chain(conv(), L.Activation("tanh"), conv()),
    "Activation softmax over channels": lambda: chain(conv(), L.Activation("softmax"), conv()),
    "Activation a layer": lambda: chain(L.Activation(L.LeakyReLU(0.1)), L.Conv2D(2, 1, activation=L.ReLU(0.5))),
    "Add": lambda: merged(L.Add()),
    "Add stretched": lambda: Model(
        [x := Input((4, 5, 6)), y := Input((1, 5, 1)), z := Input((4, 1, 6))], L.Add()([L.Conv2D(6, 1)(x), y, z])
    ),
    "Average": lambda: merged(L.Average(), PICTURE, PICTURE, PICTURE),
    "AveragePooling2D": lambda: chain(L.AveragePooling2D((2, 3), strides=(2, 1)), conv()),
    "AveragePooling2D same": lambda: chain(L.AveragePooling2D(3, strides=2, padding="same")),
    "AveragePooling2D open": lambda: chain(L.AveragePooling2D(3, 2, padding="same"), shape=(None, None, 3)),
    "BatchNormalization": lambda: chain(conv(), L.BatchNormalization(epsilon=0.1), conv()),
    "BatchNormalization weights": normalised,
    "BatchNormalization first": lambda: normalised(axis=1, center=False),
    "BatchNormalization middle": lambda: normalised(axis=2, scale=False),
    "BatchNormalization flat": lambda: chain(L.Flatten(), L.BatchNormalization()),
    "Concatenate": lambda: merged(L.Concatenate()),
    "Concatenate rows": lambda: merged(L.Concatenate(axis=1), (3, 8, 3), (4, 8, 3)),
    "Conv2D": lambda: chain(conv(activation="relu"), L.Conv2D(5, (1, 3), strides=(2, 1), padding="same")),
    "Conv2D dilated": lambda: chain(conv(dilation_rate=2, padding="same", use_bias=False)),
    "Conv2D padded": lambda: chain(conv(padding=((0, 1), (2, 1)), strides=2)),
    "Conv2D grouped": lambda: chain(L.Conv2D(6, 3), L.Conv2D(4, 3, groups=2)),
    "Conv2D first": lambda: chain(conv(data_format="channels_first", padding="same"), shape=(3, 8, 9)),
    "Conv2D open": lambda: chain(conv(padding="same"), conv(strides=2, padding="same"), shape=(None, None, 3)),
    "Conv2D double": lambda: chain(L.Conv2D(2, 3, dtype="float64")),
    "Conv2DTranspose": lambda: chain(L.Conv2DTranspose(4, 3, strides=2, activation="relu"), conv()),
    "Conv2DTranspose same": lambda: chain(L.Conv2DTranspose(4, (4, 3), strides=(2, 3), padding="same")),
    "Conv2DTranspose gaps": lambda: chain(L.Conv2DTranspose(4, (1, 2), strides=(3, 4))),
    "Conv2DTranspose added": lambda: chain(
        L.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1, dilation_rate=1, use_bias=False)
    ),
    "Conv2DTranspose dilated": lambda: chain(L.Conv2DTranspose(4, 3, dilation_rate=2, padding=1)),
    "Dense": lambda: chain(L.Flatten(), L.Dense(5, activation="softmax")),
    "Dense rows": lambda: chain(conv(), L.Dense(5, activation="relu"), conv()),
    "Dense rows without bias": lambda: chain(L.Dense(5, use_bias=False)),
    "DepthwiseConv2D": lambda: chain(L.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same"), conv()),
    "Dropout": lambda: chain(L.Dropout(0.5), conv()),
    "ELU": lambda: chain(conv(), L.ELU(0.7)),
    "Flatten": lambda: chain(conv(), L.Flatten(), L.Dense(2)),
    "Flatten first": lambda: chain(
        conv(data_format="channels_first"), L.Flatten("channels_first"), L.Dense(2), shape=(3, 8, 9)
    ),
    "GlobalAveragePooling2D": lambda: chain(conv(), L.GlobalAveragePooling2D(), L.Dense(2)),
    "GlobalAveragePooling2D kept": lambda: chain(conv(), L.GlobalAveragePooling2D(keepdims=True)),
    "GlobalMaxPooling2D": lambda: chain(L.GlobalMaxPooling2D()),
    "GlobalMaxPooling2D first": lambda: chain(L.GlobalMaxPooling2D("channels_first", keepdims=True)),
    "InputLayer": lambda: Model(x := Input(PICTURE, name="a picture"), x),
    "Lambda": lambda: chain(conv(), L.Lambda("max", arguments={"axis": 3, "keepdims": True}), L.Flatten()),
    "LeakyReLU": lambda: chain(conv(), L.LeakyReLU(0.1)),
    "LocalResponseNormalization": lambda: chain(L.LocalResponseNormalization(1, 2.0, 0.1, 0.75), conv()),
    "MaxPooling2D": lambda: chain(conv(), L.MaxPooling2D(2), conv()),
    "MaxPooling2D padded": lambda: chain(L.MaxPooling2D(3, strides=2, padding=((0, 1), (1, 1)))),
    "MaxPooling2D first": lambda: chain(L.MaxPooling2D(3, 2, "same", data_format="channels_first"), shape=(2, 8, 9)),
    "MaxPooling2D open": lambda: chain(L.MaxPooling2D(3, 2, padding="same"), shape=(None, 8, 3)),
    "Maximum": lambda: merged(L.Maximum()),
    "Minimum": lambda: merged(L.Minimum(), PICTURE, PICTURE, PICTURE),
    "Model": nested,
    "Model SqueezeNet": lambda: SqueezeNet(weights=None, input_shape=(36, 33, 3), classes=4),
    "Model SqueezeNet of any size": lambda: SqueezeNet(weights=None, include_top=False, input_shape=(None, 40, 3)),
    "Model ResNet50": lambda: ResNet50(weights=None, input_shape=(32, 32, 3), classes=4),
    "Multiply": lambda: merged(L.Multiply(), PICTURE, PICTURE, PICTURE),
    "ReLU": lambda: chain(conv(), L.ReLU(), conv()),
    "ReLU in general": lambda: chain(L.ReLU(0.4, negative_slope=0.2, threshold=0.1)),
    "ReLU leaky": lambda: chain(L.ReLU(negative_slope=0.2)),
    "Reshape": lambda: chain(conv(), L.Reshape((-1, 2)), L.Dense(3)),
    "Sequential": lambda: chain(chain(conv(), L.Flatten()), L.Dense(2)),
    "Softmax": lambda: chain(conv(), L.Softmax(axis=1), conv()),
    "Subtract": lambda: merged(L.Subtract()),
    "ZeroPadding2D": lambda: chain(conv(), L.ZeroPadding2D(((1, 0), (2, 3))), conv()),
    "ZeroPadding2D first": lambda: chain(L.ZeroPadding2D((1, 2), "channels_first")),
}
# Registered classes that have no meaning when a model only predicts, or none outside minicnn, with the reason.
NOT_EXPORTED: dict[str, str] = {}


def exported(model, path):
    """Write a model and open it in onnxruntime."""
    model.export(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def inputs_of(model, batch=3):
    generator = np.random.default_rng(0)
    sizes = [[23 if size is None else size for size in tensor.shape[1:]] for tensor in model.inputs]
    return [generator.uniform(-1, 1, (batch, *shape)).astype("float32") for shape in sizes]


def check_agreement(model, path):
    session = exported(model, path)
    x = inputs_of(model)
    assert [entry.name for entry in session.get_inputs()] == model.input_names
    # Where an input is an output as well, it needs two names.
    names = [name + "_1" * (name in model.input_names) for name in model.output_names]
    assert [entry.name for entry in session.get_outputs()] == names
    found = session.run(None, dict(zip(model.input_names, x, strict=True)))
    expected = model.predict(x if model.takes_list else x[0])
    for y, other in zip(found, expected if isinstance(expected, list) else [expected], strict=True):
        assert y.shape == other.shape
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_computes_what_the_model_predicts(tmp_path, name):
    check_agreement(CASES[name](), tmp_path / "model.onnx")


def test_every_layer_is_exported_or_says_why_not():
    classes = {layers.registry.find(name) for name in layers.registry.names()}
    ours = {cls.__name__ for cls in classes if cls.__module__.startswith("minicnn.")}
    tried = {name.split()[0] for name in CASES}
    assert ours - {"Model"} == (tried | NOT_EXPORTED.keys()) - {"Model"}


@pytest.mark.parametrize("name", [name for name in activations.registry.names() if name not in ("identity", "swish")])
def test_every_activation(tmp_path, name):
    check_agreement(chain(conv(activation=name), conv(), shape=(6, 5, 1)), tmp_path / "model.onnx")


OPERANDS = {
    "multiply": 2.5,
    "add": np.arange(3.0),
    "subtract": 1.0,
    "divide": [[2.0], [4.0], [1.0], [8.0], [0.5]],
    "power": 2.0,
}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        *((name, {"b": operand}) for name, operand in {**OPERANDS, "maximum": 0.1, "minimum": -0.1}.items()),
        *((name, {}) for name in ("abs", "exp", "negative", "sign", "square", "erf", "tanh", "sigmoid", "flatten")),
        *((name, {}) for name in ("elu", "leaky_relu", "relu", "softplus", "softmax", "log_softmax", "logsumexp")),
        ("gelu", {"approximate": True}),
        ("softmax", {"axis": 2}),
        ("clip", {"low": -0.5, "high": None}),
        ("clip", {"low": None, "high": 0.5}),
        ("max", {"axis": (1, 2)}),
        ("min", {"axis": 3}),
        ("mean", {"axis": -1, "keepdims": True}),
        ("sum", {"axis": [1, 3]}),
        ("sum", {"axis": 1, "keepdims": True}),
        ("logsumexp", {"axis": 2}),
        ("transpose", {"axes": (0, 3, 1, 2)}),
        ("transpose", {"axes": (0, 2, 3, 1)}),
    ],
)
def test_functions_that_a_lambda_names(tmp_path, function, arguments):
    x = Input((4, 5, 3))
    y = L.Lambda(function, arguments=arguments)(L.Conv2D(3, 1)(x))
    check_agreement(Model(x, y), tmp_path / "model.onnx")


@pytest.mark.parametrize("function", ["log", "sqrt"])
def test_functions_of_positive_numbers(tmp_path, function):
    check_agreement(chain(L.Activation("sigmoid"), L.Lambda(function, output_shape=PICTURE)), tmp_path / "model.onnx")


def test_joining_in_a_lambda(tmp_path):
    a, b = Input((4, 5, 3)), Input((4, 5, 3))
    model = Model([a, b], L.Lambda("concatenate", arguments={"axis": 2})([a, b]))
    check_agreement(model, tmp_path / "model.onnx")


def operators(model, path):
    model.export(path)
    return [node.op_type for node in onnx.load(path).graph.node]


def test_pictures_are_turned_once_on_the_way_in_and_once_on_the_way_out(tmp_path):
    model = chain(conv(), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(), L.ZeroPadding2D(), conv())
    found = operators(model, tmp_path / "model.onnx")
    expected = ["Conv", "BatchNormalization", "Relu", "MaxPool", "Pad", "Conv"]
    assert found == ["Transpose", *expected, "Transpose", "Identity"]


def test_a_channels_first_network_is_turned_nowhere(tmp_path):
    model = chain(
        conv(data_format="channels_first", activation="relu"),
        L.MaxPooling2D(data_format="channels_first"),
        L.Flatten(),
        L.Dense(2),
        shape=(3, 8, 9),
    )
    found = operators(model, tmp_path / "model.onnx")
    assert found == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm", "Identity"]


def test_a_layer_used_twice_has_its_weights_in_the_file_once(tmp_path):
    model = nested()
    path = tmp_path / "model.onnx"
    model.export(path)
    assert len(onnx.load(path).graph.initializer) == len(model.weights)


def test_what_the_file_says_of_itself(tmp_path):
    path = tmp_path / "model.onnx"
    chain(conv(), shape=(None, 8, 3)).export(path)
    read = onnx.load(path)
    assert (read.producer_name, read.opset_import[0].version, read.ir_version) == ("minicnn", 17, 8)
    sizes = [size.dim_param or size.dim_value for size in read.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "input_layer_1", 8, 3]
    assert [tensor.name for tensor in read.graph.initializer] == ["conv2d/kernel", "conv2d/bias"]
    assert list(tmp_path.iterdir()) == [path]


# ----------------------------------------------------------------------------------------------- what is refused


class Doubled(L.Layer):
    def call(self, x):
        return x * 2.0


class Own(Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, x, training=False):
        return self.dense(x)


class Quiet(L.Conv2D):
    """Overrides nothing, but might."""


def in_training():
    x = Input(PICTURE)
    return Model(x, L.Dropout(0.5)(x, training=True))


def nested_in_training():
    x = Input(PICTURE)
    return Model(x, chain(L.BatchNormalization())(x, training=True))


def own():
    model = Own()
    model.build((None, 3))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: chain(L.Lambda(lambda x: x, name="mine")),
            "Lambda 'mine': the function '<lambda>' has no ONNX counterp",
        ),
        (lambda: chain(L.Lambda("stack")), "Lambda 'lambda': the function 'stack' has no ONNX counterpart; those that"),
        (
            lambda: chain(L.Lambda("multiply", arguments={"b": np.ones((1, 1, 1, 1, 3))}, output_shape=PICTURE)),
            "Lambda 'lambda': multiply with these arguments: b has 5 axes, x only 4",
        ),
        (lambda: chain(L.Activation(lambda x: x)), "Activation 'activation': the function '<lambda>' has no ONNX"),
        (lambda: chain(Doubled()), "Doubled 'doubled' has no ONNX counterpart; layers that have one: Activation, Add"),
        (lambda: chain(Quiet(2, 3)), "Quiet 'quiet' has no ONNX counterpart"),
        (own, "Own 'own' computes by a call of its own, which cannot be read; draw it with Input"),
        (in_training, "Dropout 'dropout' is always called with training=True, which no file can say"),
        (nested_in_training, "BatchNormalization 'batch_normalization' is always called with training=True"),
        (lambda: Sequential([L.Dense(2)]), r"has no weights yet: build\(input_shape\) or fit it first"),
        (lambda: chain(L.Dense(2**29), shape=(2,)), "has 1,610,612,736 weights, and one ONNX file holds at most 2 GiB"),
    ],
)
def test_what_no_file_can_say_is_refused_and_the_old_file_stays(tmp_path, make, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=f"export: .*{message}"):
        make().export(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"export: the ending of 'model.pt' must be one of \.onnx, got '\.pt'"):
        chain(conv()).export(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"load_model: the ending of 'model.onnx' must be one of"):
        load_model(tmp_path / "model.onnx")


def test_without_onnx_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"export: writing ONNX files needs .* pip install onnx"):
        chain(conv()).export(tmp_path / "model.onnx")


def test_every_function_in_the_table_is_tried():
    from minicnn.saving.onnx.functions import _FUNCTIONS

    tried = {
        mark.args[1][i][0] for mark in test_functions_that_a_lambda_names.pytestmark for i in range(len(mark.args[1]))
    }
    tried |= {"log", "sqrt", "concatenate"}
    named = {name for name in F.__all__ if getattr(F, name) in _FUNCTIONS}
    assert named == tried
