"""How a model's inputs and outputs are called and shaped: how what the user gives is read, and given to the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import losses
from minicnn.autograd import as_array
from minicnn.device import native, place
from minicnn.models import Sequential
from minicnn.models.diagnosis import fits
from minicnn.training.checks import explained_memory

if TYPE_CHECKING:
    from minicnn.models import Model

# Where a GPU's memory may be full, as messages call it.
ON_THE_WAY = "the batch's way there"


class Layout:
    """How a model's inputs and outputs are called and shaped, which says how to read what the user gives.

    Args:
        operation: "fit", "evaluate", ..., for messages.
        inputs: name, shape (batch axis included) and dtype of each input; None where the model cannot tell.
        output_names: names of the outputs; None where the model cannot tell.
        dtype: that targets with a fraction, class weights, and inputs of unknown dtype are cast to.
        row_rank: targets of at least so many axes hold a row for each prediction, those of fewer its class number.
        takes_several: whether a list of arrays may be x, one for each input.
    """

    def __init__(
        self,
        operation: str,
        inputs: Sequence[tuple[str, tuple[int | None, ...], Any]] | None,
        output_names: Sequence[str] | None,
        dtype: Any = np.float32,
        row_rank: float = 2,
        takes_several: bool = False,
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.output_names = output_names
        self.dtype = np.dtype(dtype)
        self.row_rank = row_rank
        self.takes_several = takes_several

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


def make_layout(model: Model, operation: str) -> Layout:
    """Describe how the x and y of a model are to be read."""
    name = f"{operation}, {model.describe()}"
    if model.graph is None:
        takes_numbers = model.compiled and _takes_class_numbers(model.trainer.loss)
        # Where targets are needed, a list can hold them instead.
        may_take_several = operation.startswith("predict") and not isinstance(model, Sequential)
        rank = math.inf if takes_numbers else 2
        return Layout(name, None, None, model.dtype, rank, may_take_several)
    inputs = [
        (label, tensor.shape, tensor.dtype) for label, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    output = model.outputs[0]
    return Layout(name, inputs, model.output_names, output.dtype, len(output.shape), len(inputs) > 1)


def _takes_class_numbers(loss: Any) -> bool:
    """Whether a model's one loss, by itself or in a list, takes class numbers and no rows of a number for each."""
    only = loss[0] if isinstance(loss, list) and len(loss) == 1 else loss
    return isinstance(only, losses.SparseCategoricalCrossentropy)


def arrange(model: Model, arrays: Sequence[Any]) -> Any:
    """Give a model's input arrays as it takes them: on the GPU where it lives there, and alone or in a list."""
    takes_list = model.takes_list if model.graph is not None else len(arrays) > 1
    if model.device != "cpu":
        with explained_memory(model, ON_THE_WAY, len(arrays[0])):
            arrays = [place(array, model.device) for array in arrays]
    return list(arrays) if takes_list else arrays[0]


def fit_rank(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """Add or drop a last axis of size 1 where that makes the array's shape fit `shape`, as Keras does."""
    if shape[-1] == 1 and fits(shape[1:-1], array.shape[1:]):
        return array[..., np.newaxis]
    if array.ndim > 1 and array.shape[-1] == 1 and fits(shape[1:], array.shape[1:-1]):
        return array[..., 0]
    return array


def is_data(value: Any) -> bool:
    """Whether this is an array, or several of them for several inputs or outputs."""
    if isinstance(value, (list, tuple, Mapping)):
        return bool(value) and all(map(_is_array, value.values() if isinstance(value, Mapping) else value))
    return _is_array(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def _array(value: Any) -> np.ndarray:
    return native(as_array(value))
