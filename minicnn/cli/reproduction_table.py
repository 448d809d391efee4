"""The rows of reproductions as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .reproduction import median

Row = Mapping[str, Any]
# The figures that stand for a network where there is room for one measure only.
_HEADLINES = ("test accuracy", "validation accuracy", "validation correlation", "training accuracy")
_FIRST = ("index", "network", "recipe", "measure", "the article", "ours")
_LAST = ("best validation accuracy", "epochs", "s/epoch", "parameters", "measured")


def table(rows: Sequence[Row], failures: Mapping[str, str] | None = None) -> str:
    """The articles' networks, then those of our own with the commands that train them, then what could not be run."""
    theirs = [row for row in rows if row["index"]]
    own = [row for row in rows if not row["index"]]
    parts = [_lines((*_FIRST, *_LAST), [[*_begin(row), *_end(row)] for row in theirs])] if theirs else []
    if own:
        cells = [[f"`{row['command']}`", *_begin(row)[3:4], _begin(row)[5], *_end(row)] for row in own]
        parts.append(_lines(("recipe of our own", "measure", "ours", *_LAST), cells))
    parts += [f"{name} was not run: {reason}" for name, reason in (failures or {}).items()]
    return "\n\n".join(parts)


def _lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *rows))


def _begin(row: Row) -> list[str]:
    measure, shown = headline(row)
    count = len(row["seeds"])
    return [
        row["index"],
        f"`{row['network']}`",
        row["recipe"] + (f", median of {count} seeds" if count > 1 else ""),
        measure,
        _series([figure["article"] for figure in shown]) + _after(shown),
        _series([figure["ours"] for figure in shown] if shown else [final(row)]),
    ]


def headline(row: Row) -> tuple[str, list[Mapping[str, Any]]]:
    """The measure to show of a row, the first of the usual ones that we have, and the article's figures for it."""
    known = [figure["measure"] for figure in row["figures"] if figure["ours"] is not None]
    there = known or [figure["measure"] for figure in row["figures"]]
    usual = [name for name in _HEADLINES if name in there]
    chosen = (usual or there or [f"{row['measured on']} accuracy"])[0]
    return chosen, [figure for figure in row["figures"] if figure["measure"] == chosen]


def final(row: Row) -> float | None:
    """Our accuracy at the end."""
    return median([measures["accuracy"] for measures in row["measures"]])


def _series(values: Sequence[float | None]) -> str:
    return " / ".join("" if value is None else f"{value:.4f}" for value in values)


def _after(shown: Sequence[Mapping[str, Any]]) -> str:
    if not shown:
        return ""
    epochs = [str(figure["after"]) for figure in shown if figure["after"] is not None]
    return f" (after {' / '.join(epochs)})" if epochs else " (epochs not given)"


def _end(row: Row) -> list[str]:
    return [
        _best(row["best"]),
        _epochs(row),
        f"{row['seconds an epoch']:.1f}",
        f"{row['parameters']:,}",
        f"{row['date']}, {row['computer']}",
    ]


def _best(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return ""
    test = "" if best["test accuracy"] is None else f", test {best['test accuracy']:.4f}"
    return f"{best['validation accuracy']:.4f}{test} (epoch {' / '.join(map(str, best['epochs']))})"


def _epochs(row: Row) -> str:
    """How many, of how many where they are fewer, and that the training was cut where it was."""
    epochs, meant = row["epochs"], row["article's epochs"]
    cell = str(epochs)
    if epochs < meant:
        cell += f" of {meant}, {'ended by its patience' if row['ended by its patience'] else '**cut**'}"
    return cell if row["samples"] is None else f"{cell}, **cut** to {row['samples']:,} pictures"
