"""What `Model.compile` is given, losses and metrics, by name or themselves, and what it means for each output.

Where an output ends in a softmax or a sigmoid and its loss is the cross-entropy that belongs to it, the walk through
the model stops before that activation, and the loss is computed from the logits as one operation: stable without
clipping, and with a gradient of simply (probability - target).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn import losses, metrics
from minicnn.autograd import Tensor, no_grad
from minicnn.training import checks
from minicnn.training.layout import arrange

if TYPE_CHECKING:
    from minicnn.models import Model
    from minicnn.training.batch import Batch

# Resolved by the shapes of targets and predictions, hence not before both have been seen.
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")
# Those that a loss may be joined with, by the names that losses have for them.
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"softmax": F.softmax, "sigmoid": F.sigmoid}


class Output:
    """How one output is measured.

    Attributes:
        name: of the layer that makes it.
        loss: a `Loss`, or None where the output is not trained for.
        weight: of the loss in the total.
        metrics: (name, `Metric`) pairs.
        activation: what makes probabilities of logits where loss and activation are joined; None otherwise.
        total: sum of the loss over the epoch's samples.
    """

    def __init__(self, name: str, loss: Any, weight: float, metrics: list[tuple[str, Any]], activation: Any) -> None:
        self.name = name
        self.loss = loss
        self.weight = weight
        self.metrics = metrics
        self.activation = activation
        self.total: Any = 0.0

    def loss_of(self, y: np.ndarray, prediction: Tensor, weights: np.ndarray | None) -> Tensor:
        """Give the scalar loss of a batch; `prediction` holds logits where loss and activation are joined."""
        if self.activation is not None:
            return self.reduce(self.loss.per_sample_from_logits(y, prediction), weights)
        value = self.loss(y, prediction, weights)
        return F.mean(value) if value.ndim else value

    def reduce(self, values: Tensor, weights: np.ndarray | None = None) -> Tensor:
        """Give the scalar loss of a batch, given that of each sample."""
        value = self.loss.reduce(values, weights)
        return F.mean(value) if value.ndim else value


def make_outputs(
    model: Model, batch: Batch, *, loss: Any, loss_weights: Any, metrics: Any, clip_probabilities: bool
) -> list[Output]:
    """Find out, with a batch or all arrays at hand, what each output of a model is compared with and how.

    Args:
        model, batch: which.
        loss, loss_weights, metrics, clip_probabilities: as `Model.compile` takes them, names made what they mean.

    Raises:
        ValueError: targets are missing, or they or what `compile` was given do not fit the outputs.
    """
    if batch.y is None:
        raise ValueError(f"{model.describe()}: y is missing; training and evaluating need targets")
    names, shapes = _names_and_shapes(model, batch)
    if len(batch.y) != len(names):
        raise ValueError(
            f"{model.describe()}: the model has {len(names)} outputs ({', '.join(names)}), "
            f"but y has {len(batch.y)} arrays"
        )
    chosen = spread(loss, names, "loss", share=True)
    factors = spread(loss_weights, names, "loss_weights", share=False)
    measured = spread_metrics(metrics, names)
    if all(each is None for each in chosen):
        raise ValueError(f"{model.describe()}: no loss; compile(loss=...) says what to minimise")
    outputs = []
    for index, name in enumerate(names):
        target, shape = batch.y[index].shape, shapes[index]
        found_loss = losses.get(chosen[index], target, shape)
        last = _final_activation(model, index)
        joined = None if clip_probabilities else _joined_activation(found_loss, last)
        found = [named_metric(item, target, shape) for item in measured[index]]
        if len(names) > 1:
            found = [(f"{name}_{label}", metric) for label, metric in found]
        weight = 1.0 if factors[index] is None else float(factors[index])
        outputs.append(Output(name, found_loss, weight, found, joined))
        checks.check_target_shape(model.describe(), found_loss, batch.y[index], shape)
        checks.warn_about_pairing(found_loss, last, shape)
    return outputs


def _names_and_shapes(model: Model, batch: Batch) -> tuple[list[str], list[tuple[int | None, ...]]]:
    if model.graph is None:
        # Deferred chains and subclasses build themselves; a sample is enough to see what comes out.
        with no_grad():
            results = model(arrange(model, [array[:1] for array in batch.x]), training=False)
        if not model.runs_graph:
            listed = list(results) if isinstance(results, (list, tuple)) else [results]
            names = [f"output_{i + 1}" for i in range(len(listed))] if len(listed) > 1 else ["output"]
            return names, [(None, *result.shape[1:]) for result in listed]
    return model.output_names, [tensor.shape for tensor in model.outputs]


def _final_activation(model: Model, index: int) -> Any:
    return None if not model.runs_graph or model.graph is None else model.graph.output_activation(index)


def _joined_activation(loss: Any, last: Any) -> Any:
    wanted = None if loss is None or loss.activation is None else _ACTIVATIONS.get(loss.activation)
    return wanted if wanted is last else None


def known_loss(item: Any) -> Any:
    """Turn names into losses at once, so that a misspelt one fails in `compile`."""
    if isinstance(item, str) and item.lower() in _BY_SHAPE:
        return item
    return losses.get(item)


def known_metric(item: Any) -> Any:
    """Turn names into metrics to see whether there are such; they are made when shapes are known."""
    if isinstance(item, str):
        if item.lower() not in _BY_SHAPE:
            metrics.get(item)
        return item
    # A loss among the metrics stays one, so that files describe it as what it is.
    return item if isinstance(item, losses.Loss) else metrics.get(item)


def named_metric(item: Any, target_shape: Any, output_shape: Any) -> tuple[str, Any]:
    """Give the metric that an item means for these shapes, and what logs call it."""
    metric = metrics.get(item, target_shape, output_shape)
    return (item if isinstance(item, str) else metric.name), metric


def serialize(item: Any) -> Any:
    """Describe a loss or a metric by name, or by class and configuration; what is the user's own is found by name."""
    if item is None or isinstance(item, str):
        return item
    named = getattr(item, "function", item)
    if not hasattr(named, "get_config") or isinstance(named, type):
        if named.__name__ == "<lambda>":
            raise ValueError("a lambda among losses or metrics has no name to find it by; define a function instead")
        return named.__name__
    description = {"class_name": type(item).__name__, "config": item.get_config()}
    # A loss may stand among the metrics, and share its name with one of them.
    return {**description, "kind": "loss"} if isinstance(item, losses.Loss) else description


def spread(value: Any, names: Sequence[str], what: str, *, share: bool) -> list[Any]:
    """Give one entry for each output, from one for all, a list, or a dictionary by output name."""
    if isinstance(value, Mapping) and "class_name" not in value:
        _check_keys(value, names, what)
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(f"compile: {what} has {len(value)} entries for {len(names)} outputs ({', '.join(names)})")
        return list(value)
    if value is not None and not share and len(names) > 1:
        raise ValueError(f"compile: {what} must be a list or a dictionary for {len(names)} outputs, got {value!r}")
    return [value] * len(names)


def loss_of(model: Model, loss: Any, target_shape: Sequence[int | None], output_shape: Sequence[int | None]) -> Any:
    """The loss of a model of one output, None where there is none.

    Args:
        model: compiled or not.
        loss: name or function; None takes the one that the model was compiled with.
        target_shape, output_shape: which tell what "crossentropy" means.
    """
    if loss is None and model.compiled:
        (loss,) = spread(model.trainer.loss, model.output_names, "loss", share=True)
    return losses.get(loss, target_shape, output_shape)


def spread_metrics(value: Any, names: Sequence[str]) -> list[list[Any]]:
    """Give the list of metrics of each output, from one list for a single one, or as `spread` takes it."""
    if value is None:
        return [[] for _ in names]
    if len(names) == 1 and isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple)) for v in value):
        return [list(value)]
    entries = spread(value, names, "metrics", share=len(names) == 1)
    return [list(e) if isinstance(e, (list, tuple)) else [] if e is None else [e] for e in entries]


def _check_keys(value: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    unknown = [key for key in value if key not in names]
    if unknown:
        raise ValueError(f"compile: {what} names {unknown}, but the outputs are {list(names)}")
