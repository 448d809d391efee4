"""The explained numbers are those of the model, and the terms are what they are made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minicnn
from minicnn import Model, Sequential, explain, layers, plots
from minicnn.layers import Input
from tests.explain.cases import ACTIVATION_LAYERS, PIXELS, SIZE, chain, positions, prepared


def outputs_of(model, name, x):
    """What the model computes at a layer, blocks and all; of an input what comes in."""
    if name in model.input_names:
        return x
    part = Model(inputs=model.input, outputs=model.get_layer(name).output)
    return part.predict(x[np.newaxis])[0]


def checked(model, x, layer, position):
    """An explanation whose value and inputs are compared with what the layers give."""
    explained = explain.pixel(model, x, layer, position)
    expected = outputs_of(model, layer, x)
    assert explained.value == pytest.approx(expected[position], rel=1e-5, abs=1e-5)
    assert explained.computed == pytest.approx(expected[position], rel=1e-5, abs=1e-5)
    before = {name: outputs_of(model, name, x) for name in {given.layer for given in explained.inputs}}
    for given, value, pad in zip(
        explained.inputs, explained.window.reshape(-1), explained.padding.reshape(-1), strict=True
    ):
        assert given.value == value
        assert (given.position is None) == pad
        wanted = 0.0 if pad else before[given.layer][given.position]
        assert value == pytest.approx(wanted, abs=1e-5)
    return explained


@pytest.mark.parametrize("case", PIXELS)
def test_every_layer_in_every_geometry(case):
    model, x = prepared(PIXELS[case]())
    layer = model.layers[-1].name
    for position in positions(outputs_of(model, layer, x).shape, 6):
        explained = checked(model, x, layer, position)
        if explained.kernel is not None:
            np.testing.assert_allclose(explained.products, explained.window * explained.kernel)
        if explained.pre_activation is not None and explained.kernel is not None:
            z = explained.products.sum() + (explained.bias or 0)
            assert explained.pre_activation == pytest.approx(z, abs=1e-9)
        assert str(explained).endswith(f"the model computed          {explained.value:.7g}")


@pytest.mark.parametrize("case", ACTIVATION_LAYERS)
def test_every_activation_shows_its_formula_with_the_numbers(case):
    model, x = prepared(chain(layers.Dense(5), ACTIVATION_LAYERS[case](), shape=(3,)), seed=1)
    layer = model.layers[-1].name
    made = outputs_of(model, layer, x)
    assert min(made) != max(made)
    for unit in range(5):
        explained = checked(model, x, layer, (unit,))
        if case != "linear":
            assert explained.lines[-1].value == explained.computed
            assert explained.lines[-1].formula


def test_a_window_is_cut_from_the_picture_and_multiplied_by_its_filter():
    model, x = prepared(chain(layers.Conv2D(3, (2, 3), strides=(2, 1), dilation_rate=(1, 2), padding=((1, 0), (0, 2)))))
    explained = explain.pixel(model, x, 0, (0, 1, 2))
    kernel = model.layers[0].kernel.numpy()
    np.testing.assert_array_equal(explained.kernel, kernel[..., 2])
    assert explained.window.shape == explained.padding.shape == (2, 3, 4)
    assert explained.padding[0].all() and not explained.padding[1].any()
    np.testing.assert_array_equal(explained.window[1], x[0, 1:6:2])
    assert explained.inputs[0].position is None
    assert explained.inputs[-1].position == (0, 5, 3)


def test_padding_never_wins_and_is_not_counted():
    model = chain(layers.MaxPooling2D(3, padding="same", name="max"), shape=(4, 4, 1))
    negative = -1 - np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    explained = explain.pixel(model, negative, "max", (0, 0, 0))
    assert explained.value == -1 and explained.winner == explained.back().position == (0, 0, 0)
    model = chain(layers.AveragePooling2D(3, padding="same", name="mean"), shape=(4, 4, 1))
    assert explain.pixel(model, negative, "mean", (1, 1, 0)).lines[-1].formula == "-54 / 4"


def network() -> Model:
    """A picture, two convolutions, a residual connection, and a dense head."""
    x = Input((9, 8, 2), name="picture")
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    y = layers.MaxPooling2D(2, name="pool")(y)
    z = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="second")(y))
    y = layers.Activation("tanh", name="tanh")(layers.Add(name="sum")([y, z]))
    y = layers.Dropout(0.5, name="dropout")(layers.Flatten(name="flat")(y))
    return Model(x, layers.Dense(3, activation="softmax", name="last")(y))


def test_the_way_back_from_a_probability_to_a_pixel():
    model, x = prepared(network())
    explained = explain.pixel(model, x, "last", 1)
    numerators = np.exp([explain.pixel(model, x, "last", unit).pre_activation for unit in range(3)])
    assert explained.value == pytest.approx(numerators[1] / numerators.sum(), rel=1e-5)
    assert explained.receptive_field == (slice(0, 9), slice(0, 8))
    way = []
    while explained.inputs:
        number = int(np.argmax(np.abs(explained.products)))
        nearer = explained.back()
        if nearer.kind != "MaxPooling2D" and explained.kind != "MaxPooling2D":
            assert nearer.position == explained.inputs[number].position
        assert nearer.value == pytest.approx(explained.inputs[number].value) or explained.kind == "MaxPooling2D"
        way.append(explained.layer)
        explained = nearer
    assert way[:5] == ["last", "dropout", "flat", "tanh", "sum"]
    assert way[-2:] == ["pool", "first"] and explained.layer == "picture"
    assert explained.value == x[explained.position]
    assert str(explained).startswith("picture (Input), row ")


def test_one_may_choose_where_to_go_back():
    model, x = prepared(network())
    explained = explain.pixel(model, x, "second", (1, 1, 0))
    assert explained.of((2, 1, 3)).position == (2, 1, 3)
    assert explained.back(0).layer == "pool" and explained.back(0).position == (0, 0, 0)
    assert explain.pixel(model, x, "sum", (1, 1, 0)).back(1).layer == "norm"
    with pytest.raises(ValueError, match=r"'second' at \(1, 1, 0\) is not made of anything at \(3, 3, 3\)"):
        explained.of((3, 3, 3))
    with pytest.raises(ValueError, match="the inputs of 'second' are numbered 0 to 35, not 36"):
        explained.back(36)
    with pytest.raises(ValueError, match="input 0 of 'first' is padding; there is nothing before it"):
        explain.pixel(model, x, "first", (0, 0, 0)).back(0)
    with pytest.raises(ValueError, match="'picture' is where the model begins"):
        explain.pixel(model, x, "picture", (0, 0, 0)).back()


@pytest.mark.parametrize("name", ["first", "pool", "second", "sum"])
def test_nothing_outside_the_receptive_field_changes_the_number(name):
    model, x = prepared(network())
    *size, maps = outputs_of(model, name, x).shape
    for row, column in itertools.product((0, size[0] // 2, size[0] - 1), (0, size[1] - 1)):
        field = explain.pixel(model, x, name, (row, column, 1)).receptive_field
        outside = x + 1
        outside[field] = x[field]
        assert not np.array_equal(x, outside)
        now = outputs_of(model, name, outside)
        np.testing.assert_allclose(now[row, column], outputs_of(model, name, x)[row, column], atol=1e-5)


def test_the_receptive_field_is_the_one_of_the_plots():
    model, x = prepared(
        chain(
            layers.ZeroPadding2D(1),
            layers.Conv2D(2, 3, strides=2, padding="same"),
            layers.Conv2D(2, 2, dilation_rate=2),
            layers.MaxPooling2D(2, strides=1),
            shape=(20, 21, 1),
        )
    )
    layer = model.layers[-1]
    rows, columns = plots.receptive_field(model, layer).corners(1, 2)
    assert explain.pixel(model, x, layer, (1, 2, 0)).receptive_field == (rows, columns)


def test_channels_first_pictures_have_a_receptive_field_too():
    model, x = prepared(chain(layers.Conv2D(2, 3, data_format="channels_first"), layers.ReLU(), shape=(1, 7, 6)))
    field = explain.pixel(model, x, "re_lu", (1, 2, 3)).receptive_field
    assert field == (slice(2, 5), slice(3, 6))
    assert str(field) == "rows 2 to 4, columns 3 to 5"


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        (layers.Softmax(), "row 2, column 3"),
        (layers.Softmax(axis=1), "rows 0 to 6, columns 0 to 5"),
        (layers.Activation("softmax"), "row 2, column 3"),
        (layers.Conv2D(2, 1, activation="softmax", data_format="channels_first"), "rows 0 to 5, columns 0 to 3"),
        (layers.GlobalMaxPooling2D(), "rows 0 to 6, columns 0 to 5"),
        (layers.Flatten(), "rows 0 to 6, columns 0 to 5"),
        (layers.Dropout(0.1), "row 2, column 3"),
    ],
)
def test_which_layers_see_all_of_the_picture(layer, field):
    model, x = prepared(chain(layer))
    place = {1: (3,), 3: (1, 2, 3)}[len(layer.output.shape) - 1]
    if field == "row 2, column 3":
        place = (2, 3, 1)
    assert str(explain.pixel(model, x, layer, place).receptive_field) == field


def test_branches_see_what_any_of_them_sees():
    x = Input((9, 9, 1))
    narrow = layers.Conv2D(1, 1)(x)
    wide = layers.Conv2D(1, (3, 1), padding="same")(x)
    model = Model(x, layers.Add(name="sum")([wide, narrow]))
    assert str(explain.pixel(model, np.ones((9, 9, 1)), "sum", (4, 5, 0)).receptive_field) == "rows 3 to 5, column 5"


def test_joined_channels_see_their_place_and_joined_rows_may_see_all():
    model, x = prepared(PIXELS["concatenate"]())
    assert str(explain.pixel(model, x, model.layers[-1], (4, 2, 5)).receptive_field) == "row 4, column 2"
    model, x = prepared(PIXELS["concatenate rows"]())
    explained = explain.pixel(model, x, model.layers[-1], (9, 2, 1))
    rows, columns = explained.receptive_field
    position = explained.back().back().position
    assert rows.start <= position[0] < rows.stop and columns.start <= position[1] < columns.stop


def test_blocks_that_run_as_one_are_explained_layer_by_layer():
    model, x = prepared(chain(layers.Conv2D(3, 3), layers.ReLU(), layers.MaxPooling2D(2), shape=(8, 8, 2)))
    assert len(model.graph.fused_steps) == 1
    for layer, place in zip(model.layers, ((4, 3, 2), (4, 3, 2), (1, 1, 2)), strict=True):
        checked(model, x, layer.name, place)


def test_a_sample_may_come_with_a_batch_axis_or_as_whole_numbers():
    model, x = prepared(chain(layers.Conv2D(3, 3, name="conv")))
    value = explain.pixel(model, x, "conv", (1, 1, 1)).value
    assert explain.pixel(model, x[np.newaxis], "conv", [1, 1, 1]).value == value
    assert explain.pixel(model, x, "conv", np.array([1, 1, 1])).value == value
    assert explain.pixel(model, x, "conv", (1, 1, 1)).of(np.array([2, 2, 3])).position == (2, 2, 3)
    assert explain.pixel(model, minicnn.Tensor(x), model.layers[0], (1, 1, 1)).value == value
    grey = np.arange(np.prod(SIZE), dtype=np.uint8).reshape(SIZE)
    assert explain.pixel(model, grey, -1, (0, 0, 0)).window[1, 2, 3] == grey[1, 2, 3]


def test_several_inputs_and_float64():
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = Model([a, b], layers.Dense(2, dtype="float64", name="d")(layers.Concatenate()([a, b])))
    x = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])]
    explained = explain.pixel(model, x, "d", 1)
    np.testing.assert_array_equal(explained.window, [1, 2, 3, 4, 5])
    assert explained.value == pytest.approx(explained.window @ model.layers[-1].kernel.numpy()[:, 1], rel=1e-14)
    assert explained.back(4).back().layer == "b"


def test_nan_and_infinity_are_explained_as_they_are():
    model = chain(layers.MaxPooling2D(2, name="max"), shape=(2, 2, 1))
    x = np.array([[1, 2], [np.nan, 3]]).reshape(2, 2, 1)
    assert np.isnan(explain.pixel(model, x, "max", (0, 0, 0)).value)
    assert explain.pixel(model, x, "max", (0, 0, 0)).back().position == (1, 0, 0)
    model = chain(layers.Dense(1, activation="relu", name="dense"), shape=(1,))
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    assert explain.pixel(model, np.array([np.inf]), "dense", 0).value == np.inf


class Doubled(layers.Conv2D):
    """Computes something else than a convolution."""

    def call(self, x):
        return super().call(x) * 2.0


def test_a_layer_that_computes_something_else_is_found_out():
    model, x = prepared(chain(Doubled(2, 3, name="doubled")))
    with pytest.raises(
        RuntimeError, match=r"Doubled 'doubled' at \(0, 0, 1\): the model computed .* but the terms give"
    ):
        explain.pixel(model, x, "doubled", (0, 0, 1))


def test_a_wrong_number_is_never_shown(monkeypatch):
    model, x = prepared(chain(layers.Dense(3, name="dense"), shape=(5,)))
    monkeypatch.setattr("minicnn.explain.weighted.number_of", lambda parameter, index: 0.01)
    with pytest.raises(RuntimeError, match="the model computed"):
        explain.pixel(model, x, "dense", 0)


ERRORS = {
    "a misspelt layer": (ValueError, ("firs", (0, 0, 0)), "unknown layer 'firs'; did you mean 'first'"),
    "an index too large": (ValueError, (99, (0, 0, 0)), "there is none at 99"),
    "no layer": (ValueError, (1.5, (0, 0, 0)), r"explain.pixel: 1.5 is no layer of Model"),
    "a layer of another model": (ValueError, (layers.Dense(2), 0), "is no layer of Model"),
    "a position outside": (
        ValueError,
        ("first", (9, 0, 0)),
        r"position in 'first' must be whole numbers \(row 0 to 8, column 0 to 7, channel 0 to 3\), but \(9, 0, 0\)",
    ),
    "a negative position": (ValueError, ("last", -1), r"'last' must be whole numbers \(unit 0 to 2\), but -1 came"),
    "too few numbers": (ValueError, ("first", (1, 2)), r"but \(1, 2\) came"),
    "no numbers": (ValueError, ("first", "abc"), "but 'abc' came"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_questions(case):
    error, question, message = ERRORS[case]
    model, x = prepared(network())
    with pytest.raises(error, match=message):
        explain.pixel(model, x, *question)


def test_bad_samples():
    model, x = prepared(network())
    with pytest.raises(
        ValueError, match=r"explain.pixel: x must be one sample, but a batch of 2 came: shape \(2, 9, 8, 2"
    ):
        explain.pixel(model, np.stack([x, x]), "first", (0, 0, 0))
    with pytest.raises(ValueError, match=r"must have shape \(N, 9, 8, 2\), but \(N, 8, 8, 2\) came"):
        explain.pixel(model, x[1:], "first", (0, 0, 0))
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        explain.pixel(model, np.full(x.shape, "a"), "first", (0, 0, 0))


class Subclassed(Model):
    """Has no graph."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, name="dense")

    def call(self, x, training=False):
        return self.dense(x)


def test_models_that_cannot_be_explained():
    x = np.zeros(3)
    with pytest.raises(ValueError, match=r"Subclassed .* defines call itself"):
        explain.pixel(Subclassed(), x, "dense", 0)
    with pytest.raises(ValueError, match=r"Sequential .* is not built: call build"):
        explain.pixel(Sequential([layers.Dense(2, name="dense")]), x, "dense", 0)
    with pytest.raises(TypeError, match="model must be a minicnn model, but Dense came"):
        explain.pixel(layers.Dense(2), x, "dense", 0)


def test_layers_that_cannot_be_explained():
    inner = chain(layers.Dense(2), shape=(3,))
    model, x = prepared(chain(layers.Lambda("exp", name="exp"), inner, shape=(3,)))
    with pytest.raises(
        ValueError,
        match=r"Lambda 'exp' cannot be explained: its function may be .*; these layers can: Acti.* Lambda of max, ",
    ):
        explain.pixel(model, x, "exp", 0)
    with pytest.raises(ValueError, match="is a model of its own; explain its layers by passing that model"):
        explain.pixel(model, x, inner, 0)
    x = Input((3,))
    model = Model(x, layers.Dropout(0.5, name="drop")(x, training=True))
    with pytest.raises(ValueError, match="Dropout 'drop' is called with training=True"):
        explain.pixel(model, np.ones(3), "drop", 0)
    shared = layers.Dense(3, name="shared")
    model = Model(x, layers.Add(name="sum")([x, shared(shared(x))]))
    with pytest.raises(ValueError, match="Dense 'shared' gives 2 values in Model"):
        explain.pixel(model, np.ones(3), "shared", 0)
    assert explain.pixel(model, np.ones(3), "sum", 0).back(1).back().layer == "shared"
