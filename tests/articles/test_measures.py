"""The articles' measures against NumPy and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minicnn.articles import measures

LABELS = np.array([0, 0, 1, 1, 1, 0])
POSITIVE = np.array([0.2, 0.6, 0.55, 0.95, 0.1, 0.3])


def test_correlation_is_numpys():
    expected = np.corrcoef(POSITIVE, LABELS)[0, 1]
    assert measures.correlation(LABELS, POSITIVE[:, None]) == pytest.approx(expected, abs=1e-6)
    assert measures.correlation(LABELS, np.full(6, 0.5)) == 0.0


def test_the_sweep_tells_accuracy_from_precision():
    sweep = {row.threshold: row for row in measures.threshold_sweep(LABELS, POSITIVE)}
    assert list(sweep) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    # Above 0.5: 0.6 (wrong), 0.55 and 0.95 (right). Of all six, 0.1 is the other wrong one.
    assert sweep[0.5].accuracy == pytest.approx(4 / 6)
    assert sweep[0.5].precision == pytest.approx(2 / 3)
    assert sweep[0.9] == measures.Threshold(0.9, pytest.approx(4 / 6), 1.0)
    assert measures.threshold_sweep(LABELS, POSITIVE, (0.99,)) == [measures.Threshold(0.99, pytest.approx(0.5), None)]


def test_means_by_class():
    means = measures.mean_by_class(LABELS, POSITIVE)
    assert means == {0: pytest.approx(1.1 / 3), 1: pytest.approx(1.6 / 3)}


def test_guessing_at_random_by_experiment():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200_000)
    found = measures.guesses(labels)
    assert found["evenly at random"] == pytest.approx(((labels - generator.random(len(labels))) ** 2).mean(), abs=2e-3)
    assert found["always 0"] == pytest.approx(labels.mean())
    assert found["always 0.5"] == 0.25


def test_mistakes_surest_first_with_the_two_largest_probabilities():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [0.2, 0.2, 0.6]])
    found = measures.mistakes([0, 0, 2, 1], probabilities)
    assert found == [
        measures.Mistake(1, 0, (1, 0.8), (0, 0.1)),
        measures.Mistake(3, 1, (2, 0.6), (0, 0.2)),
    ]
    with pytest.raises(ValueError, match=r"mistakes: expected labels \(N,\) and probabilities \(N, classes\)"):
        measures.mistakes([0, 1], np.zeros((2, 1)))


def test_all_of_it_for_one_output_and_for_two():
    single = measures.measure(LABELS, POSITIVE[:, None])
    double = measures.measure(LABELS, np.stack([1 - POSITIVE, POSITIVE], 1))
    assert single["confusion matrix"] == [[2, 1], [1, 2]] == double["confusion matrix"]
    assert single["accuracy"] == double["accuracy"] == pytest.approx(4 / 6)
    assert single["best accuracy"] == max(row["accuracy"] for row in single["thresholds"])
    assert double["mistakes"] == 2 and "mistakes" not in single
    assert json.loads(json.dumps(single)) == single


def test_all_of_it_for_several_classes():
    found = measures.measure([0, 1, 2], np.eye(3)[[0, 2, 2]])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confusion matrix"] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert "correlation" not in found


def test_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"expected a probability for each label, got \(3,\) for 2 labels"):
        measures.correlation([0, 1], [0.1, 0.2, 0.3])
