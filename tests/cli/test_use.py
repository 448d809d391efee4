"""`minicnn evaluate` and `minicnn predict`: a trained model at work."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from minicnn import Sequential, datasets, layers
from minicnn.cli.answers import as_probabilities, best_classes
from minicnn.cli.predict import shown_as


@pytest.fixture
def written_seven(tmp_path):
    """A seven in dark ink on bright paper, small and off the middle of a larger sheet."""
    sheet = Image.new("L", (300, 200), 235)
    ImageDraw.Draw(sheet).text((60, 40), "7", fill=30, font=ImageFont.load_default(size=90))
    path = tmp_path / "seven.png"
    sheet.save(path)
    return path


def test_evaluate_repeats_the_test_result(run, trained):
    result = run("evaluate", trained / "model.minicnn", "--dataset", "drawn-digits", "--samples", 1500)
    assert result.exit_code == 0, result.output
    said = float(re.search(r"Test accuracy ([\d.]+)", result.output).group(1))
    record = json.loads((trained / "history.json").read_text(encoding="utf-8"))
    assert said == pytest.approx(record["test"]["accuracy"], abs=1e-4)


def test_evaluate_takes_the_data_set_of_the_training(run, trained):
    result = run("evaluate", trained / "model.minicnn", "--samples", 50)
    assert result.exit_code == 0, result.output
    assert "digits drawn on the fly (50 test pictures)" in result.output


def test_evaluate_refuses_more_pictures_than_there_are(run, trained):
    result = run("evaluate", trained / "model.minicnn", "--samples", 2001)
    assert result.exit_code == 2
    assert result.stderr == "minicnn: --samples 2001: there are only 2000 test pictures\n"


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_network_that_takes_no_pictures(run, written_seven, command):
    model = Sequential([layers.Dense(10, activation="softmax", input_shape=(784,))], name="flat")
    model.compile("sgd", "mse")
    model.save("flat.minicnn")
    result = run(
        command, "flat.minicnn", *(["--dataset", "drawn-digits"] if command == "evaluate" else [written_seven])
    )
    assert result.exit_code == 2
    assert "flat takes input of shape (None, 784), but pictures are (N, H, W, channels)" in result.stderr


def test_predict_shows_pictures_as_png_where_it_can(run, trained, written_seven, tmp_path):
    result = run("predict", trained / "model.minicnn", written_seven, "--show", "seen.xyz")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--show seen.xyz: expected a file that ends in .png, or a folder" in result.stderr
    result = run("predict", trained / "model.minicnn", written_seven, "--show", written_seven / "seen.png")
    assert result.exit_code == 2
    assert "seen.png cannot be written" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [written_seven]


def test_predict_a_written_digit(run, trained, written_seven):
    result = run("predict", trained / "model.minicnn", written_seven)
    assert result.exit_code == 0, result.output
    assert re.match(rf"{re.escape(str(written_seven))}: 7 \(\d+\.\d %\), \d \(", result.output)


def test_digits_named_one_by_one_in_a_table(run, trained, written_seven, tmp_path):
    model, other, blank = trained / "model.minicnn", tmp_path / "10.png", tmp_path / "blank.png"
    other.write_bytes(written_seven.read_bytes())
    result = run("predict", model, written_seven, other, "--csv", "table.csv")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"2 rows in table.csv: id, {', '.join(f'P({digit})' for digit in range(10))}\n"
    with (tmp_path / "table.csv").open(newline="") as stream:
        heading, *rows = csv.reader(stream)
    assert heading == ["id", *map(str, range(10))] and [row[0] for row in rows] == ["10", "seven"]
    assert rows[0][1:] == rows[1][1:]
    told = run("predict", model, written_seven, "--top", 1).stdout
    assert f": 7 ({100 * float(rows[0][8]):.1f} %)" in told
    Image.new("L", (100, 100), 255).save(blank)
    result = run("predict", model, written_seven, blank, "--csv", "other.csv")
    assert result.exit_code == 2 and "nothing to see" in result.stderr
    assert not (tmp_path / "other.csv").exists()


def test_predict_shows_what_the_network_saw(run, trained, written_seven, tmp_path):
    result = run("predict", trained / "model.minicnn", written_seven, "--show", tmp_path / "seen.png", "--top", 1)
    assert result.exit_code == 0, result.output
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    assert seen.shape == (28, 28)
    # Ink is bright and the paper dark, as in MNIST; the digit lies in the middle.
    assert seen[0].max() == 0
    assert seen.max() > 200
    rows, columns = np.indices(seen.shape)
    assert np.average(rows, weights=seen) == pytest.approx(13.5, abs=1)
    assert np.average(columns, weights=seen) == pytest.approx(13.5, abs=1)


def test_predict_several_into_a_folder(run, trained, written_seven, tmp_path):
    (x, y), _ = datasets.drawn_digits.load_data(2, 0, seed=3)
    other = tmp_path / "other.png"
    Image.fromarray(x[0]).resize((56, 56)).save(other)
    result = run("predict", trained / "model.minicnn", written_seven, other, "--show", tmp_path / "seen")
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 2
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["other.png", "seven.png"]


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", "not a picture"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n", "picture")]
)
def test_predict_refuses_what_is_no_picture(run, trained, tmp_path, content, expected):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    result = run("predict", trained / "model.minicnn", path)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_predict_refuses_an_empty_sheet(run, trained, tmp_path):
    path = tmp_path / "white.png"
    Image.new("L", (100, 100), 255).save(path)
    result = run("predict", trained / "model.minicnn", path)
    assert result.exit_code == 2
    assert "nothing to see" in result.stderr


def test_a_picture_that_is_not_there(run, trained):
    result = run("predict", trained / "model.minicnn", "nothing.png")
    assert result.exit_code == 2
    assert "nothing.png: no such file" in result.stderr


def test_one_file_cannot_show_two_pictures(tmp_path):
    from pathlib import Path

    with pytest.raises(ValueError, match="names one file, but there are 2 pictures"):
        shown_as(tmp_path / "seen.png", (Path("a.png"), Path("b.png")))


def test_pictures_of_one_name_are_kept_apart(tmp_path):
    from pathlib import Path

    targets = shown_as(tmp_path, (Path("a/x.png"), Path("b/x.png"), Path("b/y.png")))
    assert targets == [tmp_path / "x-1.png", tmp_path / "x-2.png", tmp_path / "y.png"]


def test_probabilities_of_a_network_that_ends_in_logits():
    np.testing.assert_allclose(as_probabilities(np.log([0.2, 0.5, 0.3]) + 7), [0.2, 0.5, 0.3])
    np.testing.assert_allclose(as_probabilities(np.array([0.2, 0.5, 0.3])), [0.2, 0.5, 0.3])
    np.testing.assert_allclose(as_probabilities(np.array([-2.0])), [1 / (1 + np.exp(2.0))])
    np.testing.assert_allclose(as_probabilities(np.array([0.9])), [0.9])


class _Named:
    class_names = ("cat", "dog")


def test_best_classes():
    assert best_classes(_Named, np.array([0.25, 0.75]), 2) == "dog (75.0 %), cat (25.0 %)"
    assert best_classes(_Named, np.array([0.25, 0.75]), 1) == "dog (75.0 %)"
    assert best_classes(_Named, np.array([0.25]), 3) == "dog (25.0 %)"
