"""Precision, recall and AUC against Keras; the confusion matrix against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import metrics
from tests.oracles import keras

cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "batches": st.integers(1, 3),
        "columns": st.integers(1, 6),
        "weighted": st.booleans(),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


def batches(case, steps=None):
    """Some batches (y_true, y_pred, sample_weight), with scores that tell something about the labels."""
    generator = np.random.default_rng(case["seed"])
    for _ in range(case["batches"]):
        shape = (int(generator.integers(2, 30)), case["columns"])
        y_true = generator.integers(0, 2, shape)
        y_pred = np.clip(generator.normal(0.3 + 0.4 * y_true, 0.3), 0, 1)
        if steps is not None:
            y_pred = np.round(y_pred * steps) / steps
        weights = generator.uniform(0.1, 2, shape[:1]) if case["weighted"] else None
        yield y_true, y_pred.astype(case["dtype"]), weights


def decisions(case, steps, threshold, top_k=None, class_id=None):
    """TP, FP and FN by counting."""
    counts = np.zeros(3)
    for y_true, y_pred, weights in batches(case, steps):
        positive = y_pred > (threshold if top_k is None else -1)
        if top_k is not None:
            order = np.argsort(-y_pred, axis=-1, kind="stable")
            positive = np.argsort(order, axis=-1) < top_k
        w = np.broadcast_to(1.0 if weights is None else weights[:, None], y_true.shape)
        if class_id is not None:
            y_true, positive, w = y_true[:, class_id], positive[:, class_id], w[:, class_id]
        pairs = (positive & (y_true == 1), positive & (y_true == 0), ~positive & (y_true == 1))
        counts += [np.sum(w * pair) for pair in pairs]
    return counts


@pytest.mark.parametrize("name", ["Precision", "Recall"])
@given(
    case=cases,
    thresholds=st.one_of(st.none(), st.sampled_from([0.25, 0.5, 0.8]), st.just([0.7, 0.2, 0.5])),
    class_id=st.one_of(st.none(), st.integers(0, 5)),
)
def test_precision_and_recall_as_keras(name, case, thresholds, class_id):
    class_id = None if class_id is None else class_id % case["columns"]
    ours = getattr(metrics, name)(thresholds, class_id=class_id)
    theirs = getattr(keras().metrics, name)(thresholds, class_id=class_id)
    for y_true, y_pred, weights in batches(case, steps=20):
        ours.update_state(y_true, y_pred, sample_weight=weights)
        theirs.update_state(y_true, y_pred, sample_weight=weights)
    result = np.asarray(ours.result())
    expected = theirs.result().numpy()
    if case["dtype"] == "float32":
        assert np.max(np.abs(result - expected)) <= 1e-5 * np.max(np.abs(expected))
    # Keras computes in float32, so in float64 the oracle is counting.
    levels = np.atleast_1d(0.5 if thresholds is None else thresholds).astype(case["dtype"])
    for value, level in zip(np.atleast_1d(result), levels, strict=True):
        tp, fp, fn = decisions(case, 20, level, class_id=class_id)
        total = tp + (fp if name == "Precision" else fn)
        assert value == pytest.approx(tp / total if total else 0.0, rel=1e-10)


@pytest.mark.parametrize("name", ["Precision", "Recall"])
@given(case=cases, k=st.integers(1, 6))
def test_precision_and_recall_of_the_top_k(name, case, k):
    k = min(k, case["columns"])
    ours = getattr(metrics, name)(top_k=k)
    theirs = getattr(keras().metrics, name)(top_k=k)
    for y_true, y_pred, weights in batches(case):
        # Keras leaves open which of equal predictions is taken.
        y_pred = y_pred + np.linspace(0, 1e-3, y_pred.size, dtype=y_pred.dtype).reshape(y_pred.shape)
        ours.update_state(y_true, y_pred, sample_weight=weights)
        theirs.update_state(y_true, y_pred, sample_weight=weights)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)


def trapezoids(case, curve):
    """The area under the curve through every threshold of the metric, from plain comparisons."""
    inner = np.arange(1, 199) / 199
    y_true, y_pred, w = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (t.ravel(), p.ravel(), np.repeat(np.ones(len(t)) if w is None else w, case["columns"]))
                for t, p, w in batches(case)
            ),
            strict=True,
        )
    )
    positive = y_pred[None] > np.array([-1.0, *inner, 2.0])[:, None]
    tp, fp = np.sum(w * positive * (y_true == 1), axis=1), np.sum(w * positive * (y_true == 0), axis=1)
    recall = tp / max(np.sum(w * y_true), 1e-300)
    if curve == "ROC":
        x, y = fp / max(np.sum(w * (1 - y_true)), 1e-300), recall
    else:
        x, y = recall, np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    return x, y


@given(
    case=cases,
    curve=st.sampled_from(["ROC", "PR"]),
    method=st.sampled_from(["interpolation", "minoring", "majoring"]),
    thresholds=st.sampled_from([None, [0.3, 0.1, 0.6], [0.25, 0.5, 0.75]]),
)
def test_auc_as_keras(case, curve, method, thresholds):
    options = {"curve": curve, "summation_method": method, "thresholds": thresholds}
    ours, theirs = metrics.AUC(**options), keras().metrics.AUC(**options)
    for y_true, y_pred, weights in batches({**case, "dtype": "float32"}, steps=40):
        ours.update_state(y_true, y_pred, sample_weight=weights)
        theirs.update_state(y_true, y_pred, sample_weight=weights)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)


@given(case=cases, curve=st.sampled_from(["ROC", "PR"]), method=st.sampled_from(["minoring", "majoring", "trapezoid"]))
def test_auc_by_comparing_with_every_threshold(case, curve, method):
    """The float64 oracle, since Keras computes in float32."""
    case = {**case, "dtype": "float64"}
    if curve == "PR" and method == "trapezoid":
        method = "minoring"
    ours = metrics.AUC(curve=curve, summation_method="interpolation" if method == "trapezoid" else method)
    for y_true, y_pred, weights in batches(case):
        ours.update_state(y_true, y_pred, sample_weight=weights)
    x, y = trapezoids(case, curve)
    pairs = np.stack([y[:-1], y[1:]])
    heights = {"minoring": pairs.min(0), "majoring": pairs.max(0), "trapezoid": pairs.mean(0)}[method]
    assert ours.result() == pytest.approx(np.sum((x[:-1] - x[1:]) * heights), rel=1e-10)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 20))
def test_auc_from_logits_as_keras(seed, scale):
    generator = np.random.default_rng(seed)
    y_true, logits = generator.integers(0, 2, 50), (generator.normal(size=50) * scale).astype(np.float32)
    # A logit is kept away from the thresholds, on which the last bit of the sigmoid would decide.
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    logits = logits[np.abs(p * 199 - np.round(p * 199)) > 1e-3]
    y_true = y_true[: len(logits)]
    ours, theirs = metrics.AUC(from_logits=True), keras().metrics.AUC(from_logits=True)
    ours.update_state(y_true, logits)
    theirs.update_state(y_true, logits)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 8), weighted=st.booleans())
def test_confusion_matrix_by_counting(seed, classes, weighted):
    generator = np.random.default_rng(seed)
    metric = metrics.ConfusionMatrix()
    expected = np.zeros((classes, classes))
    for _ in range(3):
        count = int(generator.integers(1, 20))
        labels, p = generator.integers(0, classes, count), generator.uniform(size=(count, classes))
        weights = generator.uniform(size=count) if weighted else None
        metric.update_state(np.eye(classes)[labels] if seed % 2 else labels, p, weights)
        for i in range(count):
            expected[labels[i], np.argmax(p[i])] += 1 if weights is None else weights[i]
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-12)
    assert metric.result().dtype == (np.float64 if weighted else np.int64)


def test_confusion_matrix_of_one_column_and_of_class_numbers():
    expected = [[1, 1], [1, 2]]
    labels, p = [0, 1, 1, 0, 1], [[0.1], [0.9], [0.3], [0.8], [0.7]]
    assert metrics.confusion_matrix(labels, np.array(p)).tolist() == expected
    assert metrics.confusion_matrix(labels, [0, 1, 0, 1, 1]).tolist() == expected
    assert metrics.confusion_matrix([[label] for label in labels], np.array(p)).tolist() == expected
    assert metrics.confusion_matrix(labels, [0, 1, 0, 1, 1], num_classes=3).shape == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0, 1, 1]), r"must have as many samples, got shapes \(2,\) and \(3,\)"),
        (([0, 5], np.eye(2)), r"confusion_matrix: y_true: labels must lie in 0\.\.1 for 2 classes, got 5 at position"),
        (([0, -1], [0, 1]), r"y_true: labels must lie in 0\.\.1 for 2 classes, got -1 at position \(1,\)"),
        (([0, 1], [0, 7], 3), r"y_pred: labels must lie in 0\.\.2 for 3 classes, got 7 at position \(1,\)"),
        (([0.0, np.nan], np.eye(2)), r"must be whole numbers of 0\.\.1, got nan"),
        ((np.zeros((2, 2, 2)), [0, 1]), r"expected shape \(N,\), \(N, 1\) or \(N, K\), got \(2, 2, 2\)"),
    ],
)
def test_confusion_matrix_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(*arguments)


def test_nan_predictions_count_as_zero():
    recall = metrics.Recall()
    recall.update_state([1, 1], np.array([np.nan, 0.9]))
    assert recall.result() == 0.5
    auc = metrics.AUC()
    auc.update_state([0, 1, 1], np.array([np.nan, 0.2, 0.9]))
    assert auc.result() == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.Precision(1.5), r"Precision: expected thresholds within \[0, 1\], got 1\.5"),
        (lambda: metrics.Recall([0.1, -1]), r"Recall: expected thresholds within \[0, 1\], got \[0\.1, -1\]"),
        (lambda: metrics.AUC(1), "AUC: expected num_thresholds from 2 to 1,000,000, got 1"),
        (lambda: metrics.AUC(curve="LINE"), r"AUC: expected curve to be one of \('ROC', 'PR'\), got 'LINE'"),
        (lambda: metrics.AUC(summation_method="sum"), "AUC: expected summation_method to be one of"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("metric", "arguments", "message"),
    [
        (metrics.AUC(), ([0, 1], [[0.1, 0.2]]), r"auc: .* the same shape, got y_true \(2,\) and y_pred \(1, 2\)"),
        (
            metrics.Precision(class_id=3),
            ([[0, 1]], [[0.1, 0.2]]),
            r"precision: y_pred of shape \(1, 2\) has no class 3",
        ),
        (metrics.Precision(top_k=3), ([[0, 1]], [[0.1, 0.2]]), r"precision: expected top_k within 1\.\.2, got 3"),
        (
            metrics.Recall(),
            ([0, 1], [0.1, 0.2], [1.0, 1.0, 1.0]),
            r"recall: expected sample_weight that fits .* got \(3,\)",
        ),
    ],
)
def test_batches_that_do_not_fit(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric.update_state(*arguments)


def test_confusion_matrix_of_unsigned_class_numbers():
    """As data sets store them: a byte each."""
    labels, predictions = np.uint8([0, 2, 1]), np.uint8([0, 1, 1])
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, predictions), [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
