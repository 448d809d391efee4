"""`minicnn reproduce`: which networks, what is compared, and going on after any stop."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time

import pytest

from minicnn import articles
from minicnn.articles import Figure
from minicnn.cli import reproduction
from minicnn.cli.reproduce import planned
from minicnn.cli.reproduction_table import headline, table
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
        {"epoch": 1, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.6, "seconds": 9.0},
        {"epoch": 2, "accuracy": 0.6, "val_loss": 0.8, "val_accuracy": 0.7, "seconds": 3.0},
        {"epoch": 3, "accuracy": 0.7, "val_loss": 0.9, "val_accuracy": 0.65, "seconds": 2.0},
    ],
    "test": {"loss": 0.4, "accuracy": 0.8},
    "measured_on": "test",
    "best": {"epoch": 2, "loss": 0.3, "accuracy": 0.85},
    "measures": {"accuracy": 0.8, "correlation": 0.3, "thresholds": [{"precision": 0.5}, {"precision": 0.9}]},
    "settings": {"recipe": "adam", "dataset": "mnist", "samples": None, "epochs": 3},
    "parameters": 61_706,
    "seed": 0,
    "date": "2026-01-31",
    "computer": {"processor": "an abacus"},
    "threads": 2,
}
SPLIT, ON_TEST = articles.get("fashion-conv1x3").recipe(), articles.get("khuyen").recipe()


@pytest.mark.parametrize(
    ("measure", "after", "recipe", "part", "expected"),
    [
        ("training accuracy", 3, SPLIT, "test", 0.7),
        ("training accuracy", 1, SPLIT, "test", 0.5),
        ("training accuracy", 9, SPLIT, "test", 0.7),
        ("training accuracy", None, SPLIT, "test", 0.7),
        ("validation accuracy", 3, SPLIT, "test", 0.65),
        ("validation accuracy", 2, SPLIT, "test", 0.7),
        ("test accuracy", 3, SPLIT, "test", 0.8),
        ("test loss", 100, SPLIT, "test", 0.4),
        ("test accuracy", 2, SPLIT, "test", None),
        ("test accuracy", 2, ON_TEST, "test", 0.7),
        ("validation accuracy", 3, SPLIT, "validation", 0.8),
        ("validation accuracy", 1, SPLIT, "validation", 0.6),
        ("validation correlation", 3, SPLIT, "validation", 0.3),
        ("validation correlation", 1, SPLIT, "validation", None),
        ("validation precision", 3, SPLIT, "validation", 0.9),
        ("test accuracy", 3, SPLIT, "validation", None),
        ("validation correlation", 3, SPLIT, "test", None),
    ],
)
def test_our_figure_is_of_the_same_measure_and_epoch(measure, after, recipe, part, expected):
    figure = Figure(measure, 0.5, after)
    assert reproduction.ours(figure, recipe, {**RECORD, "measured_on": part}) == expected


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        # Up to the end; where no figure is of the end, the next one stands beside it.
        ([(1, 0.1), (3, 0.3), (9, 0.9)], [(0.1, 0.5), (0.3, 0.7)]),
        ([(1, 0.1), (2, 0.2), (9, 0.9), (99, 1.0)], [(0.1, 0.5), (0.2, 0.6), (0.9, 0.7)]),
        ([(9, 0.9), (99, 1.0)], [(0.9, 0.7)]),
        ([(None, 0.9), (99, 1.0)], [(0.9, 0.7)]),
    ],
)
def test_figures_stand_beside_ours_of_the_same_epoch(reported, expected):
    figures = [Figure("training accuracy", value, after) for after, value in reported]
    found = reproduction.figures(figures, SPLIT, [RECORD], 3)
    assert [(figure["article"], figure["ours"]) for figure in found] == expected


def test_what_was_not_measured_is_shown_once_a_measure():
    figures = [Figure("test speed", 5.0, 1), Figure("test speed", 6.0, 4), Figure("test accuracy", 0.9, 1)]
    found = reproduction.figures(figures, SPLIT, [RECORD], 3)
    assert [(figure["article"], figure["ours"]) for figure in found] == [(6.0, None), (0.9, None)]


def test_medians_leave_out_what_was_not_measured():
    assert reproduction.median([None, 0.3, 0.1, 0.2]) == 0.2
    assert reproduction.median([None]) is None


def test_the_best_epoch_is_the_validations_never_the_tests():
    other = {**RECORD, "epochs": RECORD["epochs"][:1], "best": None}
    assert reproduction.best(SPLIT, [RECORD, other]) == {
        "epochs": [2, 1], "validation accuracy": pytest.approx(0.65), "test accuracy": 0.85,
    }  # fmt: skip
    assert reproduction.best(ON_TEST, [RECORD]) is None
    assert reproduction.best(SPLIT, [{**RECORD, "epochs": [{"epoch": 1, "accuracy": 0.5}]}]) is None


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_tells_what_was_cut_and_when_it_was_measured():
    article = articles.get("eastmount")
    recipe = dataclasses.replace(article.recipe(), epochs=6, patience=1)
    article = dataclasses.replace(article, recipes={"reported": recipe})
    records = [{**RECORD, "seed": seed, "date": f"2026-02-0{seed + 1}"} for seed in range(3)]
    row = reproduction.row(article, "reported", records)
    assert row["command"] == "minicnn reproduce eastmount --recipe reported --epochs 3 --seeds 3"
    head, _, line = table([row]).splitlines()
    found = dict(zip(cells(head), cells(line), strict=True))
    assert found == {
        "index": "C1", "network": "`eastmount`", "recipe": "reported, median of 3 seeds", "measure": "test accuracy",
        "the article": "0.9265 / 0.9559 / 0.9750 (after 1 / 2 / 6)", "ours": "0.6000 / 0.7000 / 0.8000",
        "best validation accuracy": "", "epochs": "3 of 6, ended by its patience", "s/epoch": "2.5",
        "parameters": "61,706", "measured": "2026-02-03, an abacus",
    }  # fmt: skip
    nowhere = dataclasses.replace(article, figures=(Figure("test accuracy", 0.75, None),))
    line = table([reproduction.row(nowhere, "reported", records)]).splitlines()[-1]
    assert cells(line)[4:6] == ["0.7500 (epochs not given)", "0.8000"]
    cut = reproduction.row(article, "reported", [{**RECORD, "epochs": RECORD["epochs"][:2]}])
    assert cells(table([{**cut, "samples": 1000}]).splitlines()[-1])[7] == "2 of 6, **cut**, **cut** to 1,000 pictures"


def test_recipes_of_our_own_come_with_their_commands():
    row = reproduction.row(articles.get("squeezenet-depths"), "ours", [{**RECORD, "measured_on": "validation"}])
    text = table([row, reproduction.row(articles.get("lenet5"), "adam", [RECORD])], {"vgg": "no weights"})
    first, own, failed = text.split("\n\n")
    assert cells(first.splitlines()[-1])[:6] == ["E3", "`lenet5`", "adam", "test accuracy", "", "0.8000"]
    assert cells(own.splitlines()[-1])[:4] == [
        "`minicnn reproduce squeezenet-depths --recipe ours --epochs 3`", "validation accuracy", "0.8000",
        "0.7000, test 0.8500 (epoch 2)",
    ]  # fmt: skip
    assert failed == "vgg was not run: no weights"


def test_the_measure_shown_is_one_that_was_measured():
    figures = [
        {"measure": "test accuracy", "article": 0.9, "after": 3, "note": "", "ours": None},
        {"measure": "validation loss", "article": 0.5, "after": 3, "note": "", "ours": 0.4},
    ]
    row = {"figures": figures, "measured on": "test"}
    assert headline(row) == ("validation loss", figures[1:])
    assert headline({**row, "figures": figures[:1]}) == ("test accuracy", figures[:1])
    assert headline({**row, "figures": []}) == ("test accuracy", [])


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
    text = (tmp_path / "out" / "reproduction.md").read_text()
    assert "median of 3 seeds" in text and f"1 of {articles.get('lenet5').recipe().epochs}, **cut**" in text
    other = run("reproduce", "besbes-progress", *words[2:6], "--out", "out")
    assert other.exit_code == 0, other.output
    text = (tmp_path / "out" / "reproduction.md").read_text()
    assert "`lenet5`" in text and "`besbes-progress`" in text
    again = run(*words)
    assert again.output.count("done before") == 3
    longer = run(*words[:4], "--epochs", "2", "--seeds", "1", "--out", "out")
    assert longer.exit_code == 0, longer.output
    record = json.loads((tmp_path / "out" / "lenet5-adam" / "history.json").read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    full = run(*words[:4], "--seeds", "1", "--out", "out")
    assert full.exit_code == 0, full.output
    record = json.loads((tmp_path / "out" / "lenet5-adam" / "history.json").read_text())
    assert len(record["epochs"]) == articles.get("lenet5").recipe().epochs
    other_pictures = run("reproduce", "lenet5", "--epochs", "1", "--seeds", "1", "--out", "out")
    assert other_pictures.exit_code == 2
    assert "holds a training on the first 128 pictures; repeat it" in " ".join(other_pictures.output.split())


def test_damaged_rows_are_not_thrown_away(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reproduction.json").write_text("[]")
    result = run("reproduce", "lenet5", "--out", "out")
    assert result.exit_code == 2
    assert "is damaged: it holds no rows of a reproduction" in result.output
    assert (tmp_path / "out" / "reproduction.json").read_text() == "[]"


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
