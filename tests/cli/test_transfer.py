"""Training on what a network that others trained makes of pictures."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from minicnn import load_model, random
from minicnn.applications import SqueezeNet
from minicnn.datasets import drawn_pets

QUICK = ["train", "besbes-squeezenet", "--data", "pets", "--batch-size", "4"]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """SqueezeNet's release, with weights that nobody trained, where such files are looked for."""
    random.set_seed(0)
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = {weight.name.replace("_", "/"): weight.numpy() for weight in SqueezeNet(weights=None).weights}
    np.savez(folder / "squeezenet_v1.1_imagenet.npz", **arrays)
    monkeypatch.setenv("MINICNN_DATA", str(folder))
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def pets(tmp_path):
    """Fifteen drawn cats and dogs, of which three are held out."""
    (x, y), _ = drawn_pets.load_data(15, 0, size=(32, 32))
    (tmp_path / "pets").mkdir()
    for number, (picture, label) in enumerate(zip(x, y, strict=True)):
        Image.fromarray(picture).save(tmp_path / "pets" / f"{('cat', 'dog')[label]}.{number}.png")


@pytest.mark.network
def test_a_head_is_trained_and_the_file_takes_pictures(run, weights, pets):
    result = run(*QUICK, "--epochs", "2", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "features of 12 pictures" in result.output
    model = load_model("out/model.minicnn")
    assert (model.input_shape, model.output_shape) == ((None, 227, 227, 3), (None, 1))
    assert (model.epoch, model.class_names) == (2, ["cat", "dog"])
    measured = run("evaluate", "out/model.minicnn", "--data", "pets")
    assert measured.exit_code == 0, measured.output
    assert "(3 pictures held out of the training)" in measured.output
    trained, found = (re.search(r"(?:Validation|Test) loss (\S+)", it.output)[1] for it in (result, measured))
    assert float(trained.rstrip(",;")) == pytest.approx(float(found), abs=2e-4)
    # Again: nothing has to be computed but the head.
    again = run(*QUICK, "--epochs", "1", "--out", "again")
    assert again.exit_code == 0, again.output
    assert "features of" not in again.output


def test_it_is_reproduced_with_the_articles_own_measures(run, weights, pets, tmp_path):
    result = run("reproduce", "besbes-squeezenet", "--data", "pets", "--epochs", "1", "--out", "out")
    assert result.exit_code == 0, result.output
    measures = json.loads((tmp_path / "out" / "besbes-squeezenet-reported" / "measures.json").read_text())
    assert sum(map(sum, measures["confusion matrix"])) == 3
    assert f"| {measures['accuracy']:.4f} |" in result.output


def test_a_finished_training_is_not_lengthened(run, weights, pets):
    assert run(*QUICK, "--epochs", "1", "--out", "out").exit_code == 0
    result = run(*QUICK, "--epochs", "2", "--out", "out", "--resume")
    assert result.exit_code != 0
    assert "on features that are computed once it takes little time to train anew: leave out --resume" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "mnist"], "besbes-squeezenet is for collections of pictures, not for mnist"),
        (["--augment"], "--augment: besbes-squeezenet is trained on features that are computed once"),
    ],
)
def test_what_features_are_not_for(run, weights, pets, words, message):
    result = run(*QUICK, *words)
    assert result.exit_code != 0
    assert message in result.output


def test_without_the_weights_it_says_where_they_are(run, weights):
    result = run("train", "besbes-vgg16", "--dataset", "drawn-pets", "--samples", "8")
    assert result.exit_code != 0
    assert "vgg16: weights='imagenet' needs vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in result.output
