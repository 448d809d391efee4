"""`python -m benchmarks.reproduction DIR...`: the articles' networks beside the articles' own figures.

Each DIR is a folder that `minicnn reproduce` or `minicnn train` left, or one with such folders in it. What was trained
to its end as a recipe says, on the article's own data, becomes a row of benchmarks/results/reproduction.json (and .md),
in the place of the row that the same network and recipe had there, unless that one was trained for longer. Other rows
stay, so trainings of different days and machines add up. Several seeds of a recipe make one row: name their folders
together.

With --readme, the table in the README is made from the rows; without any DIR that is all that is done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minicnn import articles
from minicnn.cli import reproduction, trials
from minicnn.cli.reproduction_table import table
from minicnn.cli.results import HISTORY, Results, replacing, write_json
from minicnn.cli.settings import chosen

from . import driver, report

RESULTS = driver.ROOT / "benchmarks" / "results" / "reproduction.json"
MARKS = "<!-- reproduction table: begin -->", "<!-- reproduction table: end -->"
Row = dict[str, Any]
Record = dict[str, Any]


def gather(folders: Iterable[Path]) -> tuple[list[Row], list[str]]:
    """The rows of all trainings in some folders, and a line for each training that is in none.

    Raises:
        ValueError: a folder is not there.
    """
    found: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
    left_out, rows = [], []
    for folder in _trainings(folders):
        try:
            check(Results(folder).read_history())
            record = trials.measured(Results(folder))
        except ValueError as error:
            left_out.append(f"{folder}: {error}")
        else:
            found.setdefault((record["article"], record["settings"]["recipe"]), []).append((folder, record))
    for (name, recipe), those in found.items():
        longest = max(length(record) for _, record in those)
        left_out += [f"{folder}: another one is longer" for folder, record in those if length(record) < longest]
        seeds = {record["seed"]: record for _, record in those if length(record) == longest}
        rows.append(reproduction.row(articles.get(name), recipe, [seeds[seed] for seed in sorted(seeds)]))
    return rows, left_out


def _trainings(folders: Iterable[Path]) -> list[Path]:
    """The folders, among these and those in them, that hold a training."""
    found = set()
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        found |= {path.parent for path in folder.rglob(HISTORY)}
    return sorted(found)


def check(record: Record) -> None:
    """Raise ValueError where a training does not stand for its recipe, and say why."""
    article, settings = articles.get(record["article"]), record["settings"]
    article.recipe(settings["recipe"])
    if not record["finished"]:
        done = len(record["epochs"])
        raise ValueError(f"not finished; to end it as it is: minicnn train {article.name} --resume --epochs {done}")
    if settings["dataset"] != article.dataset:
        raise ValueError(f"trained on {settings['dataset']}, not on {article.dataset}")
    asked = dict.fromkeys(settings) | {"recipe": settings["recipe"], "dataset": article.dataset}
    meant = chosen(article, asked, None)
    for name in ("batch_size", "augment", "fitting"):
        if settings[name] != getattr(meant, name):
            raise ValueError(f"{name} {settings[name]}, but the recipe has {getattr(meant, name)}")


def length(record: Record) -> tuple[float, int]:
    """What makes one training longer than another: its pictures, then its epochs."""
    settings = record["settings"]
    return (float("inf") if settings["samples"] is None else settings["samples"], settings["epochs"])


def divided(new: Iterable[Row], known: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """The new rows that are at least as long as the known ones, and a line for each of the others."""
    lengths = {(row["network"], row["recipe"]): _row_length(row) for row in known}
    longer, left_out = [], []
    for row in new:
        if _row_length(row) < lengths.get((row["network"], row["recipe"]), (0, 0)):
            left_out.append(f"{row['network']}, {row['recipe']}: the row that is there was trained for longer")
        else:
            longer.append(row)
    return longer, left_out


def _row_length(row: Row) -> tuple[float, int]:
    whole = row["article's epochs"] if row["ended by its patience"] else 0
    return (float("inf") if row["samples"] is None else row["samples"], max(row["epochs"], whole))


def main() -> int:
    """Gather, write, and say what was left out."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduction", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="where trainings are")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file with the rows")
    parser.add_argument("--readme", action="store_true", help="renew the table in the README")
    options = parser.parse_args()
    try:
        new, left_out = gather(options.folders)
    except ValueError as error:
        parser.error(str(error))
    known = reproduction.load(options.out)
    new, shorter = divided(new, known)
    rows = reproduction.merged(known, new)
    if new:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, {"rows": rows})
        with replacing(options.out.with_suffix(".md")) as temporary:
            temporary.write_text(table(rows) + "\n", encoding="utf-8")
    if options.readme:
        report.update_readme(driver.ROOT / "README.md", MARKS, table(rows))
    print(table(new or rows))
    for line in [*left_out, *shorter]:
        print(f"Left out: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
