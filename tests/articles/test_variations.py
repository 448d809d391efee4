"""Networks with some numbers changed."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import articles
from minicnn.articles.variations import NAMES, vary


def shapes(model):
    return [layer.output_shape[1:] for layer in model.layers]


def classes(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_original_keeps_its_weights_and_shape():
    model = articles.get("fashion-conv1x3").build()
    before = model.get_config()
    weights = [weight.copy() for weight in model.get_weights()]
    varied = vary(model, {"kernel_size": (3, 3), "filters": 8, "activation": "tanh"})
    assert model.get_config() == before
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert varied.count_params() == 9 * 8 + 8 + 28 * 28 * 8 * 10 + 10
    assert varied.layers[0].get_config()["activation"] == "tanh"
    assert varied.layers[-1].get_config()["activation"] == "softmax"


@pytest.mark.parametrize(
    ("name", "changes", "parameters"),
    [
        # The articles' own rows: the study's networks are variations of each other.
        ("fashion-conv1x3", {"kernel_size": 3}, 39_260),
        ("fashion-10-20-30", {"depth": 1}, 78_510),
        ("fashion-10-20-30-pool", {"depth": 2}, 158_730),
        ("strika-conv48", {"filters": 128}, 21_123_457),
        ("strika-final", {"conv2d.filters": 128, "units": 256}, 21_123_457),
    ],
)
def test_variations_that_are_other_networks(name, changes, parameters):
    import minicnn.layers

    minicnn.layers.reset_names()
    assert vary(articles.get(name).build(), changes).count_params() == parameters


def test_depth_repeats_the_last_convolution_with_its_activation():
    model = articles.get("eastmount").build()
    deeper = vary(model, {"depth": 4})
    assert classes(deeper).count("Conv2D") == 4
    assert classes(deeper)[3:10] == [
        "Conv2D", "Activation", "Conv2D", "Activation", "Conv2D", "Activation", "MaxPooling2D",
    ]  # fmt: skip
    assert deeper.output_shape == model.output_shape
    assert classes(vary(articles.get("khuyen").build(), {"depth": 4})) == classes(articles.get("khuyen").build())


def test_depth_drops_the_last_stages_with_their_pooling():
    shallow = vary(articles.get("besbes").build(), {"depth": 1})
    assert classes(shallow) == ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense", "Dropout", "Dense"]


def test_pooling_activation_and_dropout():
    model = vary(articles.get("eastmount").build(), {"pool": "average", "pool_size": 4, "activation": "sigmoid"})
    assert classes(model)[2] == "AveragePooling2D"
    assert (model.layers[2].pool_size, model.layers[2].strides) == ((4, 4), (4, 4))
    activations = [layer.get_config()["activation"] for layer in model.layers if type(layer).__name__ == "Activation"]
    assert activations == ["sigmoid", "sigmoid", "sigmoid", "softmax"]
    assert vary(articles.get("besbes").build(), {"rate": 0.1}).layers[6].rate == 0.1


def test_a_varied_network_runs():
    model = vary(articles.get("khuyen").build(), {"filters": 4, "kernel_size": 3, "units": 8, "dilation_rate": 2})
    assert model.predict(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("khuyen", {"kernelsize": 3}, r"vary: unknown variation 'kernelsize'; did you mean 'kernel_size'"),
        ("fashion-softmax", {"filters": 3}, r"vary: there is nothing in fashion-softmax that filters could change"),
        ("fashion-softmax", {"units": 3}, r"vary: there is nothing in fashion-softmax that units could change"),
        ("fashion-softmax", {"depth": 3}, r"nothing in fashion-softmax that depth could change"),
        ("khuyen", {"depth": 0}, r"vary: depth must be a whole number of at least 1, got 0"),
        ("khuyen", {"pool": "median"}, r"vary: pool must be 'max' or 'average', got 'median'"),
        ("khuyen", {"nobody.filters": 1}, r"vary: unknown layer 'nobody'"),
    ],
)
def test_what_cannot_be_varied_is_said(name, changes, text):
    with pytest.raises(ValueError, match=text):
        vary(articles.get(name).build(), changes)


def test_an_unknown_argument_of_a_layer():
    model = articles.get("khuyen").build()
    with pytest.raises(ValueError, match=r"vary: unknown argument of conv2d\w* 'filter'; did you mean 'filters'"):
        vary(model, {f"{model.layers[0].name}.filter": 1})


def test_names_are_all_documented():
    assert all(f'"{name}"' in (vary.__doc__ or "") for name in NAMES)
