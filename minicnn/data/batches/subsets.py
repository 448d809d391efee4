"""The parts that `validation_split` cuts pictures into, as Keras cuts them, and what is done to each."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.pictures.fitting import one_of

if TYPE_CHECKING:
    from minicnn.data.batches.image_data_generator import ImageDataGenerator
    from minicnn.data.batches.picture_loader import Transform

SUBSETS = ("training", "validation")


def part_of(count: int, generator: ImageDataGenerator | None, subset: str) -> slice:
    """Which of `count` pictures in order are in a part: the first ones in "validation", the others in "training".

    Args:
        count: of pictures.
        generator: its `validation_split` is the share of the validation part, rounded down.
        subset: "training" or "validation".

    Raises:
        ValueError: the subset is none of these, or there is nothing to cut.
    """
    one_of("subset", subset, SUBSETS)
    if generator is None or not generator.validation_split:
        raise ValueError(f"subset: {subset!r} needs a validation_split above 0")
    border = int(generator.validation_split * count)
    return slice(0, border) if subset == "validation" else slice(border, count)


def change_for(generator: ImageDataGenerator | None, subset: str | None, augment: bool | None) -> Transform | None:
    """What a generator does to the pictures of a part.

    Args:
        generator: None does nothing.
        subset: "training", "validation" or None.
        augment: change them at random, or only standardise them; None changes all but those to validate on.
    """
    if generator is None:
        return None
    changes = subset != "validation" if augment is None else augment
    return generator.augment if changes else functools.partial(_standardised, generator)


def _standardised(generator: ImageDataGenerator, x: NDArray[Any], draws: np.random.Generator) -> NDArray[Any]:
    return generator.standardize(x)
