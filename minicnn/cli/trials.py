"""Several trainings in a row, each in a folder of its own, taken up where they stopped."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .results import Results, write_json
from .settings import chosen
from .train import Training

if TYPE_CHECKING:
    from minicnn.articles import Article
    from minicnn.models import Sequential

    from .training_data import TrainingData

MEASURES = "measures.json"
_ASKED = ("recipe", "dataset", "data", "samples", "epochs", "batch_size", "seed", "augment", "fitting")


@dataclass(frozen=True)
class Trial:
    """One training of several.

    Attributes:
        name: of its folder.
        article: the network and its recipes.
        asked: what `minicnn train` would be asked for, by the options' names; None where nothing is.
        command: what repeats it.
    """

    name: str
    article: Article
    asked: dict[str, Any]
    command: str


class TrialTraining(Training):
    """A training that also keeps the articles' own measures of its result, in ``measures.json``."""

    command = ""

    def _record(self, model: Sequential) -> dict[str, Any]:
        return {**super()._record(model), "command": self.command}

    def _finish(self, model: Sequential, recorder: Any, data: TrainingData) -> None:
        from minicnn.articles.measures import measure

        # Before the history says that all is done: a stop in between repeats the measuring.
        write_json(self.results.folder / MEASURES, measure(*data.predictions(model)))
        super()._finish(model, recorder, data)


def run(trial: Trial, out: Path, device: str = "cpu") -> dict[str, Any]:
    """Train, or go on, or do nothing where it is done; gives its history and, as "measures", its measures.

    What is not asked for is the article's, whatever an earlier, shorter training in its folder was asked for.

    Raises:
        ValueError: what is in its folder is the training of something else, or there is no data.
    """
    results = Results(out / trial.name)
    record = results.read_history() if results.history.exists() else None
    asked = {key: trial.asked.get(key) for key in _ASKED}
    if asked["epochs"] is None:
        asked["epochs"] = trial.article.recipe(asked["recipe"] or trial.article.default_recipe).epochs
    if record is not None and record["settings"].get("samples") != asked["samples"]:
        had = record["settings"].get("samples")
        pictures = "all pictures" if had is None else f"the first {had:,} pictures"
        raise ValueError(
            f"--samples: {results.folder} holds a training on {pictures}; repeat it as it was asked for, or name "
            "another --out"
        )
    if record is not None and record["finished"] and _covers(record, asked):
        click.echo(f"{trial.name}: done before")
    else:
        click.echo(f"{trial.name}: {trial.article.title}")
        settings = chosen(trial.article, asked, record)
        training = TrialTraining(trial.article, settings, results, record, may_draw=False, device=device)
        training.command = trial.command
        training.run()
    return measured(results)


def measured(results: Results) -> dict[str, Any]:
    """The history of a finished training, and its measures as "measures": the accuracy alone where no others are kept.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    record, path = results.read_history(), results.folder / MEASURES
    if path.exists():
        return {**record, "measures": json.loads(path.read_text(encoding="utf-8"))}
    return {**record, "measures": {"accuracy": record["test"]["accuracy"]}}


def _covers(record: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a finished training is what is asked for."""
    settings = record["settings"]
    named = {key: str(value) if key == "data" else value for key, value in asked.items() if value is not None}
    return all(settings.get(key) == value for key, value in named.items())


def seconds_an_epoch(record: Mapping[str, Any]) -> float:
    """The median, without the first epoch where there are others: that one compiles."""
    seconds = [epoch["seconds"] for epoch in record["epochs"]]
    return statistics.median(seconds[1:] or seconds)
