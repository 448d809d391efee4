"""Files of weights alone."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.layers import BatchNormalization, Conv2D, Dense, Flatten, Input
from minicnn.models import Model, Sequential
from minicnn.saving import load_weights, save_weights
from minicnn.saving.weights import named_weights


def chain(units=3):
    return Sequential([Conv2D(2, 3, input_shape=(6, 6, 1)), BatchNormalization(), Flatten(), Dense(units)])


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_weights_come_back_into_another_model_of_the_same_layers(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    one, two = chain(), chain()
    one.save_weights(path)
    two.load_weights(path)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_weights_of_other_layers_change_nothing(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    save_weights(chain(5), path)
    model = chain(3)
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=r"03_dense/kernel has shape \(32, 5\) in the file, \(32, 3\) in the model|more"
    ):
        load_weights(model, path)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_damaged_file(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    save_weights(chain(), path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="damaged"):
        load_weights(chain(), path)


def test_pickled_objects_are_not_read(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, kernel=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled objects, which are not read"):
        load_weights(Sequential([Dense(1, input_shape=(1,))]), path)


def test_archive_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "w.npz"
    for size, text in [
        (400_000, "unpacks to more bytes than the model"),
        (5_000_000, "unpacks to 40,000,128 bytes from"),
    ]:
        np.savez_compressed(path, kernel=np.zeros(size))
        with pytest.raises(ValueError, match=text):
            load_weights(Sequential([Dense(1, input_shape=(1,))]), path)


def test_names_follow_places_not_counters():
    chain()
    x = Input((6, 6, 1))
    inner = chain()
    model = Model(x, Dense(1)(inner(x)))
    names = list(named_weights(model))
    assert "00_sequential/00_conv2d/kernel" in names and "01_dense/bias" in names
    assert len(names) == len(model.weights)


def test_shared_layers_are_written_once():
    a, b = Input((3,)), Input((3,))
    layer = Dense(2)
    assert list(named_weights(Model([a, b], [layer(a), layer(b)]))) == ["00_dense/kernel", "00_dense/bias"]


def test_weights_in_another_precision_are_converted(tmp_path):
    one = Sequential([Dense(2, dtype="float64", input_shape=(3,))])
    two = Sequential([Dense(2, input_shape=(3,))])
    one.save_weights(tmp_path / "w.safetensors")
    two.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_allclose(two.get_weights()[0], one.get_weights()[0], rtol=1e-6)
    assert two.get_weights()[0].dtype == np.float32
