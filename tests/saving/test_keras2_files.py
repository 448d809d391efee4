"""Models in HDF5 as Keras 2 wrote them: files made by hand with h5py, spelled as those versions spelled them."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from minicnn.layers import Add, BatchNormalization, Conv2D, Dense, Flatten, Input, LeakyReLU, MaxPooling2D
from minicnn.models import Model, Sequential
from minicnn.saving import ModelFileError, load_model
from tests.saving.test_h5_weights import write_layers


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}


def zeros():
    return {"class_name": "Zeros", "config": {}}


CONV = {
    "filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "data_format": "channels_last",
    "dilation_rate": [1, 1], "activation": "relu", "use_bias": True,
    "kernel_initializer": {
        "class_name": "VarianceScaling",
        "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None, "dtype": "float32"},
    },
    "bias_initializer": zeros(), "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}},
    "bias_regularizer": None, "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None,
}  # fmt: skip
NORM = {
    "axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, "beta_initializer": zeros(),
    "gamma_initializer": {"class_name": "Ones", "config": {}}, "moving_mean_initializer": zeros(),
    "moving_variance_initializer": {"class_name": "Ones", "config": {}}, "beta_regularizer": None,
    "gamma_regularizer": None, "beta_constraint": None, "gamma_constraint": None,
}  # fmt: skip
POOL = {"pool_size": [2, 2], "padding": "valid", "strides": [2, 2], "data_format": "channels_last"}
SOFTMAX = {
    "units": 3, "activation": "softmax", "use_bias": True, "activity_regularizer": None, "kernel_constraint": None,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}},
    "bias_initializer": zeros(), "kernel_regularizer": None, "bias_regularizer": None, "bias_constraint": None,
}  # fmt: skip
SHAPE = [None, 6, 6, 1]


def layers():
    """A chain's layers as Keras 2.2 to 2.15 describe them; the first carries the shape of the input."""
    return [
        layer("Conv2D", "conv", batch_input_shape=SHAPE, **CONV),
        layer("BatchNormalizationV1", "bn", **NORM),
        layer("MaxPooling2D", "pool", **POOL),
        layer("LeakyReLU", "leaky", alpha=0.30000001192092896),
        layer("Flatten", "flat", data_format="channels_last"),
        layer("Dense", "fc", **SOFTMAX),
    ]


def ours():
    """The same chain."""
    return Sequential(
        [
            Conv2D(2, 3, activation="relu", kernel_regularizer="l2", input_shape=(6, 6, 1)),
            BatchNormalization(),
            MaxPooling2D(2),
            LeakyReLU(0.3),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def weights():
    generator = np.random.default_rng(0)

    def draw(*shape):
        return (0.5 + generator.random(shape)).astype(np.float32)

    return {
        "conv": [("conv/kernel:0", draw(3, 3, 1, 2)), ("conv/bias:0", draw(2))],
        "bn": [(f"bn/{name}:0", draw(2)) for name in ("gamma", "beta", "moving_mean", "moving_variance")],
        "pool": [],
        "leaky": [],
        "flat": [],
        "fc": [("fc/kernel:0", draw(8, 3)), ("fc/bias:0", draw(3))],
    }


#: What is trained, in order, with the shapes.
TRAINED = [("conv/kernel", (3, 3, 1, 2)), ("conv/bias", (2,)), ("bn/gamma", (2,)), ("bn/beta", (2,)),
           ("fc/kernel", (8, 3)), ("fc/bias", (3,))]  # fmt: skip


def write(path, config, *, training=None, state=(), saved=None):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.2.4-tf"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        write_layers(file.create_group("model_weights"), saved or weights())
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        if state:
            group = file.create_group("optimizer_weights")
            group.attrs["weight_names"] = [name.encode() for name, _ in state]
            for name, array in state:
                group.create_dataset(name, data=array)
    return path


def chain_config(**others):
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers(), **others}}


def same_as_ours(model):
    expected = ours()
    expected.set_weights([array for entries in weights().values() for _, array in entries])
    x = np.random.default_rng(1).random((4, 6, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x), expected.predict(x))
    assert model.layers[0].kernel_regularizer.l2 == pytest.approx(0.01)


def test_a_chain(tmp_path):
    same_as_ours(load_model(write(tmp_path / "m.h5", chain_config())))


def test_a_chain_of_keras_2_1_was_a_list(tmp_path):
    model = load_model(write(tmp_path / "m.h5", {"class_name": "Sequential", "config": layers()}))
    same_as_ours(model)


def test_a_chain_with_an_input_layer_and_a_policy(tmp_path):
    config = chain_config()
    entry = layer("InputLayer", "conv_input", batch_input_shape=SHAPE, sparse=False, ragged=False)
    config["config"]["layers"].insert(0, entry)
    for described in config["config"]["layers"][1:]:
        described["config"]["dtype"] = {"class_name": "Policy", "config": {"name": "float32"}}
    same_as_ours(load_model(write(tmp_path / "m.h5", config)))


def graph_config():
    """A graph with a layer called twice and a chain within, whose own walk counts as its first call."""
    entry = {**layer("InputLayer", "pic", batch_input_shape=SHAPE, sparse=False), "name": "pic", "inbound_nodes": []}
    inner = {
        "class_name": "Sequential",
        "config": {"name": "inner", "layers": layers()[:5]},
        "name": "inner",
        "inbound_nodes": [[["pic", 0, 0, {}]]],
    }
    dense = {
        **layer("Dense", "fc", **{**SOFTMAX, "activation": "linear", "units": 8}),
        "name": "fc",
        "inbound_nodes": [[["inner", 1, 0, {}]], [["fc", 0, 0, {}]]],
    }
    add = {
        **layer("Add", "add"),
        "name": "add",
        "inbound_nodes": [[["fc", 0, 0, {}], ["fc", 1, 0, {"training": True}], ["inner", 1, 0, {}]]],
    }
    config = {
        "name": "model_1",
        "layers": [entry, inner, dense, add],
        "input_layers": [["pic", 0, 0]],
        "output_layers": [["add", 0, 0], ["inner", 1, 0]],
    }
    return {"class_name": "Model", "config": config}


def graph_weights():
    found = weights()
    kernel = np.random.default_rng(5).random((8, 8)).astype(np.float32)
    return {
        "pic": [],
        "inner": [*found["conv"], *found["bn"]],
        "fc": [("fc/kernel:0", kernel), ("fc/bias:0", np.ones(8, np.float32))],
        "add": [],
    }


def test_a_graph(tmp_path):
    saved = graph_weights()
    model = load_model(write(tmp_path / "m.h5", graph_config(), saved=saved))
    x = Input((6, 6, 1))
    flat = Sequential(ours().layers[:5])
    dense = Dense(8)
    y = flat(x)
    first = dense(y)
    expected = Model(x, [Add()([first, dense(first), y]), y])
    expected.set_weights([array for entries in saved.values() for _, array in entries])
    data = np.random.default_rng(1).random((4, 6, 6, 1)).astype(np.float32)
    for a, b in zip(model.predict(data), expected.predict(data), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.input_names == ["pic"] and not model.takes_list


# ------------------------------------------------------------------------------ optimizers

ADAM = {
    "class_name": "Adam",
    "config": {"name": "Adam", "lr": 0.01, "decay": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": None,
               "amsgrad": False},
}  # fmt: skip


def training(optimizer, **others):
    return {
        "optimizer_config": optimizer,
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["acc"],
        "weighted_metrics": None,
        "sample_weight_mode": None,
        "loss_weights": None,
        **others,
    }


def slots(names):
    """An array of its own for every slot and weight."""
    return {
        (slot, name): np.full(shape, 1 + place + 10 * number, np.float32)
        for number, slot in enumerate(names)
        for place, (name, shape) in enumerate(TRAINED)
    }


def state_of(model):
    """The optimizer's state by slot and weight, with the weights named as in `TRAINED`."""
    optimizer = model.optimizer
    names = [parameter.name for parameter in optimizer.parameters]
    pairs = [key.split("/") for key in optimizer.get_state() if "/" in key]
    return {(slot, names[int(number)]): optimizer.get_state()[f"{slot}/{number}"] for slot, number in pairs}


def check_state(model, expected, translate):
    state = state_of(model)
    assert len(state) == len(expected)
    for (slot, name), array in expected.items():
        np.testing.assert_array_equal(state[translate[slot], name], array)


@pytest.mark.parametrize("naming", ["slots", "numbers", "amsgrad placeholders"])
def test_adam_slot_after_slot(tmp_path, naming):
    """Keras 2 until 2.10: the steps, all of m, all of v; from 2.1 on with a number a weight where amsgrad would be."""
    arrays = slots(["m", "v"])
    state = [("Adam/iter:0", np.array(7, np.int64))]
    if naming == "slots":
        state += [(f"Adam/{name}/{slot}:0", array) for (slot, name), array in arrays.items()]
    else:
        state = [("training/Adam/iterations:0", np.array(7, np.int64))]
        for number, array in enumerate(arrays.values()):
            state.append((f"training/Adam/Variable{f'_{number}' if number else ''}:0", array))
    if naming == "amsgrad placeholders":
        state += [(f"training/Adam/Variable_{number}:0", np.zeros(1, np.float32)) for number in range(12, 18)]
    model = load_model(write(tmp_path / "m.h5", chain_config(), training=training(ADAM), state=state))
    same_as_ours(model)
    optimizer = model.optimizer
    assert (optimizer.iterations, optimizer.learning_rate, optimizer.decay) == (7, 0.01, 0.001)
    assert optimizer.epsilon == 1e-7
    check_state(model, arrays, {"m": "momentum", "v": "velocity"})
    x, y = np.random.default_rng(1).random((4, 6, 6, 1)), np.arange(4) % 3
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == ["loss", "acc"]


def test_adam_weight_after_weight(tmp_path):
    """Keras 2.11 and later."""
    arrays = slots(["m", "v"])
    state = [("iteration:0", np.array(4, np.int64))]
    for name, _ in TRAINED:
        state += [(f"Adam/{slot}/{name}:0", arrays[slot, name]) for slot in ("m", "v")]
    adam = {
        "class_name": "Custom>Adam",
        "config": {
            "name": "Adam", "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None,
            "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None, "jit_compile": False,
            "is_legacy_optimizer": False, "learning_rate": 0.02, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07,
            "amsgrad": False,
        },
    }  # fmt: skip
    wrapped = [[{"class_name": "MeanMetricWrapper", "config": {"name": "acc", "fn": "sparse_categorical_accuracy"}}]]
    config = training(adam, metrics=wrapped)
    model = load_model(write(tmp_path / "m.h5", chain_config(), training=config, state=state))
    assert (model.optimizer.iterations, model.optimizer.learning_rate) == (4, 0.02)
    check_state(model, arrays, {"m": "momentum", "v": "velocity"})
    x, y = np.random.default_rng(1).random((4, 6, 6, 1)), np.arange(4) % 3
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == ["loss", "acc"]


@pytest.mark.parametrize(
    ("optimizer", "options", "kept"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "decay": 0.0}, ["velocity"]),
        ("Adagrad", {"lr": 0.1, "decay": 0.0, "epsilon": 1e-7}, ["accumulator"]),
        ("RMSprop", {"lr": 0.1, "rho": 0.8, "decay": 0.0, "epsilon": 1e-7}, ["velocity"]),
    ],
)
def test_other_optimizers(tmp_path, optimizer, options, kept):
    arrays = slots(kept)
    state = [(f"{optimizer}/iter:0", np.array(5, np.int64))]
    state += [(f"{optimizer}/{name}/{slot}:0", array) for (slot, name), array in arrays.items()]
    described = {"class_name": optimizer, "config": {"name": optimizer, **options}}
    model = load_model(write(tmp_path / "m.h5", chain_config(), training=training(described), state=state))
    assert (model.optimizer.iterations, model.optimizer.learning_rate) == (5, 0.1)
    check_state(model, arrays, {slot: slot for slot in kept})


def test_metrics_of_several_outputs_were_named_after_them(tmp_path):
    wrapped = {"class_name": "MeanMetricWrapper", "config": {"name": "add_far", "fn": "mean_absolute_error"}}
    config = training(ADAM, loss={"add": "mse", "inner": "mae"}, metrics=[[wrapped], [None]], loss_weights=[1.0, 0.5])
    model = load_model(write(tmp_path / "m.h5", graph_config(), training=config, saved=graph_weights()))
    x, y = np.random.default_rng(1).random((4, 6, 6, 1)), np.zeros((4, 8), np.float32)
    logs = model.evaluate(x, [y, y], verbose=0, return_dict=True)
    assert list(logs) == ["loss", "add_loss", "inner_loss", "add_far"]
    assert logs["add_far"] == pytest.approx(np.abs(model.predict(x)[0]).mean(), rel=1e-5)


def test_state_of_another_network_is_refused(tmp_path):
    arrays = slots(["m", "v"])
    state = [("Adam/iter:0", np.array(7)), *((f"Adam/{n}/{s}:0", a) for (s, n), a in list(arrays.items())[:-1])]
    path = write(tmp_path / "m.h5", chain_config(), training=training(ADAM), state=state)
    with pytest.raises(ModelFileError, match="the file has 11 arrays of the optimizer's, Adam needs 12"):
        load_model(path)
    assert not load_model(path, compile=False).compiled
    state[3] = ("Adam/bn/gamma/m:0", np.zeros(9, np.float32))
    state.append(("Adam/fc/bias/v:0", np.zeros(3, np.float32)))
    path = write(tmp_path / "n.h5", chain_config(), training=training(ADAM), state=state)
    with pytest.raises(ModelFileError, match=r"momentum of 'bn/gamma' has shape \(9,\)"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda c: c["layers"].append(layer("TFOpLambda", "t", function="math.multiply")),
            "unknown layer 'TFOpLambda'",
        ),
        (
            lambda c: c["layers"][0]["config"].pop("batch_input_shape"),
            "does not say the shape of what Sequential 'sequential' takes",
        ),
        (lambda c: c["layers"][0]["config"].update(activity_regularizer="l2"), "has no activity_regularizer"),
        (lambda c: c.update(layers={}), "layers must be a list"),
        (lambda c: c["layers"][0].pop("config"), "must be described by class_name and config"),
    ],
)
def test_what_cannot_be_read(tmp_path, change, text):
    config = chain_config()
    change(config["config"])
    with pytest.raises(ModelFileError, match=rf"load_model: .*m\.h5: .*({text})"):
        load_model(write(tmp_path / "m.h5", config))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c.update(output_layers=[["nobody", 0, 0]]), "there is no layer 'nobody'"),
        (lambda c: c.update(output_layers=[["add", 3, 0]]), "depends on nothing"),
        (lambda c: c.update(output_layers=[["add", 0]]), r"a tensor must be \[layer, node, output\]"),
        (lambda c: c.update(input_layers=[["fc", 0, 0]]), "'fc' is no InputLayer"),
        (lambda c: c.update(input_layers=[["pic", 0, 0]] * 2), "the input 'pic' is there twice"),
        (lambda c: c.update(input_layers={"a": ["pic", 0, 0]}), "in a dictionary"),
        (lambda c: c["layers"][2].update(inbound_nodes=[[["add", 0, 0, {}]]]), "goes in circles"),
        (lambda c: c["layers"][2].update(inbound_nodes=[[["pic", 0, 0, {"initial_state": 3}]]]), "is called with"),
        (lambda c: c["layers"].append(c["layers"][1]), "the same name"),
    ],
)
def test_graphs_that_are_none(tmp_path, change, text):
    config = graph_config()
    change(config["config"])
    with pytest.raises(ModelFileError, match=rf"load_model: .*m\.h5: .*{text}"):
        load_model(write(tmp_path / "m.h5", config))


def test_a_file_of_weights_is_no_model(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_layers(file, weights())
    with pytest.raises(ModelFileError, match=r"it describes no model.*it holds weights alone.*use load_weights"):
        load_model(tmp_path / "w.h5")
