"""What a collection of pictures is like, before a network's input size is chosen: sizes, shapes, kinds, what is broken.

Every picture is decoded, by several threads, since nothing less tells whether it is whole; none is kept.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from minicnn.data.batches.prefetch import Job, available_cores, in_order
from minicnn.data.errors import PictureError
from minicnn.data.pictures.opening import Facts, picture_facts
from minicnn.data.pictures.sources import PictureSource, Skipped

_AT_A_TIME = 16


@dataclass
class Survey:
    """Counts over a collection.

    Attributes:
        pictures: how many can be read.
        sizes: (height, width) -> how many pictures, the right way up.
        aspects: width / height, rounded to hundredths -> how many pictures.
        modes: Pillow's name for what a pixel holds, "RGB", "L", "CMYK", ... -> how many pictures.
        formats: "JPEG", "PNG", ... -> how many pictures.
        broken: pictures that cannot be read, and why.
        others: files that are no pictures by their names.
    """

    pictures: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    aspects: Counter[float] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    broken: list[Skipped] = field(default_factory=list)
    others: list[Skipped] = field(default_factory=list)

    def add(self, facts: Facts) -> None:
        """Count one picture."""
        self.pictures += 1
        self.sizes[facts.height, facts.width] += 1
        self.aspects[round(facts.width / facts.height, 2)] += 1
        self.modes[facts.mode] += 1
        self.formats[facts.format] += 1

    @property
    def shapes(self) -> dict[str, int]:
        """How many are wider than high ("landscape"), higher than wide ("portrait"), and as wide as high ("square")."""
        counts = dict.fromkeys(("landscape", "portrait", "square"), 0)
        for (height, width), count in self.sizes.items():
            counts["square" if height == width else "landscape" if width > height else "portrait"] += count
        return counts


def survey(source: PictureSource, workers: int | None = None) -> Survey:
    """Look at every picture of a source.

    Args:
        source: the pictures.
        workers: threads; as many as there are cores where None, 0 for none.

    Returns:
        The counts; they do not depend on the number of threads.
    """
    found = Survey(others=list(source.skipped))
    threads = available_cores() if workers is None else workers
    for facts in in_order(_jobs(source), threads, 4 * threads):
        for entry in facts:
            if isinstance(entry, Facts):
                found.add(entry)
            else:
                found.broken.append(entry)
    return found


def kind(skipped: Skipped) -> str:
    """What is wrong with a file, without the particulars that differ from file to file.

    >>> kind(Skipped("a.jpg", "a damaged or truncated picture (image file is truncated (12 bytes not processed))"))
    'a damaged or truncated picture'
    """
    return skipped.reason.partition(" (")[0].partition(": ")[0]


def by_kind(skipped: list[Skipped]) -> list[tuple[str, list[Skipped]]]:
    """The files of each kind, the commonest first."""
    kinds: dict[str, list[Skipped]] = {}
    for item in skipped:
        kinds.setdefault(kind(item), []).append(item)
    return sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def _jobs(source: PictureSource) -> Iterator[Job[list[Facts | Skipped]]]:
    for begin in range(0, len(source), _AT_A_TIME):
        indices = range(begin, min(begin + _AT_A_TIME, len(source)))
        yield Job([functools.partial(_facts, source, index) for index in indices], list)


def _facts(source: PictureSource, index: int) -> Facts | Skipped:
    try:
        return picture_facts(source.content(index))
    except PictureError as error:
        return Skipped.because(source.names[index], error)
