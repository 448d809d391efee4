"""Batches of whatever the user has that gives batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np

from minicnn.data.batches.batch_iterator import BatchIterator
from minicnn.training.array_feed import DEFAULT_BATCH_SIZE, whole_batch
from minicnn.training.batch import Batch
from minicnn.training.class_weights import class_weights
from minicnn.training.layout import Layout, is_data

_END = object()


class StreamFeed:
    """Batches that the user's object gives: a generator, an iterator, an iterable, or a sequence of batches.

    A sequence (with ``__len__`` and ``__getitem__``) is read anew in every epoch, in a new order where `generator` is
    given, and its ``on_epoch_end`` is called, if it has one. An iterable is iterated anew in every epoch. An iterator
    goes on where the last epoch ended. Loaders of pictures (`BatchIterator`) order their samples themselves.
    """

    def __init__(
        self,
        layout: Layout,
        source: Any,
        *,
        generator: np.random.Generator | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        self.layout = layout
        self.source = source
        self.generator = generator
        self.is_loader = isinstance(source, BatchIterator)
        self.is_sequence = not self.is_loader and hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self.steps: int | None = len(source) if hasattr(source, "__len__") else None
        self.batch_size = DEFAULT_BATCH_SIZE
        self.class_weight = class_weights(layout, class_weight, None)
        self._iterator: Iterator[Any] | None = None
        if self.steps == 0:
            raise ValueError(f"{layout.operation}: there are no batches: the {type(source).__name__} has length 0")

    def from_the_start(self, steps: int | None) -> Generator[Batch, None, None]:
        """Give each batch once, or the first `steps`, from the first on where the source can go back to it."""
        if self.is_loader:
            self.source.reset()
        if self.steps is None:
            yield from map(self.read, islice(self.source, steps))
            return
        yield from self.batches(0, None if steps is None or steps >= self.steps else steps)

    def batches(self, epoch: int, steps: int | None = None) -> Generator[Batch, None, None]:
        """Give the batches of an epoch: all of them, or `steps`."""
        if self.is_loader:
            with closing(self.source.stream(steps)) as items:
                yield from map(self.read, items)
            return
        if self.is_sequence:
            yield from self._sequence_batches(epoch, steps)
            return
        if steps is None:
            # An iterator gives itself here, and so goes on where it stands.
            for item in iter(self.source):
                yield self.read(item)
            return
        for _ in range(steps):
            item = self._next()
            if item is _END:
                return
            yield self.read(item)

    def _next(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self.source)
        item = next(self._iterator, _END)
        if item is _END and self._iterator is not self.source:
            self._iterator = iter(self.source)
            item = next(self._iterator, _END)
        return item

    def _sequence_batches(self, epoch: int, steps: int | None) -> Iterator[Batch]:
        total = len(self.source)
        count = total if steps is None else steps
        first = 0 if steps is None or self.generator is not None else (epoch * count) % total
        order = np.arange(total) if self.generator is None else self.generator.permutation(total)
        for step in range(first, first + count):
            yield self.read(self.source[int(order[step % total])])
        on_epoch_end = getattr(self.source, "on_epoch_end", None)
        if on_epoch_end is not None:
            on_epoch_end()

    def read(self, item: Any) -> Batch:
        """Read ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; the latter two may be lists, too."""
        x, y, sample_weight = unpack(self.layout.operation, tuple(item) if self._is_whole(item) else item)
        batch = whole_batch(self.layout, x, y, sample_weight, self.class_weight)
        batch.samples = None
        return batch

    def _is_whole(self, item: Any) -> bool:
        """Whether a list is a batch with its targets, as loaders of others make them, and not x."""
        if not isinstance(item, list) or len(item) not in (2, 3) or not all(map(is_data, item)):
            return False
        # Of several inputs, arrays alone are x.
        return not self.layout.takes_several or isinstance(item[0], (list, tuple, Mapping))


def unpack(operation: str, item: Any) -> tuple[Any, Any, Any]:
    """Split a batch, or validation data, into x, y and sample weights; None for what is missing."""
    if not isinstance(item, tuple):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(f"{operation}: expected (x, y) or (x, y, sample_weight), but a tuple of {len(item)} came")
    padded = (*item, None, None)
    return padded[0], padded[1], padded[2]


def is_stream(x: Any) -> bool:
    """Say whether `x` gives batches rather than being data."""
    if isinstance(x, (np.ndarray, list, tuple, Mapping)) or hasattr(x, "__array__") or hasattr(x, "numpy"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))
