"""How good predictions are: metrics under Keras' names, with Keras' defaults and values.

A metric takes arrays batch by batch and gives the figure of all of them together::

    accuracy = SparseCategoricalAccuracy()
    accuracy.update_state(y_true, y_pred)
    accuracy.result()
    accuracy.reset_state()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.losses import Loss, classification_kind
from minicnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from minicnn.metrics.base import FunctionMetric, Mean, MeanMetric, Metric, registry
from minicnn.metrics.confusion import AUC, ConfusionMatrix, Precision, Recall, confusion_matrix
from minicnn.metrics.regression import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    LossMetric,
    MeanAbsoluteError,
    MeanSquaredError,
    PearsonCorrelation,
    SparseCategoricalCrossentropy,
)

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "ConfusionMatrix", "FunctionMetric", "LossMetric", "Mean", "MeanAbsoluteError", "MeanMetric", "MeanSquaredError",
    "Metric", "PearsonCorrelation", "Precision", "Recall", "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy", "confusion_matrix",
    "get", "registry", "serialize",
]  # fmt: skip

serialize = registry.serialize

# What "accuracy" and "crossentropy" stand for is decided by the shapes of targets and predictions.
_BY_SHAPE = {"accuracy": "accuracy", "acc": "accuracy", "crossentropy": "crossentropy", "ce": "crossentropy"}


def get(
    identifier: Any,
    y_true_shape: Sequence[int | None] | None = None,
    y_pred_shape: Sequence[int | None] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Turn a name, class, configuration, Metric, Loss or function ``(y_true, y_pred) -> values`` into a Metric.

    "accuracy" (or "acc") and "crossentropy" (or "ce") become the ones that the shapes call for, as in Keras: binary
    for predictions with one column, sparse categorical for targets with an axis less than the predictions, else
    categorical. A metric that was named carries that name. None stays None.

    Args:
        identifier: what is meant.
        y_true_shape, y_pred_shape: of targets and predictions, None where a size is open; for the names above only.
        custom_objects: further classes and functions by name, for this call only.

    Raises:
        TypeError: the identifier is something else.
        ValueError: an unknown name, or one of the names above without shapes.

    >>> metric = get("accuracy", (None,), (None, 10))
    >>> type(metric).__name__, metric.name
    ('SparseCategoricalAccuracy', 'accuracy')
    """
    if isinstance(identifier, str) and identifier.lower() in _BY_SHAPE:
        if y_true_shape is None or y_pred_shape is None:
            raise ValueError(
                f"metric {identifier!r}: which one is meant follows from the shapes of targets and predictions; "
                f"name binary_, categorical_ or sparse_categorical_{_BY_SHAPE[identifier.lower()]}"
            )
        kind = classification_kind(y_true_shape, y_pred_shape)
        metric = registry.get(f"{kind}_{_BY_SHAPE[identifier.lower()]}")
    else:
        metric = registry.get(identifier, custom_objects)
    if isinstance(metric, Loss):
        metric = LossMetric(metric)
    elif metric is not None and not isinstance(metric, Metric):
        metric = FunctionMetric(metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
