"""Code in files: never run; what the caller names, or minicnn's own functions, takes its place."""

from __future__ import annotations

import json
import zipfile

import h5py
import numpy as np
import pytest

import minicnn.functional as F
from minicnn.articles import fashion
from minicnn.layers import Dense, Flatten, Input, Lambda, Layer
from minicnn.layers import registry as layers
from minicnn.models import Model, Sequential
from minicnn.optimizers import Adam
from minicnn.saving import ModelFileError, load_model
from tests.oracles import keras
from tests.saving.keras_side import save

ENDINGS = [".minicnn", ".keras", ".h5"]
#: What Keras writes of `Lambda(lambda x: x * 2)`: marshalled bytecode, in base 64.
CODE = {
    "class_name": "__lambda__",
    "config": {"code": "4wEAAAAAAAAAAAAAAAEAAAACAAAAUwAAAA==\n", "defaults": None, "closure": None},
}


def double(x):
    return x * 2.0


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_network_with_the_largest_channel_comes_back(tmp_path, ending):
    """Article B2: the Lambda is a function of minicnn.functional, and stored by its name."""
    model = fashion.DEPTH.build()
    model.save(tmp_path / f"b2{ending}")
    again = load_model(tmp_path / f"b2{ending}")
    x = np.random.default_rng(0).random((3, 28, 28, 1)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    lambdas = [layer for layer in again.layers if isinstance(layer, Lambda)]
    assert lambdas[0].function is F.max and lambdas[0].arguments == {"axis": 3, "keepdims": True}


def rewritten(path, out, change):
    """Change the description of the model in a file."""
    if path.suffix == ".h5":
        out.write_bytes(path.read_bytes())
        with h5py.File(out, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return out
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as target:
        for name in archive.namelist():
            data = archive.read(name)
            if name in ("config.json", "model.json"):
                config = json.loads(data)
                change(config["model"] if name == "model.json" else config)
                data = json.dumps(config).encode()
            target.writestr(name, data)
    return out


def described(config):
    """The description of the only Lambda."""
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")["config"]


@pytest.fixture(params=[".keras", ".h5"])
def coded(request, tmp_path):
    """A file whose Lambda 'twice' is bytecode."""
    model = Sequential([Lambda("exp", name="twice", input_shape=(3,)), Dense(2)])
    model.save(tmp_path / f"m{request.param}")
    out = tmp_path / f"code{request.param}"
    return rewritten(tmp_path / f"m{request.param}", out, lambda config: described(config).update(function=CODE))


@pytest.mark.parametrize("safe_mode", [True, False])
def test_code_is_refused_even_where_it_is_asked_for(coded, safe_mode):
    with pytest.raises(ModelFileError, match=r"Lambda layer 'twice' asks for Python code.*custom_objects=\{'twice'"):
        load_model(coded, safe_mode=safe_mode)


def test_the_caller_puts_a_function_in_the_place_of_code(coded):
    model = load_model(coded, {"twice": double})
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        model.predict(x), 2 * model.layers[1](x).numpy() - model.layers[1].bias.numpy(), rtol=1e-6
    )


def test_keras_2_wrote_code_as_a_list(tmp_path):
    model = Sequential([Lambda("exp", name="twice", input_shape=(3,))])
    model.save(tmp_path / "m.h5")
    old = {"function": [CODE["config"]["code"], None, None], "function_type": "lambda", "module": "__main__"}
    path = rewritten(tmp_path / "m.h5", tmp_path / "old.h5", lambda config: described(config).update(old))
    with pytest.raises(ModelFileError, match="asks for Python code"):
        load_model(path)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(load_model(path, {"twice": double}).predict(x), 2 * x)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["os.system", "eval", "__import__", "operators", "double"])
def test_names_that_are_no_functions_of_ours(tmp_path, ending, name):
    Sequential([Lambda("exp", name="l", input_shape=(3,))]).save(tmp_path / f"m{ending}")
    path = rewritten(
        tmp_path / f"m{ending}", tmp_path / f"x{ending}", lambda config: described(config).update(function=name)
    )
    with pytest.raises(ModelFileError, match=r"x\.\w+: .*" + name):
        load_model(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_function_that_may_grow_is_not_tried(tmp_path, ending):
    model = Sequential([Lambda("pad", arguments={"widths": [[0, 0], [1, 2]]}, name="l", input_shape=(3,))])
    model.save(tmp_path / f"m{ending}")
    assert load_model(tmp_path / f"m{ending}").output_shape == (None, 6)

    def grow(config):
        inner = described(config)
        inner["arguments"] = {"widths": [[0, 0], [10**9, 10**9]]}
        inner.pop("output_shape")

    path = rewritten(tmp_path / f"m{ending}", tmp_path / f"x{ending}", grow)
    with pytest.raises(ModelFileError, match="a file that names 'pad' has to give its output_shape"):
        load_model(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_inputs_of_any_size_are_not_tried(tmp_path, ending):
    x = Input((3, 4), name="x")
    Model(x, Lambda("max", arguments={"axis": 2}, name="l")(x)).save(tmp_path / f"m{ending}")

    def grow(config):
        described(config).pop("output_shape")
        entry = config["config"]["layers"][0]["config"]
        for shape in (entry.get("shape"), entry.get("batch_shape")):
            if shape:
                shape[-2:] = [10**6, 10**6]

    path = rewritten(tmp_path / f"m{ending}", tmp_path / f"x{ending}", grow)
    with pytest.raises(ModelFileError, match="too large to find the output's shape by trying"):
        load_model(path)


class Scale(Layer):
    def __init__(self, start=1.0, **options):
        super().__init__(**options)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, x):
        return x * self.factor * self.start

    def get_config(self):
        return {**super().get_config(), "start": self.start}


class Block(Layer):
    """Layers in attributes and lists."""

    def build(self, input_shape):
        self.steps = [Dense(4), Dense(4), Scale(0.5)]
        self.last = Dense(2)

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return self.last(x)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_layers_of_the_callers_own(tmp_path, ending):
    model = Sequential([Scale(2.0, input_shape=(3,)), Block(), Flatten()])
    model.compile("adam", "mse")
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    model.train_on_batch(x, y)
    model.save(tmp_path / f"m{ending}")
    again = load_model(tmp_path / f"m{ending}", {"Scale": Scale, "Block": Block})
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.train_on_batch(x, y) == model.train_on_batch(x, y)
    with pytest.raises(ModelFileError, match=r"unknown layer 'Scale'; a class of your own goes into load_model"):
        load_model(tmp_path / f"m{ending}")
    assert "Scale" not in layers


def shifted(shape, dtype=None):
    return np.full(shape, 0.25, dtype)


@pytest.mark.parametrize("ending", ENDINGS)
def test_functions_of_the_callers_own_as_arguments_of_layers(tmp_path, ending):
    """Activations and initializers that nobody registered, also in a model within a model."""
    inner = Sequential([Dense(3, activation=double, input_shape=(2,))])
    model = Sequential([inner, Dense(2, kernel_initializer=shifted)])
    path, x = tmp_path / f"m{ending}", np.ones((2, 2), np.float32)
    model.save(path)
    again = load_model(path, {"double": double, "shifted": shifted})
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.layers[1].kernel_initializer is shifted
    with pytest.raises(ModelFileError, match=r"unknown activation 'double'; a function of your own goes into load_mo"):
        load_model(path)
    if ending != ".minicnn":
        theirs = keras().saving.load_model(path, {"double": double, "shifted": shifted})
        np.testing.assert_allclose(theirs(x).detach().numpy(), model.predict(x), rtol=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_functions_that_keras_registered_under_a_package(tmp_path, ending):
    def doubled(x):
        return x * 2.0

    function = keras().saving.register_keras_serializable("package")(doubled)
    theirs = keras().Sequential([keras().Input((2,)), keras().layers.Dense(3, activation=function)])
    save(theirs, tmp_path / f"m{ending}")
    x = np.ones((2, 2), np.float32)
    for name in ("doubled", "package>doubled"):
        ours = load_model(tmp_path / f"m{ending}", {name: double})
        np.testing.assert_allclose(ours.predict(x), theirs(x).detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_names_that_keras_does_not_open_are_refused(tmp_path, ending):
    inner = Sequential([Dense(2, name="block/dense", input_shape=(3,))], name="block")
    for model in (inner, Sequential([inner]), Model(inner.input, inner.output, name="a/b")):
        with pytest.raises(ValueError, match=r"save: Keras takes no names with '/', but there is \w+ '\w+/\w+'"):
            model.save(tmp_path / f"m{ending}")
        assert not list(tmp_path.iterdir())
    Sequential([inner]).save(tmp_path / "m.minicnn")
    assert load_model(tmp_path / "m.minicnn").layers[0].layers[0].name == "block/dense"


class Own(Model):
    def __init__(self, units=3, name=None):
        super().__init__(name=name)
        self.units = units
        self.first = Dense(units)
        self.rest = [Dense(units), [Dense(2)]]

    def call(self, x, training=False):
        return self.rest[1][0](self.rest[0](self.first(x)))

    def get_config(self):
        return {"units": self.units, "name": self.name}


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_models_of_the_callers_own(tmp_path, ending):
    model = Own(4)
    model.compile("adam", "mse")
    x, y = np.random.default_rng(0).random((4, 3)).astype(np.float32), np.zeros((4, 2), np.float32)
    model.train_on_batch(x, y)
    model.save(tmp_path / f"m{ending}")
    again = load_model(tmp_path / f"m{ending}", {"Own": Own})
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.train_on_batch(x, y) == model.train_on_batch(x, y)


def test_an_optimizer_that_was_given_its_weights_by_hand_keeps_its_state(tmp_path):
    model = Sequential([Dense(2, input_shape=(3,))])
    model.layers[0].bias.trainable = False
    optimizer = Adam(0.1, parameters=[model.layers[0].kernel])
    model.compile(optimizer, "mse")
    optimizer.apply_gradients([(np.ones((3, 2)), model.layers[0].kernel)])
    before = optimizer.get_state()
    model.save(tmp_path / "m.keras")
    for key, value in optimizer.get_state().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_lambdas_of_keras_and_the_other_way_round(tmp_path):
    module = keras()
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)

    def thrice(value):
        return value * 3.0

    named = module.Sequential([module.layers.Input((3,)), module.layers.Lambda(thrice, name="l")])
    for ending in (".keras", ".h5"):
        save(named, tmp_path / f"m{ending}")
        with pytest.raises(ModelFileError, match="asks for the function 'thrice'"):
            load_model(tmp_path / f"m{ending}")
        np.testing.assert_array_equal(load_model(tmp_path / f"m{ending}", {"thrice": thrice}).predict(x), 3 * x)
    Sequential([Lambda("exp", name="l", input_shape=(3,))]).save(tmp_path / "ours.keras")
    again = module.models.load_model(tmp_path / "ours.keras", custom_objects={"exp": module.ops.exp})
    np.testing.assert_allclose(module.ops.convert_to_numpy(again(x)), np.exp(x), rtol=1e-6)
