"""`minicnn study`: every combination once, a table, and going on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minicnn.cli.study import combined, parsed, row, table

QUICK = ["study", "lenet5", "--dataset", "drawn-digits", "--samples", "64", "--epochs", "1"]


def test_a_grid_becomes_a_table(run, tmp_path):
    words = [*QUICK, "--vary", "kernel_size=3,5", "--vary", "activation=relu", "--vary", "batch_size=16,32"]
    result = run(*words, "--out", "out")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [(r["kernel_size"], r["activation"], r["batch_size"]) for r in rows] == [
        ("3", "relu", "16"), ("3", "relu", "32"), ("5", "relu", "16"), ("5", "relu", "32"),
    ]  # fmt: skip
    assert [r["parameters"] for r in rows[1:3]] == [81_194, 61_706]
    assert all(r["epochs"] == 1 and r["seconds"] > 0 and 0 <= r["test accuracy"] <= 1 for r in rows)
    written = (tmp_path / "out" / "study.md").read_text()
    columns = ("kernel_size", "activation", "batch_size", "layers", "parameters", "epochs", "seconds", "test accuracy")
    assert f"| {' | '.join(columns)} |" in written
    assert all(r["layers"] == 9 for r in rows)
    assert written.splitlines()[2] in result.output
    folder = tmp_path / "out" / "kernel_size=3,activation=relu,batch_size=16"
    record = json.loads((folder / "history.json").read_text())
    assert record["settings"]["batch_size"] == 16
    assert record["command"].startswith("minicnn study lenet5 --vary=kernel_size=3 --vary=activation=relu")

    # Again: what is finished is not trained again, and one value more is.
    before = (folder / "model.minicnn").stat().st_mtime_ns
    fewer = [word.replace("16,32", "16") for word in words]
    again = run(*fewer, "--out", "out")
    assert again.output.count("done before") == 2
    assert (folder / "model.minicnn").stat().st_mtime_ns == before


def test_the_training_can_be_varied_too(run, tmp_path):
    result = run(*QUICK, "--vary", "learning_rate=0.01", "--vary", "optimizer=sgd,adam", "--out", "out")
    assert result.exit_code == 0, result.output
    from minicnn import load_model

    for name, kind in (("sgd", "SGD"), ("adam", "Adam")):
        model = load_model(tmp_path / "out" / f"learning_rate=0.01,optimizer={name}" / "model.minicnn")
        assert (type(model.optimizer).__name__, float(model.optimizer.learning_rate)) == (kind, 0.01)


@pytest.mark.parametrize(
    ("vary", "text"),
    [
        (["kernelsize=3"], "unknown variation 'kernelsize'; did you mean 'kernel_size'"),
        (["kernel_size"], "--vary: expected WHAT=A,B, such as kernel_size=1,3,5, got 'kernel_size'"),
        (["kernel_size=3,"], "--vary: expected WHAT=A,B"),
        (["filters=3", "filters=5"], "--vary: filters is named twice"),
        (["optimizer=adm"], "unknown optimizer 'adm'; did you mean 'Adam'"),
        (["filters=-1"], "filters"),
        (["kernel_size=99"], "kernel_size"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_is_trained(run, tmp_path, vary, text):
    words = [word for value in ["padding=valid", *vary] for word in ("--vary", value)]
    result = run(*QUICK, *words, "--out", "out")
    assert result.exit_code == 2
    assert text in result.output
    assert not (tmp_path / "out").exists()


def test_values_are_read_as_what_they_look_like():
    assert parsed("a=1,2.5,relu,1x3,1x") == ("a", [1, 2.5, "relu", (1, 3), "1x"])
    assert list(combined([("a", [1, 2]), ("b", [3, 4])])) == [
        {"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4},
    ]  # fmt: skip


def test_validation_has_its_column_where_there_is_one():
    record = {
        "epochs": [{"epoch": 1, "seconds": 2.0}, {"epoch": 2, "seconds": 61.5, "val_accuracy": 0.25}],
        "parameters": 1234,
        "measured_on": "test",
        "measures": {"accuracy": 0.75},
    }
    line = row({"kernel_size": (1, 3)}, 7, record)
    assert table([line]).splitlines() == [
        "| kernel_size | layers | parameters | epochs | seconds | validation accuracy | test accuracy |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| 1x3 | 7 | 1,234 | 2 | 63.5 | 0.2500 | 0.7500 |",
    ]


def test_a_layer_is_called_by_one_name_in_every_training_whatever_was_built_before():
    from minicnn import articles
    from minicnn.cli.study import trial

    asked = dict.fromkeys(("recipe", "epochs", "seed", "samples"))
    one = trial(articles.get("besbes"), {"conv2d.filters": 4}, asked, Path("out"))
    # Reading the size of the input builds the network once more, before it is trained.
    for _ in range(2):
        assert one.article.build().get_layer("conv2d").filters == 4


def test_results_are_on_the_disk_before_they_take_the_name(tmp_path, monkeypatch):
    from minicnn.cli.results import write_json

    target, seen = tmp_path / "history.json", []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(target.exists()))
    write_json(target, {"epochs": 3})
    assert seen == [False]
    assert json.loads(target.read_text(encoding="utf-8")) == {"epochs": 3}
