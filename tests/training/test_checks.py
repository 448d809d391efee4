"""Mistakes in the data are named before anything is learned from them."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.layers import Conv2D, Dense, Flatten, Input
from minicnn.models import Model, Sequential
from minicnn.optimizers import SGD


def classifier(loss="sparse_categorical_crossentropy", **options):
    model = Sequential([Dense(3, activation="softmax", input_shape=(2,))])
    model.compile("sgd", loss, **options)
    return model


X = np.ones((6, 2), np.float32)


def untouched(model, match, *data, error=ValueError, **options):
    before = model.get_weights()
    with pytest.raises(error, match=match):
        model.fit(*data, verbose=0, **options)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_label_out_of_range():
    y = np.array([0, 1, 2, 0, 1, 3])
    # The wrong label sits in the last batch: nothing may have been learned before it.
    untouched(classifier(), r"labels must lie in 0..2 for 3 classes, got 3 at position \(5,\)", X, y, batch_size=2)
    untouched(classifier(), "got -1", X, y - 1)
    untouched(classifier(), "whole numbers", X, y + 0.5)
    x, good = X, np.zeros(6, int)
    untouched(classifier(), "fit, Sequential '.*', y for sparse_categorical_crossentropy: labels .* got 3", X, y)
    untouched(classifier(), "validation, Sequential '.*', y for sparse.* got 3", x, good, validation_data=(x, y))
    untouched(classifier(), r"fit, .*, batch 0, y for sparse.* got 3 at position \(5,\)", iter([(X, y)]))
    untouched(classifier("mse"), "fit.*: y must hold finite numbers, but nan", X, np.full((6, 3), np.nan))
    with pytest.raises(ValueError, match=r"validation, .*, batch 1, y for sparse.* got 3"):
        classifier().fit(X, good, validation_data=iter([(X, good), (X, y)]), verbose=0)
    with pytest.raises(ValueError, match=r"evaluate, .*, y for sparse.* got 3"):
        classifier().evaluate(X, y, verbose=0)
    two_ways = Model(a := Input((2,)), [Dense(3, activation="softmax")(a), Dense(3, activation="softmax")(a)])
    two_ways.compile("sgd", "sparse_categorical_crossentropy")
    untouched(two_ways, r"fit, .*, y\[1\] for sparse.* got 3", X, [good, y])


def test_probabilities_out_of_range():
    y = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    untouched(classifier("categorical_crossentropy"), r"must lie in \[0, 1\], got 255", X, y * 255)
    binary = Sequential([Dense(1, activation="sigmoid", input_shape=(2,))])
    binary.compile("sgd", "binary_crossentropy")
    untouched(binary, r"must lie in \[0, 1\], got 2", X, np.arange(6) % 3)


def test_labels_of_the_wrong_form():
    one_hot = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    untouched(classifier(), "for one-hot labels use categorical_crossentropy", X, one_hot)
    integers = np.arange(6) % 3
    untouched(classifier("categorical_crossentropy"), "for integer labels use sparse_categorical", X, integers)
    untouched(classifier("mse"), "same shape, got y_true", X, np.zeros((6, 4)))


@pytest.mark.parametrize("metrics", [None, ["accuracy"]])
def test_nothing_is_left_of_a_mistake(metrics):
    model = classifier("categorical_crossentropy", metrics=metrics)
    fresh = classifier("categorical_crossentropy", metrics=metrics)
    fresh.set_weights(model.get_weights())
    labels = np.arange(6) % 3
    untouched(model, "for integer labels use sparse_categorical", X, labels)
    one_hot = np.eye(3)[labels]
    assert model.evaluate(X, one_hot, verbose=0) == fresh.evaluate(X, one_hot, verbose=0)
    model.fit(X, one_hot, shuffle=False, verbose=0)
    fresh.fit(X, one_hot, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nan_and_infinity_in_the_data():
    y = np.zeros(6, int)
    x = X.copy()
    x[4, 1] = np.nan
    untouched(classifier(), r"x must hold finite numbers, but nan came at position \(4, 1\)", x, y, shuffle=False)
    # Wherever the shuffling puts it, the message says where the user finds it.
    untouched(classifier(), r"x must hold finite numbers, but nan came at position \(4, 1\)", x, y)
    regression = Sequential([Dense(1, input_shape=(2,))])
    regression.compile("sgd", "mse")
    targets = np.zeros(6, np.float32)
    targets[3] = np.inf
    untouched(regression, r"y must hold finite numbers, but inf came at position \(3,\)", X, targets)


def test_nan_in_what_is_measured_on():
    x, y = np.full((6, 2), np.nan), np.zeros(6, int)
    with pytest.raises(ValueError, match=r"evaluate.*x must hold finite numbers"):
        classifier().evaluate(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"validation.*x must hold finite numbers"):
        classifier().fit(X, y, validation_data=(x, y), verbose=0)


def test_nan_in_a_stream():
    def batches():
        yield X, np.zeros(6, int)
        yield np.full((6, 2), np.nan), np.zeros(6, int)

    with pytest.raises(ValueError, match="batch 1: x must hold finite numbers"):
        classifier().fit(batches(), verbose=0)


def test_large_finite_numbers_are_no_infinity():
    regression = Sequential([Dense(1, input_shape=(2,))])
    regression.compile(SGD(1e-30), "mae")
    regression.set_weights([np.full((2, 1), 1e-10, np.float32), np.zeros(1, np.float32)])
    regression.fit(np.full((6, 2), 1e38, np.float32), np.zeros(6), verbose=0)


def test_numbers_of_samples():
    untouched(classifier(), "the numbers of samples differ: x has 6, y has 5", X, np.zeros(5, int))
    untouched(classifier(), "sample_weight has 4", X, np.zeros(6, int), sample_weight=np.ones(4))
    untouched(classifier(), r"there are no samples: x has shape \(0, 2\)", X[:0], np.zeros(0, int))
    with pytest.raises(ValueError, match="there are no samples"):
        classifier().predict(X[:0])


def test_missing_data():
    untouched(classifier(), "y is missing", X)
    untouched(classifier(), "x is missing")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"class_weight": {"a": 1.0}}, "'a' is no class"),
        ({"class_weight": {2**63: 1.0}}, "9223372036854775808 is no class"),
        ({"class_weight": {0: 1.0, 1: None}}, r"class_weight\[1\] must be a finite number, got None"),
        ({"class_weight": {0: "a"}}, r"class_weight\[0\] must be a finite number, got 'a'"),
        ({"class_weight": {0: np.nan}}, r"class_weight\[0\] must be a finite number, got nan"),
        ({"sample_weight": [1, 1, np.nan, 1, 1, 1]}, r"sample_weight must hold finite numbers, but nan .* \(2,\)"),
        ({"sample_weight": [1, 1, 1, 1, 1, np.inf]}, r"sample_weight must hold finite numbers, but inf .* \(5,\)"),
        ({"validation_data": (X,)}, "1 things came"),
        ({"sample_weight": {"other": np.ones(6)}}, r"sample_weight names \['other'\]"),
    ],
)
def test_wrong_arguments(options, match):
    untouched(classifier(), match, X, np.zeros(6, int), **options)


VALIDATED = {"validation_data": (X, np.zeros(6, int))}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"initial_epoch": -1}, "initial_epoch must be at least 0, got -1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1, got 0"),
        ({"validation_steps": 0, **VALIDATED}, "validation_steps must be at least 1, got 0"),
        ({"validation_batch_size": 0, **VALIDATED}, "validation_batch_size must be at least 1, got 0"),
        ({"validation_freq": 0, **VALIDATED}, "validation_freq must be at least 1, got 0"),
        ({"validation_freq": [2, 0], **VALIDATED}, "validation_freq must be at least 1, got 0"),
    ],
)
def test_counts_that_are_too_small(options, match):
    untouched(classifier(), f"fit.*: {match}", X, np.zeros(6, int), **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 2.0}, "batch_size must be a whole number, got 2.0"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"epochs": None}, "epochs must be a whole number, got None"),
        ({"initial_epoch": 0.5}, "initial_epoch must be a whole number, got 0.5"),
        ({"steps_per_epoch": 2.5}, "steps_per_epoch must be a whole number, got 2.5"),
        ({"validation_steps": 2.5, **VALIDATED}, "validation_steps must be a whole number, got 2.5"),
        ({"validation_batch_size": "2", **VALIDATED}, "validation_batch_size must be a whole number, got '2'"),
        ({"validation_freq": 1.5, **VALIDATED}, "validation_freq must be a whole number, got 1.5"),
        ({"validation_freq": "12", **VALIDATED}, "validation_freq must be a whole number, got '12'"),
        ({"validation_freq": [1.5], **VALIDATED}, "validation_freq must be a whole number, got 1.5"),
    ],
)
def test_counts_that_are_no_whole_numbers(options, match):
    untouched(classifier(), f"fit.*: {match}", X, np.zeros(6, int), error=TypeError, **options)


def test_steps_to_measure_and_to_predict():
    model, y = classifier(), np.zeros(6, int)
    for method, data in ((model.evaluate, (X, y)), (model.predict, (X,))):
        with pytest.raises(ValueError, match=f"{method.__name__}: steps must be at least 1, got 0"):
            method(*data, steps=0)
        with pytest.raises(TypeError, match=f"{method.__name__}: steps must be a whole number, got 2.5"):
            method(*data, steps=2.5)
        with pytest.raises(ValueError, match=f"{method.__name__}.*: batch_size must be at least 1, got 0"):
            method(*data, batch_size=0)


def test_validation_split_must_be_a_number():
    untouched(
        classifier(), r"fit.*: validation_split must be a number, got '0\.2'", X, np.zeros(6, int),
        validation_split="0.2", error=TypeError,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("train_step", r"train_on_batch\(\), or of loss\.backward\(\)"),
        ("test_step", r"test_on_batch\(\)"),
        ("predict_step", r"call\(\)"),
        ("compute_loss", r"compile\(loss=\.\.\.\)"),
    ],
)
@pytest.mark.parametrize("base", [Model, Sequential])
def test_methods_that_would_never_be_called(base, name, instead):
    mine = type("Mine", (base,), {name: lambda self, *arguments: None})()
    with pytest.raises(TypeError, match=f"compile: Mine.{name} would never be called; .*{instead}"):
        mine.compile("sgd", "mse")


def test_counts_may_be_numpys():
    one, two = np.int64(1), np.int32(2)
    history = classifier().fit(
        X, np.zeros(6, int), batch_size=two, epochs=two, steps_per_epoch=one, validation_steps=one,
        validation_batch_size=one, validation_freq=two, verbose=0, **VALIDATED,
    )  # fmt: skip
    assert history.epoch == [0, 1] and len(history.history["val_loss"]) == 1
    assert classifier().predict(X, batch_size=two, steps=one).shape == (2, 3)


def test_weights_of_batches_are_looked_at():
    y, weights = np.zeros(6, int), np.array([1, 1, 1, np.nan, 1, 1])
    model, found = classifier(), r"sample_weight must hold finite numbers, but nan came at position \(3,\)"
    untouched(model, f"fit.*{found}", iter([(X, y, weights)]))
    untouched(model, f"validation.*{found}", X, y, validation_data=(X, y, weights))
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=f"{method.__name__}.*{found}"):
            method(X, y, sample_weight=weights)


def test_class_weights_take_no_room_for_classes_without_one():
    model, y = classifier(), np.arange(6) % 3
    weighted = model.test_on_batch(X, y, sample_weight=np.where(y == 1, 5.0, np.where(y == 2, 2.0, 1.0)))
    assert model.train_on_batch(X, y, class_weight={2: 2.0, 10**10: 7.0, 1: 5}) == pytest.approx(weighted)


def test_class_weight_must_be_a_dictionary():
    came = r"class_weight must be a dictionary .* list came: \[1, 2, 3\]"
    untouched(classifier(), came, X, np.zeros(6, int), class_weight=[1, 2, 3], error=TypeError)


def test_texts_are_no_data():
    y = np.zeros(6, int)
    untouched(classifier(), "fit.*: y must be numbers, but an array of dtype <U", X, y.astype(str), error=TypeError)


def test_prediction_for_each_position_but_one_label_a_sample():
    model = Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"\(N, 6, 6, 3\), a prediction for each position.*Flatten\(\)"):
        model.fit(np.ones((4, 8, 8, 1)), np.zeros(4, int), verbose=0)


def test_number_of_targets():
    x = Input((2,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"the model has 2 outputs \(a, b\), so y must be a list"):
        model.fit(X, np.zeros(6), verbose=0)
    with pytest.raises(ValueError, match="class_weight is for models of one output"):
        model.fit(X, [np.zeros(6), np.zeros(6)], class_weight={0: 1.0}, verbose=0)


def test_softmax_of_one_unit_warns():
    model = Sequential([Dense(1, activation="softmax", input_shape=(2,))])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="softmax of a single value is always 1"):
        model.fit(X, np.zeros(6), verbose=0)


def test_softmax_twice_warns():
    from minicnn.losses import SparseCategoricalCrossentropy

    model = classifier(SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="from_logits=True, but the last layer applies softmax"):
        model.fit(X, np.zeros(6, int), verbose=0)


def test_loss_that_becomes_nan_is_explained_once():
    model = Sequential([Flatten(input_shape=(2,)), Dense(4, name="wide"), Dense(1, name="last")])
    model.compile(SGD(1e20), "mse")
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((64, 2)), generator.standard_normal(64)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="the loss is (nan|inf) at step") as caught:
        model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "wide" in text or "last" in text or "overflows" in text
    assert "learning rate (now 1e+20)" in text and "TerminateOnNaN" in text
