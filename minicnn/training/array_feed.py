"""Batches of arrays, cut and gathered.

Arrays are never cast or copied as a whole: see `sources`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.device import device_of, place
from minicnn.functional.geometry import whole
from minicnn.kernels.floats import is_floating, is_real
from minicnn.training.batch import Batch, BatchRun, Selection
from minicnn.training.checks import check_finite
from minicnn.training.class_weights import ClassWeights, class_weights
from minicnn.training.layout import Layout
from minicnn.training.sources import Source

DEFAULT_BATCH_SIZE = 32


class ArrayFeed:
    """Batches of arrays.

    Args:
        layout: how to read the arrays.
        x, y, sample_weight: as `Model.fit` takes them.
        batch_size: samples a batch; the last one may be smaller.
        generator: draws a new order of the samples for every epoch; None leaves them in order.
        class_weight: weight for each class number.

    Attributes:
        stays: whether x and y lie on a GPU whole, from where a batch is a `Selection`.
        room: gives, for a number of samples, the arrays that a model's one input and its targets should be gathered
            into, where that fits, or None.
        ahead: gives, for batches of so many samples, how many are wanted in one piece (`BatchRun`).

    Raises:
        ValueError: no samples, or different numbers of them.
        TypeError: something else than numbers.
    """

    room: Callable[[int], Sequence[np.ndarray | None]] | None = None
    ahead: Callable[[int], int] | None = None

    def __init__(
        self,
        layout: Layout,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        generator: np.random.Generator | None = None,
        class_weight: Mapping[int, float] | ClassWeights | None = None,
    ) -> None:
        self.layout = layout
        self.x = layout.input_arrays(x)
        self.y = None if y is None else layout.output_arrays(y)
        self.weights: list[Any] | None = layout.weight_arrays(sample_weight, 1 if self.y is None else len(self.y))
        self.size = self._count_samples()
        self.batch_size = (
            DEFAULT_BATCH_SIZE if batch_size is None else whole(batch_size, "batch_size", layout.operation)
        )
        self.steps: int | None = math.ceil(self.size / self.batch_size)
        self.generator = generator
        self.class_weight = class_weights(layout, class_weight, self.y)
        inputs = [Source(array, layout.input_dtype(index)) for index, array in enumerate(self.x)]
        targets = None if self.y is None else [Source(array, _target_dtype(array, layout.dtype)) for array in self.y]
        self._sources = Batch(inputs, targets, None, self.size)
        self.stays = all(source.stays for source in self._sources.arrays())
        self._place_weights()

    def _place_weights(self) -> None:
        """Bring the weights of all samples to where the samples stay, else to the host."""
        if self.stays and self.class_weight is not None and self.y is not None:
            self.weights, self.class_weight = self.class_weight.times(self.y[0], self.weights), None
        device = "cuda" if self.stays else "cpu"
        self.weights = self.weights and [None if w is None else place(w, device) for w in self.weights]
        self._sources.weights = self.weights and [None if w is None else Source(w, w.dtype) for w in self.weights]

    def _count_samples(self) -> int:
        operation = self.layout.operation
        named = [*_numbered("x", self.x), *_numbered("y", self.y or [])]
        weighted = [(name, w) for name, w in _numbered("sample_weight", self.weights or []) if w is not None]
        named += weighted
        for name, array in named:
            if array.ndim == 0:
                raise ValueError(f"{operation}: {name} must have a batch axis, but a single number came")
            if not is_real(array.dtype):
                raise TypeError(f"{operation}: {name} must be numbers, but an array of dtype {array.dtype} came")
        for name, array in weighted:
            if device_of(array) == "cpu":
                check_finite(operation, name, array)
        sizes = {name: len(array) for name, array in named}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise ValueError(f"{operation}: the numbers of samples differ: {listed}")
        size = next(iter(sizes.values()))
        if size == 0:
            raise ValueError(f"{operation}: there are no samples: {named[0][0]} has shape {named[0][1].shape}")
        return size

    def batches(self, epoch: int, steps: int | None = None) -> Generator[Batch, None, None]:
        """Give the batches of an epoch: all of them, or `steps`, starting over where there are fewer."""
        total = self.steps or 0
        count = total if steps is None else steps
        # Unshuffled, epochs of fewer steps than there are batches go on where the last one ended.
        first = 0 if steps is None or self.generator is not None else (epoch * count) % total
        orders: dict[str, Any] = {}
        step = 0
        while step < count:
            if self.generator is not None and step % total == 0:
                orders = self._new_orders(self.generator)
            begin = (first + step) % total * self.batch_size
            wanted = self._in_one_piece(begin, count - step)
            yield self._batch(orders, begin, wanted)
            step += wanted

    def _in_one_piece(self, begin: int, most: int) -> int:
        """How many batches from a place on are taken at once."""
        if self.ahead is None or self.weights is not None or self.class_weight is not None:
            return 1
        wanted = self.ahead(self.batch_size)
        return wanted if wanted <= min(most, (self.size - begin) // self.batch_size) else 1

    def _new_orders(self, generator: np.random.Generator) -> dict[str, Any]:
        """The samples in a new order, on each device that some of them live on: brought there once an epoch."""
        order = generator.permutation(self.size)
        devices = {source.device for source in self._sources.arrays()}
        return {device: place(order, device) for device in {"cpu", *devices}}

    def head(self) -> Batch:
        """Give the first samples, as many as a batch has."""
        return self._batch({}, 0)

    def _batch(self, orders: Mapping[str, Any], begin: int, count: int = 1) -> Batch:
        """Batches from one place on of an order, which is given for each device; as they come, where none is."""
        size = min(count * self.batch_size, self.size - begin)
        window = slice(begin, begin + size)
        samples = orders["cpu"][window] if orders else window
        sources = self._sources
        if self.stays:
            return Selection(sources, orders.get("cuda"), begin, size, samples)
        for_x, for_y = (None, None) if self.room is None else self.room(size)

        def take(source: Source, room: np.ndarray | None = None) -> Any:
            return source.take(orders.get(source.device), begin, size, room)

        x = [take(source, for_x) for source in sources.x]
        y = None if sources.y is None else [take(source, for_y) for source in sources.y]
        if count > 1:
            return BatchRun(count, x, y, size, samples)
        weights = sources.weights and [None if source is None else take(source) for source in sources.weights]
        if self.class_weight is not None and y is not None:
            weights = self.class_weight.times(y[0], weights)
        return Batch(x, y, weights, size, samples)


def _numbered(name: str, arrays: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(f"{name}[{i}]" if len(arrays) > 1 else name, array) for i, array in enumerate(arrays)]


def _target_dtype(array: np.ndarray, dtype: np.dtype) -> np.dtype:
    # Whole numbers may be class numbers, which floats could round.
    return dtype if is_floating(array.dtype) else array.dtype


def whole_batch(
    layout: Layout,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | ClassWeights | None = None,
) -> Batch:
    """Read arrays as a single batch, of however many samples."""
    return ArrayFeed(layout, x, y, sample_weight, batch_size=2**62, class_weight=class_weight).head()
