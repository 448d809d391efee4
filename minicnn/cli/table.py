"""`minicnn predict` on a folder or archive of pictures: a line or a row for each, and how good they are where known."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np

from .answers import as_probabilities, best_classes
from .loading import Resizing, fitted, loader, skipped_lines
from .pictures import preparation

if TYPE_CHECKING:
    from minicnn.data.pictures.sources import PictureSource, Skipped
    from minicnn.models import Model

# What Kaggle's log loss takes an impossible thing for.
SMALLEST = 1e-15


class Predictions(NamedTuple):
    """What a model sees in pictures.

    Attributes:
        names: of the pictures that could be read.
        probabilities: (N, classes) float64.
        skipped: the other ones, and why.
    """

    names: list[str]
    probabilities: np.ndarray
    skipped: list[Skipped]


def is_collection(path: Path) -> bool:
    """Whether a path is a folder or archive, rather than one picture."""
    return path.is_dir() or (path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)))


def predict_table(model: Model, paths: Sequence[Path], top: int, target: Path | None) -> None:
    """Predict for all pictures of a folder or archive, or for the files named, and write or print the result.

    Files named to a network for digits must all be readable, with a digit on each; of others, those left out are told.

    Args:
        model: loaded.
        paths: one folder or archive, or files.
        top: how many classes a printed line has.
        target: the CSV file to write; None prints a line for each picture.

    Raises:
        ValueError: the network is for digits and a folder or archive is named, there are no pictures, or the file
            cannot be written.
    """
    digits = (model.preprocessing or {}).get("fit") == "digit"
    found = digit_predictions(model, paths) if digits else predictions(model, _source(paths))
    if target is None:
        for name, row in zip(found.names, found.probabilities, strict=True):
            click.echo(f"{name}: {best_classes(model, row, top)}")
    else:
        columns = write_csv(model, found, target)
        click.echo(f"{len(found.names):,} rows in {target}: {columns}")
    for line in [*quality(model, found), *skipped_lines(found.skipped)]:
        click.echo(line)


def predictions(model: Model, source: PictureSource) -> Predictions:
    """Run all pictures of a source through a model."""
    batches = loader(source, preparation(model), Resizing.of(model))
    rows = [_both(as_probabilities(row)) for x in batches.stream() for row in model.predict_on_batch(x)]
    return Predictions(batches.filenames, np.array(rows, np.float64), batches.skipped)


def digit_predictions(model: Model, paths: Sequence[Path]) -> Predictions:
    """Cut the digit out of each picture, and run them through a model."""
    if any(map(is_collection, paths)):
        raise ValueError(f"{model.name} reads digits, which are cut out of each picture: name the pictures one by one")
    prepare = preparation(model)
    seen = np.stack([fitted(model, path, prepare) for path in paths])
    rows = [as_probabilities(row) for row in model.predict(prepare(seen))]
    return Predictions([str(path) for path in paths], np.array(rows, np.float64), [])


def write_csv(model: Model, found: Predictions, target: Path) -> str:
    """Write a row for each picture, and say what the columns are.

    Cats and dogs have the columns ``id`` and ``label``, the probability of a dog, as Kaggle takes them; others have one
    for each class. The id is the file's name without its ending, and the rows are in the order of the ids.
    """
    from .results import replacing

    names = _class_names(model, found.probabilities.shape[1])
    if set(names) == {"cat", "dog"}:
        heading, columns, told = ["id", "label"], [names.index("dog")], "id, label = P(dog)"
    else:
        heading, columns = ["id", *names], list(range(len(names)))
        told = f"id, {', '.join(f'P({name})' for name in names)}"
    rows = sorted(zip(_ids(found.names), found.probabilities[:, columns].tolist(), strict=True), key=_natural)
    try:
        with replacing(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(heading)
            writer.writerows([name, *(f"{value:.9g}" for value in values)] for name, values in rows)
    except OSError as error:
        raise ValueError(f"--csv: {target} cannot be written: {error.strerror or error}") from None
    return told


def quality(model: Model, found: Predictions) -> list[str]:
    """Log loss and accuracy over the pictures whose names or folders say what they show; nothing where none do.

    The log loss is -mean(log p), p the probability of what is shown, at least 1e-15.
    """
    labels = known_classes(_class_names(model, found.probabilities.shape[1]), found.names)
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return []
    right = found.probabilities[known, labels[known]]
    loss = float(-np.log(np.maximum(right, SMALLEST)).mean())
    accuracy = float((found.probabilities[known].argmax(axis=1) == labels[known]).mean())
    return [f"Log loss {loss:.4f}, accuracy {accuracy:.4f} on the {len(known):,} pictures whose class is known"]


def known_classes(classes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(N,) class numbers as the pictures' names or folders have them; -1 where they say nothing."""
    from minicnn.data.pictures.layout import pet, places

    pets = set(classes) == {"cat", "dog"}
    numbers = {name: number for number, name in enumerate(classes)}
    told = [pet(place) if pets else (place.folders or (None,))[0] for place in places(names)]
    return np.array([-1 if name is None else numbers.get(name, -1) for name in told], np.intp)


def _source(paths: Sequence[Path]) -> PictureSource:
    from minicnn.data.pictures.sources import PictureFiles
    from minicnn.data.sets.collection import picture_source

    collections = [path for path in paths if is_collection(path)]
    if not collections:
        return PictureFiles(paths)
    if len(paths) > 1:
        raise ValueError(
            f"{collections[0]} is a folder or archive, to be named alone, but {len(paths)} things are named"
        )
    source = picture_source(collections[0])
    if not len(source):
        raise ValueError(f"{collections[0]}: there are no pictures")
    return source


def _both(probabilities: np.ndarray) -> np.ndarray:
    """One output is the probability of the second of two classes."""
    if probabilities.size > 1:
        return probabilities
    second = float(probabilities.item())
    return np.array([1 - second, second])


def _class_names(model: Model, count: int) -> list[str]:
    names = list(model.class_names or ())
    return names if len(names) == count else [str(number) for number in range(count)]


def _ids(names: Sequence[str]) -> list[str]:
    """The files' names without their endings, or what tells them apart: with their folders, else as they are."""
    for shorten in (lambda name: PurePosixPath(name).stem, lambda name: str(PurePosixPath(name).with_suffix(""))):
        ids = [shorten(name) for name in names]
        if len(set(ids)) == len(ids):
            return ids
    return list(names)


def _natural(row: tuple[str, list[float]]) -> tuple[bool, int, str]:
    """Numbers in their order, before names."""
    name = row[0]
    number = name.isascii() and name.isdigit()
    return not number, int(name) if number else 0, name
