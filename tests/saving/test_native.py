"""Files of whole models: complete, whole or not at all, and never code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from minicnn import losses, metrics, schedules
from minicnn.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Lambda,
    Layer,
    MaxPooling2D,
    registry,
)
from minicnn.models import Model, Sequential
from minicnn.optimizers import SGD, Adam
from minicnn.saving import load_model


def pictures(n=24):
    generator = np.random.default_rng(0)
    return generator.standard_normal((n, 8, 8, 1)).astype(np.float32), np.arange(n) % 3


def chain():
    return Sequential(
        [
            Conv2D(4, 3, activation="relu", kernel_regularizer="l2", input_shape=(8, 8, 1)),
            BatchNormalization(),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.4),
            Dense(3, activation="softmax", kernel_initializer="he_normal", bias_constraint="non_neg"),
        ]
    )


def graph():
    x = Input((8, 8, 1), name="picture")
    inner = Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), Flatten()], name="inner")
    shared = Dense(4, activation="tanh")
    flat = inner(x)
    joined = Concatenate()([shared(flat), shared(inner(x))])
    return Model(x, [Dense(3, activation="softmax", name="a")(joined), Dense(1, name="b")(joined)])


def trained(model, optimizer="adam", loss="sparse_categorical_crossentropy", **options):
    x, y = pictures()
    model.compile(optimizer, loss, **options)
    model.fit(x, y, batch_size=7, epochs=1, verbose=0)
    return model


def rewrite(path, out, change):
    """Write the archive at `path` to `out` with its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out


def change_description(path, out, change):
    def edit(members):
        description = json.loads(members["model.json"])
        change(description)
        members["model.json"] = json.dumps(description).encode()

    return rewrite(path, out, edit)


def test_loaded_model_predicts_and_trains_on_to_the_bit(tmp_path):
    model = trained(chain(), metrics=["accuracy"])
    path = tmp_path / "model.minicnn"
    model.save(path)
    again = load_model(path)
    x, y = pictures()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.epoch == 1 and again.optimizer.iterations == model.optimizer.iterations
    assert again.get_config() == model.get_config()
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    first = model.fit(x, y, batch_size=7, epochs=3, initial_epoch=model.epoch, verbose=0).history
    assert again.fit(x, y, batch_size=7, epochs=3, initial_epoch=again.epoch, verbose=0).history == first
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


SCRIPT = """
    import sys
    import numpy as np
    import minicnn
    from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
    from minicnn.models import Sequential
    from minicnn.saving import load_model

    epochs, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((45, 8, 8, 1)).astype(np.float32), np.arange(45) % 3
    if source == "new":
        minicnn.set_seed(11)
        model = Sequential([
            Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)), BatchNormalization(), Flatten(), Dropout(0.4),
            Dense(3, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    else:
        model = load_model(source)
    history = model.fit(x, y, batch_size=10, epochs=epochs, initial_epoch=model.epoch, verbose=0).history
    print(history["loss"][-1].hex(), history["accuracy"][-1].hex())
    model.save(target)
"""


def test_two_epochs_are_one_epoch_saved_and_one_more_in_a_new_process(tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)],
            capture_output=True, text=True, check=True, cwd=tmp_path, env=dict(os.environ),
        )  # fmt: skip
        return done.stdout

    whole, half, rest = (tmp_path / f"{name}.minicnn" for name in ("whole", "half", "rest"))
    at_once = run(2, "new", whole)
    run(1, "new", half)
    assert run(2, half, rest) == at_once
    with zipfile.ZipFile(whole) as a, zipfile.ZipFile(rest) as b:
        for name in ("weights.safetensors", "optimizer.safetensors"):
            assert a.read(name) == b.read(name)
        states = [json.loads(archive.read("model.json"))["state"] for archive in (a, b)]
        assert states[0] == states[1]


def test_graph_with_shared_layers_and_nested_models(tmp_path):
    model = graph()
    model.compile(
        Adam(0.01), {"a": "sparse_categorical_crossentropy", "b": "mse"}, {"a": ["accuracy"]}, loss_weights=[1, 2]
    )
    x, y = pictures()
    model.fit(x, [y, y.astype(np.float32)], verbose=0)
    model.save(tmp_path / "g.minicnn")
    again = load_model(tmp_path / "g.minicnn")
    for ours, theirs in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.count_params() == model.count_params()
    assert again.input_names == ["picture"] and again.output_names == ["a", "b"]
    targets = [y, y.astype(np.float32)]
    assert again.fit(x, targets, verbose=0).history == model.fit(x, targets, verbose=0).history


def test_part_of_a_model_is_saved_as_a_model_of_its_own(tmp_path):
    model = chain()
    tail = Model(model.layers[2].output, model.output)
    tail.save(tmp_path / "tail.minicnn")
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "tail.minicnn").predict(x), tail.predict(x))


def test_everything_that_compile_takes_comes_back(tmp_path):
    model = trained(
        chain(),
        SGD(schedules.ExponentialDecay(0.1, 10, 0.9), momentum=0.9, nesterov=True, clipnorm=1.0),
        losses.SparseCategoricalCrossentropy(name="mine"),
        metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(2), losses.SparseCategoricalCrossentropy()],
        clip_probabilities=True,
    )
    model.save(tmp_path / "m.minicnn")
    again = load_model(tmp_path / "m.minicnn")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.trainer.get_config() == model.trainer.get_config()
    x, y = pictures()
    assert again.evaluate(x, y, verbose=0, return_dict=True) == model.evaluate(x, y, verbose=0, return_dict=True)


def test_reduced_learning_rate_comes_back(tmp_path):
    model = trained(chain())
    model.optimizer.learning_rate = 1e-5
    model.save(tmp_path / "m.minicnn")
    assert load_model(tmp_path / "m.minicnn").optimizer.learning_rate == 1e-5


def test_class_names_and_preprocessing_travel_along(tmp_path):
    from minicnn.preprocessing import Preprocessing

    model = chain()
    model.class_names = ["cat", "dog", "other"]
    for preprocessing in ({"scale": 0.5, "kind": "digit"}, Preprocessing(factor=1 / 255, shape=(8, 8, 1)), None):
        model.preprocessing = preprocessing
        model.save(tmp_path / "m.minicnn")
        again = load_model(tmp_path / "m.minicnn")
        assert again.class_names == ["cat", "dog", "other"] and again.optimizer is None
        if isinstance(preprocessing, Preprocessing):
            assert again.preprocessing.get_config() == preprocessing.get_config()
        else:
            assert again.preprocessing == preprocessing


def test_load_without_compiling(tmp_path):
    trained(chain()).save(tmp_path / "m.minicnn")
    assert not load_model(tmp_path / "m.minicnn", compile=False).compiled


def test_frozen_layers_stay_frozen(tmp_path):
    model = chain()
    model.layers[0].trainable = False
    trained(model).save(tmp_path / "m.minicnn")
    again = load_model(tmp_path / "m.minicnn")
    assert [w.name.split("/")[1] for w in again.trainable_weights] == ["gamma", "beta", "kernel", "bias"]


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


class Own(Model):
    def __init__(self, units=3, name=None):
        super().__init__(name=name)
        self.units = units
        self.dense = Dense(units)
        self.blocks = [Dense(units), Dropout(0.5)]

    def call(self, x, training=False):
        x = self.dense(x)
        for block in self.blocks:
            x = block(x)
        return x

    def get_config(self):
        return {"units": self.units, "name": self.name}


def test_own_classes_and_functions(tmp_path):
    def distance(y_true, y_pred):
        return ((y_pred - y_true) ** 2.0).mean(axis=-1)

    model = Sequential([Scale(2.0, input_shape=(4,)), Dense(1)])
    model.compile("sgd", distance, [distance])
    model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "m.minicnn")
    custom = {"Scale": Scale, "distance": distance}
    again = load_model(tmp_path / "m.minicnn", custom)
    np.testing.assert_array_equal(again.predict(np.ones((2, 4))), model.predict(np.ones((2, 4))))
    data = (np.ones((4, 4)), np.ones((4, 1)))
    assert again.fit(*data, verbose=0).history == model.fit(*data, verbose=0).history
    with pytest.raises(ValueError, match=r"unknown layer 'Scale'.*custom_objects"):
        load_model(tmp_path / "m.minicnn")
    with pytest.raises(ValueError, match="unknown loss 'distance'"):
        load_model(tmp_path / "m.minicnn", {"Scale": Scale})


def test_own_model_class(tmp_path):
    model = Own(4)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 2)), np.ones((8, 4)), verbose=0)
    model.save(tmp_path / "m.minicnn")
    again = load_model(tmp_path / "m.minicnn", {"Own": Own})
    np.testing.assert_array_equal(again.predict(np.ones((2, 2))), model.predict(np.ones((2, 2))))
    data = (np.ones((8, 2)), np.ones((8, 4)))
    assert again.fit(*data, verbose=0).history == model.fit(*data, verbose=0).history


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "m.minicnn"
    with pytest.raises(ValueError, match="has no weights yet"):
        Sequential([Dense(2)]).save(path)
    with pytest.raises((ValueError, TypeError, NotImplementedError)):
        Sequential([Lambda(lambda x: x, input_shape=(2,))]).save(path)

    class Silent(Model):
        def call(self, x):
            return x

    silent = Silent()
    silent(np.ones((1, 2)))
    with pytest.raises(NotImplementedError, match="must define get_config"):
        silent.save(path)
    assert list(tmp_path.iterdir()) == []
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile("sgd", lambda y_true, y_pred: (y_pred - y_true) ** 2.0)
    with pytest.warns(UserWarning, match="lambda among losses or metrics"):
        model.save(path)
    assert not load_model(path).compiled


@pytest.mark.parametrize("ending", ["", ".pkl"])
def test_unknown_ending(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    with pytest.raises(ValueError, match=r"must be one of \.minicnn"):
        chain().save(path)
    with pytest.raises(ValueError, match=r"must be one of \.minicnn"):
        load_model(path)
    with pytest.raises(ValueError, match=r"must be one of \.weights\.h5, \.h5, \.safetensors, \.npz"):
        chain().save_weights(path)


def test_a_folder_that_is_not_there_is_called_by_the_users_name(file, tmp_path):
    path = tmp_path / "nowhere" / "net.minicnn"
    with pytest.raises(FileNotFoundError) as caught:
        load_model(file).save(path)
    assert str(path.resolve()) in str(caught.value)
    assert ".part" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.minicnn")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.minicnn"
    trained(chain()).save(path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(file, tmp_path, share):
    data = file.read_bytes()
    cut = tmp_path / "cut.minicnn"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"load_model: .*cut\.minicnn: not a \.minicnn file, or truncated"):
        load_model(cut)


def test_damaged_bytes_are_noticed(file, tmp_path):
    data = bytearray(file.read_bytes())
    place = data.find(b"weights.safetensors") + 2000
    data[place] ^= 255
    hurt = tmp_path / "hurt.minicnn"
    hurt.write_bytes(data)
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        load_model(hurt)


def test_other_files(tmp_path):
    text = tmp_path / "text.minicnn"
    text.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"not a \.minicnn file"):
        load_model(text)
    other = tmp_path / "other.minicnn"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(ValueError, match=r"it holds \['hello.txt'\]"):
        load_model(other)


def test_packed_members_are_refused(file, tmp_path):
    bomb = tmp_path / "bomb.minicnn"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, b"\0" * 3_000_000 if name.startswith("weights") else source.read(name))
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="is compressed"):
        load_model(bomb)


def test_weights_larger_than_the_layers_say_are_not_read(file, tmp_path):
    def grow(members):
        members["weights.safetensors"] += b"\0" * 10_000_000

    with pytest.raises(ValueError, match="more than the"):
        load_model(rewrite(file, tmp_path / "big.minicnn", grow))


def test_layers_larger_than_the_weights_are_never_allocated(file, tmp_path):
    def grow(description):
        description["model"]["config"]["layers"][-1]["config"]["units"] = 10**12

    with pytest.raises(ValueError, match="the weights do not fit the model"):
        load_model(change_description(file, tmp_path / "big.minicnn", grow))


def test_unknown_member_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"it holds \['code.py'\]"):
        load_model(rewrite(file, tmp_path / "x.minicnn", lambda members: members.update({"code.py": b"print()"})))


@pytest.mark.parametrize("name", ["Dens", "os.system", "Model.__init__", "eval"])
def test_names_that_are_no_layers(file, tmp_path, name):
    def rename(description):
        description["model"]["config"]["layers"][-1]["class_name"] = name

    with pytest.raises(ValueError, match="unknown layer"):
        load_model(change_description(file, tmp_path / "x.minicnn", rename))


def test_activation_that_is_no_activation(file, tmp_path):
    def rename(description):
        description["model"]["config"]["layers"][-1]["config"]["activation"] = "os.system"

    with pytest.raises(ValueError, match="unknown activation"):
        load_model(change_description(file, tmp_path / "x.minicnn", rename))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("model"),
        lambda d: d.pop("state"),
        lambda d: d["state"].pop("shuffler"),
        lambda d: d["state"]["shuffler"].update(bit_generator="MT19937"),
        lambda d: d["model"].update(config=3),
        lambda d: d["model"]["config"].update(layers="abc"),
        lambda d: d["model"]["config"].update(input_shape=[None, "a"]),
        lambda d: d["model"]["config"]["layers"][0]["config"].update(filters=-3),
        lambda d: d["model"]["config"]["layers"][0]["config"].update(color="red"),
        lambda d: d["model"]["config"]["layers"].pop(),
        lambda d: d.update(epoch="many"),
        lambda d: d.update(version=99),
        lambda d: d.update(format="other"),
        lambda d: d["compile"].update(loss={"class_name": 3}),
        lambda d: d["compile"].pop("optimizer"),
        lambda d: d["state"]["optimizer"].update(iterations=None),
    ],
)
def test_tampered_description(file, tmp_path, change):
    with pytest.raises(ValueError, match=r"load_model: .*x\.minicnn"):
        load_model(change_description(file, tmp_path / "x.minicnn", change))


def test_missing_left_over_and_misshapen_weights(file, tmp_path):
    from safetensors.numpy import load, save

    def edit(members):
        arrays = load(members["weights.safetensors"])
        arrays["05_dense/other"] = arrays.pop("05_dense/bias")
        arrays["00_conv2d/kernel"] = arrays["00_conv2d/kernel"][:2].copy()
        members["weights.safetensors"] = save(arrays)

    with pytest.raises(ValueError) as caught:
        load_model(rewrite(file, tmp_path / "x.minicnn", edit))
    text = str(caught.value)
    assert "missing: 05_dense/bias (3,)" in text
    assert "not in the model: 05_dense/other (3,)" in text
    assert "00_conv2d/kernel has shape (2, 3, 1, 4) in the file, (3, 3, 1, 4) in the model" in text


def test_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "m.minicnn"
    model = chain()
    model.save(path)
    before = path.read_bytes()
    model.set_weights([w + 1 for w in model.get_weights()])
    original = zipfile.ZipFile.writestr

    def fail(self, info, data, *rest):
        if getattr(info, "filename", info) == "weights.safetensors":
            raise KeyboardInterrupt
        return original(self, info, data, *rest)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_killed_while_saving_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.minicnn"
    chain().save(path)
    before = path.read_bytes()
    script = """
        import os, sys, zipfile
        from minicnn.saving import load_model
        model = load_model(sys.argv[1])
        original = zipfile.ZipFile.writestr
        def die(self, info, data, *rest):
            original(self, info, data, *rest)
            self.fp.flush()
            os._exit(9)
        zipfile.ZipFile.writestr = die
        model.save(sys.argv[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], env=dict(os.environ), cwd=tmp_path
    )
    assert done.returncode == 9
    assert path.read_bytes() == before
    load_model(path)


def test_names_with_spaces_and_other_letters(tmp_path):
    path = tmp_path / "größe und Löwe" / "网络.minicnn"
    path.parent.mkdir()
    chain().save(path)
    assert load_model(str(path)).count_params() == chain().count_params()


def test_same_model_gives_the_same_bytes(tmp_path):
    model = trained(chain())
    model.save(tmp_path / "a.minicnn")
    model.save(tmp_path / "b.minicnn")
    assert (tmp_path / "a.minicnn").read_bytes() == (tmp_path / "b.minicnn").read_bytes()


def test_every_registered_layer_can_be_described(tmp_path):
    # What a file says of a layer must make the same layer again.
    model = Sequential([Dense(3, input_shape=(4,)), Activation("relu"), Activation("gelu")])
    model.save(tmp_path / "m.minicnn")
    assert load_model(tmp_path / "m.minicnn").get_config() == model.get_config()
    assert "Sequential" in registry and "Functional" in registry
