"""What a reproduction is compared by: the articles' figures, and ours for the same measures."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .recorder import best_epoch, is_spent
from .trials import seconds_an_epoch

if TYPE_CHECKING:
    from minicnn.articles import Article, Figure, Recipe

Record = Mapping[str, Any]
"""What a training left: its ``history.json``, and its measures as "measures"."""


def row(article: Article, recipe: str, records: Sequence[Record]) -> dict[str, Any]:
    """One line of the table: a network and a recipe, over one or several seeds.

    Args:
        article: the network.
        recipe: its name.
        records: what each training left; figures of ours are medians over them.
    """
    first, chosen = records[0], article.recipe(recipe)
    epochs = statistics.median_low([record["epochs"][-1]["epoch"] for record in records])
    return {
        "index": " ".join(article.index),
        "network": article.name,
        "recipe": recipe,
        "data": first["settings"]["dataset"],
        "samples": first["settings"]["samples"],
        "parameters": first["parameters"],
        "epochs": epochs,
        "article's epochs": chosen.epochs,
        "ended by its patience": all(is_spent(record["epochs"], chosen.patience) for record in records),
        "seconds an epoch": statistics.median(map(seconds_an_epoch, records)),
        "seeds": [record["seed"] for record in records],
        "date": max(record["date"] for record in records),
        "computer": first["computer"]["processor"],
        "threads": first["threads"],
        "command": _command(article, recipe, first["settings"], len(records)),
        "figures": figures(article.figures, chosen, records, epochs),
        "best": best(chosen, records),
        "measures": [record["measures"] for record in records],
        "measured on": first["measured_on"],
    }


def _command(article: Article, recipe: str, settings: Mapping[str, Any], seeds: int) -> str:
    """What makes this line again, wherever the data lies."""
    words = ["minicnn", "reproduce", article.name, "--recipe", recipe]
    if settings["epochs"] != article.recipe(recipe).epochs:
        words += ["--epochs", str(settings["epochs"])]
    if settings["samples"] is not None:
        words += ["--samples", str(settings["samples"])]
    return shlex.join(words + (["--seeds", str(seeds)] if seeds > 1 else []))


def figures(reported: Sequence[Figure], recipe: Recipe, records: Sequence[Record], epochs: int) -> list[dict[str, Any]]:
    """The article's figures beside ours, each after as many epochs as the article's where we measured there.

    Of the figures that we have none for, one a measure is kept: that of the nearest number of epochs.
    """
    found: list[dict[str, Any]] = []
    for measure in dict.fromkeys(figure.measure for figure in reported):
        those = [figure for figure in reported if figure.measure == measure]
        beside = [(figure, median([ours(figure, recipe, record) for record in records])) for figure in those]
        known = [pair for pair in _within(beside, epochs) if pair[1] is not None]
        for figure, value in known or [min(beside, key=lambda pair: abs(_after(pair[0], epochs) - epochs))]:
            found.append(
                {
                    "measure": measure,
                    "article": figure.value,
                    "after": figure.epochs,
                    "note": figure.note,
                    "ours": value,
                }
            )
    return found


def _within(beside: list[tuple[Figure, float | None]], epochs: int) -> list[tuple[Figure, float | None]]:
    """The figures up to the end of a training; where none is of the end itself, the next one is compared with it."""
    until = [pair for pair in beside if _after(pair[0], epochs) <= epochs]
    later = [pair for pair in beside if _after(pair[0], epochs) > epochs]
    return until if any(_after(figure, epochs) == epochs for figure, _ in until) else until + later[:1]


def _after(figure: Figure, end: int) -> int:
    """After how many epochs it was measured; where the article does not say, it stands beside our end."""
    return end if figure.epochs is None else figure.epochs


def ours(figure: Figure, recipe: Recipe, record: Record) -> float | None:
    """Our figure for an article's, such as its validation accuracy after two epochs; None where it was not measured.

    After fewer epochs than the article's, or where we only measured at the end, it is that of the end.
    """
    part, name = figure.measure.split(" ", 1)
    epochs = record["epochs"]
    at = next((epoch for epoch in epochs if epoch["epoch"] == figure.epochs), epochs[-1])
    if part == "training":
        return at.get(name)
    if at is epochs[-1] and part == record["measured_on"]:
        return _at_the_end(name, record)
    validated = part == "validation" or recipe.validate_on_test
    return at.get(f"val_{name}") if validated else None


def _at_the_end(name: str, record: Record) -> float | None:
    measures = record["measures"]
    if name == "precision":
        # Strika's, which is called accuracy: of the largest threshold.
        return measures["thresholds"][-1]["precision"] if "thresholds" in measures else None
    return record["test"].get(name, measures.get(name))


def best(recipe: Recipe, records: Sequence[Record]) -> dict[str, Any] | None:
    """Our accuracy in the epoch of the highest validation accuracy, by which one would have chosen the weights.

    None where there was no validation, or only on the test set, by which nothing may be chosen.
    """
    chosen = [best_epoch(record["epochs"]) for record in records]
    if recipe.validate_on_test or None in chosen:
        return None
    return {
        "epochs": [epoch["epoch"] for epoch in chosen if epoch],
        "validation accuracy": median([epoch["val_accuracy"] for epoch in chosen if epoch]),
        "test accuracy": median([(record.get("best") or {}).get("accuracy") for record in records]),
    }


def median(values: Sequence[float | None]) -> float | None:
    """The median of those that are there."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def merged(known: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All rows, the new ones in the place of those of the same network and recipe, in the registry's order."""
    from minicnn import articles

    rows = {(row["network"], row["recipe"]): row for row in (*known, *new)}
    order = [(name, recipe) for name in articles.names() for recipe in articles.get(name).recipes]
    return [rows[key] for key in order if key in rows]


def load(path: Path) -> list[dict[str, Any]]:
    """The rows that were written there before; none where there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged: it holds no rows of a reproduction") from None
    return found
