"""What losses say about labels and weights that cannot be meant."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import losses
from minicnn.autograd import Tensor

SPARSE = losses.SparseCategoricalCrossentropy
CATEGORICAL = losses.CategoricalCrossentropy
BINARY = losses.BinaryCrossentropy
THIRDS = np.full((2, 3), 1 / 3, np.float32)
HALVES = np.full((2, 1), 0.5, np.float32)


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "message"),
    [
        (SPARSE, [0, 3], THIRDS, r"labels must lie in 0\.\.2 for 3 classes, got 3 at position \(1,\)"),
        (SPARSE, [-1, 0], THIRDS, r"labels must lie in 0\.\.2 for 3 classes, got -1 at position \(0,\)"),
        (SPARSE, [0.0, 1.5], THIRDS, r"labels must be whole numbers of 0\.\.2, got 1\.5 at position \(1,\)"),
        (SPARSE, [0.0, np.nan], THIRDS, r"labels must be whole numbers of 0\.\.2, got nan at position \(1,\)"),
        (SPARSE, np.array(["a", "b"]), THIRDS, r"labels must be whole numbers of 0\.\.2, got dtype <U1"),
        (SPARSE, np.eye(3)[:2], THIRDS, r"of shape \(2,\) .* got \(2, 3\); for one-hot labels use categorical"),
        (SPARSE, [0, 1, 2], THIRDS, r"class numbers, of shape \(2,\) for y_pred \(2, 3\), got \(3,\)"),
        (SPARSE, [0, 1], THIRDS[0], r"y_pred must have shape \(N, \.\.\., K\), got \(3,\)"),
        (CATEGORICAL, [0, 1], THIRDS, r"the shape of y_pred \(2, 3\), got \(2,\); for integer labels use sparse"),
        (CATEGORICAL, np.eye(4)[:2], THIRDS, r"one-hot, with the shape of y_pred \(2, 3\), got \(2, 4\)$"),
        (CATEGORICAL, [[0, 0, 2], [1, 0, 0]], THIRDS, r"labels must lie in \[0, 1\], got 2 at position \(0, 2\)"),
        (CATEGORICAL, [[0, np.nan, 0], [1, 0, 0]], THIRDS, r"must lie in \[0, 1\], got nan at position \(0, 1\)"),
        (BINARY, [0.0, 2.0], HALVES, r"labels must lie in \[0, 1\], got 2\.0 at position \(1, 0\)"),
        (BINARY, [0.0, -1.0], HALVES, r"labels must lie in \[0, 1\], got -1\.0 at position \(1, 0\)"),
        (BINARY, [0.0, np.nan], HALVES, r"labels must lie in \[0, 1\], got nan at position \(1, 0\)"),
        (BINARY, [0.0, 1.0, 1.0], HALVES, r"the same shape, got y_true \(3,\) and y_pred \(2, 1\)"),
        (losses.MeanSquaredError, [[1.0, 2.0]], THIRDS, r"error: .* got y_true \(1, 2\) and y_pred \(2, 3\)"),
        (losses.MeanSquaredError, [1.0, 2.0], THIRDS, r"mean_squared_error: .* got y_true \(2,\) and y_pred \(2, 3\)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("from_logits", [False, True])
def test_labels_that_cannot_be_meant(loss, y_true, y_pred, message, from_logits):
    made = loss() if loss is losses.MeanSquaredError else loss(from_logits=from_logits)
    with pytest.raises(ValueError, match=message) as error:
        made(np.asarray(y_true), y_pred)
    assert made.name in str(error.value)


def test_labels_may_have_a_last_axis_of_one_and_any_whole_dtype():
    p = np.array([[0.2, 0.8], [0.7, 0.3]], np.float32)
    expected = -np.log([0.8, 0.7])
    for labels in ([1, 0], [[1], [0]], [True, False], np.array([1, 0], np.uint8), np.array([1.0, 0.0])):
        np.testing.assert_allclose(SPARSE().per_sample(np.asarray(labels), p), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 1)])
def test_sample_weight_that_does_not_fit(shape):
    with pytest.raises(
        ValueError, match=r"mean_squared_error: expected sample_weight of shape \(2,\) or its leading axes"
    ):
        losses.MeanSquaredError()(THIRDS, THIRDS, sample_weight=np.ones(shape))


def test_one_weight_a_sample_covers_its_further_axes():
    """Not NumPy's broadcasting, which would pair the weights with the last axis."""
    y = np.arange(12.0).reshape(2, 2, 3)
    losses_of_samples = losses.MeanSquaredError(reduction="none")(y, np.zeros_like(y), sample_weight=[1.0, 10.0])
    np.testing.assert_allclose(losses_of_samples, np.square(y).mean(-1) * [[1.0], [10.0]])


def test_columns_and_vectors_are_matched_not_broadcast():
    column, vector = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 4.0])
    assert losses.MeanSquaredError()(vector, column) == 0.0
    assert losses.MeanSquaredError()(column, vector) == 0.0


def test_logits_of_classes_that_are_ruled_out():
    logits = Tensor(np.array([[0.0, 1.0, -np.inf], [0.0, -np.inf, 1.0]], np.float32), requires_grad=True)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)([0, 2], logits)
    loss.backward()
    p = 1 / (1 + np.e)
    np.testing.assert_allclose(loss.data, np.mean(-np.log([p, 1 - p])), rtol=1e-6)
    np.testing.assert_allclose(logits.grad.data, np.array([[p - 1, 1 - p, 0], [p, 0, -p]]) / 2, rtol=1e-6, atol=1e-7)


def test_an_empty_batch_has_no_loss():
    empty = np.zeros((0, 3), np.float32)
    assert losses.MeanSquaredError()(empty, empty) == 0.0
    assert SPARSE()(np.zeros(0, int), empty) == 0.0


def test_whole_numbers_as_predictions_become_float32():
    result = losses.MeanSquaredError()(np.array([[1, 2]]), np.array([[1, 4]]))
    assert result == 2.0
    assert result.dtype == np.float32


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, np.nan])
def test_label_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match=r"binary_crossentropy: expected label_smoothing within \[0, 1\], got"):
        BINARY(label_smoothing=smoothing)


def test_unknown_reduction():
    with pytest.raises(ValueError, match=r"mean_squared_error: expected reduction to be one of .*, got 'average'"):
        losses.MeanSquaredError(reduction="average")
