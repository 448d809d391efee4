"""Names, configurations, streaming and messages of the metrics."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from minicnn import losses, metrics

CONCRETE = [
    getattr(metrics, name)
    for name in metrics.__all__
    if name[0].isupper() and name not in ("Metric", "MeanMetric", "FunctionMetric", "LossMetric")
]


@pytest.mark.parametrize("metric_class", CONCRETE)
def test_configuration_goes_through_json(metric_class):
    metric = metric_class(name="mine")
    copy = metrics.get(json.loads(json.dumps(metrics.serialize(metric))))
    assert type(copy) is metric_class
    assert copy.get_config() == metric.get_config()
    assert copy.name == "mine"


@pytest.mark.parametrize("metric_class", CONCRETE)
def test_reset_forgets(metric_class):
    metric, fresh = metric_class(), metric_class()
    if metric_class is metrics.Mean:
        batch = ([1.0, 2.0],)
    elif "Categorical" in metric_class.__name__ and "Sparse" not in metric_class.__name__:
        batch = (np.eye(2), [[0.6, 0.4], [0.7, 0.3]])
    elif metric_class.__name__.startswith("Sparse") or metric_class is metrics.ConfusionMatrix:
        batch = ([0, 1], [[0.6, 0.4], [0.7, 0.3]])
    else:
        batch = ([[0.0, 1.0], [1.0, 0.0]], [[0.6, 0.4], [0.7, 0.3]])
    metric.update_state(*batch)
    metric.update_state(*batch)
    metric.reset_state()
    np.testing.assert_array_equal(metric.result(), fresh.result())
    metric.update_state(*batch)
    fresh.update_state(*batch)
    np.testing.assert_array_equal(metric.result(), fresh.result())


@pytest.mark.parametrize(
    ("true_shape", "pred_shape", "expected"),
    [
        ((None,), (None, 1), metrics.BinaryAccuracy),
        ((None, 1), (None, 1), metrics.BinaryAccuracy),
        ((None,), (None, 10), metrics.SparseCategoricalAccuracy),
        ((None, 1), (None, 10), metrics.SparseCategoricalAccuracy),
        ((None, 10), (None, 10), metrics.CategoricalAccuracy),
        ((None, 4, 10), (None, 4, 10), metrics.CategoricalAccuracy),
        ((None, 4), (None, 4, 10), metrics.SparseCategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_is_chosen_by_shape(name, true_shape, pred_shape, expected):
    metric = metrics.get(name, true_shape, pred_shape)
    assert type(metric) is expected
    assert metric.name == name
    crossentropy = metrics.get("crossentropy", true_shape, pred_shape)
    assert type(crossentropy).__name__ == expected.__name__.replace("Accuracy", "Crossentropy")


def test_accuracy_without_shapes():
    with pytest.raises(ValueError, match="metric 'accuracy': which one is meant follows from the shapes"):
        metrics.get("accuracy")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", metrics.MeanSquaredError),
        ("MAE", metrics.MeanAbsoluteError),
        ("AUC", metrics.AUC),
        ("auc", metrics.AUC),
        ("precision", metrics.Precision),
        ("binary_accuracy", metrics.BinaryAccuracy),
        ("sparse_top_k_categorical_accuracy", metrics.SparseTopKCategoricalAccuracy),
        ("confusion_matrix", metrics.ConfusionMatrix),
        ("pearson_correlation", metrics.PearsonCorrelation),
    ],
)
def test_names(name, expected):
    metric = metrics.get(name)
    assert type(metric) is expected
    assert metric.name == name


def test_other_identifiers():
    assert metrics.get(None) is None
    with pytest.raises(ValueError, match="unknown metric 'acuracy'; did you mean 'Accuracy'"):
        metrics.get("acuracy")

    def largest(y_true, y_pred):
        return np.max(np.abs(y_true - y_pred), axis=-1)

    metric = metrics.get(largest)
    metric.update_state(np.zeros((2, 2)), np.array([[1.0, 3.0], [5.0, 0.0]]))
    assert (metric.name, metric.result()) == ("largest", 4.0)
    metric = metrics.get(losses.Huber(delta=2.0))
    metric.update_state([[0.0]], [[4.0]])
    assert (metric.name, metric.result()) == ("huber", 6.0)


def test_calling_adds_a_batch_and_gives_the_figure_so_far():
    metric = metrics.MeanAbsoluteError()
    assert metric([[0.0]], [[1.0]]) == 1.0
    assert metric([[0.0]], [[3.0]]) == 2.0


def test_batches_of_different_sizes_count_by_sample():
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state([1, 1, 1], [[0.0, 1.0]] * 3)
    metric.update_state([0], [[0.0, 1.0]])
    assert metric.result() == 0.75


def test_many_batches_do_not_wear_the_mean_down():
    """A float32 total stops growing at 2**24."""
    mean = metrics.Mean()
    mean.total, mean.count = 2.0**24, 2.0**24
    mean.update_state(np.ones(3, np.float32))
    assert mean.count == 2**24 + 3


def test_no_samples_give_zero():
    for metric_class in (metrics.Mean, metrics.MeanSquaredError, metrics.Precision, metrics.Recall):
        assert metric_class().result() == 0.0


def test_top_k_of_fewer_classes_counts_everything():
    assert metrics.SparseTopKCategoricalAccuracy(k=5)([0, 1], [[0.1, 0.9], [0.8, 0.2]]) == 1.0


def test_pearson_correlation_of_constants_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metrics.PearsonCorrelation()([[1.0, 1.0]], [[1.0, 2.0]]))


@pytest.mark.parametrize("axis", [0, np.int64(0), (0,)])
def test_pearson_correlation_along_the_batch(axis):
    generator = np.random.default_rng(0)
    y_true, y_pred = generator.normal(size=(2, 30, 1))
    metric = metrics.PearsonCorrelation(axis=axis)
    assert metric(y_true, y_pred) == pytest.approx(np.corrcoef(y_true.ravel(), y_pred.ravel())[0, 1])


@pytest.mark.parametrize("metric_class", CONCRETE)
def test_direction(metric_class):
    name = metric_class.__name__
    falls = "Error" in name or "entropy" in name
    expected = "down" if falls else (None if name in ("Mean", "ConfusionMatrix") else "up")
    assert metric_class().direction == expected


@pytest.mark.parametrize(
    ("metric", "y_true", "y_pred", "message"),
    [
        (
            metrics.CategoricalAccuracy(),
            [0, 1],
            np.eye(2),
            r"got \(2,\); for class numbers use sparse_categorical_accuracy",
        ),
        (
            metrics.SparseCategoricalAccuracy(),
            np.eye(2),
            np.eye(2),
            r"of shape \(2,\) for y_pred \(2, 2\), got \(2, 2\)",
        ),
        (
            metrics.SparseTopKCategoricalAccuracy(1),
            [0, 2],
            np.eye(2),
            r"labels must lie in 0\.\.1 for 2 classes, got 2",
        ),
        (metrics.BinaryAccuracy(), [0, 1, 1], np.eye(2), r"the same shape, got y_true \(3,\) and y_pred \(2, 2\)"),
        (metrics.PearsonCorrelation(), [[0, 1, 1]], np.eye(2), r"got y_true \(1, 3\) and y_pred \(2, 2\)"),
    ],
)
def test_batches_that_do_not_fit(metric, y_true, y_pred, message):
    with pytest.raises(ValueError, match=message) as error:
        metric.update_state(y_true, y_pred)
    assert metric.name in str(error.value)


def test_weights_that_do_not_fit():
    with pytest.raises(ValueError, match=r"mean: expected sample_weight that fits values of shape \(2,\), got \(3,\)"):
        metrics.Mean().update_state([1.0, 2.0], [1, 1, 1])


def test_k_out_of_range():
    with pytest.raises(ValueError, match="top_k_categorical_accuracy: k must be at least 1, got 0"):
        metrics.TopKCategoricalAccuracy(0)
    with pytest.raises(TypeError, match=r"sparse_top_k_categorical_accuracy: k must be a whole number, got 2\.5"):
        metrics.SparseTopKCategoricalAccuracy(2.5)
