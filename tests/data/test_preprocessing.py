"""From 8-bit pictures to a network's input, and back from a file's JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from minicnn.preprocessing import Preprocessing

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


def test_scale_mean_and_std_per_channel():
    prepare = Preprocessing(1 / 255, mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3], shape=(5, 4, 3))
    x = prepare(PICTURES)
    want = (PICTURES / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.1, 0.2, 0.3])
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, want, atol=1e-5)


def test_layouts():
    last, first = Preprocessing(shape=(5, 4, 3)), Preprocessing(layout="channels_first", shape=(3, 5, 4))
    np.testing.assert_array_equal(last(PICTURES), PICTURES)
    np.testing.assert_array_equal(first(PICTURES), PICTURES.transpose(0, 3, 1, 2))
    assert first(PICTURES).flags.c_contiguous
    assert last.size == first.size == (5, 4)
    assert last.channels == first.channels == 3


def test_mean_per_channel_with_channels_first():
    prepare = Preprocessing(mean=[1, 2, 3], layout="channels_first", shape=(3, 5, 4))
    np.testing.assert_array_equal(prepare(PICTURES)[:, 2], PICTURES[..., 2] - np.float32(3))


def test_blue_green_red():
    want = PICTURES[..., ::-1] - np.array([1, 2, 3])
    np.testing.assert_allclose(Preprocessing(mean=[1, 2, 3], order="bgr")(PICTURES), want)
    first = Preprocessing(mean=[1, 2, 3], order="bgr", layout="channels_first", shape=(3, 5, 4))
    np.testing.assert_allclose(first(PICTURES), want.transpose(0, 3, 1, 2))
    assert (
        Preprocessing.from_config(first.get_config())
        == first
        != Preprocessing.from_config({**first.get_config(), "order": "rgb"})
    )


def test_grey_pictures_get_or_lose_their_axis():
    grey = PICTURES[..., 0]
    assert Preprocessing(shape=(5, 4, 1))(grey).shape == (3, 5, 4, 1)
    assert Preprocessing(layout="channels_first", shape=(1, 5, 4))(grey).shape == (3, 1, 5, 4)
    assert Preprocessing(shape=(5, 4))(grey).shape == (3, 5, 4)
    assert Preprocessing(shape=(5, 4))(grey[..., None]).shape == (3, 5, 4)
    assert Preprocessing()(grey[:0]).shape == (0, 5, 4, 1)


def test_the_pictures_stay_as_they_are():
    floats = PICTURES.astype(np.float32)
    Preprocessing(1 / 255)(floats)
    np.testing.assert_array_equal(floats, PICTURES)


def test_json_and_back():
    for prepare in (
        Preprocessing(),
        Preprocessing(1 / 255, mean=(0.1, 0.2, 0.3), std=2, layout="channels_first", shape=(3, 5, 4)),
    ):
        again = Preprocessing.from_config(json.loads(json.dumps(prepare.get_config())))
        assert again == prepare and hash(again) == hash(prepare) and repr(again) == repr(prepare)
        np.testing.assert_array_equal(again(PICTURES), prepare(PICTURES))
    assert Preprocessing.from_config({"kind": "scale", "factor": 0.5}) == Preprocessing(0.5)
    assert Preprocessing(0.5) != Preprocessing(0.25)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "magic"}, "expected kind 'scale', got 'magic'"),
        ({"factr": 1}, r"unknown entries \['factr'\]"),
        ({"factor": "1"}, "expected factor to be a finite number, got '1'"),
        ({"factor": float("nan")}, "finite"),
        ({"std": 0}, "expected std other than 0"),
        ({"std": [1, 0, 1]}, "expected std other than 0"),
        ({"mean": [1, 2], "shape": [5, 4, 3]}, "mean: expected a number or 3, one for each channel, got 2 numbers"),
        ({"mean": []}, "got 0 numbers"),
        ({"layout": "channels_middle"}, "expected layout 'channels_last' or 'channels_first'"),
        ({"order": "grb"}, "expected order 'rgb' or 'bgr', got 'grb'"),
        ({"shape": [5]}, "expected a shape of 2 or 3 positive sizes"),
        ({"shape": [5, 4, 0]}, "positive"),
    ],
)
def test_wrong_configurations(config, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_config(config)


@pytest.mark.parametrize(
    ("prepare", "pictures", "message"),
    [
        (Preprocessing(shape=(28, 28, 1)), PICTURES, r"expected pictures \(N, 28, 28, 1\), got \(3, 5, 4, 3\)"),
        (Preprocessing(shape=(28, 28)), PICTURES[..., 0], r"expected pictures \(N, 28, 28, 1\), got \(3, 5, 4\)"),
        (Preprocessing(), PICTURES[0, 0], r"expected pictures \(N, H, W\) or \(N, H, W, C\), got \(4, 3\)"),
        (Preprocessing(), np.full((1, 2, 2), "x"), "got"),
        (Preprocessing(mean=[1, 2]), PICTURES, r"mean and std are for \[2\] channels"),
    ],
)
def test_wrong_pictures(prepare, pictures, message):
    with pytest.raises(ValueError, match=message):
        prepare(pictures)


def test_importing_the_data_modules_is_light():
    code = (
        "import sys; from minicnn import datasets, preprocessing, utils; datasets.find('drawn-digits');"
        "print([m for m in ('PIL', 'numba', 'urllib.request', 'h5py', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
