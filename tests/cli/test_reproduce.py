"""`minicnn reproduce`: which networks, what is compared, and going on after any stop."""

from __future__ import annotations

import json
import signal
import sys
import time

import pytest

from minicnn import articles
from minicnn.articles import Figure
from minicnn.cli import reproduction
from minicnn.cli.reproduce import planned
from tests import real_data
from tests.cli.running import start


def names(pairs):
    return [(article.name, recipe) for article, recipe in pairs]


def test_names_letters_and_all():
    assert names(planned(("khuyen",), None)) == [("khuyen", r) for r in ("corrected", "reported", "adam")]
    assert names(planned(("khuyen",), "adam")) == [("khuyen", "adam")]
    assert {name for name, _ in names(planned(("C",), None))} == {"eastmount", "eastmount-as-run"}
    assert names(planned(("C", "eastmount"), None)) == names(planned(("C",), None))
    everything = {name for name, _ in names(planned(("all",), None))}
    assert everything == {name for name in articles.names() if articles.get(name).recipes}


@pytest.mark.parametrize(
    ("asked", "recipe", "text"),
    [
        (("khuyn",), None, r"unknown network 'khuyn'; did you mean 'khuyen'"),
        (("khuyen",), "sgd", r"none of khuyen has the recipe 'sgd'"),
        (("besbes-dense-count",), None, r"besbes-dense-count: nothing to train there"),
    ],
)
def test_what_cannot_be_reproduced_is_said(asked, recipe, text):
    with pytest.raises(ValueError, match=text):
        planned(asked, recipe)


RECORD = {
    "epochs": [
        {"epoch": 1, "accuracy": 0.5, "val_accuracy": 0.6, "seconds": 9.0},
        {"epoch": 2, "accuracy": 0.7, "val_accuracy": 0.65, "seconds": 2.0},
    ],
    "test": {"loss": 0.4, "accuracy": 0.8},
    "measured_on": "test",
    "measures": {"accuracy": 0.8, "correlation": 0.3, "thresholds": [{"precision": 0.5}, {"precision": 0.9}]},
}


@pytest.mark.parametrize(
    ("measure", "part", "expected"),
    [
        ("training accuracy", "test", 0.7),
        ("validation accuracy", "test", 0.65),
        ("test accuracy", "test", 0.8),
        ("test loss", "test", 0.4),
        ("validation accuracy", "validation", 0.8),
        ("validation correlation", "validation", 0.3),
        ("validation precision", "validation", 0.9),
        ("test accuracy", "validation", None),
        ("validation correlation", "test", None),
    ],
)
def test_our_figure_is_of_the_same_measure(measure, part, expected):
    assert reproduction.ours(measure, {**RECORD, "measured_on": part}) == expected


def test_of_several_figures_the_nearest_number_of_epochs_counts():
    figures = [Figure("test accuracy", 0.1, 1), Figure("test accuracy", 0.2, 6), Figure("test loss", 3, 1)]
    assert [figure.value for figure in reproduction.nearest(figures, 5)] == [0.2, 3]


def test_medians_leave_out_what_was_not_measured():
    assert reproduction.median([None, 0.3, 0.1, 0.2]) == 0.2
    assert reproduction.median([None]) is None


@pytest.mark.network
def test_a_table_of_networks_and_seeds(run, tmp_path):
    real_data.require("mnist")
    words = ["reproduce", "lenet5", "--samples", "128", "--epochs", "1", "--seeds", "3", "--out", "out"]
    result = run(*words)
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    (row,) = written["rows"]
    assert (row["index"], row["network"], row["parameters"], row["seeds"]) == ("E3", "lenet5", 61_706, [0, 1, 2])
    assert row["samples"] == 128 and row["epochs"] == 1
    assert len(row["measures"]) == 3 and len(row["measures"][0]["confusion matrix"]) == 10
    table = (tmp_path / "out" / "reproduction.md").read_text()
    assert "median of 3 seeds" in table and "1 of " in table
    again = run(*words)
    assert again.output.count("done before") == 3
    longer = run(*words[:4], "--epochs", "2", "--seeds", "1", "--out", "out")
    assert longer.exit_code == 0, longer.output
    record = json.loads((tmp_path / "out" / "lenet5-adam" / "history.json").read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]


def test_missing_data_is_said_and_the_rest_goes_on(run, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "empty"))
    result = run("reproduce", "strika-conv24", "--recipe", "corrected", "--epochs", "1", "--out", "out")
    assert result.exit_code == 2
    assert "strika-conv24 (corrected): " in result.output
    assert not (tmp_path / "out" / "reproduction.json").exists()


@pytest.mark.network
@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be killed so there")
def test_killed_in_the_middle_it_goes_on_from_the_last_finished_epoch(tmp_path):
    real_data.require("mnist")
    words = ["reproduce", "lenet5", "--samples", "2000", "--epochs", "4", "--out", tmp_path / "out"]
    history = tmp_path / "out" / "lenet5-adam" / "history.json"
    checkpoint = history.parent / "checkpoint.minicnn"
    process = start(*words, folder=tmp_path)
    try:
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finished = len(json.loads(history.read_text())["epochs"])
    assert 1 <= finished < 4
    result = start(*words, folder=tmp_path)
    output, errors = result.communicate(timeout=300)
    assert result.returncode == 0, errors
    epochs = json.loads(history.read_text())["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    assert "from the beginning" not in output
