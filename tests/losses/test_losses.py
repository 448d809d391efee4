"""Names, configurations, gradients and precision of the losses."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minicnn.functional as F
from minicnn import gradcheck, losses
from minicnn.autograd import Tensor

ALL = [getattr(losses, name) for name in losses.__all__ if name[0].isupper() and name not in ("Loss", "FunctionLoss")]


def batch(loss, dtype=np.float64):
    generator = np.random.default_rng(3)
    p = generator.uniform(0.1, 0.9, (4, 3))
    labels = generator.integers(0, 3, 4)
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        return labels, p.astype(dtype)
    if isinstance(loss, losses.CategoricalCrossentropy):
        return np.eye(3, dtype=dtype)[labels], p.astype(dtype)
    return generator.choice([0.0, 1.0], (4, 3)).astype(dtype), p.astype(dtype)


@pytest.mark.parametrize("loss_class", ALL)
def test_gradient_to_second_order(loss_class):
    loss = loss_class()
    y_true, y_pred = batch(loss)
    weights = np.array([0.5, 1.0, 2.0, 0.0])
    gradcheck(lambda p: loss(y_true, p, sample_weight=weights), [y_pred], order=2)
    if loss.activation:
        gradcheck(lambda z: loss.per_sample_from_logits(y_true, z), [y_pred * 3], order=2)


@pytest.mark.parametrize("loss_class", ALL)
def test_float32_stays_float32(loss_class):
    loss = loss_class()
    y_true, y_pred = batch(loss, np.float32)
    if y_true.dtype.kind == "f":
        y_true = y_true.astype(np.float64)
    prediction = Tensor(y_pred, requires_grad=True)
    result = loss(y_true, prediction, sample_weight=np.ones(4))
    result.backward()
    assert result.dtype == prediction.grad.dtype == np.float32


@pytest.mark.parametrize("loss_class", ALL)
def test_configuration_goes_through_json(loss_class):
    loss = loss_class(reduction="sum", name="mine")
    copy = losses.get(json.loads(json.dumps(losses.serialize(loss))))
    assert type(copy) is loss_class
    assert copy.get_config() == loss.get_config()
    assert (copy.reduction, copy.name) == ("sum", "mine")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", losses.MeanSquaredError),
        ("MSE", losses.MeanSquaredError),
        ("mean_squared_error", losses.MeanSquaredError),
        ("MeanSquaredError", losses.MeanSquaredError),
        ("mae", losses.MeanAbsoluteError),
        ("bce", losses.BinaryCrossentropy),
        ("binary_crossentropy", losses.BinaryCrossentropy),
        ("categorical_crossentropy", losses.CategoricalCrossentropy),
        ("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy),
        ("kl_divergence", losses.KLDivergence),
        ("kld", losses.KLDivergence),
        ("log_cosh", losses.LogCosh),
    ],
)
def test_names_as_keras(name, expected):
    assert type(losses.get(name)) is expected


@pytest.mark.parametrize(
    ("true_shape", "pred_shape", "name"),
    [
        ((None,), (None, 1), "binary_crossentropy"),
        ((None, 1), (None, 1), "binary_crossentropy"),
        ((None,), (None, 10), "sparse_categorical_crossentropy"),
        ((None, 1), (None, 10), "sparse_categorical_crossentropy"),
        ((None, 10), (None, 10), "categorical_crossentropy"),
    ],
)
def test_crossentropy_is_chosen_by_shape(true_shape, pred_shape, name):
    assert losses.get("crossentropy", true_shape, pred_shape).name == name


def test_crossentropy_without_shapes():
    with pytest.raises(ValueError, match="loss 'crossentropy': which one is meant follows from the shapes"):
        losses.get("crossentropy")


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown loss 'mean_square_error'; did you mean 'MeanSquaredError'"):
        losses.get("mean_square_error")


def test_losses_that_return_nothing():
    def mine(y_true, y_pred):
        y_pred - y_true

    class Mine(losses.Loss):
        def per_sample(self, y_true, y_pred):
            y_pred - y_true

    for loss in (losses.get(mine), Mine()):
        with pytest.raises(TypeError, match=r"mine: expected the losses .* as a tensor \(N, ...\), got None"):
            loss(np.zeros((2, 1)), np.zeros((2, 1)))


def test_none_and_functions():
    assert losses.get(None) is None

    def largest(y_true, y_pred):
        return F.max(F.abs(y_pred - y_true), axis=-1)

    loss = losses.get(largest)
    assert loss.name == "largest"
    y_pred = Tensor(np.array([[1.0, 3.0], [0.0, 5.0]]), requires_grad=True)
    result = loss(np.zeros((2, 2)), y_pred)
    result.backward()
    assert result.item() == 4.0
    assert y_pred.grad.data.tolist() == [[0.0, 0.5], [0.0, 0.5]]


def test_activation_is_named_only_for_probabilities():
    assert losses.BinaryCrossentropy().activation == "sigmoid"
    assert losses.SparseCategoricalCrossentropy().activation == "softmax"
    assert losses.CategoricalCrossentropy(from_logits=True).activation is None
    assert losses.MeanSquaredError().activation is None
    with pytest.raises(NotImplementedError, match="mean_squared_error is not joined with an activation"):
        losses.MeanSquaredError().per_sample_from_logits([0.0], [0.0])


def test_targets_may_be_tensors_that_are_trained():
    target = Tensor(np.zeros((1, 2)), requires_grad=True)
    losses.MeanSquaredError()(target, np.array([[1.0, 2.0]])).backward()
    assert target.grad.data.tolist() == [[-1.0, -2.0]]
