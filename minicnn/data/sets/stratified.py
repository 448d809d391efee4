"""Dividing pictures into disjoint parts with the same classes in each, whatever order they were listed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

Positions = NDArray[np.intp]


def balanced_parts(
    names: Sequence[str], labels: ArrayLike, counts: Sequence[int], seed: int = 0, classes: Sequence[str] | None = None
) -> list[Positions]:
    """Divide pictures into parts of so many, with as many of each class (within one).

    Args:
        names: of the pictures (N).
        labels: (N,) class numbers.
        counts: how many pictures each part is to have.
        seed: same seed, same parts, whatever the order of `names`.
        classes: class names, for the error.

    Returns:
        For each part the positions of its pictures, sorted as their names are; no two parts share one.

    Raises:
        ValueError: a count is negative, or a class has fewer pictures than the parts need.
    """
    _check(names, counts)
    shuffled = _shuffled(names, labels, seed)
    dealt: list[list[Positions]] = [[] for _ in counts]
    for rank, (label, members) in enumerate(shuffled.items()):
        # Where a count does not divide, the first classes give one more.
        shares = [count // len(shuffled) + (rank < count % len(shuffled)) for count in counts]
        if sum(shares) > len(members):
            name = f"class {label}" if classes is None else repr(classes[label])
            raise ValueError(
                f"{' + '.join(f'{count:,}' for count in counts)} pictures, as many of each class, need {sum(shares):,} "
                f"of {name}, but there are {len(members):,}"
            )
        for part, piece in zip(dealt, np.split(members, np.cumsum(shares)), strict=False):
            part.append(piece)
    return [_by_name(np.concatenate(part), names) if part else np.empty(0, np.intp) for part in dealt]


def proportional_parts(
    names: Sequence[str], labels: ArrayLike, counts: Sequence[int], seed: int = 0
) -> list[Positions]:
    """Divide pictures into parts of so many, to which every class gives its share of all pictures.

    Args:
        names: of the pictures (N).
        labels: (N,) class numbers.
        counts: how many pictures each part is to have, N in all at the most.
        seed: same seed, same parts, whatever the order of `names`.

    Returns:
        For each part the positions of its pictures, sorted as their names are; no two parts share one.

    Raises:
        ValueError: a count is negative, or there are fewer pictures than the parts need.
    """
    _check(names, counts)
    if sum(counts) > len(names):
        raise ValueError(f"{' + '.join(f'{c:,}' for c in counts)} pictures are wanted, but there are {len(names):,}")
    shuffled = _shuffled(names, labels, seed)
    # Sample k of a class's n stands at (k + 1/2) / n: wherever all are cut, every class is cut at the same place.
    standing = [((k + 0.5) / len(members), index) for members in shuffled.values() for k, index in enumerate(members)]
    order = np.array([index for _, index in sorted(standing, key=lambda pair: pair[0])], np.intp)
    return [_by_name(piece, names) for piece in np.split(order, np.cumsum(counts))[: len(counts)]]


def _check(names: Sequence[str], counts: Sequence[int]) -> None:
    if any(count < 0 for count in counts):
        raise ValueError(f"expected counts of pictures from 0, got {list(counts)}")
    if len(set(names)) < len(names):
        raise ValueError("expected every picture to have a name of its own")


def _shuffled(names: Sequence[str], labels: ArrayLike, seed: int) -> dict[int, Positions]:
    """The positions of each class's pictures in an order that the seed and their names decide."""
    numbers = np.asarray(labels)
    order = _by_name(np.arange(len(names)), names)
    shuffled = {}
    for label in sorted(set(numbers.tolist())):
        # A stream for each class: one picture more of one does not move those of the others.
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(label,)))
        shuffled[label] = generator.permutation(order[numbers[order] == label])
    return shuffled


def _by_name(positions: Positions, names: Sequence[str]) -> Positions:
    """Sorted by the files' own names first, so that a set is divided alike in a folder, in a zip, below any parent."""
    return np.array(sorted(positions, key=lambda index: (PurePosixPath(names[index]).name, names[index])), np.intp)
