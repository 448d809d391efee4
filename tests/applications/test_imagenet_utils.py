"""Pictures as the networks want them, and what their outputs mean."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from minicnn import applications
from minicnn.applications.imagenet_utils import class_index, decode_predictions, preprocess_input
from minicnn.datasets import DataError
from tests.applications.imagenet import write_classes
from tests.oracles import keras


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_pictures_become_what_keras_makes_of_them(mode, data_format, batch, dtype):
    sizes = (3, 4, 5) if data_format == "channels_first" else (4, 5, 3)
    x = np.random.default_rng(0).integers(0, 256, (*batch, *sizes)).astype(dtype)
    expected = keras().applications.imagenet_utils.preprocess_input(x.copy(), data_format, mode)
    before = x.copy()
    y = preprocess_input(x, data_format, mode)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-4)
    assert y.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("vgg16", (103.939, 116.779, 123.68)),
        ("resnet50", (103.939, 116.779, 123.68)),
        ("squeezenet", (104, 117, 123)),
    ],
)
def test_each_network_subtracts_its_own_mean_of_blue_green_and_red(name, mean):
    red_green_blue = np.array([[[10, 20, 30]]], np.uint8)
    y = importlib.import_module(f"minicnn.applications.{name}").preprocess_input(red_green_blue)
    np.testing.assert_allclose(y[0, 0], np.array([30, 20, 10]) - mean, rtol=1e-6)
    assert getattr(applications, name).preprocess_input(red_green_blue.transpose(2, 0, 1), "channels_first").shape == (
        *(3, 1, 1),
    )


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (np.zeros((2, 4, 4, 1)), {}, r"expected pictures \(H, W, 3\) or \(N, H, W, 3\), RGB, got shape \(2, 4, 4, 1\)"),
        (np.zeros((4, 4, 3)), {"data_format": "channels_first"}, r"expected pictures \(3, H, W\)"),
        (np.zeros((4, 3)), {}, r"got shape \(4, 3\), dtype float64"),
        (np.array([["a"] * 3] * 2)[None], {}, "dtype <U1"),
        (np.zeros((4, 4, 3)), {"data_format": "NHWC"}, "'channels_last' or 'channels_first', got 'NHWC'"),
        (np.zeros((4, 4, 3)), {"mode": "cafe"}, "mode must be 'caffe', 'tf' or 'torch', got 'cafe'"),
    ],
)
def test_what_is_no_picture_is_refused(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        preprocess_input(x, **arguments)


@pytest.mark.parametrize("name", ["imagenet_class_index.json", "imagenet_classes.txt"])
def test_the_likeliest_classes_by_name(elsewhere, name):
    write_classes(elsewhere, name)
    scores = np.zeros((2, 1000), np.float32)
    scores[0, [7, 3]] = 0.7, 0.2
    scores[1, [999, 0]] = 0.25, 0.5
    expected = [
        [("n00000007", "thing_7", 0.7), ("n00000003", "thing_3", 0.2)],
        [("n00000000", "thing_0", 0.5), ("n00000999", "thing_999", 0.25)],
    ]
    for classes in (None, elsewhere / name):
        found = decode_predictions(scores, top=2, classes=classes)
        assert [[item[:2] for item in row] for row in found] == [[item[:2] for item in row] for row in expected]
        np.testing.assert_allclose([[item[2] for item in row] for row in found], [[0.7, 0.2], [0.5, 0.25]])


def test_names_that_are_not_here_are_asked_for(elsewhere):
    with pytest.raises(DataError, match=r"pass classes=FILE, Keras' imagenet_class_index\.json or lines of id and"):
        decode_predictions(np.zeros((1, 1000)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n00000001 a\nn00000002 b\n", "expected 1000 classes, got 2"),
        ("n00000001 a\nb\n", "line 2 must be a WordNet id and names, got 'b'"),
        ('{"0": ["n00000001", "a"], "2": ["n00000002", "b"]}', "not a list of classes as Keras has it"),
        ('{"0": 5}', "not a list of classes as Keras has it"),
        ("{" * 100_000, "not a list of classes as Keras has it"),
        ("n" * 2_000_000, "too long for a list of 1000 classes"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_classes_is_refused(tmp_path, text, message):
    path = tmp_path / "classes.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        class_index(path)


@pytest.mark.parametrize(
    ("preds", "top", "message"),
    [
        (np.zeros((2, 10)), 5, r"preds must be \(N, 1000\), got shape \(2, 10\)"),
        (np.zeros(1000), 5, r"preds must be \(N, 1000\), got shape \(1000,\)"),
        (np.zeros((1, 1000)), 0, "top must be from 1 to 1000, got 0"),
    ],
)
def test_predictions_that_are_not_imagenets_are_refused(preds, top, message):
    with pytest.raises(ValueError, match=message):
        decode_predictions(preds, top)
