"""Weights in HDF5 as Keras 1 and 2 lay them out, files written by hand with h5py as those versions wrote them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from minicnn.layers import Add, BatchNormalization, Conv2D, Dense, Flatten, Input
from minicnn.models import Model, Sequential
from minicnn.saving import ModelFileError, load_weights
from minicnn.saving.h5_weights import write_names


def chain(units=3, names=("conv", "bn", "flat", "fc")):
    return Sequential(
        [
            Conv2D(2, 3, input_shape=(6, 6, 1), name=names[0]),
            BatchNormalization(name=names[1]),
            Flatten(name=names[2]),
            Dense(units, name=names[3]),
        ]
    )


def arrays(units=3, fill=1.0):
    """The arrays of `chain`, by layer, as Keras 2 names them."""
    generator = np.random.default_rng(0)
    shapes = {
        "conv": [("conv/kernel:0", (3, 3, 1, 2)), ("conv/bias:0", (2,))],
        "bn": [(f"bn/{name}:0", (2,)) for name in ("gamma", "beta", "moving_mean", "moving_variance")],
        "flat": [],
        "fc": [("fc/kernel:0", (32, units)), ("fc/bias:0", (units,))],
    }
    return {
        layer: [(name, fill * generator.standard_normal(shape).astype(np.float32)) for name, shape in entries]
        for layer, entries in shapes.items()
    }


def write(path, layers, keras_version="2.2.4", **attributes):
    """Write weights as Keras 2 did."""
    with h5py.File(path, "w") as file:
        write_layers(file, layers)
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = keras_version.encode()
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def write_layers(group, layers):
    group.attrs["layer_names"] = [name.encode() for name in layers]
    for name, entries in layers.items():
        inner = group.create_group(name)
        inner.attrs["weight_names"] = [weight.encode() for weight, _ in entries]
        for weight, array in entries:
            inner.create_dataset(weight, data=array)


def flat(layers):
    return [array for entries in layers.values() for _, array in entries]


def same(model, wanted):
    for ours, theirs in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_in_their_order_whatever_their_names(tmp_path):
    path = write(tmp_path / "vgg_weights.h5", arrays())
    model = chain(names=("a", "b", "c", "d"))
    model.load_weights(path)
    same(model, flat(arrays()))


def test_files_of_keras_1_name_weights_without_their_layer(tmp_path):
    layers = {
        layer: [(f"{layer}_{name.split('/')[1].split(':')[0]}", array) for name, array in entries]
        for layer, entries in arrays().items()
    }
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        write_layers(file, layers)
    model = chain()
    model.load_weights(path)
    same(model, flat(arrays()))


def test_layers_by_name_in_another_order_and_the_others_left_alone(tmp_path):
    saved = arrays()
    path = write(tmp_path / "w.h5", {"fc": saved["fc"], "other": saved["conv"], "conv": saved["conv"]})
    model = chain()
    before = model.get_weights()
    model.load_weights(path, by_name=True)
    same(model, [*flat({"conv": saved["conv"]}), *before[2:6], *flat({"fc": saved["fc"]})])


def test_by_name_without_any_name_in_common_is_an_error(tmp_path):
    path = write(tmp_path / "w.h5", arrays())
    with pytest.raises(ModelFileError, match=r"by_name: no layer .* in the file \(conv, bn, .* model \(a, b, d\)"):
        load_weights(chain(names=("a", "b", "c", "d")), path, by_name=True)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_layer_that_does_not_fit_is_refused_or_skipped_whole(tmp_path, by_name):
    path = write(tmp_path / "w.h5", arrays(units=5))
    model = chain()
    before = model.get_weights()
    with pytest.raises(ModelFileError, match=r"layer 'fc': kernel has shape \(32, 5\) in the file, \(32, 3\) in the"):
        model.load_weights(path, by_name)
    same(model, before)
    with pytest.warns(UserWarning, match=r"layer 'fc' is skipped: kernel has shape"):
        model.load_weights(path, by_name, skip_mismatch=True)
    same(model, [*flat(arrays(units=5))[:6], *before[6:]])


def test_a_file_of_other_layers_says_which_there_are(tmp_path):
    saved = arrays()
    del saved["bn"]
    path = write(tmp_path / "w.h5", saved)
    with pytest.raises(ModelFileError, match=r"2 layers with weights \(conv, fc\), the model has 3 \(conv, bn, fc\)"):
        load_weights(chain(), path)


def test_the_weights_of_a_whole_model_file(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        write_layers(file.create_group("model_weights"), arrays())
        file.create_group("optimizer_weights")
    model = chain()
    model.load_weights(path)
    same(model, flat(arrays()))


def test_long_lists_of_names_come_in_pieces(tmp_path):
    names = [f"layer_{'x' * 200}_{number}" for number in range(400)]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_names(file, "layer_names", names)
        assert "layer_names1" in file.attrs and "layer_names" not in file.attrs
        for name in names:
            file.create_group(name)
            write_names(file[name], "weight_names", [])
        write_names(file[names[-1]], "weight_names", ["k", "b"])
        file[names[-1]]["k"], file[names[-1]]["b"] = np.ones((2, 3)), np.zeros(3)
    model = Sequential([Dense(3, input_shape=(2,))])
    model.load_weights(tmp_path / "w.h5")
    same(model, [np.ones((2, 3)), np.zeros(3)])


def test_kernels_of_theano_are_refused(tmp_path):
    path = write(tmp_path / "w.h5", arrays(), backend=b"theano")
    with pytest.raises(ModelFileError, match="Theano"):
        load_weights(chain(), path)


def test_half_precision_and_double_weights_are_cast(tmp_path):
    for dtype in (np.float16, np.float64, ">f4"):
        layers = {
            name: [(weight, array.astype(dtype)) for weight, array in entries] for name, entries in arrays().items()
        }
        model = chain()
        model.load_weights(write(tmp_path / "w.h5", layers))
        assert model.get_weights()[0].dtype == np.float32
        np.testing.assert_allclose(model.get_weights()[0], flat(arrays())[0], rtol=1e-3)


def test_what_is_written_is_read_with_frozen_and_nested_layers(tmp_path):
    def network():
        x = Input((6, 6, 1))
        inner = chain()
        inner.layers[0].trainable = False
        y = inner(x)
        return Model(x, Add()([Dense(2, name="p")(y), Dense(2, name="q")(y)]))

    one, two = network(), network()
    one.save_weights(tmp_path / "w.h5")
    two.load_weights(tmp_path / "w.h5")
    same(two, one.get_weights())
    with h5py.File(tmp_path / "w.h5") as file:
        # Trained weights come first, so a frozen kernel comes after them.
        names = [name.decode() for name in file[one.layers[1].name].attrs["weight_names"]]
    assert names[0].endswith("bn/gamma") and names[4].endswith("conv/kernel")


def test_a_model_without_weights_yet(tmp_path):
    path = write(tmp_path / "w.h5", arrays())
    with pytest.raises(ValueError, match="has no weights yet"):
        load_weights(Sequential([Dense(3)]), path)


def test_by_name_needs_names(tmp_path):
    model = chain()
    model.save_weights(tmp_path / "w.npz")
    with pytest.raises(ValueError, match=r"by_name needs the names of layers, which 'w.npz' does not have"):
        model.load_weights(tmp_path / "w.npz", by_name=True)
