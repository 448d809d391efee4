"""Pictures divided into what is trained, validated and tested on: as their folders say, else at random by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.data.pictures.layout import Part
from minicnn.data.pictures.sources import PictureSource
from minicnn.data.sets.stratified import balanced_parts, proportional_parts

# What is held out is dealt first: it stays the same whatever is left for training.
_NAMES: tuple[Part, Part, Part] = ("validation", "test", "train")


class Parts(NamedTuple):
    """Pictures with their classes; no picture is in two parts."""

    train: PictureSource
    validation: PictureSource
    test: PictureSource


def divide(
    source: PictureSource,
    own: Sequence[Part],
    train: int | None,
    validation: int | None,
    test: int | None = 0,
    *,
    seed: int = 0,
    balanced: bool = True,
) -> Parts:
    """Divide labelled pictures.

    A part that has a folder of its own (``train/``, ``validation/``, ``test/``) is taken from there alone, the others
    from all that is in none of these or in ``train/``.

    Args:
        source: the pictures, with classes.
        own: for each the part that its folder names, or "".
        train, validation, test: how many pictures each part is to have; None takes all that are left where it is taken
            from.
        seed: same seed, same parts, whatever order the pictures were listed in.
        balanced: as many of each class in every part; else each class's share of all pictures.

    Raises:
        ValueError: there are fewer pictures than asked for.
    """
    wanted: dict[Part, int | None] = {"train": train, "validation": validation, "test": test}
    pools = {name: np.flatnonzero([part == name for part in own]) for name in _NAMES}
    pools["train"] = np.flatnonzero([part in ("", "train") for part in own])
    found: dict[Part, PictureSource] = {}
    taken_from = {name: name if len(pools[name]) else "train" for name in _NAMES}
    for pool, positions in pools.items():
        names = [name for name in _NAMES if taken_from[name] == pool]
        if names:
            found |= _dealt(source.subset(positions), {name: wanted[name] for name in names}, seed, balanced)
    return Parts(found["train"], found["validation"], found["test"])


def _dealt(pool: PictureSource, wanted: dict[Part, int | None], seed: int, balanced: bool) -> dict[Part, PictureSource]:
    """Deal the pictures of one pool out; all that are left go to the first part that wants them."""
    counts = [count or 0 for count in wanted.values()]
    labels = np.empty(0, np.int32) if pool.labels is None else pool.labels
    if balanced:
        positions = balanced_parts(pool.names, labels, counts, seed, pool.class_names)
    else:
        positions = proportional_parts(pool.names, labels, counts, seed)
    left = np.setdiff1d(np.arange(len(pool)), np.concatenate(positions))
    found = {}
    for (name, count), chosen in zip(wanted.items(), positions, strict=True):
        if count is None:
            chosen, left = left, left[:0]
        found[name] = pool.subset(chosen)
    return found
