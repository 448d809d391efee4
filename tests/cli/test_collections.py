"""Folders and archives of pictures on the command line: trained on, evaluated, predicted into a table, surveyed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import signal
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from minicnn import Sequential, articles, layers, load_model
from minicnn.cli import cli, picture_parts
from minicnn.cli.recorder import is_spent
from minicnn.cli.table import known_classes
from minicnn.data.sets import dogs_vs_cats
from tests.cli.running import start
from tests.data.pets import below, by_folder, digest, flat, packed, pet_bytes, unpacked
from tests.data.zips import picture_bytes

# lenet5 is the smallest network: it takes pictures of any kind as 32x32 or so in grey.
SMALL = ["--batch-size", "8", "--epochs", "2"]


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))


def history_of(folder):
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))


def measures(folder):
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in history_of(folder)["epochs"]]


def same_weights(left, right):
    pairs = zip(load_model(left).get_weights(), load_model(right).get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def classes(count=12, names=("dark", "light")):
    """Folders of pictures of one brightness each: learnable at once."""
    step = 200 // max(len(names) - 1, 1)
    return {
        f"{name}/{n}.png": picture_bytes(20 + step * index + n % 10)
        for index, name in enumerate(names)
        for n in range(count)
    }


def checks(seed, bright):
    """A picture of 300x300, of black pixels and bright ones in no order."""
    pixels = np.random.default_rng(seed).integers(0, 2, (300, 300, 1), np.uint8) * np.uint8(bright)
    stream = io.BytesIO()
    Image.fromarray(pixels.repeat(3, axis=2)).save(stream, "PNG")
    return stream.getvalue()


def test_class_folders_are_trained_on(run, tmp_path):
    path = unpacked(tmp_path / "x", {**classes(), "dark/broken.png": b"", "notes.txt": b"text"})
    before = digest(path)
    result = run("train", "lenet5", "--data", path, *SMALL)
    assert result.exit_code == 0, result.output
    first, network = result.output.splitlines()[:2]
    assert first == f"Data: pictures from {path} (20 to train on, 5 to validate on; 0 = dark, 1 = light)"
    assert network == "Network: 2 outputs instead of 10, loss sparse_categorical_crossentropy"
    assert re.search(r"\nWaiting for pictures took \d+\.\d% of the training time\n", result.output)
    assert "Skipped: 2 files" in result.output
    assert "1 x not a picture, or of no known kind: dark/broken.png" in result.output
    assert digest(path) == before
    record = history_of(tmp_path / "runs" / "lenet5")
    assert record["measured_on"] == "validation" and record["settings"]["dataset"] == "pictures"
    assert {name for name, _ in record["skipped"]} == {"notes.txt", "dark/broken.png"}
    model = load_model(tmp_path / "runs" / "lenet5" / "model.minicnn")
    assert list(model.class_names) == ["dark", "light"] and model.output_shape == (None, 2)


def test_an_articles_counts_are_for_its_own_data(tmp_path):
    wanted = picture_parts.Wanted(8, 4)
    flowers = unpacked(tmp_path / "x", classes(15))
    parts = picture_parts.load("pictures", flowers, (), wanted, (8, 8))
    assert (len(parts.train), len(parts.held)) == (24, 6)
    parts = picture_parts.load("pictures", flowers, (), wanted, (8, 8), samples=12)
    assert (len(parts.train), len(parts.held)) == (12, 3)
    pets = unpacked(tmp_path / "y", flat(15))
    parts = picture_parts.load("dogs-vs-cats", pets, ("cat", "dog"), wanted, (8, 8))
    assert (len(parts.train), len(parts.held)) == (8, 4)
    # More than there are: all, in the article's proportion.
    parts = picture_parts.load("dogs-vs-cats", pets, ("cat", "dog"), picture_parts.Wanted(800, 400), (8, 8))
    assert (len(parts.train), len(parts.held)) == (20, 10)
    assert not set(parts.train.names) & set(parts.held.names)


def test_an_archive_trains_like_the_folder(run, tmp_path):
    files = classes()
    folder, archive = unpacked(tmp_path / "x", files), packed(tmp_path / "x.zip", files)
    assert run("train", "lenet5", "--data", folder, *SMALL, "--out", "a").exit_code == 0
    assert run("train", "lenet5", "--data", archive, *SMALL, "--out", "b", "--threads", 1).exit_code == 0
    assert measures(tmp_path / "a") == measures(tmp_path / "b")
    assert same_weights(tmp_path / "a" / "model.minicnn", tmp_path / "b" / "model.minicnn")


@pytest.mark.parametrize("option", ["--augment", "--no-augment"])
def test_one_epoch_resumed_equals_two(run, tmp_path, option):
    path = unpacked(tmp_path / "x", classes())
    words = ["train", "lenet5", "--data", path, "--batch-size", 8, option]
    assert run(*words, "--epochs", 2, "--out", "whole").exit_code == 0
    assert run(*words, "--epochs", 1, "--out", "parts").exit_code == 0
    result = run("train", "lenet5", "--out", "parts", "--resume", "--epochs", 2)
    assert result.exit_code == 0, result.output
    assert measures(tmp_path / "whole") == measures(tmp_path / "parts")
    assert same_weights(tmp_path / "whole" / "model.minicnn", tmp_path / "parts" / "model.minicnn")
    assert f"{option} --fitting squeeze" in history_of(tmp_path / "parts")["command"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child process")
def test_ctrl_c_ends_the_threads_and_resume_reaches_the_same_bits(run, tmp_path):
    words = [
        "train",
        "lenet5",
        "--dataset",
        "drawn-pets",
        "--samples",
        240,
        "--batch-size",
        4,
        "--epochs",
        4,
        "--augment",
    ]
    process = start(*words, "--out", "stopped", folder=tmp_path, PYTHONUNBUFFERED="1")
    output = ""
    while "Epoch 2/4" not in output and (line := process.stdout.readline()):
        output += line
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + rest + errors
    assert errors == ""
    assert run("train", "lenet5", "--out", "stopped", "--resume").exit_code == 0
    assert run(*words, "--out", "whole").exit_code == 0
    assert measures(tmp_path / "stopped") == measures(tmp_path / "whole")
    assert same_weights(tmp_path / "stopped" / "model.minicnn", tmp_path / "whole" / "model.minicnn")


def test_pictures_are_fitted_as_in_the_training(run, tmp_path):
    """Wide pictures, dark but for a bright middle: cropped, nothing else is seen of them."""
    wide = Image.new("L", (90, 30), 0)
    wide.paste(255, (30, 0, 60, 30))
    files = {f"{name}/{n}.png": picture_bytes(40 + 9 * n) for name in "ab" for n in range(4)}
    path = unpacked(tmp_path / "x", files)
    wide.save(tmp_path / "wide.png")
    assert run("train", "lenet5", "--data", path, "--epochs", 1, "--fitting", "crop").exit_code == 0
    assert run("predict", "runs/lenet5/model.minicnn", "wide.png", "--show", "seen.png").exit_code == 0
    assert np.asarray(Image.open(tmp_path / "seen.png")).min() == 255
    single = run("predict", "runs/lenet5/model.minicnn", "wide.png", "--top", 1).output
    unpacked(tmp_path / "y", {"wide.png": (tmp_path / "wide.png").read_bytes()})
    assert run("predict", "runs/lenet5/model.minicnn", "y", "--top", 1).output == single


def test_a_recipe_that_takes_the_nearest_pixel_is_measured_and_predicted_with_it(run, tmp_path):
    """Chequered pictures, of which an average would be grey."""
    files = {f"{kind}.{n}.png": checks(n, bright) for kind, bright in (("cat", 90), ("dog", 255)) for n in range(12)}
    path = unpacked(tmp_path / "pets", files)
    assert run("train", "besbes", "--data", path, "--epochs", 1, "--batch-size", 8).exit_code == 0
    saved = tmp_path / "runs" / "besbes" / "model.minicnn"
    result = run("evaluate", saved, "--data", path)
    assert result.exit_code == 0, result.output
    held = history_of(saved.parent)["epochs"][-1]["val_loss"]
    assert float(re.search(r"loss\W+([\d.]+)", result.output)[1]) == pytest.approx(held, abs=1e-4)
    assert run("predict", saved, path / "dog.3.png", "--show", "seen.png").exit_code == 0
    assert set(np.unique(Image.open(tmp_path / "seen.png"))) == {0, 255}
    single = run("predict", saved, path / "dog.3.png").output
    unpacked(tmp_path / "one", {"dog.3.png": files["dog.3.png"]})
    row = run("predict", saved, tmp_path / "one").output.splitlines()[0]
    assert row.startswith("dog.3.png: dog") and single.endswith(f"{row}\n")


def test_augmentation_changes_what_is_trained_on(run, tmp_path):
    path = unpacked(tmp_path / "x", flat(8))
    words = ["train", "lenet5", "--data", path, "--batch-size", 8, "--epochs", 1]
    assert run(*words, "--out", "plain").exit_code == 0
    assert run(*words, "--augment", "--out", "distorted").exit_code == 0
    assert measures(tmp_path / "plain") != measures(tmp_path / "distorted")
    assert history_of(tmp_path / "plain")["settings"]["augment"] is False


def test_resuming_with_other_pictures_is_refused(run, tmp_path):
    path = unpacked(tmp_path / "x", classes())
    assert run("train", "lenet5", "--data", path, *SMALL, "--out", "out").exit_code == 0
    unpacked(path, {"dark/another.png": picture_bytes()})
    result = run("train", "lenet5", "--out", "out", "--resume", "--epochs", 3)
    assert result.exit_code == 2
    assert "these are not the pictures that the training to be resumed was begun on" in result.stderr
    result = run("train", "lenet5", "--out", "out", "--resume", "--epochs", 3, "--augment")
    assert "--augment True differs from the training to be resumed (False)" in result.stderr


def test_a_training_ends_when_its_patience_is_spent(run, tmp_path, monkeypatch):
    article = articles.get("lenet5")
    impatient = {"adam": dataclasses.replace(article.recipe(), patience=1)}
    monkeypatch.setattr(articles, "get", lambda name: dataclasses.replace(article, recipes=impatient))
    monkeypatch.setattr("minicnn.cli.recorder.is_spent", lambda epochs, patience: len(epochs) == 2 * patience)
    path = unpacked(tmp_path / "x", classes())
    result = run("train", "lenet5", "--data", path, "--epochs", 9, "--batch-size", 8)
    assert result.exit_code == 0, result.output
    assert "Stopped after epoch 2: 1 in a row brought no lower validation loss" in result.output
    assert len(history_of(tmp_path / "runs" / "lenet5")["epochs"]) == 2


@pytest.mark.parametrize(
    ("losses", "patience", "spent"),
    [
        ([0.5, 0.4, 0.3], 1, False),
        ([0.5, 0.4, 0.4], 1, True),
        ([0.5, 0.3, 0.4, 0.35], 3, False),
        ([0.5, 0.3, 0.4, 0.35, 0.3], 3, True),
        ([0.5], None, False),
        ([], 1, False),
    ],
)
def test_patience(losses, patience, spent):
    assert is_spent([{"val_loss": loss} for loss in losses], patience) is spent


def test_the_articles_patience_ends_where_its_plot_does():
    """Validation losses of the epochs 26 to 34, read off its plot: 28 and 29 do not end the training, 34 does."""
    losses = [0.271, 0.268, 0.280, 0.273, 0.266, 0.257, 0.270, 0.270, 0.263]
    patience = articles.get("besbes").recipe().patience
    rows = [{"val_loss": loss} for loss in losses]
    assert [is_spent(rows[:count], patience) for count in range(1, 10)] == [False] * 8 + [True]


@pytest.mark.network
def test_besbes_on_cats_and_dogs(run, tmp_path):
    path = packed(tmp_path / "train.zip", below("train", flat(20)))
    result = run("train", "besbes", "--data", path, "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "(32 to train on, 8 to validate on; 0 = cat, 1 = dog)" in result.output
    record = history_of(tmp_path / "runs" / "besbes")
    assert record["settings"]["augment"] is True and record["settings"]["dataset"] == "dogs-vs-cats"
    assert "Validation accuracy" in result.output
    assert "(the article: 0.8940 after 35 epochs, its last epoch, " in result.output


def test_three_classes_give_besbes_three_outputs(run, tmp_path):
    path = unpacked(tmp_path / "x", classes(4, ("a", "b", "c")))
    result = run("train", "besbes", "--data", path, "--epochs", 1, "--no-augment")
    assert result.exit_code == 0, result.output
    assert "Network: 3 outputs instead of 2, loss categorical_crossentropy" in result.output
    model = load_model(tmp_path / "runs" / "besbes" / "model.minicnn")
    assert model.output_shape == (None, 3)
    result = run("train", "strika-conv24", "--data", path, "--epochs", 1)
    assert result.exit_code == 2
    assert "strika-conv24 has one output, which serves two classes, but there are 3" in result.stderr


def test_the_positive_class_is_the_networks(run, tmp_path):
    """One output, the probability of a cat: the table has that of a dog, and cats are numbered 1."""
    path = unpacked(tmp_path / "x", flat(4))
    parts = picture_parts.load("dogs-vs-cats", path, ("dog", "cat"), picture_parts.Wanted(4, 4), (8, 8))
    assert parts.classes == ("dog", "cat")
    assert [("cat" in name) for name in parts.train.names] == parts.train.labels.tolist()
    assert parts.describe().endswith("(4 to train on, 4 to validate on; 0 = dog, 1 = cat)")
    model = Sequential([layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.class_names = ["dog", "cat"]
    model.save("cats.minicnn")
    assert run("predict", "cats.minicnn", path, "--csv", "out.csv").exit_code == 0
    single = run("predict", "cats.minicnn", path / "cat.0.jpg").output
    cat = float(re.search(r"cat \(([\d.]+) %\)", single).group(1))
    assert float(table(tmp_path / "out.csv")["cat.0"]["label"]) == pytest.approx(1 - cat / 100, abs=6e-4)


def test_without_the_photographs_pets_are_drawn(run, tmp_path):
    result = run("train", "besbes", "--samples", 16, "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        "Data: cats and dogs drawn on the fly, because Dogs vs. Cats is not on this machine (minicnn data check says "
        "how to get it) (16 to train on, 4 to validate on; 0 = cat, 1 = dog)\n"
    )
    assert history_of(tmp_path / "runs" / "besbes")["settings"]["dataset"] == "drawn-pets"
    assert "the article" not in result.output
    result = run("evaluate", "runs/besbes/model.minicnn", "--samples", 4)
    assert "Data: cats and dogs drawn on the fly (4 pictures that were not trained on)" in result.output
    asked = run("train", "besbes", "--dataset", "dogs-vs-cats")
    assert asked.exit_code == 2
    assert "Dogs vs. Cats is neither in $MINICNN_DATA nor in the cache: `minicnn data fetch" in asked.stderr


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    """A folder of cats and dogs, and a model trained on a part of them."""
    root = tmp_path_factory.mktemp("pets")
    path = unpacked(root / "pets", {**flat(15), "cat.99.jpg": b"broken"})
    words = [
        "train",
        "lenet5",
        "--data",
        path,
        "--samples",
        16,
        "--batch-size",
        8,
        "--epochs",
        6,
        "--out",
        root / "out",
    ]
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return path, root / "out" / "model.minicnn"


@pytest.mark.parametrize("loss", ["binary_crossentropy", ["mean_squared_error"]])
def test_evaluate_a_network_of_one_output_from_a_keras_file(run, tmp_path, loss):
    path = unpacked(tmp_path / "x", classes(4))
    small = Sequential([layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(1, activation="sigmoid")])
    small.compile("sgd", loss)
    small.save("small.keras")
    result = run("evaluate", "small.keras", "--data", path)
    assert result.exit_code == 0, result.output
    assert re.search(r"Test loss \d+\.\d{4}", result.output)


def test_evaluate_needs_a_loss(run, tmp_path):
    small = Sequential([layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(2)], name="small")
    small.compile("sgd")
    small.save("small.minicnn")
    result = run("evaluate", "small.minicnn", "--data", unpacked(tmp_path / "x", classes(4)))
    assert result.exit_code == 2
    assert "small was saved without a loss, so there is nothing to measure" in result.stderr


def test_evaluate_measures_what_was_held_out(run, tmp_path, trained_on):
    path, model = trained_on
    result = run("evaluate", model, "--data", path)
    assert result.exit_code == 0, result.output
    assert "(4 pictures held out of the training)" in result.output
    loss = float(re.search(r"Test loss ([\d.]+)", result.output).group(1))
    assert loss == pytest.approx(history_of(model.parent)["test"]["loss"], abs=1e-4)
    other = packed(tmp_path / "other.zip", {**by_folder(3), "Cat/4.jpg": b""})
    result = run("evaluate", model, "--data", other)
    assert "(6 pictures, all of them)" in result.output
    assert "Skipped: 1 file" in result.output
    assert "(4 pictures, all of them)" in run("evaluate", model, "--data", other, "--samples", 4).output
    result = run("evaluate", model, "--data", unpacked(tmp_path / "c", classes()))
    assert result.exit_code == 2
    assert "expected pictures of the classes that the model knows, cat, dog, got dark, light" in result.stderr


def table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_predict_writes_a_table(run, tmp_path, trained_on, place):
    _, model = trained_on
    files = {f"{n}.jpg": pet_bytes(("cat", "dog")[n % 2], 100 + n) for n in (1, 2, 10, 11)} | {"12.jpg": b"broken"}
    path = (
        unpacked(tmp_path / "test", files) if place == "folder" else packed(tmp_path / "test.zip", below("test", files))
    )
    result = run("predict", model, path, "--csv", "out.csv")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "4 rows in out.csv: id, label = P(dog)"
    assert "Log loss" not in result.output
    assert "12.jpg" in result.output.splitlines()[-1]
    rows = table(tmp_path / "out.csv")
    # Numbers in their order, as Kaggle counts them.
    assert list(rows) == ["1", "2", "10", "11"]
    assert all(0 <= float(row["label"]) <= 1 for row in rows.values())


def test_the_log_loss_where_names_tell(run, tmp_path, trained_on):
    path, model = trained_on
    result = run("predict", model, path, "--csv", "out.csv")
    said = re.search(r"Log loss ([\d.]+), accuracy ([\d.]+) on the 30 pictures whose class is known", result.output)
    rows = table(tmp_path / "out.csv")
    dogs = np.array([float(row["label"]) for row in rows.values()])
    truth = np.array([name.startswith("dog") for name in rows])
    expected = -np.mean(np.log(np.where(truth, dogs, 1 - dogs)))
    assert float(said.group(1)) == pytest.approx(expected, abs=2e-4)
    assert float(said.group(2)) == pytest.approx(np.mean((dogs > 0.5) == truth), abs=1e-4)
    # The table is of the model's own probabilities.
    lines = run("predict", model, path).output.splitlines()
    name, value = re.match(r"cat\.(\d+)\.jpg: \w+ \(([\d.]+) %\)", lines[0]).groups()
    likeliest = max(float(rows[f"cat.{name}"]["label"]), 1 - float(rows[f"cat.{name}"]["label"]))
    assert float(value) == pytest.approx(100 * likeliest, abs=0.06)


def test_a_log_loss_of_certain_mistakes_is_finite():
    from minicnn.cli.table import Predictions, quality

    class Model:
        class_names = ("cat", "dog")

    wrong = Predictions(["dog.1.jpg", "cat.1.jpg"], np.array([[1.0, 0.0], [1.0, 0.0]]), [])
    assert quality(Model, wrong) == [
        f"Log loss {-math.log(1e-15) / 2:.4f}, accuracy 0.5000 on the 2 pictures whose class is known"
    ]
    assert quality(Model, Predictions(["1.jpg"], np.array([[0.5, 0.5]]), [])) == []


def test_known_classes():
    assert known_classes(("dog", "cat"), ["cat.1.jpg", "3.jpg", "x/dog.2.jpg"]).tolist() == [1, -1, 0]
    assert known_classes(("a", "b"), ["b/1.jpg", "c/1.jpg", "a/x/1.jpg", "1.jpg"]).tolist() == [1, -1, 0, -1]


def test_a_table_of_many_classes(run, tmp_path):
    path = unpacked(tmp_path / "x", classes(6, ("a", "b", "c")))
    assert run("train", "lenet5", "--data", path, *SMALL).exit_code == 0
    result = run("predict", "runs/lenet5/model.minicnn", path, "--csv", "out.csv")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "18 rows in out.csv: id, P(a), P(b), P(c)"
    rows = table(tmp_path / "out.csv")
    # Files of one name in several folders keep their folders' names.
    assert list(rows)[:2] == ["a/0", "a/1"]
    assert sum(float(rows["a/0"][name]) for name in "abc") == pytest.approx(1, abs=1e-5)


def test_a_table_that_cannot_be_written(run, tmp_path, trained_on):
    path, model = trained_on
    result = run("predict", model, path, "--csv", tmp_path / "gone" / "out.csv")
    assert result.exit_code == 2
    assert re.fullmatch(r"minicnn: --csv: .*out\.csv cannot be written: No such file or directory\n", result.stderr)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["more", "empty", "--csv", "x.csv"], "more is a folder or archive, to be named alone, but 2 things are named"),
        (["empty", "--csv", "x.csv"], "empty: there are no pictures"),
        (["more", "--show", "seen"], "--show is for single pictures"),
        (["bad.zip"], "bad.zip: no zip archive, or one that is damaged or cut short"),
    ],
)
def test_what_cannot_be_predicted(run, tmp_path, trained_on, words, expected):
    _, model = trained_on
    (tmp_path / "more").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and no more")
    result = run("predict", model, *words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_digits_are_named_one_by_one(run, trained, tmp_path):
    unpacked(tmp_path / "x", {"1.png": picture_bytes()})
    result = run("predict", trained / "model.minicnn", tmp_path / "x")
    assert result.exit_code == 2
    assert "reads digits, which are cut out of each picture: name the pictures one by one" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["besbes", "--data", "gone"], "gone: no such folder or zip archive"),
        (["besbes", "--data", "loose"], "loose: expected sub-folders with pictures, one for each of at least two"),
        (["besbes", "--dataset", "pictures"], "name the folder or archive of pictures"),
        (["besbes", "--data", "two", "--samples", "8"], "--samples 8: there are only 7 training pictures"),
        (
            ["lenet5", "--dataset", "drawn-digits", "--augment"],
            "--augment is for collections of pictures, not for drawn",
        ),
        (
            ["lenet5", "--dataset", "mnist", "--fitting", "pad"],
            "--fitting is for collections of pictures, not for mnist",
        ),
        (["lenet5", "--data", "loose"], "MNIST is not there"),
        (["lenet5", "--data", "gone"], "gone: no such folder"),
        (["alexnet"], "alexnet is for ImageNet, which is not fetched here: name pictures with --data"),
    ],
)
def test_what_cannot_be_trained_on(run, tmp_path, words, expected):
    unpacked(tmp_path / "loose", {"1.png": picture_bytes()})
    unpacked(tmp_path / "two", classes(4))
    result = run("train", *words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_only_broken_pictures(run, tmp_path):
    path = unpacked(tmp_path / "x", {f"{kind}/{n}.png": b"broken" for kind in "ab" for n in range(4)})
    result = run("train", "lenet5", "--data", path)
    assert result.exit_code == 2
    assert re.search(r"none of the \d+ pictures can be read; the first is", result.stderr)


def test_data_survey(run, tmp_path):
    files = {f"cat.{n}.jpg": pet_bytes("cat", n, (375, 500)) for n in range(2)} | {
        f"{n}.png": picture_bytes() for n in range(1)
    }
    path = packed(tmp_path / "x.zip", {**files, "broken.jpg": b"x", "notes.txt": b"text"})
    result = run("data", "survey", path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:5] == [
        f"{path}: 3 pictures, 1 broken, 1 other file",
        "Shapes: 3 landscape, 0 portrait, 0 square",
        "Sizes, height x width:",
        "  375 x 500            2   66.7%",
        "  6 x 8                1   33.3%",
    ]
    assert lines[-4:] == [
        "Broken: 1 file",
        "  1 x not a picture, or of no known kind: broken.jpg",
        "Not looked at: 1 file",
        "  1 x no picture, as its name ends: notes.txt",
    ]
    result = run("data", "survey", tmp_path / "gone")
    assert result.exit_code == 2 and "gone: no such folder or zip archive" in result.stderr


def test_data_check_and_fetch(run, tmp_path, monkeypatch):
    result = run("data", "check")
    assert result.exit_code == 0, result.output
    assert "dogs-vs-cats   Dogs vs. Cats, not on this machine" in result.output
    assert "put Kaggle's train.zip" in result.output
    assert "`minicnn data fetch mnist` downloads it" in result.output
    monkeypatch.setattr(dogs_vs_cats, "MIRRORS", ("http://127.0.0.1:9/",))
    absent = run("data", "fetch", "dogs-vs-cats")
    assert absent.exit_code == 2 and "kagglecatsanddogs_5340.zip could not be downloaded" in absent.stderr
    packed(tmp_path / "cache" / "dogs-vs-cats" / "train.zip", flat(3))
    assert "3 cats, 3 dogs" in run("data", "check").output
    fetched = run("data", "fetch", "dogs-vs-cats")
    assert fetched.exit_code == 0 and "train.zip (cache): 3 cats, 3 dogs" in fetched.output
    assert "there is nothing to fetch" in run("data", "fetch", "drawn-pets").output
    assert "did you mean 'mnist'?" in run("data", "fetch", "mnits").stderr
