"""Batches of arrays, cut and gathered, and how a model's inputs and outputs are read.

Arrays are never cast or copied as a whole: see `sources`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import as_array
from minicnn.device import device_of, native, place
from minicnn.functional.geometry import whole
from minicnn.kernels.floats import is_floating, is_real
from minicnn.models.diagnosis import fits
from minicnn.training.batch import Batch, Selection, Several
from minicnn.training.sources import Source

DEFAULT_BATCH_SIZE = 32


class Layout:
    """How a model's inputs and outputs are called and shaped, which says how to read what the user gives.

    Args:
        operation: "fit", "evaluate", ..., for messages.
        inputs: name, shape (batch axis included) and dtype of each input; None where the model cannot tell.
        output_names: names of the outputs; None where the model cannot tell.
        dtype: that targets with a fraction, class weights, and inputs of unknown dtype are cast to.
        row_rank: targets of at least so many axes hold a row for each prediction, those of fewer its class number.
    """

    def __init__(
        self,
        operation: str,
        inputs: Sequence[tuple[str, tuple[int | None, ...], Any]] | None,
        output_names: Sequence[str] | None,
        dtype: Any = np.float32,
        row_rank: float = 2,
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.output_names = output_names
        self.dtype = np.dtype(dtype)
        self.row_rank = row_rank

    def input_arrays(self, x: Any) -> list[np.ndarray]:
        """Read `x` as one array for each input, with a missing last axis of size 1 added."""
        if self.inputs is None:
            return self._free_arrays(x, "x")
        names = [name for name, _, _ in self.inputs]
        arrays = self._arrays(x, names, "x")
        return [fit_rank(array, shape) for array, (_, shape, _) in zip(arrays, self.inputs, strict=True)]

    def output_arrays(self, y: Any) -> list[np.ndarray]:
        """Read `y` as one array for each output."""
        if self.output_names is None:
            return self._free_arrays(y, "y")
        return self._arrays(y, self.output_names, "y")

    def weight_arrays(self, weights: Any, count: int) -> list[np.ndarray | None] | None:
        """Read sample weights as one array, or None, for each output; one array serves all outputs."""
        if weights is None:
            return None
        if isinstance(weights, Mapping):
            names = self.output_names or []
            unknown = set(weights) - set(names)
            if unknown:
                raise ValueError(
                    f"{self.operation}: sample_weight names {sorted(unknown)}, but the outputs are {list(names)}"
                )
            return [None if weights.get(name) is None else _array(weights[name]) for name in names]
        if isinstance(weights, (list, tuple)) and len(weights) == count and count > 1:
            return [None if weight is None else _array(weight) for weight in weights]
        return [_array(weights)] * count

    def input_dtype(self, index: int) -> np.dtype:
        """Give the dtype that the input at `index` is cast to."""
        return self.dtype if self.inputs is None else np.dtype(self.inputs[index][2])

    def _arrays(self, values: Any, names: Sequence[str], what: str) -> list[np.ndarray]:
        kind = "inputs" if what == "x" else "outputs"
        if isinstance(values, Mapping):
            if set(values) != set(names):
                raise ValueError(f"{self.operation}: {what} names {list(values)}, but the {kind} are {list(names)}")
            return [_array(values[name]) for name in names]
        if len(names) == 1:
            if isinstance(values, (list, tuple)) and len(values) == 1 and _is_array(values[0]):
                return [_array(values[0])]
            return [_array(values)]
        if not isinstance(values, (list, tuple)) or len(values) != len(names):
            came = f"{len(values)} arrays" if isinstance(values, (list, tuple)) else f"a {type(values).__name__}"
            raise ValueError(
                f"{self.operation}: the model has {len(names)} {kind} ({', '.join(names)}), so {what} must be a list "
                f"or a dictionary of {len(names)} arrays, but {came} came"
            )
        return [_array(value) for value in values]

    def _free_arrays(self, values: Any, what: str) -> list[np.ndarray]:
        if isinstance(values, Mapping):
            raise ValueError(f"{self.operation}: {what} must be a list of arrays, as the model names no {what}")
        if isinstance(values, (list, tuple)) and values and all(_is_array(value) for value in values):
            return [_array(value) for value in values]
        return [_array(values)]


def fit_rank(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """Add or drop a last axis of size 1 where that makes the array's shape fit `shape`, as Keras does."""
    if shape[-1] == 1 and fits(shape[1:-1], array.shape[1:]):
        return array[..., np.newaxis]
    if array.ndim > 1 and array.shape[-1] == 1 and fits(shape[1:], array.shape[1:-1]):
        return array[..., 0]
    return array


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def _array(value: Any) -> np.ndarray:
    return native(as_array(value))


# ------------------------------------------------------------------------------------------------ arrays


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
        ahead: gives, for batches of so many samples, how many are wanted in one piece (`Several`).

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
        named += [(name, array) for name, array in _numbered("sample_weight", self.weights or []) if array is not None]
        for name, array in named:
            if array.ndim == 0:
                raise ValueError(f"{operation}: {name} must have a batch axis, but a single number came")
            if not is_real(array.dtype):
                raise TypeError(f"{operation}: {name} must be numbers, but an array of dtype {array.dtype} came")
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
            return Several(count, x, y, size, samples)
        weights = sources.weights and [None if source is None else take(source) for source in sources.weights]
        if self.class_weight is not None and y is not None:
            weights = self.class_weight.times(y[0], weights)
        return Batch(x, y, weights, size, samples)


def _numbered(name: str, arrays: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(f"{name}[{i}]" if len(arrays) > 1 else name, array) for i, array in enumerate(arrays)]


def _target_dtype(array: np.ndarray, dtype: np.dtype) -> np.dtype:
    # Whole numbers may be class numbers, which floats could round.
    return dtype if is_floating(array.dtype) else array.dtype


# ----------------------------------------------------------------------------------------- class weights


class ClassWeights:
    """A weight for each class number; 1 for classes that are not named."""

    def __init__(self, layout: Layout, weights: Mapping[int, float]) -> None:
        for label in weights:
            if not isinstance(label, (int, np.integer)) or label < 0:
                raise ValueError(
                    f"{layout.operation}: class_weight maps class numbers to weights, but {label!r} is no class"
                )
        self._row_rank = layout.row_rank
        self._table = np.ones(max(weights, default=0) + 1, layout.dtype)
        for label, weight in weights.items():
            self._table[label] = weight

    def times(self, y: Any, weights: list[Any] | None) -> list[Any]:
        """Give the samples' weights, times those that came with them, where y lies."""
        labels = self._class_numbers(y).astype(np.int64)
        table = place(self._table, device_of(y))
        known = np.clip(labels, 0, len(table) - 1)
        factors = np.where(known == labels, table[known], table.dtype.type(1))
        given = weights[0] if weights else None
        if given is None:
            return [factors]
        given = place(given, device_of(y))
        return [factors * given.reshape(given.shape + (1,) * (factors.ndim - given.ndim)).astype(factors.dtype)]

    def _class_numbers(self, y: Any) -> Any:
        if y.ndim > 1 and y.shape[-1] == 1:
            return y[..., 0]
        return y if y.ndim < self._row_rank else np.argmax(y, axis=-1)


def class_weights(
    layout: Layout, weights: Mapping[int, float] | ClassWeights | None, y: Sequence[np.ndarray] | None
) -> ClassWeights | None:
    """Check what `Model.fit` takes as class_weight for a model of these targets; None where they are not known."""
    if weights is None or isinstance(weights, ClassWeights):
        return weights
    if not isinstance(weights, Mapping):
        raise TypeError(
            f"{layout.operation}: class_weight must be a dictionary {{class number: weight}}, but "
            f"{type(weights).__name__} came: {weights!r}"
        )
    if y is not None and len(y) > 1:
        raise ValueError(f"{layout.operation}: class_weight is for models of one output, this one has {len(y)}")
    return ClassWeights(layout, weights)
