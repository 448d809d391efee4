"""What is particular to one kind of layer; that no kind is left out."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Model, explain, layers
from minicnn.explain.reach import REACHED
from minicnn.explain.rules import RULES, UNEXPLAINED
from minicnn.layers import Input
from tests.explain.cases import FIRST, PIXELS, chain, merged, prepared
from tests.explain.test_gradients import agrees, autograd, targets, weighted_sum


def every_layer():
    """All layer classes of the house, under whatever name."""
    named = [kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, layers.Layer)]
    registered = [layers.registry.find(name) for name in layers.registry.names()]
    house = {kind for kind in [*named, *registered] if kind.__module__.startswith("minicnn.layers.")}
    return sorted(house - {layers.Layer}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_layer())
def test_every_layer_has_a_rule_forward_and_backward_and_a_case_or_a_reason_to_have_none(kind):
    if kind in UNEXPLAINED:
        assert len(UNEXPLAINED[kind]) > 20
        assert kind not in RULES and kind not in REACHED
        return
    assert kind in RULES and kind in REACHED, f"{kind.__name__}: explain needs a rule for it, or a reason to have none"
    by_class = {type(build().layers[-1]) for build in PIXELS.values()}
    tested_as_functions = {layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU}
    assert kind in by_class | tested_as_functions, f"{kind.__name__}: no case in tests/explain/cases.py"


def test_what_can_be_explained_forward_can_be_backward():
    assert set(RULES) == set(REACHED)


# -------------------------------------------------------------------- transposed convolution


def stamps(x, kernel, strides):
    """A valid transposed convolution, stamp by stamp; (OH, OW, F)."""
    (H, W, _), (KH, KW, F, _), (SH, SW) = x.shape, kernel.shape, strides
    y = np.zeros(((H - 1) * SH + max(KH, SH), (W - 1) * SW + max(KW, SW), F))
    for i, j in np.ndindex(H, W):
        y[i * SH : i * SH + KH, j * SW : j * SW + KW] += kernel @ x[i, j]
    return y


def test_a_transposed_convolution_is_made_of_the_stamps_that_overlap():
    layer = layers.Conv2DTranspose(2, 3, strides=2, use_bias=False, name="stamp")
    model, x = prepared(chain(layer, shape=(3, 4, 2)))
    kernel = layer.kernel.numpy()
    y = stamps(x, kernel, (2, 2))
    explained = explain.pixel(model, x, "stamp", (2, 4, 1))
    assert explained.computed == pytest.approx(y[2, 4, 1])
    # Row 2 is the last of the first pixel's stamp and the first of the second's.
    np.testing.assert_array_equal(explained.window, x[0:2, 1:3])
    np.testing.assert_array_equal(explained.kernel, kernel[np.ix_([2, 0], [2, 0])][:, :, 1])
    assert {given.position[:2] for given in explained.inputs} == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert explained.receptive_field == (slice(0, 2), slice(1, 3))
    assert explain.pixel(model, x, "stamp", (3, 3, 0)).window.shape == (1, 1, 2)
    text = str(explained)
    assert f"{model.input_names[0]}, rows 0 to 1, columns 1 to 2, channel" in text and "pad" not in text


def test_a_number_between_the_stamps_is_made_of_its_bias():
    layer = layers.Conv2DTranspose(1, (1, 2), strides=3, activation="tanh", name="apart")
    model, x = prepared(chain(layer, shape=(2, 2, 1)))
    explained = explain.pixel(model, x, "apart", (1, 0, 0))
    assert explained.inputs == [] and explained.receptive_field is None and explained.window.size == 0
    assert explained.value == pytest.approx(np.tanh(layer.bias.numpy()[0]))
    assert str(explained).splitlines()[2:4] == ["nothing of the layer before reaches it", ""]
    with pytest.raises(ValueError, match=r"nothing of the layer before reaches 'apart' at \(1, 0, 0\)"):
        explained.back()
    (output,) = explained.plot().axes
    assert output.get_title().startswith("apart: ")


def test_the_receptive_field_goes_through_stamps():
    model, x = prepared(
        chain(
            layers.Conv2D(2, 3, padding="same"),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="up"),
            layers.Conv2D(1, 3, padding="same", name="last"),
            shape=(8, 9, 1),
        )
    )

    def made(picture, row, column):
        return model.predict(picture[np.newaxis])[0, row, column, 0]

    for row, column in ((0, 0), (7, 6), (15, 17)):
        rows, columns = explain.pixel(model, x, "last", (row, column, 0)).receptive_field
        assert rows.stop - rows.start < 6 and columns.stop - columns.start < 6
        outside, inside = x + 1, x.copy()
        outside[rows, columns] = x[rows, columns]
        assert made(outside, row, column) == pytest.approx(made(x, row, column), abs=1e-5)
        # Nor is it larger than need be: each of its edges counts.
        for edge in ((rows.start, columns), (rows.stop - 1, columns), (rows, columns.start), (rows, columns.stop - 1)):
            inside = x.copy()
            inside[edge] += 10
            assert abs(made(inside, row, column) - made(x, row, column)) > 1e-3


def test_a_stamped_weight_meets_the_pixels_whose_stamps_are_not_cut_off():
    layer = layers.Conv2DTranspose(1, 3, padding="same", name="stamp")
    model, x = prepared(chain(layer, shape=(3, 3, 1)))
    y = targets(model, x)
    corner = explain.weight_gradient(model, x, y, "stamp", (0, 0, 0, 0), loss=weighted_sum)
    assert [(term.position, term.met) for term in corner.terms] == [
        ((i - 1, j - 1, 0), (i, j, 0)) for i in (1, 2) for j in (1, 2)
    ]
    assert corner.ahead(0).what == "stamp at (0, 0, 0)"


# -------------------------------------------------------------------- response normalisation


def test_a_response_is_divided_by_what_its_neighbours_say():
    layer = layers.LocalResponseNormalization(1, bias=2.0, alpha=0.5, beta=0.75, name="norm")
    model = chain(layer, shape=(1, 1, 4))
    x = np.array([1.0, -2.0, 3.0, 4.0]).reshape(1, 1, 4)
    explained = explain.pixel(model, x, "norm", (0, 0, 1))
    np.testing.assert_array_equal(explained.window, [1, -2, 3])
    assert explained.value == pytest.approx(-2 / (2 + 0.5 * 14) ** 0.75)
    assert [(line.label, line.formula) for line in explained.lines] == [
        ("sum of 3 squares", "9 + 4 + 1"),
        ("divisor", "(bias + alpha * sum)^beta = (2 + 0.5 * 14)^0.75"),
        ("normalised", "-2 / 5.19615"),
    ]
    # The way back is that of the response itself, though a neighbour is larger.
    assert explained.back().position == (0, 0, 1)
    assert explain.pixel(model, x, "norm", (0, 0, 0)).back().position == (0, 0, 0)
    assert explain.pixel(model, x, "norm", (0, 0, 3)).window.tolist() == [3, 4]


def test_a_divisor_of_zero_is_shown_as_it_is():
    model = chain(layers.LocalResponseNormalization(1, bias=0.0, name="norm"), shape=(1, 1, 2))
    with np.errstate(invalid="ignore"):
        explained = explain.pixel(model, np.zeros((1, 1, 2)), "norm", (0, 0, 0))
    assert np.isnan(explained.value) and np.isnan(explained.computed)


def test_the_way_back_through_a_softmax_is_that_of_its_own_logit():
    model = chain(layers.Softmax(name="soft"), shape=(3,))
    assert explain.pixel(model, np.array([5.0, 1.0, -9.0]), "soft", 1).back().position == (1,)


# -------------------------------------------------------------------- where branches meet


def branches(layer, count=3):
    """The layer on several inputs of two numbers."""
    inputs = [Input((2,), name=f"in{number}") for number in range(count)]
    return Model(inputs, layer(inputs))


def test_products_are_written_out():
    model = branches(layers.Multiply(name="times"))
    explained = explain.pixel(model, [[2.0, 1.0], [-3.0, 1.0], [4.0, 0.5]], "times", 0)
    assert explained.value == -24 and explained.kernel is None
    assert explained.lines[-1][:2] == ("product of 3 values", "2 * (-3) * 4")
    assert [given.layer for given in explained.inputs] == ["in0", "in1", "in2"]


@pytest.mark.parametrize(("layer", "winner"), [(layers.Maximum, "in2"), (layers.Minimum, "in1")])
def test_the_winner_among_branches(layer, winner):
    model = branches(layer(name="extreme"))
    explained = explain.pixel(model, [[2.0, 1.0], [-3.0, 1.0], [4.0, 0.5]], "extreme", 0)
    assert explained.back().layer == winner and explained.winner == (0,)
    assert f"the winner is {winner} at (0,)" in str(explained)
    word = "largest" if layer is layers.Maximum else "smallest"
    assert explained.lines[-1].label == f"{word} of 3 values"


@pytest.mark.parametrize("layer", [layers.Maximum, layers.Minimum, layers.Multiply])
@pytest.mark.parametrize("case", ["equals", "nan", "zeros", "apart"])
def test_branches_share_the_gradient_as_the_layers_do(layer, case):
    rows = {
        "equals": [[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]],
        "nan": [[np.nan, 2.0], [1.0, np.nan], [3.0, 1.0]],
        "zeros": [[0.0, 0.0], [0.0, 1.0], [3.0, 2.0]],
        "apart": [[1.0, -2.0], [3.0, -4.0], [-2.0, -3.0]],
    }[case]
    model = branches(layer(name="meet"))
    samples = [minicnn.Tensor(np.array([row], np.float32), requires_grad=True) for row in rows]
    y = np.array([[0.5, -2.0]], np.float32)
    expected = minicnn.grad(weighted_sum(y, model(samples)), samples)
    for number, unit in np.ndindex(3, 2):
        explained = explain.pixel_gradient(model, rows, y, f"in{number}", unit, loss=weighted_sum)
        assert explained.value == pytest.approx(float(expected[number].numpy()[0, unit]), nan_ok=True)
        assert explained.computed == pytest.approx(explained.value, nan_ok=True)


def test_a_number_times_itself():
    x = Input((3,), name="x")
    model = Model(x, layers.Multiply(name="square")([x, x]))
    explained = explain.pixel_gradient(model, np.full(3, 7.0), np.ones(3), "x", 1, loss=weighted_sum)
    assert explained.value == 14 and [term.factor for term in explained.terms] == [7, 7]


def test_a_gate_reaches_its_whole_map():
    """Squeeze and excitation: one number scales all of a map."""
    model, x = prepared(merged(layers.Multiply(name="gate"), stretched=True))
    y = targets(model, x)
    explained = explain.pixel_gradient(model, x, y, "global_average_pooling2d", (0, 0, 2), loss=weighted_sum)
    assert len(explained.terms) == 7 * 6
    assert explained.value == pytest.approx((y[..., 2] * x[..., 2]).sum(), rel=1e-4)
    assert explain.pixel(model, x, "gate", (3, 3, 2)).receptive_field == (slice(0, 7), slice(0, 6))


def test_a_stretched_picture_is_not_left():
    gate, maps = Input((1, 1, 2), name="gate"), Input((4, 5, 2), name="maps")
    model = Model([gate, maps], layers.Multiply(name="times")([gate, maps]))
    rng = np.random.default_rng(0)
    explained = explain.pixel(model, [rng.normal(size=(1, 1, 2)), rng.normal(size=(4, 5, 2))], "times", (3, 4, 1))
    assert str(explained.receptive_field) == "row 0, column 0"


# -------------------------------------------------------------------- functions as layers


@pytest.mark.parametrize("function", ["max", "min", "sum", "mean"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_in_lambda_layers(function, keepdims):
    layer = layers.Lambda(function, arguments={"axis": -1, "keepdims": keepdims}, name="reduce")
    model, x = prepared(chain(layer))
    x[2, 3] = x[2, 3, 0]
    position = (2, 3, 0) if keepdims else (2, 3)
    explained = explain.pixel(model, x, "reduce", position)
    assert explained.value == pytest.approx(getattr(np, function)(x[2, 3]), rel=1e-6)
    np.testing.assert_array_equal(explained.window, x[2, 3])
    y = targets(model, x)
    expected = autograd(model, x, y, None)[0]
    for place in ((2, 3, 1), (0, 0, 2)):
        found = explain.pixel_gradient(model, x, y, model.input_names[0], place, loss=weighted_sum)
        agrees(found, expected[place], np.abs(expected).max())
    if keepdims:
        assert str(explained.receptive_field) == "row 2, column 3"


def test_the_largest_channel_first():
    layer = layers.Lambda("max", arguments={"axis": 1, "keepdims": True}, name="depth")
    model, x = prepared(chain(layers.MaxPooling2D(1, **FIRST), layer, shape=(3, 4, 5)))
    explained = explain.pixel(model, x, "depth", (0, 2, 3))
    np.testing.assert_array_equal(explained.window, x[:, 2, 3])
    assert str(explained.receptive_field) == "row 2, column 3"


def test_nan_wins_and_gets_no_gradient():
    model = chain(layers.GlobalMaxPooling2D(name="max"), shape=(1, 2, 1))
    x = np.array([np.nan, 1.0]).reshape(1, 2, 1)
    explained = explain.pixel_gradient(model, x, [2.0], model.input_names[0], (0, 1, 0), loss=weighted_sum)
    assert explained.value == explained.computed == 0


def test_functions_of_several_samples_cannot_be_explained():
    layer = layers.Lambda("sum", arguments={"axis": 0, "keepdims": True}, name="all")
    model, x = prepared(chain(layer, shape=(3,)))
    with pytest.raises(ValueError, match="explain: Lambda 'all' works along the batch, but one sample is explained"):
        explain.pixel(model, x, "all", 1)
    with pytest.raises(ValueError, match="explain: Lambda 'all' works along the batch"):
        explain.pixel_gradient(model, x, [[1.0, 2.0, 3.0]], model.input_names[0], 1, loss=weighted_sum)
