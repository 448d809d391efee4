"""What is looked at before and while training, so that a mistake in the data is named instead of learned."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn import losses
from minicnn.autograd import Tensor, as_array, no_grad
from minicnn.device import DeviceMemoryError, device_of
from minicnn.functional.geometry import whole
from minicnn.kernels.samples import is_finite
from minicnn.losses.crossentropy import check_class_numbers, check_within
from minicnn.models.diagnosis import describe_shape
from minicnn.models.graph import Graph
from minicnn.training.batch import Batch, Selection

if TYPE_CHECKING:
    from minicnn.models import Model


def check_counts(operation: str, **counts: Any) -> None:
    """Refuse what is given for the number of something, such as steps, unless it is None or at least 1.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small.
    """
    for name, count in counts.items():
        if count is not None:
            whole(count, name, operation)


# What subclasses of a Keras model may override, and what does the same here.
_HOOKS = {
    "train_step": "a loop of train_on_batch(), or of loss.backward() and optimizer.step(), trains in a way of its own",
    "test_step": "a loop of test_on_batch() measures in a way of its own",
    "predict_step": "call() says what is computed",
    "compute_loss": "compile(loss=...) takes any function of y_true and y_pred",
}


def check_hooks(model: Model) -> None:
    """Raise TypeError where a subclass overrides what would never be called."""
    for name, instead in _HOOKS.items():
        if hasattr(type(model), name):
            raise TypeError(f"compile: {type(model).__name__}.{name} would never be called; {instead}")


def check_target_shape(owner: str, loss: Any, y: np.ndarray, output_shape: tuple[int | None, ...]) -> None:
    """Raise ValueError where targets are of another kind than predictions; finer differences are the loss's to find."""
    if loss is None:
        return
    if len(output_shape) > 2 and y.ndim <= 2:
        raise ValueError(
            f"{owner}: the output has shape {describe_shape(output_shape)}, a prediction for each position, but the "
            f"targets have shape {y.shape}, one for each sample; a Flatten() or a GlobalAveragePooling2D() before the "
            "last Dense makes one prediction a sample"
        )
    if isinstance(loss, losses.CategoricalCrossentropy) and y.ndim < len(output_shape):
        raise ValueError(
            f"{owner}: {loss.name} takes one-hot targets of shape {describe_shape(output_shape)}, but they have shape "
            f"{y.shape}; for integer labels use sparse_categorical_crossentropy, or utils.to_categorical(y)"
        )


def check_labels(owner: str, name: str, loss: Any, y: np.ndarray, classes: int | None) -> None:
    """Raise ValueError for class numbers out of range, probabilities outside 0..1, and targets that are not finite."""
    asked = f"{owner}, {name} for {loss.name}"
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        if classes is not None:
            check_class_numbers(asked, y, classes)
    elif isinstance(loss, (losses.CategoricalCrossentropy, losses.BinaryCrossentropy)):
        check_within(asked, y, 0.0, 1.0)
    check_finite(owner, name, y)


def check_finite(operation: str, name: str, array: np.ndarray, samples: slice | np.ndarray | None = None) -> None:
    """Raise ValueError naming the first value that is NaN or infinite; `samples` says which ones `array` holds."""
    if is_finite(array):
        return
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    value = array[where]
    if samples is not None:
        where = (int(np.r_[samples][where[0]]), *where[1:])
    raise ValueError(f"{operation}: {name} must hold finite numbers, but {value} came at position {where}")


def check_batch(operation: str, batch: Batch, step: int) -> None:
    """Raise ValueError where a batch's inputs or targets are not finite; those on a GPU are not waited for."""
    if isinstance(batch, Selection):
        return
    for name, arrays in (("x", batch.x), ("y", batch.y or [])):
        for index, array in enumerate(arrays):
            if device_of(array) != "cpu" or is_finite(array):
                continue
            label = f"{name}[{index}]" if len(arrays) > 1 else name
            # Shuffled, a place in the batch would tell the user nothing; in a stream there is no other.
            owner = f"{operation}, batch {step}" if batch.samples is None else operation
            check_finite(owner, label, array, batch.samples)


def warn_about_pairing(loss: Any, activation: Any, output_shape: tuple[int | None, ...]) -> None:
    """Warn of a last activation and a loss that do not belong together."""
    if activation is F.softmax and output_shape[-1] == 1:
        warnings.warn(
            "the softmax of a single value is always 1, so nothing can be learned: use sigmoid with "
            "binary_crossentropy, or one unit for each class",
            stacklevel=7,
        )
    if getattr(loss, "from_logits", False) and activation in (F.softmax, F.sigmoid):
        warnings.warn(
            f"{loss.name} has from_logits=True, but the last layer applies {activation.__name__} already: leave out "
            "one of the two",
            stacklevel=7,
        )


def explain_loss(model: Model, batch: Batch) -> str:
    """Say where the first values come from that are not finite."""
    for name, arrays in (("x", batch.x), ("y", batch.y or [])):
        if not all(is_finite(array) for array in arrays):
            return f"{name} holds values that are not finite"
    for layer in model.layers:
        # Where a layer is trained, the others are averages of what went through it: no cause.
        weights = layer.trainable_weights if layer.trainable else layer.weights
        if not all(is_finite(weight.data) for weight in weights):
            return f"the weights of {layer.describe()} are not finite any more"
    broken = _first_broken_layer(model, batch)
    return f"the output of {broken} is not finite" if broken else "all outputs are finite, the loss itself overflows"


def _first_broken_layer(model: Model, batch: Batch) -> str | None:
    graph = model.graph
    if graph is None or not model.runs_graph:
        return None
    steps = graph.steps
    tensors = [tensor for step in steps for tensor in step.node.outputs]
    everything = Graph(graph.inputs, tensors, graph.owner)
    with no_grad():
        values = everything.run([Tensor(x) for x in batch.x], False)
    for tensor, value in zip(tensors, values, strict=True):
        if not is_finite(as_array(value)):
            return tensor.node.layer.describe()
    return None


@contextlib.contextmanager
def explained_memory(model: Model, where: str, batch_size: int) -> Iterator[None]:
    """Where a GPU's memory is full within the block, say where that was, and which batch should fit.

    What cannot be said, or has been said already, is raised as it came.

    Raises:
        DeviceMemoryError: in place of the error that says that the memory is full.
    """
    try:
        yield
    except MemoryError as error:
        if model.device == "cpu" or model.graph is None or isinstance(error, DeviceMemoryError):
            raise
        raise model.graph.explain_memory(where, batch_size) from error
