"""`minicnn explain`: the arithmetic behind a number, for a picture file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minicnn import Sequential, explain, layers
from minicnn.cli.pictures import preparation
from minicnn.cli.predict import fitted


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


def test_files_that_are_not_there(run, saved):
    assert (
        "there is no file none.minicnn"
        in run("explain", "none.minicnn", "photo.png", "--layer", "conv", "--at", "0,0,0").stderr
    )
    assert (
        "none.png: no such file" in run("explain", "net.minicnn", "none.png", "--layer", "conv", "--at", "0,0,0").stderr
    )
