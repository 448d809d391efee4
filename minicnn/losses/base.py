"""What losses have in common: matching targets with predictions, weighting, reducing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor, as_array
from minicnn.device import native
from minicnn.registry import Configurable, Registry, snake_case

registry = Registry("loss")

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss(Configurable):
    """Base of the losses: a subclass defines `per_sample`.

    Args:
        reduction: "sum_over_batch_size" or "mean" divides the sum of the (weighted) losses by their number,
            "mean_with_sample_weight" by the sum of the weights; "sum" only sums; "none" or None leaves them as they
            are.
        name: the class's own in snake case unless given.

    Attributes:
        activation: the name of the output activation whose logits `per_sample_from_logits` takes, or None. Training
            joins the two where it can, which is stabler and cheaper than either alone.

    Raises:
        ValueError: another reduction.
    """

    activation: str | None = None

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None):
        self.name = name or snake_case(type(self).__name__)
        if reduction not in REDUCTIONS:
            raise ValueError(f"{self.name}: expected reduction to be one of {REDUCTIONS}, got {reduction!r}")
        self.reduction = reduction

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the loss of each sample.

        Args:
            y_true: targets, of y_pred's shape unless the loss says otherwise.
            y_pred: predictions (N, ..., K).

        Returns:
            (N, ...).

        Raises:
            ValueError: they do not fit together.
        """
        raise NotImplementedError(f"{type(self).__name__} must define per_sample(y_true, y_pred)")

    def per_sample_from_logits(self, y_true: Any, logits: Any) -> Any:
        """Give what `per_sample` gives of ``activation(logits)``, unclipped; for losses that have an `activation`."""
        raise NotImplementedError(f"{self.name} is not joined with an activation")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Reduce the losses to a scalar.

        Args:
            y_true, y_pred: as for `per_sample`.
            sample_weight: None, a number, or weights (N,) or (N, ...), of which the leading axes match the losses'.

        Returns:
            A scalar; the (weighted) losses (N, ...) where `reduction` is "none". A tensor where y_pred is one.

        Raises:
            ValueError: targets and predictions, or losses and weights, do not fit together.
            TypeError: `per_sample` gave no tensor or array.
        """
        return self.reduce(self.per_sample(y_true, y_pred), sample_weight)

    def reduce(self, losses: Any, sample_weight: Any = None) -> Any:
        """Weight and reduce what `per_sample` or `per_sample_from_logits` gave; arguments and errors as for a call."""
        if not hasattr(losses, "shape"):
            raise TypeError(f"{self.name}: expected the losses of the samples as a tensor (N, ...), got {losses!r}")
        weights = None
        if sample_weight is not None:
            weights = self._weights(sample_weight, losses)
            losses = losses * weights
        if self.reduction in ("none", None):
            return losses
        if weights is None and self.reduction != "sum" and math.prod(losses.shape):
            return F.mean(losses)
        total = F.sum(losses)
        if self.reduction == "sum":
            return total
        divisor = float(math.prod(losses.shape))
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            divisor = float(np.sum(np.broadcast_to(weights, losses.shape)))
        # An empty batch has no loss, as in Keras, rather than NaN.
        return total / divisor if divisor else total * 0.0

    def _weights(self, sample_weight: Any, losses: Any) -> np.ndarray:
        weights = native(as_array(sample_weight)).astype(losses.dtype, copy=False)
        if weights.ndim == len(losses.shape) + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        matches = all(w in (1, n) for w, n in zip(weights.shape, losses.shape, strict=False))
        if weights.ndim > len(losses.shape) or not matches:
            raise ValueError(
                f"{self.name}: expected sample_weight of shape {tuple(losses.shape)} or its leading axes, "
                f"got {weights.shape}"
            )
        return weights.reshape(weights.shape + (1,) * (len(losses.shape) - weights.ndim)) if weights.ndim else weights


class FunctionLoss(Loss):
    """A function ``(y_true, y_pred) -> losses`` as a Loss.

    Args:
        function: of targets and predictions (N, ..., K) to losses (N, ...).
        reduction: see `Loss`.
        name: the function's own unless given.

    >>> import numpy as np
    >>> loss = FunctionLoss(lambda y_true, y_pred: F.mean(F.abs(y_pred - y_true), axis=-1), name="mine")
    >>> float(loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    1.0
    """

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(reduction, name or getattr(function, "__name__", None))
        self.function = function

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Call the function."""
        return self.function(y_true, y_pred)


def matched(operation: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Bring targets and predictions to one shape and the predictions' dtype.

    A last axis of extent 1 that only one of them has is added to or dropped from the other, as in Keras; anything
    else must match exactly, since broadcasting would compare every sample with every other.

    Raises:
        ValueError: their shapes differ otherwise.
    """
    y_pred = as_predictions(y_pred)
    y_true = y_true if isinstance(y_true, Tensor) else native(as_array(y_true))
    shapes = tuple(y_true.shape), tuple(y_pred.shape)
    if len(shapes[0]) == len(shapes[1]) + 1 and shapes[0][-1] == 1:
        if len(shapes[1]) == 1:
            y_pred = F.reshape(y_pred, shapes[0]) if math.prod(shapes[1]) == math.prod(shapes[0]) else y_pred
        else:
            y_true = F.reshape(y_true, shapes[0][:-1])
    elif len(shapes[1]) == len(shapes[0]) + 1 and shapes[1][-1] == 1:
        if len(shapes[0]) == 1:
            y_true = F.reshape(y_true, (*shapes[0], 1))
        else:
            y_pred = F.reshape(y_pred, shapes[1][:-1])
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(
            f"{operation}: y_true and y_pred must have the same shape, got y_true {shapes[0]} and y_pred {shapes[1]}"
        )
    if y_true.dtype != y_pred.dtype:
        y_true = F.cast(y_true, y_pred.dtype) if isinstance(y_true, Tensor) else y_true.astype(y_pred.dtype)
    return y_true, y_pred


def as_predictions(y_pred: Any) -> Any:
    """Give predictions as they are if floating, else, and those of 16 bits, as float32."""
    y_pred = y_pred if isinstance(y_pred, Tensor) else as_array(y_pred)
    return y_pred if y_pred.dtype.kind == "f" and y_pred.dtype.itemsize > 2 else F.cast(y_pred, np.float32)
