"""What a reader sees: aligned tables, formulas with the numbers put in, no more than a screen."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import explain, layers
from minicnn.explain.text import aligned
from tests.explain.cases import PIXELS, chain, prepared


def small():
    """A picture with every number legible: a convolution, a pooling and two units."""
    model = chain(
        layers.Conv2D(1, 2, activation="relu", name="conv"),
        layers.MaxPooling2D((1, 2), name="pool"),
        layers.Flatten(name="flat"),
        layers.Dense(2, activation="softmax", name="last"),
        shape=(2, 3, 1),
    )
    kernel = np.array([[1, -1], [0.5, 2]]).reshape(2, 2, 1, 1)
    model.set_weights([kernel, np.array([-1]), np.array([[0.5, -0.25]]), np.array([0, 0.125])])
    return model, np.array([[1, 2, 3], [4, 0, 1]], np.float32)[..., np.newaxis]


def test_a_convolution():
    model, x = small()
    assert str(explain.pixel(model, x, "conv", (0, 1, 0))).splitlines() == [
        "conv (Conv2D), row 0, column 1, channel 0: 0",
        "It depends on rows 0 to 1, columns 1 to 2 of the picture.",
        "",
        f"{model.input_names[0]}, rows 0 to 1, columns 1 to 2, channel 0",
        "  window x          kernel w            x * w",
        "  2.0000  3.0000     1.0000  -1.0000     2.0000  -3.0000",
        "  0.0000  1.0000     0.5000   2.0000     0.0000   2.0000",
        "",
        "sum of 4 products  1",
        "bias b             -1",
        "z = sum + b        1 + (-1) = 0",
        "relu               max(0, 0) = 0",
        "",
        "from its terms, in float64: 0",
        "the model computed          0",
    ]


def test_a_pooling():
    model, x = small()
    assert str(explain.pixel(model, x, "pool", (0, 0, 0))).splitlines()[3:] == [
        "conv, row 0, columns 0 to 1, channel 0",
        "  0.0000  0.0000",
        "the winner stands at (0, 0, 0)",
        "",
        "largest of 2 values  0",
        "",
        "from its terms, in float64: 0",
        "the model computed          0",
    ]


def test_a_probability():
    model, x = small()
    assert str(explain.pixel(model, x, "last", 1)).splitlines()[3:] == [
        "  flat 0  0.0000 * -0.2500 = 0.0000",
        "",
        "sum of 1 product     0",
        "bias b               0.125",
        "z = sum + b          0 + 0.125 = 0.125",
        "largest of 2 z       m = 0.125",
        "numerator            exp(0.125 - m) = 1",
        "sum of 2 numerators  1 + 0.882497 = 1.8825",
        "softmax              1 / 1.8825 = 0.531209",
        "",
        "from its terms, in float64: 0.5312094",
        "the model computed          0.5312094",
    ]


def test_a_gradient():
    model, x = small()
    text = str(explain.weight_gradient(model, x, 1, "last", (0, 1), loss="sparse_categorical_crossentropy"))
    assert text.splitlines() == [
        "derivative of sparse_categorical_crossentropy by last's kernel at (0, 1): 0",
        "It is the sum of 1 product gz * x; gz is the derivative by what the layer computes before its activation.",
        "",
        "  last 1  -0.4688 * 0.0000 = 0.0000  at 0",
        "",
        "from its terms, in float64: 0",
        "autograd computed           0",
    ]


@pytest.mark.parametrize("size", [3, 5, 7, 11])
def test_long_sums_fit_on_a_screen(size):
    model, x = prepared(chain(layers.Conv2D(2, size, padding="same", name="conv"), shape=(12, 12, 32)))
    text = str(explain.pixel(model, x, "conv", (6, 6, 1)))
    assert len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 120
    explained = explain.pixel(model, x, "conv", (6, 6, 1))
    unit, rest = ("term", 10) if size > 7 else ("channel", 3 if size == 3 else 1)
    count = size * size * 32 if size > 7 else 32
    assert f"... and {count - rest} more {unit}s, together " in text
    together = float(text.split("together ")[1].split()[0])
    if size == 3:
        totals = explained.products.sum(axis=(0, 1))
        largest = np.argsort(-np.abs(explained.products).sum(axis=(0, 1)))[:3]
        assert together == pytest.approx(np.delete(totals, largest).sum(), rel=1e-4)
    if size == 11:
        products = explained.products.reshape(-1)
        assert together == pytest.approx(products[np.argsort(-np.abs(products))[10:]].sum(), rel=1e-4)


@pytest.mark.parametrize("case", PIXELS)
def test_every_text_fits_on_a_screen(case):
    model, x = prepared(PIXELS[case]())
    layer = model.layers[-1]
    text = str(explain.pixel(model, x, layer, tuple(size // 2 for size in layer.output.shape[1:])))
    assert len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 120


def test_numbers_of_any_size_are_aligned():
    for values in ([1.0, -20.5], [1e-9, -1.0], [1e-9, 2e-8], [1e12, -1.0], [np.nan, 1.0], [np.inf, -np.inf], [0.0]):
        texts = aligned(values)
        assert len({len(text) for text in texts}) == 1
        assert all(text.strip() not in ("", "0.0000") for text, value in zip(texts, values, strict=True) if value == 1)


def test_short_forms():
    model, x = small()
    explained = explain.pixel(model, x, "conv", (0, 1, 0))
    assert repr(explained) == "<Explanation of conv (0, 1, 0): 0>"
    gradient = explain.pixel_gradient(model, x, 1, "last", 1, loss="sparse_categorical_crossentropy")
    assert repr(gradient).startswith("<GradientExplanation of last at (1,): -")
    assert str(explain.pixel(model, x, model.input_names[0], (1, 2, 0))) == (
        f"{model.input_names[0]} (Input), row 1, column 2, channel 0: 1"
    )
