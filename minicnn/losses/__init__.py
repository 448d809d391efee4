"""How wrong a prediction is: losses under Keras' names, with Keras' defaults and values.

A loss maps targets and predictions of shape (N, ..., K) to one number a sample, of shape (N, ...) (`per_sample`), and
a call reduces these to a scalar. Arrays in give arrays out; a tensor among the predictions gives a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.losses.base import FunctionLoss, Loss, registry
from minicnn.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from minicnn.losses.regression import (
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    SquaredHinge,
)

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "FunctionLoss", "Hinge", "Huber", "KLDivergence", "LogCosh",
    "Loss", "MeanAbsoluteError", "MeanSquaredError", "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge", "get",
    "registry", "serialize",
]  # fmt: skip

serialize = registry.serialize


def get(
    identifier: Any,
    y_true_shape: Sequence[int | None] | None = None,
    y_pred_shape: Sequence[int | None] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Turn a name, class, configuration, Loss or function ``(y_true, y_pred) -> losses`` into a Loss; None stays None.

    "crossentropy" or "ce" becomes the one that the shapes call for, as in Keras: binary for predictions with one
    column, sparse categorical for targets with an axis less than the predictions, else categorical.

    Args:
        identifier: what is meant.
        y_true_shape, y_pred_shape: of targets and predictions, None where a size is open; for "crossentropy" only.
        custom_objects: further classes and functions by name, for this call only.

    Raises:
        TypeError: the identifier is something else.
        ValueError: an unknown name, or "crossentropy" without shapes.

    >>> get("mse").name
    'mean_squared_error'
    >>> get("crossentropy", (None,), (None, 10)).name
    'sparse_categorical_crossentropy'
    """
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        if y_true_shape is None or y_pred_shape is None:
            raise ValueError(
                f"loss {identifier!r}: which one is meant follows from the shapes of targets and predictions; "
                "name binary_, categorical_ or sparse_categorical_crossentropy"
            )
        identifier = f"{classification_kind(y_true_shape, y_pred_shape)}_crossentropy"
    loss = registry.get(identifier, custom_objects)
    return loss if loss is None or isinstance(loss, Loss) else FunctionLoss(loss)


def classification_kind(y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> str:
    """Tell from the shapes whether labels are "binary", "sparse_categorical" or "categorical", as Keras does."""
    if y_pred_shape[-1] == 1:
        return "binary"
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"
