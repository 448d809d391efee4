"""Labels and what networks are told of them; holding data back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def to_categorical(y: ArrayLike, num_classes: int | None = None, dtype: DTypeLike = "float32") -> NDArray[Any]:
    """One-hot labels: row i is 0 everywhere but 1 at ``y[i]``.

    Args:
        y: whole numbers from 0 to ``num_classes - 1``, of any shape; a last axis of length 1 is dropped, as in Keras.
        num_classes: length of a row; None takes the largest label + 1.
        dtype: of the result.

    Returns:
        Array (*y.shape, num_classes).

    Raises:
        ValueError: a label is negative, not whole or too large.

    >>> to_categorical([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    labels = _whole_numbers(np.asarray(y))
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("to_categorical: num_classes is needed where there are no labels")
        num_classes = int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}"
        )
    return (labels[..., None] == np.arange(num_classes)).astype(dtype)


def split(
    x: ArrayLike, y: ArrayLike, fraction: float, seed: int | None = None, stratify: bool = False
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """Hold back a shuffled share of the data, for validation.

    Args:
        x: samples (N, ...).
        y: labels (N, ...).
        fraction: the share to hold back, above 0 and below 1; rounded, at least one sample and at most all but one.
        seed: same seed, same split; None draws one from the package's own random state (`minicnn.set_seed`).
        stratify: hold back the same share of every class (y: one label each, or one-hot rows), so that rare classes are
            in both parts.

    Returns:
        ((x_kept, y_kept), (x_held, y_held)), each in the order it had.

    Raises:
        ValueError: lengths differ, or `fraction` leaves one part empty.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"split: expected as many labels as samples, got x {x.shape} and y {y.shape}")
    if not 0 < fraction < 1:
        raise ValueError(f"split: expected 0 < fraction < 1, got {fraction}")
    if len(x) < 2:
        raise ValueError(f"split: expected at least 2 samples, got {len(x)}")
    generator = _generator(seed)
    groups = _classes(y) if stratify else np.zeros(len(y), np.intp)
    held = np.zeros(len(x), bool)
    held[_draw(groups, fraction, generator)] = True
    return (x[~held], y[~held]), (x[held], y[held])


def _draw(groups: NDArray[np.intp], fraction: float, generator: np.random.Generator) -> NDArray[np.intp]:
    """Indices to hold back: of each group its share, the total rounded once.

    Shuffled within its group, sample k of n stands at (k + 1/2) / n; those that stand lowest are taken. So each group
    gives its share to within one sample, whatever the group's size.
    """
    count = min(max(round(fraction * len(groups)), 1), len(groups) - 1)
    order = generator.permutation(len(groups))
    standing = np.empty(len(groups))
    for group in np.unique(groups):
        members = order[groups[order] == group]
        standing[members] = (np.arange(len(members)) + 0.5) / len(members)
    # Ties between groups are broken by the shuffle, not by the order of the classes.
    return order[np.argsort(standing[order], kind="stable")[:count]]


def _classes(y: NDArray[Any]) -> NDArray[np.intp]:
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    if y.ndim > 2 or (y.ndim == 2 and y.shape[1] != 1):
        raise ValueError(f"split: stratify needs one label a sample or one-hot rows, got y of shape {y.shape}")
    return np.unique(y, return_inverse=True)[1].reshape(-1)


def _generator(seed: int | None) -> np.random.Generator:
    if seed is not None:
        return np.random.default_rng(seed)
    from minicnn import random

    return random.generator(random.spawn())


def _whole_numbers(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind in "ui":
        return labels
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.size == 0:
        return labels.astype(np.int64)
    if labels.dtype.kind != "f":
        raise ValueError(f"to_categorical: expected whole numbers as labels, got dtype {labels.dtype}")
    if not np.all(np.isfinite(labels)) or np.any(labels != np.floor(labels)):
        raise ValueError("to_categorical: expected whole numbers as labels, got fractions, NaN or infinity")
    return labels.astype(np.int64)
