"""One batch: some samples of what a network is trained or measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.device import array_module, device_of, place
from minicnn.kernels.samples import Rows


class Taken(NamedTuple):
    """An array that consists of rows of one on a GPU, and need not exist yet.

    rows: which.
    shape, dtype: its own, as a batch has it.
    """

    rows: Rows
    shape: tuple[int, ...]
    dtype: np.dtype


class Batch:
    """Some samples.

    Attributes:
        x: one array (n, ...) for each input.
        y: one array (n, ...) for each output; None where there are no targets.
        weights: for each output an array (n,) or None; None where there are none at all.
        size: the number of samples n.
        samples: which of the user's samples these are; None where the batch came as one.
    """

    __slots__ = ("samples", "size", "weights", "x", "y")

    def __init__(
        self,
        x: list[Any],
        y: list[Any] | None,
        weights: list[Any] | None,
        size: int,
        samples: slice | np.ndarray | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.weights = weights
        self.size = size
        self.samples = samples

    def split(self) -> list[Batch]:
        """The batches, one for each training step: itself."""
        return [self]

    def arrays(self) -> list[Any]:
        """All of them, one after the other."""
        return [*self.x, *(self.y or ()), *(w for w in self.weights or () if w is not None)]

    def parts(self) -> list[Any]:
        """Its arrays as a training step may take them: NumPy's as they are, one on a GPU as rows of what lies there."""
        return [array if device_of(array) == "cpu" else self._taken(array) for array in self.arrays()]

    @staticmethod
    def _taken(array: Any) -> Taken:
        source = array_module(array).ascontiguousarray(array)
        return Taken(Rows(source, None, 0), array.shape, array.dtype)

    def like(self, arrays: Sequence[Any]) -> Batch:
        """A batch of these arrays in place of its own."""
        rest = iter(arrays)
        x, y = [next(rest) for _ in self.x], None if self.y is None else [next(rest) for _ in self.y]
        weights = self.weights and [None if w is None else next(rest) for w in self.weights]
        return Batch(x, y, weights, self.size, self.samples)

    def to(self, device: str) -> Batch:
        """The same samples on a device."""
        return self.like([place(array, device) for array in self.arrays()])


class BatchRun(Batch):
    """Batches of one size, one after the other, in one piece.

    Args:
        count: how many batches these are.
        x, y, size, samples: as for `Batch`, of all of them.
    """

    __slots__ = ("count",)

    def __init__(
        self, count: int, x: list[Any], y: list[Any] | None, size: int, samples: slice | np.ndarray | None
    ) -> None:
        super().__init__(x, y, None, size, samples)
        self.count = count

    def split(self) -> list[Batch]:
        """Each by itself, over the same memory."""
        size = self.size // self.count
        return [self._part(slice(begin, begin + size)) for begin in range(0, self.size, size)]

    def _part(self, part: slice) -> Batch:
        y = None if self.y is None else [array[part] for array in self.y]
        samples = self.samples
        if isinstance(samples, slice):
            samples = slice(samples.start + part.start, samples.start + part.stop)
        elif samples is not None:
            samples = samples[part]
        return Batch([array[part] for array in self.x], y, None, part.stop - part.start, samples)


class Selection(Batch):
    """Some samples of arrays that lie on a GPU whole, taken there when somebody looks at them.

    The graph of a training step takes them itself and never asks for `x`, `y` and `weights`.

    Args:
        sources: the arrays, as a batch of `Source`s.
        order: numbers of samples, on the GPU; None for all as they come.
        begin: where in that order this batch begins.
        size, samples: as for `Batch`.

    Attributes:
        sources: as given.
    """

    __slots__ = ("_begin", "_order", "sources")

    def __init__(self, sources: Batch, order: Any, begin: int, size: int, samples: slice | np.ndarray) -> None:
        self.sources = sources
        self.size = size
        self.samples = samples
        self._order = order
        self._begin = begin

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not there: the arrays, until somebody has looked at one.
        if name not in ("x", "y", "weights"):
            raise AttributeError(name)
        sources = self.sources
        taken = sources.like([source.take(self._order, self._begin, self.size) for source in sources.arrays()])
        self.x, self.y, self.weights = taken.x, taken.y, taken.weights
        return getattr(self, name)

    def parts(self) -> list[Any]:
        """See `Batch.parts`: nothing is taken yet."""
        return [
            Taken(Rows(source.array, self._order, self._begin), (self.size, *source.array.shape[1:]), source.dtype)
            for source in self.sources.arrays()
        ]
