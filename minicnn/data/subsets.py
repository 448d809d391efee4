"""The parts that `validation_split` cuts pictures into, as Keras cuts them."""

from __future__ import annotations

from minicnn.data.fitting import one_of

SUBSETS = ("training", "validation")


def part_of(count: int, share: float, subset: str) -> slice:
    """Which of `count` pictures in order are in a part: the first ones in "validation", the others in "training".

    Args:
        count: of pictures.
        share: of the validation part; rounded down.
        subset: "training" or "validation".

    Raises:
        ValueError: the subset is none of these, or there is nothing to cut.
    """
    one_of("subset", subset, SUBSETS)
    if not share:
        raise ValueError(f"subset: {subset!r} needs a validation_split above 0")
    border = int(share * count)
    return slice(0, border) if subset == "validation" else slice(border, count)
