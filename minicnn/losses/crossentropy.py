"""The cross-entropies, on probabilities or on logits.

On probabilities they clip at 1e-7, as Keras does; a prediction that is certain and wrong then has no gradient. On
logits they are computed as one operation that needs no clipping (log-sum-exp), which is what training uses wherever
it can: see `Loss.activation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import as_array
from minicnn.device import array_module, native
from minicnn.kernels.samples import one_hot
from minicnn.losses.base import Loss, as_predictions, matched, registry

# Probabilities are clipped to [EPSILON, 1 - EPSILON], as in Keras.
EPSILON = 1e-7


class _Crossentropy(Loss):
    output_activation: str

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(reduction, name)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"{self.name}: expected label_smoothing within [0, 1], got {label_smoothing}")
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    @property
    def activation(self) -> str | None:  # type: ignore[override]
        """The output activation that may be joined with this loss: None where it takes logits already."""
        return None if self.from_logits else self.output_activation


@registry.register("bce")
class BinaryCrossentropy(_Crossentropy):
    """``-mean(t*log(p) + (1-t)*log(1-p))`` over the last axis.

    Targets t lie within [0, 1], predictions p are probabilities of the same shape, clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: predictions are logits z, p = sigmoid(z), and nothing is clipped.
        label_smoothing: s in [0, 1] replaces t by ``t*(1-s) + s/2`` (Szegedy et al. 2016, section 7).
        reduction, name: see `Loss`.

    Raises:
        ValueError: a label_smoothing outside [0, 1]; at a call, targets outside [0, 1] or of another shape.

    >>> float(BinaryCrossentropy(from_logits=True)(np.array([[1.0]]), np.array([[0.0]])).round(4))
    0.6931
    """

    output_activation = "sigmoid"

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the mean loss over the last axis."""
        if self.from_logits:
            return self.per_sample_from_logits(y_true, y_pred)
        targets, p = self.targets(y_true, y_pred)
        p = F.clip(p, EPSILON, 1.0 - EPSILON)
        return -F.mean(targets * F.log(p) + (1.0 - targets) * F.log(1.0 - p), axis=-1)

    def per_sample_from_logits(self, y_true: Any, logits: Any) -> Any:
        """Give the mean over the last axis of ``softplus(z) - t*z``, in a form that cannot overflow."""
        targets, logits = self.targets(y_true, logits)
        return F.mean(F.sigmoid_cross_entropy(logits, targets), axis=-1)

    def targets(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, Any]:
        """Give the targets as they are compared with predictions, and those as floats.

        Raises:
            ValueError: the targets are none, or do not fit the predictions.
        """
        y_true, y_pred = matched(self.name, as_array(y_true), y_pred)
        check_within(self.name, y_true, 0.0, 1.0)
        if self.label_smoothing:
            y_true = y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        return y_true, y_pred


@registry.register()
class CategoricalCrossentropy(_Crossentropy):
    """``-sum(t * log(p))`` over the last axis, for one-hot labels or distributions t.

    Targets t (N, ..., K) lie within [0, 1]; predictions p (N, ..., K) are probabilities, scaled to sum to 1 and clipped
    to [1e-7, 1 - 1e-7].

    Args:
        from_logits: predictions are logits z, p = softmax(z), and nothing is clipped.
        label_smoothing: s in [0, 1] replaces t by ``t*(1-s) + s/K`` (Szegedy et al. 2016, section 7).
        reduction, name: see `Loss`.

    Raises:
        ValueError: a label_smoothing outside [0, 1]; at a call, targets outside [0, 1] or of another shape, such as
            class numbers.

    >>> float(CategoricalCrossentropy()(np.array([[0.0, 1.0]]), np.array([[0.75, 0.25]])).round(4))
    1.3863
    """

    output_activation = "softmax"

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the loss of each distribution along the last axis."""
        if self.from_logits:
            return self.per_sample_from_logits(y_true, y_pred)
        targets, p = self.targets(y_true, y_pred)
        return probability_cross_entropy(targets, p)

    def per_sample_from_logits(self, y_true: Any, logits: Any) -> Any:
        """Give ``sum(t) * logsumexp(z) - sum(t*z)`` over the last axis."""
        targets, logits = self.targets(y_true, logits)
        return F.softmax_cross_entropy(logits, targets)

    def targets(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, Any]:
        """Give the targets as they are compared with predictions, and those as floats.

        Raises:
            ValueError: the targets are none, or do not fit the predictions.
        """
        y_true, y_pred = native(as_array(y_true)), as_predictions(y_pred)
        check_rank(self.name, y_pred)
        if y_true.shape != tuple(y_pred.shape):
            hint = ""
            if is_integer_labels(y_true.shape, y_pred.shape):
                hint = "; for integer labels use sparse_categorical_crossentropy, or utils.to_categorical(y_true)"
            raise ValueError(
                f"{self.name}: y_true must be one-hot, with the shape of y_pred {tuple(y_pred.shape)}, "
                f"got {y_true.shape}{hint}"
            )
        check_within(self.name, y_true, 0.0, 1.0)
        y_true = y_true.astype(y_pred.dtype, copy=False)
        if self.label_smoothing:
            y_true = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / y_true.shape[-1]
        return y_true, y_pred


@registry.register()
class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(p[label])``, for labels that are class numbers.

    Labels (N, ...) or (N, ..., 1) are whole numbers of 0..K-1; predictions p (N, ..., K) are probabilities, scaled to
    sum to 1 and clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: predictions are logits z, p = softmax(z), and nothing is clipped.
        reduction, name: see `Loss`.

    Raises:
        ValueError: at a call, labels that are no class numbers, or of another shape, such as one-hot ones.

    >>> float(SparseCategoricalCrossentropy()(np.array([1]), np.array([[0.75, 0.25]])).round(4))
    1.3863
    """

    output_activation = "softmax"

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(from_logits, 0.0, reduction, name)

    def per_sample(self, y_true: Any, y_pred: Any) -> Any:
        """Give the loss of each sample."""
        if self.from_logits:
            return self.per_sample_from_logits(y_true, y_pred)
        targets, p = self.targets(y_true, y_pred)
        return probability_cross_entropy(targets, p)

    def per_sample_from_logits(self, y_true: Any, logits: Any) -> Any:
        """Give ``logsumexp(z) - z[label]``."""
        targets, logits = self.targets(y_true, logits)
        return F.softmax_cross_entropy(logits, targets)

    def targets(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, Any]:
        """Give the targets as they are compared with predictions, and those as floats.

        Raises:
            ValueError: the targets are none, or do not fit the predictions.
        """
        y_true, y_pred = native(as_array(y_true)), as_predictions(y_pred)
        check_rank(self.name, y_pred)
        classes = y_pred.shape[-1]
        if not is_integer_labels(y_true.shape, y_pred.shape):
            hint = ""
            if y_true.shape == tuple(y_pred.shape):
                hint = "; for one-hot labels use categorical_crossentropy"
            raise ValueError(
                f"{self.name}: y_true must hold class numbers, of shape {tuple(y_pred.shape[:-1])} "
                f"for y_pred {tuple(y_pred.shape)}, got {y_true.shape}{hint}"
            )
        labels = check_class_numbers(self.name, y_true.reshape(y_pred.shape[:-1]), classes)
        targets = array_module(labels).empty((*labels.shape, classes), y_pred.dtype)
        one_hot(labels.reshape(-1), targets.reshape(labels.size, classes))
        return targets, y_pred


def probability_cross_entropy(targets: np.ndarray, p: Any) -> Any:
    """Give ``-sum(t * log(p))`` over the last axis, p scaled to sum to 1 and clipped."""
    p = p / F.sum(p, axis=-1, keepdims=True)
    return -F.sum(targets * F.log(F.clip(p, EPSILON, 1.0 - EPSILON)), axis=-1)


def is_integer_labels(labels: tuple[int, ...], predictions: tuple[int, ...]) -> bool:
    """Tell whether labels of this shape can be class numbers for predictions of that shape."""
    return labels == tuple(predictions[:-1]) or labels == (*predictions[:-1], 1)


def check_rank(operation: str, y_pred: Any) -> None:
    """Raise ValueError unless predictions have samples and classes."""
    if len(y_pred.shape) < 2:
        raise ValueError(f"{operation}: y_pred must have shape (N, ..., K), got {tuple(y_pred.shape)}")


def check_within(operation: str, labels: np.ndarray, low: float, high: float) -> None:
    """Raise ValueError unless every label lies in [low, high]; NaN lies nowhere.

    Labels on a GPU are not looked at: the answer would have to be waited for. Training looks before it sends them.
    """
    if array_module(labels) is np and labels.size and not (labels.min() >= low and labels.max() <= high):
        position = np.argmax(~((labels >= low) & (labels <= high)))
        where = np.unravel_index(position, labels.shape)
        raise ValueError(
            f"{operation}: labels must lie in [{low:g}, {high:g}], "
            f"got {labels[where]} at position {tuple(int(i) for i in where)}"
        )


def check_class_numbers(operation: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """Give labels as whole numbers.

    Labels on a GPU are not looked at, as in `check_within`; one outside belongs to no class.

    Raises:
        ValueError: they are none, or lie outside 0..classes-1.
    """
    if array_module(labels) is not np:
        return labels.astype(np.int64, copy=False)
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            where = tuple(int(i) for i in np.unravel_index(np.argmin(whole), labels.shape))
            raise ValueError(
                f"{operation}: labels must be whole numbers of 0..{classes - 1}, "
                f"got {labels[where]} at position {where}"
            )
        labels = labels.astype(np.int64)
    elif labels.dtype.kind not in "iub":
        raise ValueError(f"{operation}: labels must be whole numbers of 0..{classes - 1}, got dtype {labels.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        outside = (labels < 0) | (labels >= classes)
        where = tuple(int(i) for i in np.unravel_index(np.argmax(outside), labels.shape))
        raise ValueError(
            f"{operation}: labels must lie in 0..{classes - 1} for {classes} classes, "
            f"got {labels[where]} at position {where}"
        )
    return labels
