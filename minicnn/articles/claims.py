"""Experiments that settle what the articles claim in passing: neighbours, trees, strides, linear maps, shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.models import Model, Sequential


def neighbour_correlation(pictures: ArrayLike, distances: Sequence[int]) -> NDArray[np.float64]:
    """How alike pixels some distance apart are, along rows and columns.

    Pearson's r over all pairs of pixels at that distance, in all pictures; pixels that never change are left out.

    Args:
        pictures: (N, H, W) or (N, H, W, C); channels are taken one by one.
        distances: in pixels, each from 0 to less than H and W.

    Returns:
        (len(distances),), from -1 to 1: 1 at the distance 0.

    Raises:
        ValueError: another shape, or a distance that the pictures have no room for.
    """
    pixels = np.asarray(pictures, np.float64)
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4:
        raise ValueError(f"neighbour_correlation: expected pictures (N, H, W) or (N, H, W, C), got {pixels.shape}")
    for distance in distances:
        if not 0 <= distance < min(pixels.shape[1:3]):
            raise ValueError(f"neighbour_correlation: no pixels of {pixels.shape[1:3]} are {distance} apart")
    centred = pixels - pixels.mean(0)
    deviation = centred.std(0)
    scores = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return np.array([_mean_product(scores, deviation > 0, distance) for distance in distances])


def _mean_product(scores: NDArray[np.float64], changing: NDArray[np.bool_], distance: int) -> float:
    """The mean of r over the pairs of changing pixels, down and to the right."""
    _, H, W, _ = scores.shape
    down = (slice(0, H - distance), slice(None)), (slice(distance, H), slice(None))
    right = (slice(None), slice(0, W - distance)), (slice(None), slice(distance, W))
    by_place = np.moveaxis(scores, 0, -1)
    total, pairs = 0.0, 0
    for first, second in (down, right):
        both = changing[first] & changing[second]
        products = (by_place[first] * by_place[second]).mean(-1)
        total += float(products[both].sum())
        pairs += int(both.sum())
    return total / pairs if pairs else 0.0


def shuffled_pixels(pictures: ArrayLike, seed: int = 0) -> NDArray[Any]:
    """Move the pixels of every picture to the same new places, drawn from the seed.

    No pixel is lost, but neighbours are torn apart. A dense layer does not know where its inputs lie and learns as well
    as before; a convolution looks for what lies together.

    Args:
        pictures: (N, H, W) or (N, H, W, C); a pixel keeps its channels.
    """
    pixels = np.asarray(pictures)
    N, H, W = pixels.shape[:3]
    order = np.random.default_rng(seed).permutation(H * W)
    return pixels.reshape(N, H * W, -1)[:, order].reshape(pixels.shape)


def strided(model: Sequential) -> Sequential:
    """A network like this one without its poolings: the convolution before each takes over its strides.

    Output sizes stay the same where the padding is "same", and so does the number of weights.

    Raises:
        ValueError: there is no convolution followed by a pooling, activations between them aside.
    """
    config = model.get_config()
    kept: list[dict[str, Any]] = []
    convolution: dict[str, Any] | None = None
    for entry in config["layers"]:
        if entry["class_name"] == "MaxPooling2D" and convolution is not None:
            convolution["strides"], convolution = entry["config"]["strides"], None
            continue
        kept.append(entry)
        if entry["class_name"] == "Conv2D":
            # A copy: some of its values are the model's own.
            entry["config"] = convolution = dict(entry["config"])
        elif entry["class_name"] not in ("Activation", "ReLU", "LeakyReLU", "ELU"):
            convolution = None
    if len(kept) == len(config["layers"]):
        raise ValueError(f"strided: {model.name} has no pooling that follows a convolution")
    return Sequential.from_config({**config, "name": f"{model.name}-strided", "layers": kept})


def as_one_matrix(model: Model, input_shape: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix A and the vector b with f(x) = x A + b for every x, if the network f is linear at all.

    Row i of A is f(e_i) - f(0), where e_i is a picture of zeros with a single 1 at place i. A network without
    activations is no more than this one matrix, however many layers it has.

    Args:
        model: of one input and one output (N, units).
        input_shape: of a picture.

    Returns:
        A (inputs, units) and b (units,).
    """
    inputs = int(np.prod(input_shape))
    units = model.predict(np.eye(inputs, dtype=np.float32).reshape(inputs, *input_shape)).astype(np.float64)
    origin = model.predict(np.zeros((1, *input_shape), np.float32))[0].astype(np.float64)
    return units - origin, origin


def shift_response(model: Model, pictures: ArrayLike, shifts: Sequence[int]) -> NDArray[np.float64]:
    """How much a network's output changes when its pictures move to the right, compared with how much it varies anyway.

    For each shift the mean over the pictures of ||f(x shifted) - f(x)||, divided by the mean of ||f(x) - f(x')|| over
    pairs of different pictures: 0 is no change at all, and at 1 a shifted picture is as different as another one.

    Args:
        model: any; its output is taken as a vector.
        pictures: (N, H, W, C), at least two; zeros come in from the left.
        shifts: in pixels, each from 0 to less than W.
    """
    x = np.asarray(pictures)
    if x.ndim != 4 or len(x) < 2:
        raise ValueError(f"shift_response: expected at least two pictures (N, H, W, C), got shape {x.shape}")
    before = model.predict(x).reshape(len(x), -1)
    # Each picture beside the next one.
    spread = np.linalg.norm(before - np.roll(before, 1, axis=0), axis=1).mean()
    changes = []
    for shift in shifts:
        if not 0 <= shift < x.shape[2]:
            raise ValueError(f"shift_response: pictures of width {x.shape[2]} cannot move by {shift}")
        moved = np.zeros_like(x)
        moved[:, :, shift:] = x[:, :, : x.shape[2] - shift]
        after = model.predict(moved).reshape(len(x), -1)
        changes.append(np.linalg.norm(after - before, axis=1).mean())
    return np.array(changes, np.float64) / (spread or 1.0)


def boosted_trees(
    pictures: ArrayLike, labels: ArrayLike, measured: ArrayLike, truth: ArrayLike, seed: int = 0
) -> float:
    """The accuracy of boosted trees on pixels, which know neither neighbours nor shapes.

    They are scikit-learn's `HistGradientBoostingClassifier` with its own settings: gradient boosting (Friedman 2001,
    Greedy function approximation: a gradient boosting machine) on histograms of each pixel's values.

    Args:
        pictures: (N, ...) to train on; every number of a picture is a feature.
        labels: (N,) their classes.
        measured: (M, ...) to measure on.
        truth: (M,) their classes.
        seed: of the trees.

    Returns:
        The share of right answers, 0 to 1.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise ImportError(
            "boosted_trees: this needs scikit-learn: python -m pip install scikit-learn", name="sklearn"
        ) from error
    x, other = (np.asarray(part).reshape(len(np.asarray(part)), -1) for part in (pictures, measured))
    trees = HistGradientBoostingClassifier(random_state=seed).fit(x, np.asarray(labels))
    return float(trees.score(other, np.asarray(truth)))
