"""The picture of a derivative shows its numbers: they are read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Model, Sequential, explain, layers, plots
from tests.plots.test_explanation import frame

ASK = {"loss": "sparse_categorical_crossentropy"}


@pytest.fixture
def network():
    model = Sequential(
        [
            layers.Conv2D(3, 3, strides=2, padding="same", activation="tanh", input_shape=(9, 10, 2), name="conv"),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="next"),
            layers.Flatten(name="flat"),
            layers.Dense(250, name="hidden"),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )
    return model, np.random.default_rng(1).normal(size=(9, 10, 2))


def written(panel, shape):
    return np.array([text.get_text() for text in panel.texts]).reshape(shape)


def test_a_number_that_windows_read(network):
    model, x = network
    explained = explain.pixel_gradient(model, x, 1, "conv", (2, 0, 1), **ASK)
    ground, gz, weights, products, beside = explained.plot().axes
    by_map = [sum(abs(t.product) for t in explained.terms if t.position[2] == f) for f in range(4)]
    f = int(np.argmax(by_map))
    step = explained.tape.makers[explained.terms[0].slot]
    derivatives = explained.tape.before_activation(step)[..., f]
    np.testing.assert_allclose(ground.images[0].get_array(), derivatives)
    assert ground.get_title() == f"gz of next, map {f} of 4"
    assert frame(ground) == ((1, 4), (0, 2))
    np.testing.assert_allclose(gz.images[0].get_array(), derivatives[1:4, 0:2])
    # A window whose row is one further down sees the number with its tap one further up.
    kernel = model.get_layer("next").kernel.numpy()[::-1, ::-1][:, 1:][..., 1, f]
    assert (written(weights, (3, 2)) == [[f"{w:.2g}" for w in row] for row in kernel]).all()
    total = sum(term.product for term in explained.terms if term.position[2] == f)
    assert products.get_title() == f"products: sum {total:.4g}"
    np.testing.assert_allclose(beside.images[0].get_array(), explained.gradients[..., 1])
    assert frame(beside) == ((2, 3), (0, 1)) and f"{explained.value:.4g}" in beside.get_title()


def test_a_weight_of_a_convolution(network):
    model, x = network
    explained = explain.weight_gradient(model, x, 1, "conv", (0, 1, 1, 2), **ASK)
    ground, gz, met, products, beside = explained.plot().axes
    np.testing.assert_allclose(ground.images[0].get_array(), x[..., 1], rtol=1e-6)
    assert "channel 1" in ground.get_title()
    # With the padding of "same" the top tap of the first window lies in row 0 - 1: the first term is of the second.
    first = explained.terms[0]
    assert frame(ground)[0][0] == first.met[0] and frame(ground)[1][0] == first.met[1]
    np.testing.assert_allclose(met.images[0].get_array()[0], [t.factor for t in explained.terms[:5]])
    np.testing.assert_allclose(gz.images[0].get_array().size, len(explained.terms))
    assert products.get_title() == f"products: sum {explained.value:.4g}"
    np.testing.assert_allclose(beside.images[0].get_array(), explained.gradients[:, :, 1, 2])
    assert frame(beside) == ((0, 1), (1, 2))


def test_a_bias_sums_a_map(network):
    model, x = network
    explained = explain.weight_gradient(model, x, 1, "next", 2, weight="bias", **ASK)
    ground, gz, beside = explained.plot().axes
    assert ground.get_title() == "gz of next, map 2 of 4" and frame(ground) == ((0, 5), (0, 5))
    assert gz.get_title() == f"gz: sum {explained.value:.4g}"
    assert [bar.get_height() for bar in beside.patches] == pytest.approx(explained.gradients.tolist())


def test_units_and_their_weights(network):
    model, x = network
    explained = explain.pixel_gradient(model, x, 1, "hidden", 3, **ASK)
    terms, beside = explained.plot().axes
    assert {label.get_text() for label in terms.get_yticklabels()} == {f"last {unit}" for unit in range(4)}
    assert sum(bar.get_width() for bar in terms.patches) == pytest.approx(explained.value, rel=1e-4)
    # Too many for bars: lines, and the explained one over them.
    many, own = beside.collections
    assert [segment[1][1] for segment in many.get_segments()] == pytest.approx(explained.gradients.tolist())
    (segment,) = own.get_segments()
    assert segment[:, 0].tolist() == [3, 3] and segment[1, 1] == pytest.approx(explained.value)
    explained = explain.weight_gradient(model, x, 1, "last", (7, 2), **ASK)
    terms, beside = explained.plot().axes
    assert [label.get_text() for label in terms.get_yticklabels()] == ["last 2"]
    assert [s[1][1] for s in beside.collections[0].get_segments()] == pytest.approx(explained.gradients[:, 2].tolist())
    loss = explain.pixel_gradient(model, x, 1, "last", 1, **ASK).plot().axes[0]
    assert [label.get_text() for label in loss.get_yticklabels()] == ["loss"]


def test_what_several_layers_read_is_drawn_as_bars():
    x = layers.Input((4, 4, 1), name="x")
    a, b = (layers.Conv2D(1, 3, padding="same", name=name)(x) for name in "ab")
    model = Model(x, layers.Flatten()(layers.Add()([a, b])))
    explained = explain.pixel_gradient(model, np.ones((4, 4, 1)), np.ones(16), "x", (1, 1, 0), loss="mse")
    terms, beside = explained.plot().axes
    labels = [label.get_text() for label in terms.get_yticklabels()]
    assert len(labels) == 13 and labels[12] == "6 more"
    assert all(label[0] in "ab" and label[1] == " " for label in labels[:12])
    assert frame(beside) == ((1, 2), (1, 2))


def test_a_number_that_reaches_nothing_and_channels_first(tmp_path):
    model = Sequential(
        [
            layers.Conv2D(2, 3, strides=3, data_format="channels_first", input_shape=(1, 5, 7), name="conv"),
            layers.Flatten(),
        ]
    )
    x, y = np.ones((1, 5, 7)), np.ones(4)
    none = explain.pixel_gradient(model, x, y, model.input_names[0], (0, 4, 6), loss="mse")
    assert none.terms == [] and none.value == 0
    plots.gradient_explanation(none, path=tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 1000
    explained = explain.weight_gradient(model, x, y, "conv", (1, 0, 0, 1), loss="mse")
    ground, gz, *_ = explained.plot().axes
    assert frame(ground) == ((1, 2), (0, 4)) and gz.images[0].get_array().shape == (1, 2)
