"""The picture of an explanation shows its numbers: they are read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from minicnn import Model, Sequential, explain, layers, plots


@pytest.fixture
def network():
    model = Sequential(
        [
            layers.Conv2D(3, 3, strides=2, padding="same", activation="relu", input_shape=(5, 6, 2), name="conv"),
            layers.MaxPooling2D(2, padding="same", name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(20, name="hidden"),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )
    return model, np.random.default_rng(1).normal(size=(5, 6, 2))


def frame(panel):
    """Rows and columns inside the outline."""
    (patch,) = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    left, top = (round(edge + 0.5) for edge in patch.get_xy())
    return (top, top + round(patch.get_height())), (left, left + round(patch.get_width()))


def test_a_convolution(network):
    model, x = network
    explained = explain.pixel(model, x, "conv", (2, 0, 1))
    picture, window, kernel, products, output = explained.plot().axes
    channel = int(np.abs(explained.products).sum(axis=(0, 1)).argmax())
    np.testing.assert_allclose(picture.images[0].get_array(), x[..., channel], rtol=1e-6)
    rows = explained.inputs
    assert frame(picture) == ((3, 6), (0, 3))
    assert explained.padding[2].all() and rows[0].position == (3, 0, 0)
    written = np.array([text.get_text() for text in window.texts]).reshape(3, 3)
    assert (written[2] == "pad").all()
    assert written[0, 1] == f"{explained.window[0, 1, channel]:.2g}"
    assert [text.get_text() for text in kernel.texts][8] == f"{explained.kernel[2, 2, channel]:.2g}"
    assert products.get_title() == f"products: sum {explained.products[..., channel].sum():.4g}"
    assert frame(output) == ((2, 3), (0, 1))
    assert f"channel {channel} of 2" in picture.get_title()
    # The padding that the window reaches into is inside the panel.
    assert picture.get_ylim()[0] > 5.5


def test_channels_first_maps_are_drawn_as_pictures():
    model = Sequential([layers.Conv2D(3, 2, data_format="channels_first", input_shape=(1, 4, 6), name="conv")])
    x = np.random.default_rng(0).normal(size=(1, 4, 6))
    picture, *_, output = explain.pixel(model, x, "conv", (2, 1, 3)).plot().axes
    np.testing.assert_allclose(picture.images[0].get_array(), x[0], rtol=1e-6)
    assert frame(picture) == ((1, 3), (3, 5)) and frame(output) == ((1, 2), (3, 4))


def test_a_pooling(network):
    model, x = network
    picture, window, output = explain.pixel(model, x, "pool", (1, 1, 2)).plot().axes
    assert frame(picture) == ((2, 4), (2, 4)) and frame(output) == ((1, 2), (1, 2))
    assert [text.get_text() for text in window.texts][1:] == ["pad"] * 3


def test_a_dense_layer(network):
    model, x = network
    explained = explain.pixel(model, x, "last", 3)
    terms, output = explained.plot().axes
    lengths = [bar.get_width() for bar in terms.patches]
    largest = explained.products[np.argsort(-np.abs(explained.products), kind="stable")]
    np.testing.assert_allclose(lengths[:12], largest[:12])
    assert lengths[12] == pytest.approx(largest[12:].sum())
    assert [label.get_text() for label in terms.get_yticklabels()][12] == "8 more"
    assert [bar.get_height() for bar in output.patches] == pytest.approx(model.predict(x[np.newaxis])[0].tolist())
    colors = {bar.get_facecolor() for bar in output.patches[:3]}
    assert len(colors) == 1 and output.patches[3].get_facecolor() not in colors


def test_branches_are_told_apart():
    x = layers.Input((3, 3, 1), name="x")
    model = Model(x, layers.Multiply(name="times")([x, layers.Conv2D(1, 1, name="conv")(x)]))
    explained = explain.pixel(model, np.ones((3, 3, 1)), "times", (1, 2, 0))
    values, output = explained.plot().axes
    named = dict(zip((text.get_text() for text in values.get_yticklabels()), values.patches, strict=True))
    assert set(named) == {"x 1, 2, 0", "conv 1, 2, 0"} and named["x 1, 2, 0"].get_width() == 1
    assert values.get_title() == "what meets" and frame(output) == ((1, 2), (2, 3))


def test_it_is_written_where_asked_and_the_picture_itself_is_refused(network, tmp_path):
    model, x = network
    plots.explanation(explain.pixel(model, x, "flat", 0), path=tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"plots.explanation: '.*' is the picture: nothing lies behind it"):
        explain.pixel(model, x, model.input_names[0], (0, 0, 0)).plot()
