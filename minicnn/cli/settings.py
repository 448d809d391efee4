"""What decides the bits of a training: what was asked for, what an earlier run had, what the article says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.articles import Article, Recipe

FITTINGS = ("squeeze", "crop", "pad")


@dataclass(frozen=True)
class Settings:
    """Kept in ``history.json``, so that `--resume` goes on with the same."""

    recipe: str
    dataset: str
    data: str | None
    samples: int | None
    epochs: int
    batch_size: int
    seed: int
    augment: bool
    fitting: str

    def command(self, article: str, out: Path) -> str:
        """The command that repeats this training."""
        words = ["minicnn", "train", article]
        for field in fields(self):
            if field.name == "fitting" and not _is_pictures(self.dataset):
                continue
            value, option = getattr(self, field.name), field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            elif value is not None:
                words += [f"--{option}", str(value)]
        return shlex.join([*words, "--out", str(out)])

    def augmentation(self, recipe: Recipe) -> Mapping[str, Any] | None:
        """How pictures are distorted: as the recipe says, or where it says nothing as Besbes' article does."""
        from minicnn.articles.besbes import AUGMENTATION

        return (recipe.augmentation or AUGMENTATION) if self.augment else None


def chosen(article: Article, asked: dict[str, Any], record: dict[str, Any] | None) -> Settings:
    """What was asked for; else what the training to be resumed had; else what the article says.

    Args:
        article: whose network is trained.
        asked: by the options' names; None where nothing was asked for.
        record: what ``history.json`` says of the training to be resumed, if one is.

    Raises:
        ValueError: what was asked for differs from the training to be resumed, or the recipe or data is none.
    """
    if record is not None and record["article"] != article.name:
        raise ValueError(f"the training to be resumed is of {record['article']!r}, not of {article.name!r}")
    earlier = dict(record["settings"]) if record is not None else {}
    if asked["data"] is not None:
        asked["data"] = str(asked["data"])
    for key in ("recipe", "dataset", "samples", "batch_size", "seed", "augment", "fitting"):
        if record is not None and asked[key] is not None and asked[key] != earlier.get(key):
            option = "--" + key.replace("_", "-")
            raise ValueError(f"{option} {asked[key]} differs from the training to be resumed ({earlier.get(key)})")
    given: dict[str, Any] = {key: earlier.get(key) if value is None else value for key, value in asked.items()}
    given["recipe"] = given["recipe"] or article.default_recipe
    recipe = article.recipe(given["recipe"])
    if given["dataset"] is None:
        given["dataset"] = _dataset(article, given["data"])
    # What suits clothes need not suit photographs, nor the other way round.
    is_suited = recipe.augmentation is not None and _is_pictures(given["dataset"]) == _is_pictures(article.dataset)
    _check_pictures(asked, given["dataset"], is_suited)
    defaults: dict[str, Any] = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": 0,
        "augment": is_suited,
        "fitting": "squeeze",
    }
    complete: dict[str, Any] = {key: defaults.get(key) if value is None else value for key, value in given.items()}
    return Settings(**complete)


def _dataset(article: Article, data: str | None) -> str | None:
    """The data set that the article uses, unless `data` is a collection of pictures of another kind."""
    from minicnn import datasets

    from . import picture_parts

    name = article.dataset
    if data is None:
        if name == "imagenet":
            raise ValueError(f"{article.name} is for ImageNet, which is not fetched here: name pictures with --data")
        return name
    if name in ("mnist", "fashion-mnist"):
        try:
            datasets.find(name, data)
        except datasets.DataError:
            if not Path(data).exists() or picture_parts.recognised(Path(data)) is None:
                raise
            return picture_parts.recognised(Path(data))
        return name
    return picture_parts.recognised(Path(data)) or picture_parts.FOLDERS


def _is_pictures(dataset: str | None) -> bool:
    from . import picture_parts

    return dataset in picture_parts.NAMES


def _check_pictures(asked: Mapping[str, Any], dataset: str | None, is_suited: bool) -> None:
    """Refuse what only collections of pictures take; a recipe's own augmentation serves where it is suited, too."""
    for key in ("fitting",) if is_suited else ("augment", "fitting"):
        if asked[key] and not _is_pictures(dataset):
            raise ValueError(f"--{key} is for collections of pictures, not for {dataset}")
