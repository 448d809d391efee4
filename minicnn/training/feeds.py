"""Choosing the feed for what the user gave to train or measure on, and holding data back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from minicnn.training.array_feed import ArrayFeed
from minicnn.training.batch import Batch
from minicnn.training.layout import Layout
from minicnn.training.stream_feed import StreamFeed, is_stream

Feed = ArrayFeed | StreamFeed


def make_feed(
    layout: Layout,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    generator: np.random.Generator | None = None,
    class_weight: Mapping[int, float] | None = None,
) -> Feed:
    """Make the feed that fits what the user gave."""
    if x is None:
        raise ValueError(f"{layout.operation}: x is missing")
    if not is_stream(x):
        return ArrayFeed(
            layout, x, y, sample_weight, batch_size=batch_size, generator=generator, class_weight=class_weight
        )
    for name, value in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if value is not None:
            raise ValueError(
                f"{layout.operation}: {name} cannot be given with x that makes batches (a {type(x).__name__}); the "
                "batches bring it themselves"
            )
    return StreamFeed(layout, x, generator=generator, class_weight=class_weight)


def from_the_start(feed: Feed, steps: int | None) -> Generator[Batch, None, None]:
    """Give each batch of a feed once, or the first `steps`, the same ones every time where it can go back to its first.

    Unlike in a training, nothing starts over where there are fewer: no sample counts twice.
    """
    if isinstance(feed, StreamFeed):
        return feed.from_the_start(steps)
    return feed.batches(0, steps_there_are(feed, steps))


def steps_there_are(feed: Feed, steps: int | None) -> int | None:
    """How many of the batches wanted, all where None, a feed gives from its start; None where nobody knows."""
    known = [count for count in (steps, feed.steps) if count is not None]
    return min(known, default=None)


def split_validation(
    layout: Layout, x: Any, y: Any, sample_weight: Any, share: float
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """Cut the last `share` of the samples off, before any shuffling, as Keras does; nothing is copied."""
    operation = layout.operation
    if not isinstance(share, Real):
        raise TypeError(f"{operation}: validation_split must be a number, got {share!r}")
    if not 0 < share < 1:
        raise ValueError(f"{operation}: validation_split must lie between 0 and 1, got {share}")
    if is_stream(x):
        raise ValueError(f"{operation}: validation_split needs arrays; give batches as validation_data instead")
    xs = layout.input_arrays(x)
    ys = None if y is None else layout.output_arrays(y)
    weights = layout.weight_arrays(sample_weight, 1 if ys is None else len(ys))
    # Counts the samples, and refuses arrays of different lengths, before anything is cut.
    count = ArrayFeed(layout, x, y, sample_weight).size
    border = math.floor(count * (1.0 - share))
    if border in (0, count):
        raise ValueError(f"{operation}: validation_split={share} of {count} samples leaves no sample on one side")

    def cut(part: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, Any, Any]:
        return (
            [part(array) for array in xs] if len(xs) > 1 else part(xs[0]),
            None if ys is None else ([part(array) for array in ys] if len(ys) > 1 else part(ys[0])),
            _cut_weights(weights, part),
        )

    return cut(lambda array: array[:border]), cut(lambda array: array[border:])


def _cut_weights(weights: list[np.ndarray | None] | None, part: Callable[[np.ndarray], np.ndarray]) -> Any:
    if weights is None:
        return None
    cut = [None if weight is None else part(weight) for weight in weights]
    return cut if len(cut) > 1 else cut[0]


def warn_of_fewer(operation: str, wanted: int | None, came: int, stacklevel: int) -> None:
    """Warn where fewer batches came to measure or predict on than were wanted."""
    if wanted is not None and came < wanted:
        warnings.warn(
            f"{operation}: the batches ran out: {wanted} are wanted, but only {came} came; none is taken twice",
            stacklevel=stacklevel,
        )


def warn_exhausted(operation: str, wanted: int | None) -> None:
    """Warn that the user's batches ended before the epochs did."""
    wish = "" if wanted is None else f" ({wanted} batches an epoch are wanted)"
    warnings.warn(
        f"{operation}: the batches ran out{wish}; training stops here. A generator needs to go on for as many batches "
        "as all epochs take",
        stacklevel=5,
    )
