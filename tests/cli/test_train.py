"""`minicnn train`: what it leaves behind, refuses, resumes, and how it stops."""

from __future__ import annotations

import dataclasses
import json
import shlex
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minicnn import articles, datasets, load_model
from minicnn.cli import machine, pictures
from minicnn.cli.settings import chosen
from minicnn.cli.training_data import AugmentedData
from tests.cli.running import QUICK, start

# What a resumed training must share with an uninterrupted one, to the bit: all but the time it took.
MEASURES = ("epoch", "loss", "accuracy")


def history_of(folder):
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))


def measures(record):
    return [{name: epoch[name] for name in MEASURES} for epoch in record["epochs"]]


def same_weights(left, right):
    return all(
        np.array_equal(a, b)
        for a, b in zip(load_model(left).get_weights(), load_model(right).get_weights(), strict=True)
    )


def test_the_first_line_says_which_data(run):
    result = run(*QUICK)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "Data: digits drawn on the fly (256 to train on, 256 to test on)"


def test_it_says_beforehand_what_it_will_take(run):
    lines = run(*QUICK).output.splitlines()
    expected = next(line for line in lines if line.startswith("Expect about"))
    assert "minutes" in expected
    assert "of memory for 2 epochs of 256 pictures" in expected


def test_what_it_leaves_behind(trained):
    assert sorted(path.name for path in trained.iterdir()) == ["history.json", "history.png", "model.minicnn"]
    assert (trained / "history.png").read_bytes().startswith(b"\x89PNG")


def test_history_json(trained):
    record = history_of(trained)
    assert record["article"] == "lenet5"
    assert record["finished"] is True
    assert record["seed"] == 0
    assert record["parameters"] == 61_706
    assert record["command"].startswith("minicnn train lenet5 --recipe adam --dataset drawn-digits --samples 1500")
    assert {"python", "minicnn", "numpy"} <= record["versions"].keys()
    assert record["computer"]["processor"]
    assert record["kernels"] in ("cpu", "reference", "naive")
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2, 3]
    for epoch in record["epochs"]:
        assert epoch["loss"] > 0
        assert 0 <= epoch["accuracy"] <= 1
        assert epoch["seconds"] > 0
    assert set(record["test"]) == {"loss", "accuracy"}
    assert record["steps"][-1]["epoch"] == 3
    # The points between two epochs are means over the steps since the point before: together they make the epoch's.
    inside = [point["loss"] for point in record["steps"] if 0 < point["epoch"] <= 1]
    assert np.mean(inside) == pytest.approx(record["epochs"][0]["loss"], rel=0.05)


def test_the_test_result_is_the_models(trained):
    model = load_model(trained / "model.minicnn")
    _, (x, y) = datasets.drawn_digits.load_data(1500, 1500, seed=0)
    probabilities = model.predict(x.reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255), verbose=0)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == y))
    assert accuracy == pytest.approx(history_of(trained)["test"]["accuracy"], abs=1e-6)
    assert accuracy > 0.9


def test_the_model_carries_what_predict_needs(trained):
    model = load_model(trained / "model.minicnn")
    assert list(model.class_names) == list("0123456789")
    assert model.preprocessing["fit"] == "digit"
    assert model.preprocessing["input"]["factor"] == 1 / 255
    assert model.preprocessing["dataset"] == "drawn-digits"


def test_without_out_the_results_go_to_runs(run, tmp_path):
    assert run(*QUICK).exit_code == 0
    assert (tmp_path / "runs" / "lenet5" / "model.minicnn").exists()


def test_same_seed_same_bits_whatever_the_threads(run, tmp_path):
    assert run(*QUICK, "--out", "a", "--threads", 1).exit_code == 0
    assert run(*QUICK, "--out", "b", "--threads", 2).exit_code == 0
    assert run(*QUICK, "--out", "c", "--seed", 1).exit_code == 0
    a, b, c = (history_of(tmp_path / name) for name in "abc")
    assert measures(a) == measures(b) != measures(c)
    assert a["test"] == b["test"]
    assert same_weights(tmp_path / "a" / "model.minicnn", tmp_path / "b" / "model.minicnn")


def test_timing_steps_first_changes_no_bit(run, tmp_path, monkeypatch):
    assert run(*QUICK, "--out", "timed").exit_code == 0
    monkeypatch.setattr("minicnn.cli.estimate.time_training", lambda *_: (0.001, 0.001))
    assert run(*QUICK, "--out", "untimed").exit_code == 0
    assert measures(history_of(tmp_path / "timed")) == measures(history_of(tmp_path / "untimed"))


def test_one_epoch_resumed_equals_two(run, tmp_path):
    assert run(*QUICK, "--out", "whole").exit_code == 0
    assert run(*QUICK, "--epochs", 1, "--out", "parts").exit_code == 0
    result = run("train", "lenet5", "--out", "parts", "--resume", "--epochs", 2)
    assert result.exit_code == 0, result.output
    whole, parts = history_of(tmp_path / "whole"), history_of(tmp_path / "parts")
    assert measures(whole) == measures(parts)
    assert whole["test"] == parts["test"]
    assert same_weights(tmp_path / "whole" / "model.minicnn", tmp_path / "parts" / "model.minicnn")


def test_resumed_it_is_measured_on_the_same_pixels(run, tmp_path):
    """Le Khuyen trained on 0..1 and measured on 0..255."""
    words = ["train", "khuyen", "--recipe", "reported", "--dataset", "drawn-digits", "--samples", 32]
    assert run(*words, "--epochs", 2, "--out", "whole").exit_code == 0
    assert run(*words, "--epochs", 1, "--out", "parts").exit_code == 0
    assert run("train", "khuyen", "--out", "parts", "--resume", "--epochs", 2).exit_code == 0
    whole, parts = history_of(tmp_path / "whole"), history_of(tmp_path / "parts")
    assert [epoch["val_loss"] for epoch in whole["epochs"]] == [epoch["val_loss"] for epoch in parts["epochs"]]
    assert whole["test"] == parts["test"]


def test_stopped_after_the_last_epoch_the_result_can_still_be_had(run, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("minicnn.cli.train.Training._finish", stop)
        assert run(*QUICK, "--out", "stopped").exit_code == 130
    resumed = run("train", "lenet5", "--out", "stopped", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert run(*QUICK, "--out", "whole").exit_code == 0
    stopped, whole = history_of(tmp_path / "stopped"), history_of(tmp_path / "whole")
    assert stopped["finished"] is True
    assert stopped["test"] == whole["test"]
    assert measures(stopped) == measures(whole)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lenet5", "--epochs", "3"], "has 3 epochs already: ask for more than that with --epochs"),
        (["lenet5", "--seed", "7"], "--seed 7 differs from the training to be resumed (0)"),
        (["lenet5", "--batch-size", "7"], "--batch-size 7 differs from the training to be resumed (32)"),
        (["khuyen"], "the training to be resumed is of 'lenet5', not of 'khuyen'"),
    ],
)
def test_what_cannot_be_resumed(run, trained, words, expected):
    result = run("train", *words, "--out", trained, "--resume")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_damaged_history_is_said_so(run, tmp_path):
    (tmp_path / "history.json").write_text('{"article": ')
    result = run("train", "lenet5", "--out", tmp_path, "--resume")
    assert result.exit_code == 2
    assert "history.json is damaged" in result.stderr


def test_too_large_a_batch_is_refused_and_the_one_that_fits_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 20_000_000)
    words = ["train", "lenet5", "--dataset", "drawn-digits", "--samples", "4000", "--epochs", "1"]
    result = run(*words, "--batch-size", 4000)
    assert result.exit_code == 2
    assert "--batch-size" in result.stderr
    fitting = int(result.stderr.rsplit("--batch-size", 1)[1].split()[0])
    assert run(*words, "--batch-size", fitting).exit_code == 0
    assert run(*words, "--batch-size", 2 * fitting).exit_code == 2


def test_where_not_even_the_weights_fit(run, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 1_000_000)
    result = run("train", "eastmount", "--dataset", "drawn-digits", "--samples", 64)
    assert result.exit_code == 2
    assert "no batch size fits" in result.stderr


def test_an_out_folder_that_cannot_be(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run(*QUICK, "--out", "file/below")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"minicnn: the results cannot be written to {Path('file/below')}: Not a directory"
    ]


def test_more_samples_than_there_are(run, tmp_path):
    result = run(*QUICK, "--samples", 60_001)
    assert result.exit_code == 2
    assert result.stderr == "minicnn: --samples 60001: there are only 60000 training pictures\n"
    assert not list(tmp_path.iterdir())


def test_pictures_that_do_not_fit_the_network(run, tmp_path):
    result = run("train", "fashion-conv1x3", "--dataset", "drawn-digits", "--samples", 200, "--epochs", 1)
    assert result.exit_code == 0, result.output
    record = history_of(tmp_path / "runs" / "fashion-conv1x3")
    assert "val_accuracy" in record["epochs"][0]


def test_without_mnist_digits_are_drawn(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    # A proxy that is not there: every mirror refuses the connection.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    start_time = time.monotonic()
    result = run("train", "lenet5", "--samples", 64, "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - start_time < 20
    first = result.stdout.splitlines()[0]
    assert first.startswith("Data: digits drawn on the fly, because MNIST cannot be had: ")
    assert "could not be downloaded" in first
    assert history_of(tmp_path / "runs" / "lenet5")["settings"]["dataset"] == "drawn-digits"
    # What was measured on other pictures is not put beside the article's figure.
    assert "the article" not in result.stdout

    asked = run("train", "lenet5", "--dataset", "mnist", "--samples", 64, "--epochs", 1)
    assert asked.exit_code == 2
    assert "could not be downloaded" in asked.stderr
    assert asked.stderr.splitlines()[-1].startswith("minicnn: MNIST is neither")


def interrupt_when(process, line_starts, delay=0.1):
    """Read the output up to a line, then send what Ctrl-C sends; the rest of the output."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(line_starts):
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=120)
    return "".join(lines) + rest, errors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child process")
def test_ctrl_c_saves_and_resume_reaches_the_same_bits(run, tmp_path):
    words = [*QUICK, "--samples", "1200", "--epochs", "5", "--batch-size", "8"]
    process = start(*words, "--out", "stopped", folder=tmp_path, PYTHONUNBUFFERED="1")
    output, errors = interrupt_when(process, "Epoch 2/5")
    assert process.returncode == 130, errors
    assert errors == ""
    assert "Traceback" not in output
    assert "--resume" in output
    folder = tmp_path / "stopped"
    finished = len(history_of(folder)["epochs"])
    assert 0 < finished < 5
    assert history_of(folder)["finished"] is False
    # The last state can be used as it is.
    assert run("evaluate", folder / "model.minicnn").exit_code == 0
    assert not [path for path in folder.iterdir() if "unfinished" in path.name or path.suffix == ".tmp"]

    resumed = run("train", "lenet5", "--out", folder, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert run(*words, "--out", "whole").exit_code == 0
    assert measures(history_of(folder)) == measures(history_of(tmp_path / "whole"))
    assert same_weights(folder / "model.minicnn", tmp_path / "whole" / "model.minicnn")
    assert sorted(path.name for path in folder.iterdir()) == ["history.json", "history.png", "model.minicnn"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child process")
def test_ctrl_c_before_the_training_starts(tmp_path):
    process = start(*QUICK, "--epochs", "1000", folder=tmp_path, PYTHONUNBUFFERED="1")
    output, errors = interrupt_when(process, "Data:", delay=0)
    assert process.returncode == 130, output + errors
    assert errors.strip() == "minicnn: stopped"
    assert "Epoch" not in output


def test_paths_with_spaces_and_letters_of_any_alphabet(tmp_path):
    folder = tmp_path / "Übungen 卷积 a b"
    folder.mkdir()
    process = start(*QUICK, "--epochs", "1", "--out", "mein Netz", folder=folder, PYTHONUTF8="1")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert (folder / "mein Netz" / "model.minicnn").exists()
    assert "'mein Netz'" in history_of(folder / "mein Netz")["command"]


def test_pictures_in_memory_are_distorted_where_the_recipe_says_so(run):
    words = ("train", "ours-mnist", "--dataset", "drawn-digits", "--samples", "64", "--batch-size", "32")
    whole = run(*words, "--epochs", "2", "--out", "whole")
    assert whole.exit_code == 0, whole.output
    assert "Waiting for pictures took" in whole.output
    # Drawn anew for every epoch, and the same when the training is taken up again.
    assert run(*words, "--epochs", "1", "--out", "parts").exit_code == 0
    assert run("train", "ours-mnist", "--resume", "--epochs", "2", "--out", "parts").exit_code == 0
    assert same_weights(Path("whole/model.minicnn"), Path("parts/model.minicnn"))
    plain = run(*words, "--no-augment", "--epochs", "2", "--out", "plain")
    assert plain.exit_code == 0, plain.output
    assert "Waiting" not in plain.output
    assert not same_weights(Path("whole/model.minicnn"), Path("plain/model.minicnn"))


def test_what_is_held_out_of_distorted_pictures_is_measured_as_it_is():
    article = articles.get("ours-mnist")
    recipe = dataclasses.replace(article.recipe(), validation_split=0.25)
    found = pictures.load("drawn-digits", samples=40)
    data = AugmentedData(found, article.build(), recipe, 8, seed=0, augmentation={"rotation_range": 90})
    arguments = data.arguments(article.build())
    assert (data.trained, data.after_epoch) == (30, 10)
    np.testing.assert_array_equal(arguments["validation_data"][0], data.x_train[30:])
    x, y = next(iter(arguments["x"]))
    assert x.shape == (8, 28, 28, 1)
    assert not any(np.array_equal(picture, other) for picture in x for other in data.x_train)
    assert set(y) <= set(found.y_train[:30])


@pytest.mark.network
def test_the_model_of_the_best_validation_epoch_is_kept_and_measured(run, tmp_path):
    words = ["train", "fashion-conv1x3", "--dataset", "drawn-digits", "--samples", 400, "--batch-size", 8]
    result = run(*words, "--epochs", 8, "--out", "whole")
    assert result.exit_code == 0, result.output
    record = history_of(tmp_path / "whole")
    accuracies = [epoch["val_accuracy"] for epoch in record["epochs"]]
    best = accuracies.index(max(accuracies)) + 1
    # Else the test would not tell the best epoch from the last one.
    assert best < 8
    assert record["best"]["epoch"] == best
    assert f"came in epoch {best}: test loss" in result.output
    assert "best.minicnn" in result.output.splitlines()[-1]
    assert run(*words, "--epochs", best, "--out", "short").exit_code == 0
    short = history_of(tmp_path / "short")
    assert short["test"] == {name: value for name, value in record["best"].items() if name != "epoch"}
    assert same_weights(tmp_path / "whole" / "best.minicnn", tmp_path / "short" / "model.minicnn")
    # Gone on from elsewhere, without the model of the best epoch: nothing is claimed of it.
    (tmp_path / "whole" / "best.minicnn").unlink()
    resumed = run("train", "fashion-conv1x3", "--out", "whole", "--resume", "--epochs", 9)
    assert resumed.exit_code == 0, resumed.output
    record = history_of(tmp_path / "whole")
    assert record["best"] is None or record["best"]["epoch"] == 9


def test_the_test_set_chooses_no_epoch(trained):
    assert history_of(trained)["best"] is None


@pytest.mark.parametrize("name", ["lenet5", "ours-mnist"])
def test_the_command_in_the_history_repeats_the_training(run, name):
    assert run("train", name, "--dataset", "drawn-digits", "--samples", "40", "--epochs", "1").exit_code == 0
    command = shlex.split(history_of(Path("runs") / name)["command"])
    again = run(*command[1:-1], "again")
    assert again.exit_code == 0, again.output
    assert same_weights(Path("runs") / name / "model.minicnn", Path("again/model.minicnn"))


@pytest.mark.parametrize(
    ("name", "dataset", "augment"),
    [("ours-mnist", "fashion-mnist", True), ("ours-mnist", "dogs-vs-cats", False), ("besbes", "dogs-vs-cats", True),
     ("besbes", "mnist", False), ("lenet5", "mnist", False)],
)  # fmt: skip
def test_a_recipe_distorts_pictures_of_the_kind_it_was_made_for(name, dataset, augment):
    asked = dict.fromkeys(("recipe", "data", "samples", "epochs", "batch_size", "seed", "augment", "fitting"))
    assert chosen(articles.get(name), asked | {"dataset": dataset}, None).augment is augment


def test_only_a_recipe_made_for_them_distorts_digits(run):
    result = run("train", "lenet5", "--dataset", "drawn-digits", "--samples", "40", "--augment")
    assert result.exit_code == 2
    assert "--augment is for collections of pictures, not for drawn-digits" in result.output
