"""Trainings of several folders become rows of one table, and only those that stand for their recipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import reproduction
from minicnn import articles
from minicnn.cli import reproduction as rows_of

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = articles.get("lenet5").recipe()


def history(folder: Path, **changes: Any) -> Path:
    """Write what a finished training of lenet5 leaves, with some of it changed; settings by their names."""
    settings = {
        "recipe": "adam", "dataset": "mnist", "data": None, "samples": None, "epochs": RECIPE.epochs,
        "batch_size": RECIPE.batch_size, "seed": 0, "augment": False, "fitting": "squeeze",
    }  # fmt: skip
    settings |= {name: value for name, value in changes.items() if name in settings}
    record = {
        "article": "lenet5",
        "date": "2026-01-31",
        "settings": settings,
        "seed": settings["seed"],
        "parameters": 61_706,
        "computer": {"processor": "an abacus"},
        "threads": 1,
        "measured_on": "test",
        "best": None,
        "finished": True,
        "test": {"loss": 0.1, "accuracy": 0.5 + settings["seed"] / 10},
        "epochs": [{"epoch": n + 1, "loss": 1.0, "accuracy": 0.4, "seconds": 1.0} for n in range(settings["epochs"])],
        **{name: value for name, value in changes.items() if name not in settings},
    }
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_seeds_of_several_folders_make_one_row(tmp_path: Path) -> None:
    history(tmp_path / "a" / "first")
    history(tmp_path / "b", seed=1, date="2026-02-01")
    measured = history(tmp_path / "c", seed=2)
    (measured / "measures.json").write_text(json.dumps({"accuracy": 0.9, "mistakes": 3}), encoding="utf-8")
    (row,), left_out = reproduction.gather([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert not left_out
    assert (row["network"], row["seeds"], row["date"]) == ("lenet5", [0, 1, 2], "2026-02-01")
    assert row["measures"] == [{"accuracy": 0.5}, {"accuracy": 0.6}, {"accuracy": 0.9, "mistakes": 3}]
    assert row["command"] == "minicnn reproduce lenet5 --recipe adam --seeds 3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finished": False}, "not finished; to end it as it is: minicnn train lenet5 --resume --epochs"),
        ({"dataset": "drawn-digits"}, "trained on drawn-digits, not on mnist"),
        ({"batch_size": 8}, f"batch_size 8, but the recipe has {RECIPE.batch_size}"),
        ({"article": "lenet5:kernel_size=3"}, "unknown article 'lenet5:kernel_size=3'"),
        ({"recipe": "sgd"}, "lenet5: unknown recipe 'sgd'"),
    ],
)
def test_what_does_not_stand_for_its_recipe_is_left_out(tmp_path: Path, changes: Any, reason: str) -> None:
    history(tmp_path / "odd", **changes)
    rows, (line,) = reproduction.gather([tmp_path])
    assert not rows
    assert line.startswith(f"{tmp_path / 'odd'}: {reason}")


def test_of_trainings_of_several_lengths_the_longest_counts(tmp_path: Path) -> None:
    history(tmp_path / "short", epochs=2)
    history(tmp_path / "long", epochs=4)
    history(tmp_path / "few", epochs=5, samples=100)
    (row,), left_out = reproduction.gather([tmp_path])
    assert row["epochs"] == 4
    assert left_out == [f"{tmp_path / name}: another one is longer" for name in ("few", "short")]


def test_a_damaged_history_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    (history(tmp_path / "broken") / "history.json").write_text("{", encoding="utf-8")
    rows, (line,) = reproduction.gather([tmp_path])
    assert not rows and "is damaged" in line
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        reproduction.gather([tmp_path / "nowhere"])


def test_rows_replace_those_of_the_same_network_and_recipe_alone() -> None:
    def row(network: str, recipe: str, epochs: int) -> dict[str, Any]:
        return {"network": network, "recipe": recipe, "epochs": epochs}

    known = [row("lenet5", "adam", 1), row("khuyen", "reported", 1), row("khuyen", "adam", 1)]
    found = rows_of.merged(known, [row("khuyen", "adam", 9), row("eastmount", "reported", 9)])
    assert found == [
        row("eastmount", "reported", 9), row("khuyen", "reported", 1), row("khuyen", "adam", 9),
        row("lenet5", "adam", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "new", "replaces"),
    [
        ({"epochs": 6}, {"epochs": 6}, True),
        ({"epochs": 6}, {"epochs": 1}, False),
        ({"epochs": 6}, {"epochs": 9, "samples": 100}, False),
        # Of 50 epochs as many as its patience allowed are more than 40 that were cut.
        ({"epochs": 40}, {"epochs": 35, "ended by its patience": True}, True),
        ({"epochs": 35, "ended by its patience": True}, {"epochs": 40}, False),
    ],
)
def test_a_longer_training_keeps_its_row(known: Any, new: Any, replaces: bool) -> None:
    common = {
        "network": "besbes", "recipe": "reported", "samples": None, "article's epochs": 50,
        "ended by its patience": False,
    }  # fmt: skip
    kept, left_out = reproduction.divided([{**common, **new}], [{**common, **known}])
    assert (len(kept), len(left_out)) == (int(replaces), int(not replaces))
    other = {**common, **new, "recipe": "keras2.3"}
    assert reproduction.divided([other], [{**common, **known}]) == ([other], [])


def test_the_command_adds_up_trainings_of_several_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "rows.json"
    first, second = history(tmp_path / "first"), history(tmp_path / "second", article="besbes-progress",
        recipe="reported", batch_size=32, epochs=10)  # fmt: skip
    odd = history(tmp_path / "odd", dataset="drawn-digits")
    for folder in (first, second, odd):
        monkeypatch.setattr(sys, "argv", ["reproduction", str(folder), "--out", str(out)])
        assert reproduction.main() == 0
    assert [row["network"] for row in rows_of.load(out)] == ["lenet5", "besbes-progress"]
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "`lenet5`" in text and "`besbes-progress`" in text
    assert f"Left out: {odd}: trained on drawn-digits" in capsys.readouterr().err


def test_the_committed_rows_are_of_networks_and_recipes_that_are_there() -> None:
    rows = rows_of.load(reproduction.RESULTS)
    assert rows
    assert rows_of.merged([], rows) == rows
    # A recipe that was changed since is another one: train it again, or take its row away.
    for row in rows:
        assert row["article's epochs"] == articles.get(row["network"]).recipe(row["recipe"]).epochs
    # Nothing of the machine that they come from but its processor.
    assert not any(word in json.dumps(rows) for word in ("--out", "--data", "/home", "/tmp"))
