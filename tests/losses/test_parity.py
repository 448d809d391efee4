"""Every loss against Keras, in float32 and float64, values and gradients; unclipped ones against PyTorch too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import losses
from minicnn.autograd import Tensor
from tests.oracles import keras, torch

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def assert_close(ours, theirs, dtype):
    theirs = np.asarray(theirs)
    difference = np.max(np.abs(np.asarray(ours) - theirs), initial=0.0)
    assert difference <= TOLERANCE[dtype] * np.max(np.abs(theirs), initial=0.0)


cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "shape": st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
        "classes": st.integers(2, 12),
        "reduction": st.sampled_from(["sum_over_batch_size", "sum", "mean_with_sample_weight", None]),
        "weighted": st.booleans(),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


def arrays(kind, case, from_logits=False):
    generator = np.random.default_rng(case["seed"])
    shape = (*case["shape"], case["classes"])
    weights = generator.uniform(0.1, 2.0, case["shape"]) if case["weighted"] else None
    scores = generator.normal(0, 3, shape)
    labels = generator.integers(0, case["classes"], case["shape"])
    if kind == "regression":
        y_true, y_pred = generator.normal(0, 2, shape), scores
    elif kind == "positive":
        y_true, y_pred = generator.uniform(0, 3, shape), generator.uniform(0.01, 3, shape)
    elif kind == "signs":
        y_true, y_pred = generator.choice([0.0, 1.0] if case["seed"] % 2 else [-1.0, 1.0], shape), scores
    elif kind == "binary":
        y_true = generator.choice([0.0, 1.0], shape)
        y_pred = scores if from_logits else 1 / (1 + np.exp(-scores))
    else:
        exponentials = np.exp(scores)
        # Not scaled to sum to 1: scaling is part of what is tested.
        y_pred = scores if from_logits else exponentials / exponentials.sum(-1, keepdims=True) * 1.5
        y_true = labels if kind == "sparse" else np.eye(case["classes"])[labels]
    cast = [None if a is None else a.astype(case["dtype"]) for a in (y_pred, weights)]
    return (y_true if kind == "sparse" else y_true.astype(case["dtype"])), *cast


def formula(name, t, p, delta=1.0, from_logits=False, label_smoothing=0.0):
    """The losses of the samples in PyTorch, (N, ..., K) to (N, ...)."""
    functional, tensor = torch().nn.functional, torch()
    if name == "SparseCategoricalCrossentropy":
        t = functional.one_hot(t, p.shape[-1]).double()
    smoothed = t * (1 - label_smoothing) + label_smoothing / (2 if name.startswith("Binary") else p.shape[-1])
    signs = 2 * t - 1 if ((t == 0) | (t == 1)).all() else t
    if name == "BinaryCrossentropy":
        if from_logits:
            return functional.binary_cross_entropy_with_logits(p, smoothed, reduction="none").mean(-1)
        return functional.binary_cross_entropy(p.clip(1e-7, 1 - 1e-7), smoothed, reduction="none").mean(-1)
    if name.endswith("CategoricalCrossentropy"):
        share = (p / p.sum(-1, keepdim=True)).clip(1e-7, 1 - 1e-7)
        return -(smoothed * (p.log_softmax(-1) if from_logits else share.log())).sum(-1)
    if name == "KLDivergence":
        t, p = t.clip(1e-7, 1), p.clip(1e-7, 1)
        return (t * (t / p).log()).sum(-1)
    entries = {
        "MeanSquaredError": lambda: functional.mse_loss(p, t, reduction="none"),
        "MeanAbsoluteError": lambda: functional.l1_loss(p, t, reduction="none"),
        "Huber": lambda: functional.huber_loss(p, t, reduction="none", delta=delta),
        "LogCosh": lambda: tensor.log(tensor.cosh(p - t)),
        "Poisson": lambda: functional.poisson_nll_loss(p, t, log_input=False, eps=1e-7, reduction="none"),
        "Hinge": lambda: (1 - signs * p).clip(min=0),
        "SquaredHinge": lambda: (1 - signs * p).clip(min=0) ** 2,
    }
    return entries[name]().mean(-1)


def oracle(name, case, y_true, y_pred, weights, options):
    """Keras' loss; in float64 PyTorch's, since Keras on PyTorch takes its means in float32 whatever comes in."""
    reduction = case["reduction"]
    if case["dtype"] == "float32":
        if name.startswith("Sparse") and len(case["shape"]) > 1:
            # Keras' own fails here in backward: PyTorch wants a contiguous gradient that Keras does not give it.
            name, y_true = name.removeprefix("Sparse"), np.eye(case["classes"])[y_true]
        loss = getattr(keras().losses, name)(reduction=reduction, **options)
        return loss(y_true, y_pred, sample_weight=weights)
    values = formula(name, torch().tensor(y_true), y_pred, **options)
    if weights is not None:
        values = values * torch().tensor(weights)
    if reduction is None:
        return values
    by_weight = reduction == "mean_with_sample_weight" and weights is not None
    divisor = {"sum": 1.0, "sum_over_batch_size": values.numel()}.get(reduction, values.numel())
    return values.sum() / (weights.sum() if by_weight else divisor)


def compare(loss, kind, case, **options):
    """One loss and its gradient by the predictions."""
    y_true, y_pred, weights = arrays(kind, case, options.get("from_logits", False))
    theirs_pred = torch().tensor(y_pred, requires_grad=True)
    theirs = oracle(type(loss).__name__, case, y_true, theirs_pred, weights, options)
    ours_pred = Tensor(y_pred, requires_grad=True)
    ours = loss(y_true, ours_pred, sample_weight=weights)
    assert ours.dtype == y_pred.dtype
    assert_close(ours.data, theirs.detach().numpy(), case["dtype"])
    cotangent = np.random.default_rng(case["seed"]).normal(size=ours.shape).astype(case["dtype"])
    theirs.backward(torch().tensor(cotangent))
    ours.backward(cotangent)
    assert_close(ours_pred.grad.data, theirs_pred.grad.numpy(), case["dtype"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MeanSquaredError", "regression"),
        ("MeanAbsoluteError", "regression"),
        ("Huber", "regression"),
        ("LogCosh", "regression"),
        ("KLDivergence", "positive"),
        ("Poisson", "positive"),
        ("Hinge", "signs"),
        ("SquaredHinge", "signs"),
    ],
)
@given(case=cases)
def test_regression_loss_as_keras(name, kind, case):
    compare(getattr(losses, name)(reduction=case["reduction"]), kind, case)


@given(case=cases, delta=st.floats(0.1, 4))
def test_huber_delta_as_keras(case, delta):
    compare(losses.Huber(delta, case["reduction"]), "regression", case, delta=delta)


@pytest.mark.parametrize("kind", ["binary", "categorical"])
@given(case=cases, from_logits=st.booleans(), smoothing=st.sampled_from([0.0, 0.1, 0.5]))
def test_crossentropy_as_keras(kind, case, from_logits, smoothing):
    name = f"{kind.capitalize()}Crossentropy"
    loss = getattr(losses, name)(from_logits, smoothing, reduction=case["reduction"])
    options = {"from_logits": from_logits, "label_smoothing": smoothing}
    compare(loss, kind, case, **options)


@given(case=cases, from_logits=st.booleans())
def test_sparse_categorical_crossentropy_as_keras(case, from_logits):
    loss = losses.SparseCategoricalCrossentropy(from_logits, reduction=case["reduction"])
    compare(loss, "sparse", case, from_logits=from_logits)


@given(case=cases)
def test_joined_with_its_activation_as_pytorch(case):
    """The form that training uses is PyTorch's with-logits loss: no clipping, even for certain mistakes."""
    functional = torch().nn.functional
    # Wrong labels in every batch, so that the largest loss is far from zero.
    y_true, logits, _ = arrays("sparse", {**case, "shape": (16, *case["shape"])}, from_logits=True)
    logits = logits * 40
    columns = torch().tensor(logits.reshape(-1, case["classes"]))
    theirs = functional.cross_entropy(columns, torch().tensor(y_true.ravel()), reduction="none")
    ours = losses.SparseCategoricalCrossentropy().per_sample_from_logits(y_true, logits)
    assert_close(ours.ravel(), theirs.numpy(), case["dtype"])
    one_hot = np.eye(case["classes"], dtype=case["dtype"])[y_true]
    ours = losses.CategoricalCrossentropy().per_sample_from_logits(one_hot, logits)
    assert_close(ours.ravel(), theirs.numpy(), case["dtype"])
    theirs = functional.binary_cross_entropy_with_logits(
        torch().tensor(logits), torch().tensor(one_hot), reduction="none"
    ).mean(-1)
    assert_close(losses.BinaryCrossentropy().per_sample_from_logits(one_hot, logits), theirs.numpy(), case["dtype"])


def test_clipping_is_keras_and_takes_the_gradient():
    """A certain mistake costs -log(1e-7) and has no gradient on probabilities, but has one on logits."""
    p = Tensor(np.array([[0.0, 1.0]], np.float32), requires_grad=True)
    loss = losses.CategoricalCrossentropy()(np.array([[1.0, 0.0]]), p)
    assert loss.item() == pytest.approx(-np.log(1e-7), rel=1e-6)
    loss.backward()
    assert p.grad.data[0, 0] == 0.0
    logits = Tensor(np.array([[-100.0, 100.0]], np.float32), requires_grad=True)
    loss = losses.CategoricalCrossentropy(from_logits=True)(np.array([[1.0, 0.0]]), logits)
    assert loss.item() == 200.0
    loss.backward()
    assert logits.grad.data.tolist() == [[-1.0, 1.0]]
