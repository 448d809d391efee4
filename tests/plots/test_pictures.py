"""The pictures say what the numbers say: texts, colours and pixels are read back from the figures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.signal import convolve2d

import minicnn
from minicnn import Model, Sequential, layers, plots
from minicnn.data.pictures.filters import PRESETS, filter_picture, sobel_magnitude

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 9, 8), dtype=np.uint8)
# Rows: probabilities of classes 0, 1, 2; the labels below make the pictures 1, 4 and 5 wrong.
SHARES = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0, 0.4, 0.6], [1, 0, 0], [0.05, 0.95, 0], [0.4, 0.3, 0.3]])
LABELS = np.array([0, 2, 2, 0, 0, 1])
CLASSES = ("cat", "dog", "cow")


def titles(figure):
    return [panel.get_title() for panel in figure.axes if panel.get_title()]


def convolutional():
    return Sequential(
        [
            layers.Conv2D(4, 3, padding="same", activation="relu", input_shape=(9, 8, 1), name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(2, 2, name="second"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="last"),
        ]
    )


def test_samples_name_classes_and_mark_mistakes():
    figure = plots.samples(PICTURES, LABELS, predictions=SHARES.argmax(axis=1), classes=CLASSES)
    assert titles(figure) == ["cat", "dog, is cow", "cow", "cat", "dog, is cat", "cat, is dog"]
    colors = {panel.title.get_color() for panel in figure.axes if "is" in panel.get_title()}
    assert colors == {"#c53030"}
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), PICTURES[2])


def test_the_surest_mistakes_come_first():
    figure = plots.misclassified(PICTURES, LABELS, SHARES, classes=CLASSES, count=2)
    assert titles(figure) == ["#4 is cat\ndog 95%, cat 5%", "#1 is cow\ndog 70%, cat 20%"]


def test_mistakes_of_a_single_output():
    figure = plots.misclassified(PICTURES[:2], [1, 1], [[0.2], [0.9]], classes=CLASSES[:2])
    assert titles(figure) == ["#0 is dog\ncat 80%, dog 20%"]


def test_without_mistakes_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="every picture is classified rightly"):
        plots.misclassified(PICTURES, SHARES.argmax(axis=1), SHARES)


@pytest.mark.parametrize("shape", [(4,), (0, 8, 8), (2, 8, 8, 2)])
def test_what_is_no_list_of_pictures(shape):
    with pytest.raises(ValueError, match=r"plots\.samples: expected pictures .* got shape"):
        plots.samples(np.zeros(shape))


def test_labels_for_other_pictures():
    with pytest.raises(ValueError, match=r"labels must have shape \(6,\), one for each picture, got \(5,\)"):
        plots.samples(PICTURES, LABELS[:5])


def test_confusion_matrix_writes_every_count():
    figure = plots.confusion_matrix([[5, 0], [1200, 3]], classes=("cat", "dog"))
    panel = figure.axes[0]
    assert [text.get_text() for text in panel.texts] == ["5", "0", "1,200", "3"]
    np.testing.assert_allclose(panel.images[0].get_array(), [[1, 0], [1200 / 1203, 3 / 1203]])
    with pytest.raises(ValueError, match=r"expected a matrix \(K, K\), got shape \(2, 3\)"):
        plots.confusion_matrix(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected 2 classes, got 1"):
        plots.confusion_matrix(np.eye(2), classes=("cat",))


def test_scatter_says_the_correlation():
    figure = plots.scatter([0.1, 0.4, 0.9, 0.8], [0, 0, 1, 1], classes=("cat", "dog"), title="strika")
    expected = np.corrcoef([0.1, 0.4, 0.9, 0.8], [0, 0, 1, 1])[0, 1]
    assert figure.get_suptitle() == f"strika: correlation {expected:.3f}"
    points = [collection.get_offsets() for collection in figure.axes[0].collections]
    np.testing.assert_allclose(points[1][:, 0], [0.9, 0.8])
    assert plots.scatter([0.5, 0.5], [0, 1]).get_suptitle() == "one value for all: no correlation"
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        plots.scatter([0.5], [2])


def test_filters_are_drawn_on_one_scale():
    model = convolutional()
    kernel = RNG.normal(size=(3, 3, 1, 4)).astype(np.float32)
    model.layers[0].set_weights([kernel, np.zeros(4, np.float32)])
    figure = plots.filters(model.layers[0])
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), kernel[:, :, 0, 1])
    limits = {image.get_clim() for panel in figure.axes for image in panel.images}
    assert limits == {(-np.abs(kernel).max(), np.abs(kernel).max())}
    with pytest.raises(ValueError, match="'pool' has no kernel"):
        plots.filters(model.layers[1])


def test_filters_has_one_picture_for_each_map():
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2)
    depthwise.build((None, 8, 8, 3))
    transposed = layers.Conv2DTranspose(3, 2)
    transposed.build((None, 8, 8, 5))
    for layer in (depthwise, transposed):
        layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.weights])
    kernel = depthwise.kernel.numpy()
    drawn = [panel.images[0].get_array() for panel in plots.filters(depthwise).axes if panel.images]
    np.testing.assert_array_equal(drawn, [kernel[:, :, c, m] for c in range(3) for m in range(2)])
    drawn = [panel.images[0].get_array() for panel in plots.filters(transposed).axes if panel.images]
    np.testing.assert_allclose(drawn, np.moveaxis(transposed.kernel.numpy().mean(axis=3), 2, 0), rtol=1e-6)


def test_activations_show_each_map_and_count_the_dead():
    model = convolutional()
    kernel, bias = np.zeros((3, 3, 1, 4), np.float32), np.float32([0, -1, 0, 2])
    kernel[1, 1, 0, 2] = 1
    model.layers[0].set_weights([kernel, bias])
    picture = PICTURES[0][..., None] / np.float32(255)
    maps = plots.activation_maps(model, picture, "first")
    np.testing.assert_allclose(maps[..., 2], picture[..., 0], rtol=1e-6)
    assert plots.dead_maps(maps) == [0, 1]
    figure = plots.activations(model, picture, "first", columns=2)
    assert figure.get_suptitle() == "first: 2 of 4 maps are zero"
    assert titles(figure) == ["0, zero", "1, zero", "2", "3"]


def test_activations_of_a_layer_without_maps_are_bars():
    model = convolutional()
    picture = PICTURES[0][..., None] / np.float32(255)
    figure = plots.activations(model, picture, "last")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, plots.activation_maps(model, picture, "last"))


def test_activation_maps_of_channels_first():
    model = Sequential([layers.Conv2D(3, 2, data_format="channels_first", input_shape=(1, 5, 6))])
    assert plots.activation_maps(model, np.zeros((1, 5, 6), np.float32), model.layers[0]).shape == (4, 5, 3)


FIELDS = {
    "convolution, pooling": lambda: [layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(2)],
    "strides": lambda: [layers.Conv2D(2, (2, 3), strides=2), layers.Conv2D(1, 2)],
    "dilation": lambda: [layers.Conv2D(2, 3, dilation_rate=2, padding="same")],
    "border": lambda: [layers.ZeroPadding2D(((1, 0), (2, 1))), layers.AveragePooling2D(3, strides=2)],
    "same with strides": lambda: [layers.Conv2D(1, 3, strides=2, padding="same"), layers.ReLU()],
}


@pytest.mark.parametrize("parts", FIELDS)
def test_receptive_field_is_where_the_gradient_is(parts):
    """In the middle, a cell's output changes with just the pixels of its field."""
    model = Sequential([layers.Input((16, 17, 1)), *FIELDS[parts]()])
    for layer in model.layers:
        layer.set_weights([RNG.uniform(0.5, 1, w.shape).astype(np.float32) for w in layer.get_weights()])
    x = minicnn.Tensor(RNG.uniform(0.5, 1, (1, 16, 17, 1)).astype(np.float32), requires_grad=True)
    y = model(x)
    row, column = y.shape[1] // 2, y.shape[2] // 2
    field = plots.receptive_field(model, model.layers[-1])
    rows, columns = field.corners(row, column)
    seen = np.argwhere(minicnn.grad(y[0, row, column].sum(), [x])[0].numpy()[0, :, :, 0])
    if "pooling" in parts:
        # Only the winner's window shows.
        assert rows.start <= seen[:, 0].min() and seen[:, 0].max() < rows.stop
        assert columns.start <= seen[:, 1].min() and seen[:, 1].max() < columns.stop
    else:
        assert (seen[:, 0].min(), seen[:, 0].max() + 1) == (rows.start, rows.stop)
        assert (seen[:, 1].min(), seen[:, 1].max() + 1) == (columns.start, columns.stop)


def test_receptive_field_of_a_layer_by_name():
    model = convolutional()
    assert plots.receptive_field(model, "pool") == plots.receptive_field(model, model.layers[1])
    with pytest.raises(ValueError, match="unknown layer 'poll'; did you mean 'pool'"):
        plots.receptive_field(model, "poll")
    with pytest.raises(ValueError, match="receptive_field: 3 is no layer of"):
        plots.receptive_field(model, 3)


def test_receptive_fields_end_where_all_pixels_mix():
    with pytest.raises(ValueError, match=r"'flat' \(Flatten\) is no convolution or pooling"):
        model = convolutional()
        plots.receptive_field(model, model.layers[-1])


def test_a_patch_over_the_border_is_filled_with_zeros():
    field = plots.ReceptiveField((3, 3), (1, 1), (-1, -1))
    np.testing.assert_array_equal(field.cut(np.ones((4, 4)), 0, 3), [[0, 0, 0], [1, 1, 0], [1, 1, 0]])


def test_exciting_patches_are_those_with_the_largest_answer():
    model = Sequential([layers.Conv2D(1, 3, input_shape=(9, 8, 1), name="bright")])
    model.layers[0].set_weights([np.ones((3, 3, 1, 1), np.float32), np.zeros(1, np.float32)])
    pictures = np.zeros((3, 9, 8, 1), np.float32)
    pictures[1, 4:7, 2:5] = 1
    pictures[2, 0:3, 0:3] = 0.5
    figure = plots.exciting_patches(model, "bright", pictures, count=2)
    assert titles(figure) == ["0: 9", "0: 4.5"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.ones((3, 3)))


def test_gradient_norms_are_those_of_backward():
    model = convolutional()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = PICTURES[..., None] / np.float32(255)
    before = model.get_weights()
    norms = plots.gradient_norm_by_layer(model, x, LABELS)
    assert list(norms) == ["first", "second", "last"]
    for array, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)
    # One step of size 1 of plain descent moves the weights by the gradient.
    model.compile(minicnn.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.train_on_batch(x, LABELS)
    moved = [np.linalg.norm(new - old) for new, old in zip(model.get_weights()[::2], before[::2], strict=True)]
    np.testing.assert_allclose(list(norms.values()), moved, rtol=1e-3)
    model.compile("sgd", ["crossentropy"])
    assert plots.gradient_norm_by_layer(model, x, LABELS).keys() == norms.keys()
    figure = plots.gradient_norms({"relu": norms})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), list(norms.values()))
    with pytest.raises(ValueError, match="expected at least one network"):
        plots.gradient_norms({})


def test_plot_model_draws_a_box_for_each_layer_and_an_arrow_for_each_edge(tmp_path):
    figure = plots.plot_model(convolutional(), tmp_path / "model.png", show_shapes=True, show_layer_names=True)
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert texts[1] == "first (Conv2D)\n(None, 9, 8, 1) → (None, 9, 8, 4)"
    assert len(texts) == 6
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.height > picture.width
    plots.plot_model(convolutional(), tmp_path / "model.svg")
    assert "<svg" in (tmp_path / "model.svg").read_text()


def test_plot_model_of_a_graph_puts_paths_side_by_side():
    x = layers.Input((8, 8, 3))
    left, right = layers.Conv2D(4, 1, name="left")(x), layers.Conv2D(4, 3, padding="same", name="right")(x)
    figure = plots.plot_model(Model(x, layers.Add()([left, right])), show_layer_names=True)
    places = {text.get_text().split(" ")[0]: text.get_position() for text in figure.axes[0].texts if text.get_text()}
    assert places["left"][1] == places["right"][1]
    assert places["left"][0] < places["add"][0] < places["right"][0]
    arrows = [text for text in figure.axes[0].texts if not text.get_text()]
    assert len(arrows) == 4


def test_plot_model_refuses():
    with pytest.raises(ValueError, match='rankdir must be "TB" or "LR", got \'BT\''):
        plots.plot_model(convolutional(), rankdir="BT")
    with pytest.raises(ValueError, match="is not built"):
        plots.plot_model(Sequential([layers.Dense(3)]))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("mode", ["same", "full", "valid"])
def test_filters_are_scipys_convolution(name, mode):
    picture = RNG.uniform(0, 255, (12, 11)).astype(np.float32)
    expected = convolve2d(picture, PRESETS[name], mode)
    np.testing.assert_allclose(filter_picture(picture, name, mode), expected, rtol=1e-4, atol=1e-3)


def test_sobel_magnitude_reaches_255_and_is_zero_where_nothing_changes():
    step = np.zeros((6, 6))
    step[:, 3:] = 10
    strength = sobel_magnitude(step, "valid")
    assert strength.max() == pytest.approx(255)
    assert not sobel_magnitude(np.ones((6, 6)), "valid").any()
    horizontal = filter_picture(step, "sobel-y", "valid")
    assert not horizontal.any()


def test_a_misspelt_filter_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown filter 'sharpn'; did you mean 'sharpen'"):
        filter_picture(np.zeros((4, 4)), "sharpn")
    with pytest.raises(ValueError, match=r"expected a picture .* got shape \(4,\)"):
        filter_picture(np.zeros(4), "box")


def test_filtered_shows_the_picture_and_each_filter():
    picture = RNG.uniform(0, 255, (12, 11, 3))
    figure = plots.filtered(picture, ("box", "sobel"))
    assert titles(figure) == ["picture", "box", "sobel"]
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), sobel_magnitude(picture), rtol=1e-5)
