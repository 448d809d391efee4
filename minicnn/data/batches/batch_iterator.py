"""Batches without end, made ahead by threads: what all iterators over pictures share.

What comes out is a function of the seed alone. The order of epoch e is drawn from (seed, e), and whatever is random
about sample i in epoch e from (seed, e, i), so neither the number of threads nor what was done before changes a bit.
(NumPy's `SeedSequence` keeps these streams apart.)
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minicnn import random
from minicnn.data.batches.prefetch import Job, Waiting, available_cores, in_order
from minicnn.data.errors import DataError, PictureError
from minicnn.data.pictures.sources import Skipped

PREFETCH_BYTES = 64 * 1024 * 1024
"""Batches made ahead take at most so much memory, or one of them is made ahead."""

# Threads take so many samples at a time: few enough that all have something to do, enough to be worth the hand-over.
_SAMPLES_AT_A_TIME = 8


class BatchIterator:
    """Batches of n samples, epoch after epoch.

    An iterator stands at a place: `next` gives the batch there and moves on, for ever, and so does a ``for`` loop.
    `stream` gives one epoch, or so many batches from there on, and is what `Model.fit`, `evaluate` and `predict` use.
    ``iterator[i]`` gives batch i of the epoch it stands in, and leaves it where it is.

    A sample that cannot be read is left out of its batch and noted in `skipped`. `waiting` tells how long loops, like
    `fit`, waited for their batches: ``waiting.share`` of the time.

    Args:
        n: samples in an epoch.
        shape: of a sample.
        batch_size: samples a batch; the last one of an epoch may be smaller.
        shuffle: draw a new order for every epoch.
        seed: of all that is random; None takes one from the package's own random state (`minicnn.set_seed`).
        dtype: of the samples in a batch.
        workers: threads that make batches; as many as there are cores where None, 0 for none.
        prefetch_bytes: most memory that batches made ahead may take; one is made ahead in any case.
        strict: raise for a picture that cannot be read rather than skip it.
        verbose: print a line when the first epoch is over and pictures were skipped.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        n: int,
        shape: tuple[int, ...],
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        *,
        dtype: DTypeLike = "float32",
        workers: int | None = None,
        prefetch_bytes: int = PREFETCH_BYTES,
        strict: bool = False,
        verbose: bool = True,
    ) -> None:
        self.n = n
        self.image_shape = shape
        self.batch_size = _at_least(1, "batch_size", batch_size)
        self.shuffle = shuffle
        self.seed = seed
        self.dtype = np.dtype(dtype)
        self.workers = available_cores() if workers is None else _at_least(0, "workers", workers)
        self.prefetch_bytes = _at_least(0, "prefetch_bytes", prefetch_bytes)
        self.strict = strict
        self.verbose = verbose
        self.waiting = Waiting()
        self._seeds = random.spawn() if seed is None else np.random.SeedSequence(_at_least(0, "seed", seed))
        self._position = 0
        self._unread: dict[int, Skipped] = {}
        self._told = 0
        self._barren = 0  # batches in a row of which nothing could be read

    # ------------------------------------------------------------------ for those who make one

    def _load(self, index: int, generator: np.random.Generator) -> NDArray[Any]:
        """Make sample `index`; called by several threads at once."""
        raise NotImplementedError

    def _batch(self, indices: NDArray[np.intp], x: NDArray[Any]) -> Any:
        """Make a batch of the samples `indices`, of which `x` (len(indices), *shape) holds the pictures."""
        raise NotImplementedError

    def _name(self, index: int) -> str:
        """What sample `index` is called in messages."""
        return f"picture {index}"

    # ------------------------------------------------------------------------------ where it stands

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self.n / self.batch_size)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next batch belongs to; assigning it moves to that epoch's first batch."""
        return self._position // max(1, len(self))

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._position = _at_least(0, "epoch", epoch) * len(self)

    def reset(self) -> None:
        """Move to the first batch of an epoch: of this one where nothing was taken of it yet, else of the next one."""
        self._position = math.ceil(self._position / max(1, len(self))) * len(self)

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be read so far, with the reasons."""
        return [self._unread[index] for index in sorted(self._unread)]

    # --------------------------------------------------------------------------------------- batches

    def __getitem__(self, index: int) -> Any:
        """Batch `index` of the epoch that the iterator stands in."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        return self._one(self.epoch * count + index % count)

    def __iter__(self) -> Generator[Any, None, None]:
        """The batches from here on, without end, made ahead by threads that end with the loop."""
        return self._given(None)

    def __next__(self) -> Any:
        """The next batch; there is always one. Nothing is made ahead, so that no thread waits for a next call."""
        while True:
            batch = self._one(self._position)
            self._moved_on(self._position, batch)
            if batch is not None:
                return batch

    def _one(self, position: int) -> Any:
        self._check_not_empty()
        with closing(in_order(self._jobs(position, 1), self.workers, 0)) as batches:
            return next(batches)

    def next(self) -> Any:
        """The next batch, as `next` gives it."""
        return self.__next__()

    def stream(self, steps: int | None = None) -> Generator[Any, None, None]:
        """The next `steps` batches; where None, those of a whole epoch, from its first one.

        The threads that make them end with the iterator: close it (`contextlib.closing`) where it is left early.

        Raises:
            DataError: there is no picture, or none that can be read.
            PictureError: a picture cannot be read, and the iterator is strict.
        """
        if steps is not None:
            yield from self._given(steps)
            return
        self.reset()
        yield from self._taken(len(self))

    def _given(self, steps: int | None) -> Generator[Any, None, None]:
        """So many batches from where the iterator stands, without end where None."""
        given = 0
        while steps is None or given < steps:
            for batch in self._taken(None if steps is None else steps - given):
                given += 1
                yield batch

    def _taken(self, count: int | None) -> Generator[Any, None, None]:
        """The batches at so many places, moving on; fewer where none of a batch's pictures can be read."""
        self._check_not_empty()
        first = self._position
        ahead = max(1, min(self.prefetch_bytes // self._batch_bytes(), 2 * self.workers))
        with closing(in_order(self._jobs(first, count), self.workers, ahead, self.waiting)) as batches:
            for position, batch in enumerate(batches, first):
                self._moved_on(position, batch)
                if batch is not None:
                    yield batch
                # Not kept for as long as the next one takes: batches are large.
                del batch

    def _check_not_empty(self) -> None:
        if self.n == 0:
            raise DataError("there are no pictures to make batches of")

    def _moved_on(self, position: int, batch: Any) -> None:
        self._position = position + 1
        if self._position % len(self) == 0:
            self._tell()
        self._barren = self._barren + 1 if batch is None else 0
        if self._barren >= len(self):
            raise DataError(f"none of the {self.n:,} pictures can be read; {_first(self.skipped)}")

    def _batch_bytes(self) -> int:
        return max(1, self.batch_size * math.prod(self.image_shape) * self.dtype.itemsize)

    def _jobs(self, first: int, count: int | None) -> Iterator[Job[Any]]:
        known, order = None, np.empty(0, np.intp)
        for position in itertools.count(first) if count is None else range(first, first + count):
            epoch, batch = divmod(position, len(self))
            if epoch != known:
                known, order = epoch, self._order(epoch)
            yield self._job(epoch, order[batch * self.batch_size : (batch + 1) * self.batch_size])

    def _order(self, epoch: int) -> NDArray[np.intp]:
        return self._generator(epoch).permutation(self.n) if self.shuffle else np.arange(self.n)

    def _generator(self, *key: int) -> np.random.Generator:
        seeds = np.random.SeedSequence(self._seeds.entropy, spawn_key=(*self._seeds.spawn_key, *key))
        return random.generator(seeds)

    def _job(self, epoch: int, indices: NDArray[np.intp]) -> Job[Any]:
        x = np.empty((len(indices), *self.image_shape), self.dtype)
        pieces = [slice(begin, begin + _SAMPLES_AT_A_TIME) for begin in range(0, len(indices), _SAMPLES_AT_A_TIME)]
        parts = [functools.partial(self._fill, x[piece], indices[piece], epoch) for piece in pieces]
        return Job(parts, functools.partial(self._assembled, x, indices))

    def _fill(self, x: NDArray[Any], indices: NDArray[np.intp], epoch: int) -> list[bool]:
        """Make some samples of a batch; says which could be made."""
        return [self._put(x[row], int(index), epoch) for row, index in enumerate(indices)]

    def _put(self, row: NDArray[Any], index: int, epoch: int) -> bool:
        if index in self._unread:
            return False
        try:
            row[...] = self._load(index, self._generator(epoch, index))
        except PictureError as error:
            if self.strict:
                raise
            self._unread[index] = Skipped.because(self._name(index), error)
            return False
        except Exception as error:
            raise RuntimeError(f"{self._name(index)}: {type(error).__name__}: {error}") from error
        return True

    def _assembled(self, x: NDArray[Any], indices: NDArray[np.intp], made: list[list[bool]]) -> Any:
        good = np.concatenate(made)
        if not good.any():
            return None
        return self._batch(indices, x) if good.all() else self._batch(indices[good], x[good])

    def _tell(self) -> None:
        """Say at the end of an epoch what was skipped, unless it was said before."""
        skipped = self.skipped
        if self.verbose and len(skipped) > self._told:
            self._told = len(skipped)
            print(f"Skipped {len(skipped):,} files, listed with the reasons in `skipped`; {_first(skipped)}")


def _first(skipped: list[Skipped]) -> str:
    return f"the first is {skipped[0].name}: {skipped[0].reason}"


def _at_least(least: int, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)
