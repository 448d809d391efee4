"""What the names of pictures say: which class they are of, and which part of the data they belong to.

Names are relative to the folder or archive, so that nothing above it can be mistaken for a class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

Part = Literal["", "train", "validation", "test"]

_PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("test", "test1", "testing"), "test"),
}
_PETS = {"cat": "cat", "cats": "cat", "dog": "dog", "dogs": "dog"}
# "cat.12.jpg", "dog_7.png", "Cat (3).jpg", "cat12.jpg"; neither "catalogue.jpg" nor "hotdog.1.jpg".
_PET_FILE = re.compile(r"(cats?|dogs?)(?![^\W\d_])", re.IGNORECASE)


class Place(NamedTuple):
    """Where a picture lies within its data set.

    Attributes:
        part: "train", "validation" or "test" if a folder of such a name holds it, else "".
        folders: those below, the class folder first.
        file: its own name.
    """

    part: Part
    folders: tuple[str, ...]
    file: str


def places(names: Sequence[str]) -> list[Place]:
    """Read names like ``"train/cats/7.jpg"``; folders that hold all there is, and say nothing, are passed over.

    >>> places(["PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg"])[0]
    Place(part='', folders=('Cat',), file='0.jpg')
    >>> places(["data/train/cats/0.jpg", "data/validation/cats/1.jpg"])[1]
    Place(part='validation', folders=('cats',), file='1.jpg')
    """
    split = [PurePosixPath(name).parts for name in names]
    while _is_wrapped(split):
        split = [parts[1:] for parts in split]
    found = []
    for parts in split:
        part = _PARTS.get(parts[0].lower(), "") if len(parts) > 1 else ""
        found.append(Place(part, parts[1 if part else 0 : -1], parts[-1]))
    return found


def pet(place: Place) -> str | None:
    """ "cat" or "dog": by the file's own name, else by the exact name of a folder it is in, nearest first.

    >>> [pet(place) for place in places(["cats/dog.1.jpg", "Dog/5.jpg", "dogs of cat owners/5.jpg"])]
    ['dog', 'dog', None]
    """
    named = _PET_FILE.match(place.file)
    if named:
        return _PETS[named[1].lower()]
    return next((_PETS[name.lower()] for name in reversed(place.folders) if name.lower() in _PETS), None)


def are_pets(found: Sequence[Place]) -> bool:
    """Whether there are cats and dogs, and no folder of anything else."""
    kinds = {pet(place) or (place.folders and "other") for place in found}
    return {"cat", "dog"} <= kinds and "other" not in kinds


def _is_wrapped(split: Sequence[tuple[str, ...]]) -> bool:
    """Whether one folder holds nothing but folders, and is neither a part of the data nor a class."""
    outer = {parts[0].lower() for parts in split}
    return len(outer) == 1 and not outer & {*_PARTS, *_PETS} and all(len(parts) > 2 for parts in split)
