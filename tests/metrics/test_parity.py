"""Every metric against Keras over several batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, xlogy

from minicnn import metrics
from tests.oracles import keras

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "batches": st.integers(1, 3),
        "shape": st.lists(st.integers(1, 6), min_size=0, max_size=1).map(tuple),
        "classes": st.integers(2, 9),
        "weights": st.sampled_from(["none", "samples", "entries"]),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


def batches(kind, case):
    """Some batches (y_true, y_pred, sample_weight), of predictions (N, ..., K)."""
    generator = np.random.default_rng(case["seed"])
    for _ in range(case["batches"]):
        shape = (int(generator.integers(1, 12)), *case["shape"])
        full = (*shape, case["classes"])
        y_pred = generator.uniform(0.01, 1, full)
        labels = generator.integers(0, case["classes"], shape)
        # Few different values, so that ties and predictions on a threshold come up.
        if case["seed"] % 3 == 0 and kind not in ("real", "correlated"):
            y_pred = np.ceil(y_pred * 4) / 4
        y_true = {
            "equal": generator.integers(0, 3, full),
            "binary": generator.integers(0, 2, full),
            "categorical": np.eye(case["classes"])[labels],
            "sparse": labels,
            "real": generator.normal(size=full),
            "correlated": 2 * y_pred + generator.normal(0, 0.01, full),
        }[kind]
        if kind == "equal":
            y_pred = generator.integers(0, 3, full)
        if kind == "real":
            y_pred = y_pred + generator.normal(size=full)
        weight_shape = {"none": None, "samples": shape[:1], "entries": shape}[case["weights"]]
        weights = None if weight_shape is None else generator.uniform(0.1, 2, weight_shape).astype(case["dtype"])
        yield y_true if kind == "sparse" else y_true.astype(case["dtype"]), y_pred.astype(case["dtype"]), weights


def values_of(name, t, p, k=5, threshold=0.5, from_logits=False, label_smoothing=0.0):
    """What each sample contributes, written in NumPy and SciPy."""
    if name.startswith("Sparse") and name != "SparseTopKCategoricalAccuracy":
        name, t = name.removeprefix("Sparse"), np.eye(p.shape[-1])[t]
    if name == "SparseTopKCategoricalAccuracy":
        name, t = "TopKCategoricalAccuracy", np.eye(p.shape[-1])[t]
    if name == "TopKCategoricalAccuracy":
        return np.sum(p > np.sum(p * t, axis=-1, keepdims=True), axis=-1) < k
    smoothed = t * (1 - label_smoothing) + label_smoothing / (2 if name == "BinaryCrossentropy" else p.shape[-1])
    if name == "CategoricalCrossentropy":
        share = np.clip(p / p.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)
        return -np.sum(smoothed * (log_softmax(p, axis=-1) if from_logits else np.log(share)), axis=-1)
    if name == "BinaryCrossentropy":
        p = expit(p) if from_logits else np.clip(p, 1e-7, 1 - 1e-7)
        return -np.mean(xlogy(smoothed, p) + xlogy(1 - smoothed, 1 - p), axis=-1)
    if name == "PearsonCorrelation":
        rows = zip(t.reshape(-1, t.shape[-1]), p.reshape(-1, p.shape[-1]), strict=True)
        return np.reshape([np.corrcoef(*row)[0, 1] for row in rows], t.shape[:-1])
    return {
        "Accuracy": lambda: t == p,
        "BinaryAccuracy": lambda: (p > threshold) == t,
        "CategoricalAccuracy": lambda: t.argmax(-1) == p.argmax(-1),
        "MeanSquaredError": lambda: (p - t) ** 2,
        "MeanAbsoluteError": lambda: np.abs(p - t),
    }[name]()


def formula(name, kind, case, options):
    """The weighted mean over all entries of all batches."""
    total, count = 0.0, 0.0
    for y_true, y_pred, weights in batches(kind, case):
        values = np.asarray(values_of(name, y_true, y_pred, **options), dtype=np.float64)
        values = values.reshape(*y_pred.shape[:-1], -1).mean(-1)
        weights = np.ones(values.shape) if weights is None else weights
        weights = np.broadcast_to(weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim)), values.shape)
        total, count = total + np.sum(weights * values), count + np.sum(weights)
    return np.asarray(total / count)


def compare(name, kind, case, **options):
    """Against Keras; in float64 against the formulas, since Keras on PyTorch divides in float32 whatever comes in."""
    ours = getattr(metrics, name)(**options)
    for y_true, y_pred, weights in batches(kind, case):
        ours.update_state(y_true, y_pred, sample_weight=weights)
    if case["dtype"] == "float64":
        expected = formula(name, kind, case, options)
    else:
        theirs = getattr(keras().metrics, name)(**options)
        for y_true, y_pred, weights in batches(kind, case):
            theirs.update_state(y_true, y_pred, sample_weight=weights)
        expected = theirs.result().numpy()
    result = np.asarray(ours.result())
    assert result.shape == expected.shape
    assert abs(result - expected) <= TOLERANCE[case["dtype"]] * abs(expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Accuracy", "equal"),
        ("CategoricalAccuracy", "categorical"),
        ("SparseCategoricalAccuracy", "sparse"),
        ("MeanSquaredError", "real"),
        ("MeanAbsoluteError", "real"),
    ],
)
@given(case=cases)
def test_metric_as_keras(name, kind, case):
    compare(name, kind, case)


@given(case=cases)
def test_pearson_correlation_as_keras(case):
    # Targets follow predictions: the mean of coefficients of either sign is a difference that float32 cannot hold.
    compare("PearsonCorrelation", "correlated", case)


@given(case=cases, threshold=st.sampled_from([0.25, 0.5, 0.7]))
def test_binary_accuracy_as_keras(case, threshold):
    compare("BinaryAccuracy", "binary", case, threshold=threshold)


@pytest.mark.parametrize(
    ("name", "kind"), [("TopKCategoricalAccuracy", "categorical"), ("SparseTopKCategoricalAccuracy", "sparse")]
)
@given(case=cases, k=st.integers(1, 5))
def test_top_k_accuracy_as_keras(name, kind, case, k):
    # PyTorch refuses a k above the number of classes; minicnn counts every class then.
    compare(name, kind, case, k=min(k, case["classes"]))


@pytest.mark.parametrize("kind", ["binary", "categorical", "sparse"])
@given(case=cases, from_logits=st.booleans(), smoothing=st.sampled_from([0.0, 0.2]))
def test_crossentropy_as_keras(kind, case, from_logits, smoothing):
    options = {"from_logits": from_logits}
    if kind == "sparse":
        name = "SparseCategoricalCrossentropy"
    else:
        name = f"{kind.capitalize()}Crossentropy"
        options["label_smoothing"] = smoothing
    compare(name, kind, case, **options)
