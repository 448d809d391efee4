"""The articles' networks with other numbers of classes."""

from __future__ import annotations

import pytest

from minicnn import Sequential, articles, layers
from minicnn.articles.adapting import with_classes

TRAINED = [name for name in articles.names() if articles.get(name).dataset]
SEVERAL = [name for name in TRAINED if articles.get(name).build().output_shape[-1] > 1]


@pytest.mark.parametrize("name", SEVERAL)
def test_the_last_dense_layer_is_made_anew(name):
    model = articles.get(name).build()
    adapted = with_classes(model, 3)
    assert adapted.output_shape == (None, 3)
    assert adapted.input_shape == model.input_shape
    assert [type(layer) for layer in adapted.layers] == [type(layer) for layer in model.layers]
    assert [layer.name for layer in adapted.layers] == [layer.name for layer in model.layers]
    assert not any(weight.materialised for weight in adapted.weights)


def test_what_fits_stays():
    for name, count in (("besbes", 2), ("lenet5", 10), ("strika-final", 2)):
        model = articles.get(name).build()
        assert with_classes(model, count) is model


def test_one_output_serves_two_classes():
    with pytest.raises(ValueError, match="strika-dense has one output, which serves two classes, but there are 3"):
        with_classes(articles.get("strika-dense").build(), 3)


def test_a_network_that_does_not_end_in_a_dense_layer():
    model = Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.GlobalAveragePooling2D()], name="no-dense")
    with pytest.raises(ValueError, match="no-dense has 4 outputs and ends in GlobalAveragePooling2D, not"):
        with_classes(model, 3)
