"""What a reproduction is compared by: the articles' figures, and ours for the same measures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .trials import seconds_an_epoch

if TYPE_CHECKING:
    from minicnn.articles import Article, Figure

# The figure that stands for a network where there is room for one only.
_HEADLINES = ("test accuracy", "validation accuracy", "validation correlation", "training accuracy")


def row(article: Article, recipe: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One line of the table: a network and a recipe, over one or several seeds.

    Args:
        article: the network.
        recipe: its name.
        records: what each training left, "measures" included; figures of ours are medians over them.
    """
    epochs = records[0]["epochs"][-1]["epoch"]
    figures = nearest(article.figures, epochs)
    return {
        "index": " ".join(article.index),
        "network": article.name,
        "recipe": recipe,
        "data": records[0]["settings"]["dataset"],
        "samples": records[0]["settings"]["samples"],
        "parameters": records[0]["parameters"],
        "epochs": epochs,
        "article's epochs": article.recipe(recipe).epochs,
        "seconds an epoch": statistics.median(map(seconds_an_epoch, records)),
        "seeds": [record["seed"] for record in records],
        "computer": records[0]["computer"]["processor"],
        "threads": records[0]["threads"],
        "figures": [
            {
                "measure": figure.measure,
                "article": figure.value,
                "after": figure.epochs,
                "note": figure.note,
                "ours": median([ours(figure.measure, record) for record in records]),
            }
            for figure in figures
        ],
        "measures": [record["measures"] for record in records],
        "measured on": records[0]["measured_on"],
    }


def nearest(figures: Sequence[Figure], epochs: int) -> list[Figure]:
    """For each measure the figure whose number of epochs is nearest to `epochs`."""
    found: dict[str, Figure] = {}
    for figure in figures:
        best = found.get(figure.measure)
        if best is None or abs(figure.epochs - epochs) < abs(best.epochs - epochs):
            found[figure.measure] = figure
    return list(found.values())


def ours(measure: str, record: Mapping[str, Any]) -> float | None:
    """Our figure for a measure such as "validation accuracy"; None where it was not measured.

    Validation figures are those of the last epoch, or of the end where that was measured on the validation pictures.
    """
    part, name = measure.split(" ", 1)
    last, end, measures = record["epochs"][-1], record["test"], record["measures"]
    if part == "training":
        return last.get(name)
    if part == record["measured_on"]:
        if name == "precision":
            # Strika's, which is called accuracy: of the largest threshold.
            return measures["thresholds"][-1]["precision"] if "thresholds" in measures else None
        return end.get(name, measures.get(name))
    return last.get(f"val_{name}") if part == "validation" else None


def median(values: Sequence[float | None]) -> float | None:
    """The median of those that are there."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def headline(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The figure to show of a row: the first of the usual measures that it has."""
    by_measure = {figure["measure"]: figure for figure in entry["figures"]}
    chosen = [by_measure[name] for name in _HEADLINES if name in by_measure]
    return (chosen or list(by_measure.values()) or [None])[0]


def table(rows: Sequence[Mapping[str, Any]], failures: Mapping[str, str]) -> str:
    """The rows as a table in Markdown, and below it what could not be run."""
    lines = [
        "| index | network | recipe | measure | the article | ours | epochs | s/epoch | parameters |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in rows:
        figure = headline(entry)
        measure = "accuracy" if figure is None else figure["measure"]
        reported = "" if figure is None else f"{figure['article']:.4f} (after {figure['after']})"
        value = median([m["accuracy"] for m in entry["measures"]]) if figure is None else figure["ours"]
        epochs, meant = entry["epochs"], entry["article's epochs"]
        lines.append(
            f"| {entry['index']} | `{entry['network']}` | {entry['recipe']}{_seeds(entry)} | {measure} | {reported} "
            f"| {'' if value is None else f'{value:.4f}'} | {epochs}{'' if epochs == meant else f' of {meant}'} "
            f"| {entry['seconds an epoch']:.1f} | {entry['parameters']:,} |"
        )
    lines += [f"\n{name} was not run: {reason}" for name, reason in failures.items()]
    return "\n".join(lines)


def _seeds(entry: Mapping[str, Any]) -> str:
    count = len(entry["seeds"])
    return f", median of {count} seeds" if count > 1 else ""
