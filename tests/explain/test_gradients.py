"""The explained derivatives are autograd's, and their terms add up to them."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Model, explain, layers, losses
from minicnn.layers import Input
from tests.explain.cases import ACTIVATION_LAYERS, FIRST, PIXELS, chain, positions, prepared


def weighted_sum(y_true, y_pred):
    """A loss whose derivative by every output is another number: the target."""
    return (y_true * y_pred).sum()


def targets(model, x):
    y = model.predict(x[np.newaxis])
    return np.random.default_rng(5).uniform(-2, 2, y.shape[1:]).astype(np.float32)


def autograd(model, x, y, by):
    """The loss' derivatives by the sample, or by a weight."""
    sample = minicnn.Tensor(x[np.newaxis], requires_grad=True)
    value = weighted_sum(y[np.newaxis], model(sample))
    return minicnn.grad(value, [sample if by is None else by])[0].numpy()


def agrees(explained, expected, largest):
    tolerance = float(1e-5 * largest + 1e-7)
    assert explained.value == pytest.approx(expected, abs=tolerance)
    assert explained.computed == pytest.approx(expected, abs=tolerance)
    assert sum(term.gradient * term.factor for term in explained.terms) == pytest.approx(explained.computed)


@pytest.mark.parametrize("case", PIXELS)
def test_pixels_before_every_layer_in_every_geometry(case):
    model, x = prepared(PIXELS[case]())
    y = targets(model, x)
    expected = autograd(model, x, y, None)[0]
    assert np.abs(expected).max() > 0
    for position in positions(x.shape, 4):
        explained = explain.pixel_gradient(model, x, y, model.input_names[0], position, loss=weighted_sum)
        agrees(explained, expected[position], np.abs(expected).max())


@pytest.mark.parametrize("case", ACTIVATION_LAYERS)
def test_pixels_before_every_activation(case):
    model, x = prepared(chain(layers.Dense(5), ACTIVATION_LAYERS[case](), shape=(3,)), seed=1)
    y = targets(model, x)
    expected = autograd(model, x, y, None)[0]
    for unit in range(3):
        explained = explain.pixel_gradient(model, x, y, model.input_names[0], unit, loss=weighted_sum)
        agrees(explained, expected[unit], np.abs(expected).max())
        agrees(explained.ahead(0), explained.terms[0].gradient, np.abs(expected).max())


WEIGHTED = [case for case in PIXELS if case.startswith(("conv", "depthwise", "transposed", "dense"))]


@pytest.mark.parametrize("case", WEIGHTED)
def test_weights_of_every_layer_in_every_geometry(case):
    model, x = prepared(PIXELS[case]())
    y = targets(model, x)
    layer = model.layers[-1]
    for name in ("kernel", "bias") if layer.use_bias else ("kernel",):
        weight = getattr(layer, name)
        expected = autograd(model, x, y, weight)
        for position in positions(weight.shape, 4):
            explained = explain.weight_gradient(model, x, y, layer, position, weight=name, loss=weighted_sum)
            agrees(explained, expected[position], np.abs(expected).max())
            for term in explained.terms:
                assert (term.met is None) == (name == "bias")
                assert term.factor == (1.0 if term.met is None else x[term.met])


def network() -> Model:
    """Branches, a residual connection around a dropout, a number read three times, and an output read once more."""
    x = Input((6, 5, 2), name="picture")
    y = layers.Conv2D(3, 3, padding="same", activation="tanh", name="first")(x)
    z = layers.MaxPooling2D(2, strides=1, padding="same", name="pool")(y)
    y = layers.Add(name="sum")([y, layers.Dropout(0.5, name="dropout")(y), z])
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.Flatten(name="flat")(layers.AveragePooling2D(2, name="mean")(y))
    return Model(x, layers.Dense(4, activation="softmax", name="last")(y))


def test_every_number_of_a_network_from_its_tail():
    """The derivative by what a layer gives, compared with the part of the network behind it."""
    model, x = prepared(network())
    for name in ("sum", "norm", "mean", "flat", "last"):
        explained = {}
        layer = model.get_layer(name)
        shape = layer.output.shape[1:]
        for position in positions(shape, 3):
            explained[position] = explain.pixel_gradient(
                model, x, 2, name, position, loss="sparse_categorical_crossentropy"
            )
        values = Model(model.input, layer.output).predict(x[np.newaxis])
        leaf = minicnn.Tensor(values, requires_grad=True)
        y = leaf if name == "last" else Model(layer.output, model.output)(leaf)
        loss = losses.SparseCategoricalCrossentropy()(np.array([2]), y)
        (gradient,) = minicnn.grad(loss, [leaf])
        for position, found in explained.items():
            assert found.value == pytest.approx(gradient.numpy()[(0, *position)], rel=1e-4, abs=1e-6)


def test_a_number_that_several_layers_read_has_terms_from_all_of_them():
    model, x = prepared(network())
    ask = {"loss": "sparse_categorical_crossentropy"}
    explained = explain.pixel_gradient(model, x, [2], "first", (2, 2, 1), **ask)
    assert {term.layer for term in explained.terms} == {"sum", "dropout", "pool"}
    added = explain.pixel_gradient(model, x, 2, "sum", (2, 2, 1), **ask)
    dropped = explain.pixel_gradient(model, x, 2, "dropout", (2, 2, 1), **ask)
    assert dropped.value == pytest.approx(added.value)
    windows = [term for term in explained.terms if term.layer == "pool"]
    assert len(windows) == 4 and {term.factor for term in windows} <= {0.0, 1.0}


def test_the_way_ahead_ends_at_the_loss():
    model, x = prepared(network())
    model.compile("sgd", "categorical_crossentropy")
    explained = explain.pixel_gradient(model, x, [0, 0, 1, 0], "picture", (1, 1, 0))
    way = []
    for _ in range(20):
        way.append(explained.what.split(" at ")[0])
        if explained.terms[0].layer == "loss":
            break
        explained = explained.ahead()
    assert way[0] == "picture" and way[-4:] == ["norm", "mean", "flat", "last"]
    probability = explain.pixel(model, x, "last", 2).value
    loss = explain.pixel_gradient(model, x, [0, 0, 1, 0], "last", 2)
    # The loss divides by the sum of the probabilities first, hence the 1.
    assert loss.value == pytest.approx(1 - 1 / probability, rel=1e-5)
    with pytest.raises(ValueError, match=r"term 0 of last at \(2,\) is the derivative of the loss itself"):
        loss.ahead()
    with pytest.raises(ValueError, match=r"last at \(2,\) has 1 terms, numbered from 0; 7 is none"):
        loss.ahead(7)


def test_a_layer_that_runs_twice_is_passed_twice():
    x = Input((3,), name="x")
    shared = layers.Dense(3, name="shared")
    model, sample = prepared(Model(x, shared(shared(x))))
    explained = explain.pixel_gradient(model, sample, np.ones(3, np.float32), "x", 1, loss=weighted_sum)
    nearer = explained.ahead(2)
    kernel = shared.kernel.numpy()
    assert nearer.value == pytest.approx(kernel[2].sum(), rel=1e-5)
    assert nearer.ahead(0).terms[0].layer == "loss"


def test_ties_share_the_gradient_as_the_layers_do():
    flat = np.ones((4, 4, 1), np.float32)
    for layer in (layers.MaxPooling2D(2, strides=1), layers.GlobalMaxPooling2D(), layers.MaxPooling2D((2, 1), **FIRST)):
        model = chain(layer, shape=flat.shape)
        y = targets(model, flat)
        expected = autograd(model, flat, y, None)[0]
        for position in np.ndindex(flat.shape):
            explained = explain.pixel_gradient(model, flat, y, model.input_names[0], position, loss=weighted_sum)
            assert explained.value == pytest.approx(expected[position])


def test_a_number_that_is_stretched_reaches_all_that_it_is_added_to():
    model, x = prepared(PIXELS["add stretched"]())
    y = targets(model, x)
    explained = explain.pixel_gradient(model, x, y, "global_average_pooling2d", (0, 0, 2), loss=weighted_sum)
    assert len(explained.terms) == 7 * 6
    assert explained.computed == pytest.approx(y[..., 2].sum(), rel=1e-5)


def test_a_number_added_to_itself():
    x = Input((3,), name="x")
    model = Model(x, layers.Add(name="twice")([x, x]))
    explained = explain.pixel_gradient(model, np.ones(3), np.full(3, 5.0), "x", 1, loss=weighted_sum)
    assert explained.value == 10 and [term.product for term in explained.terms] == [5, 5]


@pytest.mark.parametrize("loss", ["crossentropy", ["sparse_categorical_crossentropy"], {"last": "ce"}])
def test_the_loss_is_the_one_of_the_model(loss):
    model, x = prepared(network())
    expected = explain.pixel_gradient(model, x, 2, "pool", (1, 1, 0), loss="sparse_categorical_crossentropy")
    model.compile("sgd", loss)
    assert explain.pixel_gradient(model, x, 2, "pool", (1, 1, 0)).value == expected.value != 0


def test_bad_questions():
    model, x = prepared(network())
    with pytest.raises(ValueError, match=r"explain.pixel_gradient: Model .* is not compiled with a loss, so loss must"):
        explain.pixel_gradient(model, x, 2, "first", (0, 0, 0))
    model.compile("sgd")
    with pytest.raises(ValueError, match="is not compiled with a loss, so loss must be given"):
        explain.pixel_gradient(model, x, 2, "first", (0, 0, 0))
    ask = {"loss": "sparse_categorical_crossentropy"}
    with pytest.raises(ValueError, match=r"BatchNormalization 'norm' cannot be explained; .* Conv2D, Conv2DTr"):
        explain.weight_gradient(model, x, 2, "norm", 0, **ask)
    with pytest.raises(ValueError, match="the model's input cannot be explained; these layers can: Conv2D"):
        explain.weight_gradient(model, x, 2, "picture", 0, **ask)
    with pytest.raises(ValueError, match=r"weight must be 'kernel' or 'bias'.*not 'gamma'"):
        explain.weight_gradient(model, x, 2, "last", (0, 0), weight="gamma", **ask)
    with pytest.raises(ValueError, match=r"position in first's kernel must be whole numbers \(row 0 to 2, .* filter"):
        explain.weight_gradient(model, x, 2, "first", (3, 0, 0, 0), **ask)
    with pytest.raises(ValueError, match=r"position in first's bias must be whole numbers \(filter 0 to 2\), but 3 "):
        explain.weight_gradient(model, x, 2, "first", 3, weight="bias", **ask)
    model.get_layer("first").trainable = False
    with pytest.raises(ValueError, match="Conv2D 'first' is frozen"):
        explain.weight_gradient(model, x, 2, "first", (0, 0, 0, 0), **ask)
    with pytest.raises(ValueError, match=r"position in last's kernel must be .* \(input 0 to 17, unit 0 to 3\)"):
        explain.weight_gradient(model, x, 2, "last", (0, 4), **ask)
    explain.pixel_gradient(model, x, 2, "picture", (0, 0, 0), **ask)
    several = Model(model.input, [model.output, model.get_layer("flat").output])
    with pytest.raises(ValueError, match="has 2 outputs, expected one"):
        explain.pixel_gradient(several, x, 2, "first", (0, 0, 0), **ask)
    model, x = prepared(chain(layers.Lambda("exp", name="exp")))
    with pytest.raises(ValueError, match=r"explain.pixel_gradient: Lambda 'exp' cannot be explained: its function may"):
        explain.pixel_gradient(model, x, x, model.input_names[0], (0, 0, 0), loss=weighted_sum)


def test_a_wrong_derivative_is_never_shown(monkeypatch):
    model, x = prepared(chain(layers.MaxPooling2D(2, name="max")))
    monkeypatch.setitem(explain.reach.REACHED, layers.MaxPooling2D, lambda reader: [((0, 0, 0), 0.3)])
    with pytest.raises(RuntimeError, match="the model computed"):
        explain.pixel_gradient(model, x, targets(model, x), model.input_names[0], (0, 0, 0), loss=weighted_sum)
