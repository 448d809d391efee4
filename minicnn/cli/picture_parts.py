"""Collections of pictures as `--data` and `--dataset` name them: which to train on, which to hold out.

Nothing is opened here beyond the listing, whatever the collection's size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from minicnn.articles import Article, Recipe
    from minicnn.data.pictures.layout import Part
    from minicnn.data.pictures.sources import PictureSource
    from minicnn.data.sets.division import Parts

PETS, DRAWN, FOLDERS = "dogs-vs-cats", "drawn-pets", "pictures"
NAMES = (PETS, DRAWN, FOLDERS)

DRAWN_TRAINING, DRAWN_HELD, DRAWN_AT_MOST = 2_000, 500, 20_000
# The same pictures are held out whatever a training's own seed, so that trainings can be compared.
SPLIT_SEED = 0
# Held out where nothing says how many.
SHARE = 0.2


@dataclass(frozen=True)
class PictureParts:
    """What is trained on and what is held out.

    Attributes:
        name: one of `NAMES`.
        where: what the user is told about where the pictures come from.
        train, held: the pictures, with their classes.
        fingerprint: of the names of all pictures in the collection; None of drawn ones.
        division: what it was divided by, for `load` to do it again.
    """

    name: str
    where: str
    train: PictureSource
    held: PictureSource
    fingerprint: str | None = None
    division: dict[str, Any] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their numbers."""
        return self.train.class_names

    def describe(self) -> str:
        """One line: where from, how many, of which classes."""
        names = ", ".join(f"{number} = {name}" for number, name in enumerate(self.classes[:10]))
        more = f", ... {len(self.classes)} in all" if len(self.classes) > 10 else ""
        return f"Data: {self.where} ({len(self.train):,} to train on, {len(self.held):,} to validate on; {names}{more})"


@dataclass(frozen=True)
class Wanted:
    """How many pictures are to be trained on and held out; None where nothing says so."""

    train: int | None
    held: int | None

    def limited_to(self, samples: int | None) -> Wanted:
        """`samples` to train on, and as many held out for each of them as before."""
        if samples is None:
            return self
        share = self.held / self.train if self.train and self.held else SHARE / (1 - SHARE)
        return Wanted(samples, max(1, round(samples * share)))


def load(
    name: str,
    path: Path | None,
    classes: tuple[str, ...],
    wanted: Wanted,
    size: tuple[int, int],
    *,
    samples: int | None = None,
    seed: int = 0,
    may_draw: bool = False,
) -> PictureParts:
    """List a collection and divide it.

    Args:
        name: one of `NAMES`.
        path: folder or archive; None to look for cats and dogs in the usual places.
        classes: the network's, which say whether 1 is a cat or a dog.
        wanted: how many pictures the recipe trains on and holds out.
        size: (height, width) for drawn pictures.
        samples: train on so many only, and hold fewer out in proportion.
        seed: of drawn pictures.
        may_draw: let drawn cats and dogs stand in where the photographs are not on this machine.

    Raises:
        DataError: there are no such pictures.
        ValueError: there are fewer than `samples`.
    """
    from minicnn.data.sets import dogs_vs_cats

    if name == DRAWN:
        return _drawn(classes, samples, size, seed)
    if name == PETS and may_draw and dogs_vs_cats.find(path).kind == "absent":
        stand_in = _drawn(classes, samples, size, seed)
        reason = f"{dogs_vs_cats.TITLE} is not on this machine (minicnn data check says how to get it)"
        return replace(stand_in, where=f"{stand_in.where}, because {reason}")
    where, source = listed(name, path, classes)
    if name == FOLDERS:
        # The article's counts are those of its own data.
        wanted = Wanted(None, None)
    division = {"train": wanted.train, "held": wanted.held, "samples": samples}
    parts = divided(source, wanted.limited_to(samples), samples)
    return PictureParts(name, where, parts.train, parts.validation, fingerprint(source), division)


def listed(name: str, path: Path | None, classes: tuple[str, ...]) -> tuple[str, PictureSource]:
    """All pictures of known class in a collection, `PETS` or `FOLDERS`; and where they come from.

    Arguments and errors as for `load`.
    """
    from minicnn.data.errors import DataError
    from minicnn.data.sets import dogs_vs_cats
    from minicnn.data.sets.collection import labelled_by_folder, picture_source

    if name == PETS:
        source = dogs_vs_cats.pictures(path, _positive(classes))
        return str(dogs_vs_cats.find(path)), source
    if path is None:
        raise ValueError("name the folder or archive of pictures, with a sub-folder for each class, with --data")
    found = picture_source(path)
    try:
        return f"pictures from {path}", labelled_by_folder(found)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def fingerprint(source: PictureSource) -> str:
    """What tells whether a collection has the same pictures as another, going by their names."""
    return hashlib.sha256("\n".join(sorted(source.names)).encode(errors="surrogateescape")).hexdigest()[:16]


def recognised(path: Path) -> str | None:
    """Which of `NAMES` the collection at `path` is; None where there are no pictures in classes."""
    from minicnn.data.errors import DataError
    from minicnn.data.pictures.layout import are_pets, places
    from minicnn.data.sets import dogs_vs_cats
    from minicnn.data.sets.collection import labelled_by_folder, picture_source

    if path.is_dir() and dogs_vs_cats.archive_in(path) is not None:
        return PETS
    source = picture_source(path)
    if are_pets(places(source.names)):
        return PETS
    try:
        labelled_by_folder(source)
    except DataError:
        return None
    return FOLDERS


def wanted(recipe: Recipe) -> Wanted:
    """How many pictures a recipe trains on and holds out."""
    return Wanted(recipe.training_samples, recipe.validation_samples)


def input_size(article: Article) -> tuple[int, int]:
    """(height, width) of what the article's network takes."""
    from .pictures import preparation

    return preparation(article.build()).size or (64, 64)


def divided(source: PictureSource, wanted: Wanted, samples: int | None) -> Parts:
    """Divide labelled pictures: as many of each class where there are so many, else every class by its share.

    Where folders say what is held out (``validation``, or else ``test``), it is taken from there.
    """
    from minicnn.data.pictures.layout import places
    from minicnn.data.sets.division import divide

    own = [place.part for place in places(source.names)]
    if "validation" not in own:
        own = ["validation" if part == "test" else part for part in own]
    apart = own.count("validation")
    pool = own.count("") + own.count("train")
    most = pool if apart else pool - 1
    if samples is not None and samples > most:
        raise ValueError(f"--samples {samples}: there are only {max(most, 0)} training pictures")
    if apart:
        train, held = min(wanted.train or pool, pool), min(wanted.held or apart, apart)
        return divide(source, own, train, held, seed=SPLIT_SEED, balanced=False)
    train, held = _counts(wanted, samples, pool)
    return divide(source, own, train, held, seed=SPLIT_SEED, balanced=_even(source, own, train, held))


def _counts(wanted: Wanted, samples: int | None, pool: int) -> tuple[int, int]:
    """How many of `pool` pictures to train on and to hold out."""
    if wanted.train is not None and wanted.held is not None and wanted.train + wanted.held <= pool:
        return wanted.train, wanted.held
    if samples is not None:
        return samples, pool - samples
    share = wanted.held / (wanted.train + wanted.held) if wanted.train and wanted.held else SHARE
    held = min(max(1, round(pool * share)), pool - 1)
    return pool - held, held


def _even(source: PictureSource, own: list[Part], train: int, held: int) -> bool:
    """Whether every class has enough pictures for as many of each."""
    pool = np.array([part in ("", "train") for part in own], bool)
    classes = len(source.class_names)
    sizes = np.bincount(np.asarray(source.labels)[pool], minlength=classes)
    return int(sizes.min()) >= -(-train // classes) + -(-held // classes)


def _positive(classes: tuple[str, ...]) -> Literal["cat", "dog"]:
    return "cat" if classes == ("dog", "cat") else "dog"


def _drawn(classes: tuple[str, ...], samples: int | None, size: tuple[int, int], seed: int) -> PictureParts:
    count = DRAWN_TRAINING if samples is None else samples
    if count > DRAWN_AT_MOST:
        raise ValueError(f"--samples {count}: there are only {DRAWN_AT_MOST} training pictures")
    held = DRAWN_HELD if samples is None else max(2, count // 4)
    return drawn(classes, count, held, size, seed)


def drawn(classes: tuple[str, ...], train: int, held: int, size: tuple[int, int], seed: int = 0) -> PictureParts:
    """Cats and dogs, as few as asked for: drawing takes time, and the first are the same however many are drawn."""
    from minicnn.data.sets import dogs_vs_cats, drawn_pets
    from minicnn.data.sets.collection import PictureArrays

    names = dogs_vs_cats.ordered(_positive(classes))
    train_part, held_part = (
        PictureArrays(x, y if names == drawn_pets.CLASS_NAMES else 1 - y, names)
        for x, y in drawn_pets.load_data(train, held, size, seed)
    )
    return PictureParts(DRAWN, "cats and dogs drawn on the fly", train_part, held_part)
