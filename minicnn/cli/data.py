"""`minicnn data`: which data sets are here, getting those that are not, and what a collection of pictures is like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .options import threads_option

if TYPE_CHECKING:
    from minicnn.data.pictures.sources import PictureSource
    from minicnn.data.pictures.survey import Survey

Key = TypeVar("Key")

SHOWN = 8


@click.group()
def data() -> None:
    """Look after data sets and pictures."""


@data.command()
@click.option("--data", "folder", type=click.Path(path_type=Path), metavar="PATH", help="Look only there.")
def check(folder: Path | None) -> None:
    """Tell which data sets are here, and how to get the others."""
    from minicnn import datasets

    width = max(map(len, datasets.NAMES)) + 2
    for name in datasets.NAMES:
        for position, line in enumerate(_state(name, folder)):
            click.echo(f"{name if position == 0 else '':<{width}}{line}")


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Make the data set NAME ready: download it where it is not here, and see that it is whole."""
    from minicnn import datasets
    from minicnn.data.sets import dogs_vs_cats

    source = datasets.find(name)
    if source.kind == "absent":
        dogs_vs_cats.fetch()
        source = datasets.find(name)
    if source.kind == "drawn":
        click.echo(f"{source}: there is nothing to fetch")
    elif source.title == dogs_vs_cats.TITLE:
        click.echo(f"{source}: {_pets(dogs_vs_cats.pictures())}")
    else:
        (x_train, _), (x_test, _) = datasets.load(name)
        click.echo(f"{datasets.find(name)}: {len(x_train):,} to train on, {len(x_test):,} to test on; whole")


@data.command()
@click.argument("path", metavar="FOLDER|ZIP", type=click.Path(path_type=Path))
@threads_option
def survey(path: Path, threads: int | None) -> None:
    """Count the sizes, shapes and kinds of the pictures in a folder or archive, and what is broken.

    Every picture is read to its end; nothing is changed.
    """
    from minicnn.data.pictures.survey import survey as surveyed
    from minicnn.data.sets.collection import picture_source

    for line in described(str(path), surveyed(picture_source(path), threads)):
        click.echo(line)


def described(where: str, found: Survey) -> Iterator[str]:
    """What a survey found, line by line."""
    from .loading import skipped_lines

    others = _count(len(found.others), "other file")
    yield f"{where}: {_count(found.pictures, 'picture')}, {len(found.broken):,} broken, {others}"
    if found.pictures:
        shapes = ", ".join(f"{count:,} {shape}" for shape, count in found.shapes.items())
        yield f"Shapes: {shapes}"
        yield from _table("Sizes, height x width", found.sizes, lambda size: f"{size[0]} x {size[1]}")
        yield from _table("Aspect ratios, width / height", found.aspects, lambda ratio: f"{ratio:.2f}")
        yield from _table("Modes", found.modes, str)
        yield from _table("Formats", found.formats, str)
    yield from skipped_lines(found.broken, "Broken")
    yield from skipped_lines(found.others, "Not looked at")


def _table(title: str, counts: Counter[Key], text: Callable[[Key], str]) -> Iterator[str]:
    """The commonest values with their counts and shares; equally common ones in their own order."""
    yield f"{title}:"
    total = counts.total()
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    for value, count in ranked[:SHOWN]:
        yield f"  {text(value):<14}{count:>8,}  {count / total:6.1%}"
    rest = ranked[SHOWN:]
    if rest:
        count = sum(count for _, count in rest)
        yield f"  {f'{len(rest):,} others':<14}{count:>8,}  {count / total:6.1%}"


def _state(name: str, folder: Path | None) -> Iterator[str]:
    """Where a data set is, or how to get it."""
    from minicnn import datasets
    from minicnn.data.sets import dogs_vs_cats

    try:
        source = datasets.find(name, folder)
        yield str(source)
        if source.kind == "absent":
            yield dogs_vs_cats.HOW_TO_GET
        elif source.kind == "download":
            yield f"`minicnn data fetch {name}` downloads it; so does the first training that needs it"
        elif source.title == dogs_vs_cats.TITLE:
            yield _pets(dogs_vs_cats.pictures(folder))
    except datasets.DataError as error:
        yield str(error)


def _pets(source: PictureSource) -> str:
    labels = [] if source.labels is None else source.labels.tolist()
    return ", ".join(f"{labels.count(number):,} {name}s" for number, name in enumerate(source.class_names))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
