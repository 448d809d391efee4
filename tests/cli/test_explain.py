"""`minicnn explain`: the arithmetic behind a number, for a picture file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minicnn import Sequential, explain, layers
from minicnn.cli.explain import target_of
from minicnn.cli.loading import fitted
from minicnn.cli.pictures import preparation


@pytest.fixture
def saved(tmp_path):
    """A network in a file, and a picture that is larger than what it takes."""
    model = Sequential(
        [
            layers.Conv2D(2, 3, padding="same", activation="relu", input_shape=(6, 8, 3), name="conv"),
            layers.Flatten(name="flat"),
            layers.Dense(2, activation="softmax", name="last"),
        ]
    )
    model.save(tmp_path / "net.minicnn")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return model


def test_it_prints_what_the_library_explains(run, saved, tmp_path):
    result = run("explain", "net.minicnn", "photo.png", "--layer", "conv", "--at", "0,7,1")
    assert result.exit_code == 0, result.output
    prepare = preparation(saved)
    sample = prepare(fitted(saved, tmp_path / "photo.png", prepare)[np.newaxis])
    assert result.output == f"{explain.pixel(saved, sample, 'conv', (0, 7, 1))}\n"
    assert "pad" in result.output
    assert run("explain", "net.minicnn", "photo.png", "--layer", "last", "--at", 1).output.startswith(
        "last (Dense), unit 1"
    )


def test_it_draws_a_picture(run, saved, tmp_path):
    result = run("explain", "net.minicnn", "photo.png", "--layer", "conv", "--at", "2,3,0", "--show", "new/why.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "new" / "why.png") as drawn:
        assert drawn.format == "PNG"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["why.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "con", "--at", "0,0,0"), "unknown layer 'con'; did you mean 'conv'?"),
        (
            ("--layer", "conv", "--at", "0,8,0"),
            "(row 0 to 5, column 0 to 7, channel 0 to 1), but (0, 8, 0)",
        ),
        (
            ("--layer", "conv", "--at", "a,b"),
            "'a,b' is not ROW,COLUMN,CHANNEL, such as 4,7,0",
        ),
        (("--layer", "conv"), "Missing option '--at'"),
        (
            ("--layer", "conv", "--at", "0,0,0", "--show", "why.jpg"),
            "why.jpg: expected a file that ends in .png",
        ),
        (("--layer", "conv", "--at", "0,0,0", "--show", "photo.png/why.png"), "photo.png"),
        (("--layer", "conv", "--at", "0,0,0", "--device", "gpu"), "'gpu' is not one of"),
    ],
)
def test_mistakes_are_one_line(run, saved, tmp_path, words, message):
    before = (tmp_path / "photo.png").read_bytes()
    result = run("explain", "net.minicnn", "photo.png", *words)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert result.stdout == "" or "photo.png/why.png" in words
    assert (tmp_path / "photo.png").read_bytes() == before


@pytest.fixture
def compiled(saved, tmp_path):
    """The same network with a loss, and names for its classes."""
    saved.compile("sgd", "categorical_crossentropy")
    saved.class_names = ["cat", "dog"]
    saved.save(tmp_path / "net.minicnn")
    prepare = preparation(saved)
    return saved, prepare(fitted(saved, tmp_path / "photo.png", prepare)[np.newaxis])


def test_derivatives_are_those_of_the_library(run, compiled):
    model, sample = compiled
    ask = ("explain", "net.minicnn", "photo.png", "--gradient")
    expected = explain.pixel_gradient(model, sample, [[0, 1]], "conv", (2, 3, 1))
    for dog in ("dog", "1"):
        result = run(*ask, dog, "--layer", "conv", "--at", "2,3,1")
        assert result.exit_code == 0, result.output
        assert result.output == f"{expected}\n"
    other = run(*ask, "cat", "--layer", "conv", "--at", "2,3,1").output
    assert other == f"{explain.pixel_gradient(model, sample, [[1, 0]], 'conv', (2, 3, 1))}\n" != f"{expected}\n"
    result = run(*ask, "dog", "--layer", "conv", "--at", "0,1,2,1", "--weight", "kernel")
    assert result.output == f"{explain.weight_gradient(model, sample, [[0, 1]], 'conv', (0, 1, 2, 1))}\n"
    result = run(*ask, "dog", "--layer", "last", "--at", 1, "--weight", "bias", "--loss", "mse")
    expected = explain.weight_gradient(model, sample, [[0, 1]], "last", 1, weight="bias", loss="mse")
    assert result.output == f"{expected}\n" and "mean_squared_error" in result.output


@pytest.mark.parametrize(
    ("units", "activation", "loss", "target"),
    [
        (3, "softmax", "sparse_categorical_crossentropy", [1]),
        (3, "softmax", "categorical_crossentropy", [[0, 1, 0]]),
        (3, "softmax", "crossentropy", [1]),
        (1, "sigmoid", "crossentropy", [1]),
        (3, "sigmoid", "binary_crossentropy", [[0, 1, 0]]),
        (1, "sigmoid", "binary_crossentropy", [1]),
        (1, "tanh", "mse", [1]),
    ],
)
def test_the_class_is_told_as_the_loss_takes_it(units, activation, loss, target):
    model = Sequential([layers.Flatten(input_shape=(2, 2, 1)), layers.Dense(units, activation=activation)])
    model.compile("sgd", loss)
    made = target_of(model, "1", None)
    assert made.tolist() == target
    assert target_of(model, "1", loss).tolist() == target
    explain.pixel_gradient(model, np.ones((2, 2, 1)), made, "flatten", 0)


def test_derivatives_are_drawn(run, compiled, tmp_path):
    words = ("--layer", "conv", "--at", "0,1,2,1", "--weight", "kernel", "--gradient", "dog", "--show", "why.png")
    result = run("explain", "net.minicnn", "photo.png", *words)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.format == "PNG" and drawn.width > drawn.height


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gradient", "dof"), "--gradient dof: expected a class by its name, or by its number 0 to 1; did you mean "),
        (("--gradient", "2"), "--gradient 2: expected a class by its name, or by its number 0 to 1"),
        (("--gradient", "-1"), "--gradient -1: expected a class by its name"),
        (("--gradient", "dog", "--weight", "kernal"), "did you mean 'kernel'?"),
        (("--gradient", "dog", "--weight", "kernel"), "(row 0 to 2, column 0 to 2, channel 0 to 2, filter 0 to 1)"),
        (("--gradient", "dog", "--loss", "msee"), "unknown loss 'msee'; did you mean 'mse'"),
        (("--weight", "kernel"), "--weight kernel is for derivatives: name the picture's class with --gradient"),
        (("--loss", "mse"), "--loss mse is for derivatives: name the picture's class with --gradient"),
        (("--gradient", "dog", "--layer", "flat", "--at", "0", "--weight", "bias"), "Flatten 'flat' cannot be expl"),
        (("--gradient", "dog", "--show", "why.jpg"), "why.jpg: expected a file that ends in .png"),
    ],
)
def test_mistakes_about_derivatives_are_one_line(run, compiled, words, message):
    result = run("explain", "net.minicnn", "photo.png", "--layer", "conv", "--at", "0,0,0", *words)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_models_whose_derivatives_have_no_loss_or_no_classes(run, saved, tmp_path):
    ask = ("photo.png", "--layer", "conv", "--at", "0,0,0", "--gradient", "1")
    result = run("explain", "net.minicnn", *ask)
    assert result.exit_code == 2
    assert "was not compiled with a loss: name one with --loss" in result.stderr
    assert run("explain", "net.minicnn", *ask, "--loss", "mse").exit_code == 0
    maps = Sequential([layers.Conv2D(1, 3, input_shape=(6, 8, 3), name="conv")])
    maps.save(tmp_path / "maps.minicnn")
    result = run("explain", "maps.minicnn", *ask, "--loss", "mse")
    assert "gives (None, 4, 6, 1), which are no classes" in result.stderr and result.exit_code == 2


def test_files_that_are_not_there(run, saved):
    assert (
        "there is no file none.minicnn"
        in run("explain", "none.minicnn", "photo.png", "--layer", "conv", "--at", "0,0,0").stderr
    )
    assert (
        "none.png: no such file" in run("explain", "net.minicnn", "none.png", "--layer", "conv", "--at", "0,0,0").stderr
    )
