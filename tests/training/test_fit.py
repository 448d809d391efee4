"""What `fit`, `evaluate`, `predict` and their relatives do with all the kinds of data they take."""

from __future__ import annotations

import gc
import math
import threading
import tracemalloc

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import callbacks, losses, metrics
from minicnn.autograd import Tensor
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Input, Layer
from minicnn.models import Model, Sequential
from minicnn.optimizers import SGD, Adam


class Recorder(Layer):
    """Passes its input on and remembers it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.batches = []

    def call(self, x):
        self.batches.append(np.array(x.data))
        return x

    def compute_output_shape(self, input_shape):
        return input_shape


def recording(width=1, **options):
    recorder = Recorder(input_shape=(width,))
    model = Sequential([recorder, Dense(1)])
    model.compile("sgd", "mse", **options)
    return model, recorder.batches


def numbers(n):
    return np.arange(n, dtype=np.float32)[:, None] / n


def linear(n=32, width=3):
    x = np.random.default_rng(0).standard_normal((n, width)).astype(np.float32)
    return x, x.sum(axis=1, keepdims=True)


def regression(**options):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse", **options)
    return model


# ------------------------------------------------------------------------------------------- order, splits


def test_every_sample_comes_once_an_epoch_in_a_new_order():
    model, batches = recording()
    model.fit(numbers(10), numbers(10), batch_size=4, epochs=2, verbose=0)
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(batches[:3]).ravel(), np.concatenate(batches[3:]).ravel()
    np.testing.assert_array_equal(np.sort(first), numbers(10).ravel())
    np.testing.assert_array_equal(np.sort(second), numbers(10).ravel())
    assert not np.array_equal(first, second)


def test_samples_stay_in_order_when_asked():
    model, batches = recording()
    model.fit(numbers(10), numbers(10), batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_array_equal(np.concatenate(batches), numbers(10))


def test_samples_and_targets_stay_together():
    seen = []

    class Look(losses.Loss):
        def per_sample(self, y_true, y_pred):
            seen.append(np.array(y_true))
            return ((y_pred - y_true) ** 2.0).mean(axis=-1)

    recorder = Recorder(input_shape=(1,))
    model = Sequential([recorder, Dense(1)])
    model.compile("sgd", Look())
    model.fit(numbers(10), numbers(10) * 2, batch_size=3, epochs=2, verbose=0)
    np.testing.assert_array_equal(np.concatenate(seen), 2 * np.concatenate(recorder.batches))


def test_validation_takes_the_last_samples_before_any_shuffling():
    model, batches = recording()
    model.fit(numbers(10), numbers(10), batch_size=10, validation_split=0.25, verbose=0)
    # floor(10 * 0.75) = 7 are trained on.
    np.testing.assert_array_equal(np.sort(batches[0], axis=0), numbers(10)[:7])
    np.testing.assert_array_equal(batches[1], numbers(10)[7:])


@pytest.mark.parametrize("share", [1.0, -0.1, 0.999])
def test_validation_split_out_of_range(share):
    model, _ = recording()
    with pytest.raises(ValueError, match="validation_split"):
        model.fit(numbers(10), numbers(10), validation_split=share, verbose=0)


def test_validation_frequency():
    x, y = linear()
    history = regression().fit(x, y, epochs=4, validation_data=(x, y), validation_freq=2, verbose=0).history
    assert len(history["val_loss"]) == 2 and len(history["loss"]) == 4
    history = regression().fit(x, y, epochs=4, validation_data=(x, y), validation_freq=[1, 3, 4], verbose=0).history
    assert len(history["val_loss"]) == 3


def test_validation_with_weights_and_fewer_steps():
    x, y = linear()
    weights = np.zeros(32, np.float32)
    history = regression().fit(x, y, validation_data=(x, y, weights), verbose=0).history
    assert history["val_loss"] == [0.0]
    model, batches = recording()
    model.fit(
        numbers(4), numbers(4), validation_data=(numbers(20), numbers(20)), validation_steps=2,
        validation_batch_size=3, verbose=0,
    )  # fmt: skip
    assert [len(b) for b in batches] == [4, 3, 3]


def test_steps_per_epoch_go_on_where_the_last_epoch_ended():
    model, batches = recording()
    model.fit(numbers(8), numbers(8), batch_size=2, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0] * 8, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3])


def test_initial_epoch_and_epoch_counter():
    x, y = linear()
    model = regression()
    assert model.fit(x, y, epochs=3, initial_epoch=1, verbose=0).epoch == [1, 2]
    assert model.epoch == 2
    assert model.fit(x, y, epochs=2, initial_epoch=model.epoch, verbose=0).epoch == []
    assert model.history.history == {}


# -------------------------------------------------------------------------------------------- losses, means


def test_loss_of_an_epoch_weighs_batches_by_their_samples():
    x, y = linear(10)
    model = regression()
    # Without learning, the mean over ragged batches is the mean over all samples.
    model.optimizer.learning_rate = 1e-30
    history = model.fit(x, y, batch_size=4, verbose=0).history
    assert history["loss"][0] == pytest.approx(float(np.mean((model.predict(x) - y) ** 2)), rel=1e-5)
    assert model.evaluate(x, y, batch_size=3, verbose=0) == pytest.approx(history["loss"][0], rel=1e-5)


def test_regularisation_is_part_of_the_loss():
    model = Sequential([Dense(1, kernel_regularizer="l2", input_shape=(3,))])
    model.compile("sgd", "mse")
    x, y = linear()
    kernel = model.get_weights()[0]
    expected = float(np.mean((model.predict(x) - y) ** 2) + 0.01 * np.sum(kernel**2))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def segmenter(shape):
    """Classifies every pixel: its convolution gives no class any logit."""
    layer = Conv2D(3, 1, activation="softmax", kernel_initializer="zeros")
    return Sequential([layer] if shape is None else [Input(shape), layer])


@pytest.mark.parametrize("shape", [(4, 3, 1), (None, None, 1), None], ids=["drawn", "of any size", "deferred"])
def test_class_weights_of_pixels(shape):
    labels = np.random.default_rng(1).integers(0, 3, (5, 4, 3))
    weights = {0: 3.0, 2: 5.0}
    table = np.array([3.0, 1.0, 5.0])
    expected = float(np.mean(table[labels]) * np.log(3))
    x, one_hot = np.ones((5, 4, 3, 1), np.float32), np.eye(3, dtype=np.float32)[labels]
    for loss, y in (
        ("sparse_categorical_crossentropy", labels),
        (["sparse_categorical_crossentropy"], labels[..., np.newaxis]),
        (["sparse_categorical_crossentropy"], labels),
        ("categorical_crossentropy", one_hot),
    ):
        model = segmenter(shape)
        model.compile("sgd", loss)
        assert model.train_on_batch(x, y, class_weight=weights) == pytest.approx(expected, rel=1e-5), y.shape
        model = segmenter(shape)
        model.compile("sgd", loss)
        (lost,) = model.fit(x, y, batch_size=5, class_weight=weights, verbose=0).history["loss"]
        assert lost == pytest.approx(expected, rel=1e-5), y.shape


def test_class_weights_where_the_user_wrote_the_loss():
    def cross_entropy_of_pixels(labels, p):
        return F.log(F.sum(np.eye(3)[labels.astype(int)] * p, axis=-1)) * -1.0

    labels = np.arange(24).reshape(2, 4, 3) % 3
    model = segmenter((4, 3, 1))
    model.compile("sgd", cross_entropy_of_pixels)
    loss = model.train_on_batch(np.ones((2, 4, 3, 1), np.float32), labels, class_weight={0: 4.0})
    assert loss == pytest.approx(2 * np.log(3), rel=1e-5)


def logits_network(bias=0.0):
    model = Sequential([Dense(3, activation="softmax", input_shape=(2,))])
    model.set_weights([np.array([[200.0, 0, 0], [0, 200.0, 0]], np.float32), np.full(3, bias, np.float32)])
    return model


def test_softmax_and_crossentropy_are_joined_without_clipping():
    x, y = np.array([[1.0, 0.0]], np.float32), np.array([1])
    for loss, targets in (("sparse_categorical_crossentropy", y), ("categorical_crossentropy", np.eye(3)[y])):
        joined, clipped = logits_network(), logits_network()
        joined.compile("sgd", loss)
        clipped.compile("sgd", loss, clip_probabilities=True)
        # -log(softmax) = 200 - 0; clipped at 1e-7 it is 16.1, and its gradient is 0.
        assert joined.evaluate(x, targets, verbose=0) == pytest.approx(200.0)
        assert clipped.evaluate(x, targets, verbose=0) == pytest.approx(-math.log(1e-7), rel=1e-4)
        before = clipped.get_weights()[0]
        joined.fit(x, targets, verbose=0)
        clipped.fit(x, targets, verbose=0)
        assert not np.array_equal(joined.get_weights()[0], before)
        np.testing.assert_array_equal(clipped.get_weights()[0], before)


def test_joined_loss_through_a_nested_model_and_a_layer_of_its_own():
    from minicnn.layers import Activation, Softmax

    x, y = np.array([[1.0, 0.0]], np.float32), np.array([1])
    inner = logits_network()
    inputs = Input((2,))
    nested = Model(inputs, inner(inputs))
    weights = inner.get_weights()
    apart = [
        Sequential([Dense(3, input_shape=(2,)), Activation("softmax")]),
        Sequential([Dense(3, input_shape=(2,)), Softmax()]),
    ]
    for model in [nested, *apart]:
        model.set_weights(weights)
        model.compile("sgd", "sparse_categorical_crossentropy")
        assert model.evaluate(x, y, verbose=0) == pytest.approx(200.0)


def test_sigmoid_and_binary_crossentropy_are_joined():
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(1,))])
    model.set_weights([np.array([[100.0]], np.float32), np.zeros(1, np.float32)])
    model.compile("sgd", "binary_crossentropy", ["accuracy"])
    assert model.evaluate([[1.0]], [[0.0]], verbose=0) == pytest.approx([100.0, 0.0])


def test_metrics_see_probabilities_also_where_the_loss_sees_logits():
    seen = []

    def watch(y_true, y_pred):
        seen.append(y_pred.sum(axis=-1))
        return np.zeros(len(y_pred))

    model = Sequential([Dense(3, activation="softmax", input_shape=(2,))])
    model.compile("sgd", "sparse_categorical_crossentropy", [watch])
    history = model.fit(np.ones((4, 2)), np.zeros(4, int), verbose=0).history
    np.testing.assert_allclose(seen[0], 1.0, rtol=1e-6)
    assert list(history) == ["loss", "watch"]


def test_joined_output_that_another_layer_reads():
    x = Input((2,))
    probabilities = Dense(3, activation="softmax", name="p")(x)
    model = Model(x, [probabilities, Dense(1, name="q")(probabilities)])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    model.fit(np.ones((4, 2)), [np.zeros(4, int), np.ones((4, 1))], verbose=0)
    assert model.predict(np.ones((1, 2)))[0].sum() == pytest.approx(1.0)


def test_losses_and_metrics_as_objects_and_functions():
    def absolute(y_true, y_pred):
        return abs(y_pred - y_true).mean(axis=-1)

    x, y = linear()
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile(Adam(0.01), absolute, [metrics.MeanAbsoluteError(), losses.MeanSquaredError(), "mae"])
    logs = model.fit(x, y, verbose=0).history
    assert list(logs) == ["loss", "mean_absolute_error", "mean_squared_error", "mae"]
    assert logs["loss"] == pytest.approx(logs["mae"], rel=1e-5)


def test_one_loss_for_one_of_two_outputs():
    x = Input((3,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", {"a": "mse"})
    before = model.get_layer("b").get_weights()[0]
    inputs, targets = linear()
    model.fit(inputs, [targets, targets], verbose=0)
    np.testing.assert_array_equal(model.get_layer("b").get_weights()[0], before)
    model.compile("sgd", {"c": "mse"})
    with pytest.raises(ValueError, match=r"loss names \['c'\], but the outputs are \['a', 'b'\]"):
        model.fit(inputs, [targets, targets], verbose=0)
    model.compile("sgd", ["mse"])
    with pytest.raises(ValueError, match="loss has 1 entries for 2 outputs"):
        model.fit(inputs, [targets, targets], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'Adam'"),
        ({"loss": "sparse_crossentropy"}, "unknown loss 'sparse_crossentropy'"),
        ({"metrics": ["acuracy_of_mine"]}, "unknown metric 'acuracy_of_mine'"),
    ],
)
def test_wrong_names_fail_in_compile(arguments, text):
    with pytest.raises(ValueError, match=text):
        Sequential([Dense(1)]).compile(**{"optimizer": "sgd", "loss": "mse", **arguments})


def test_without_compile_or_loss():
    model = Sequential([Dense(1, input_shape=(3,))])
    x, y = linear()
    with pytest.raises(RuntimeError, match="is not compiled"):
        model.fit(x, y)
    model.compile("sgd")
    with pytest.raises(ValueError, match="no loss"):
        model.fit(x, y, verbose=0)


# ------------------------------------------------------------------------------------------------- streams


def batches_of(x, y, size=8):
    for begin in range(0, len(x), size):
        yield x[begin : begin + size], y[begin : begin + size]


class Batches:
    def __init__(self, x, y, size=8):
        self.x, self.y, self.size = x, y, size
        self.ends = 0

    def __len__(self):
        return math.ceil(len(self.x) / self.size)

    def __getitem__(self, index):
        return self.x[index * self.size :][: self.size], self.y[index * self.size :][: self.size]

    def on_epoch_end(self):
        self.ends += 1


class Iterable:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return batches_of(self.x, self.y)


def test_every_kind_of_stream_trains_as_the_arrays_do():
    x, y = linear()
    expected = regression()
    start = expected.get_weights()
    history = expected.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history

    def endless():
        while True:
            yield from batches_of(x, y)

    for source, steps in ((endless(), 4), (Batches(x, y), None), (Iterable(x, y), None), (Iterable(x, y), 4)):
        model = regression()
        model.set_weights(start)
        ours = model.fit(source, epochs=2, steps_per_epoch=steps, shuffle=False, verbose=0).history
        assert ours["loss"] == pytest.approx(history["loss"]), source
        assert model.evaluate(Batches(x, y), verbose=0) == pytest.approx(expected.evaluate(x, y, verbose=0))
        np.testing.assert_allclose(model.predict(b[0] for b in batches_of(x, y)), expected.predict(x), rtol=1e-5)


def test_sequence_is_shuffled_by_batches_and_told_of_epochs():
    source = Batches(numbers(16), numbers(16), 4)
    model, batches = recording()
    model.fit(source, epochs=3, verbose=0)
    firsts = [tuple(b[0, 0] * 16 for b in batches[i : i + 4]) for i in (0, 4, 8)]
    assert all(sorted(f) == [0, 4, 8, 12] for f in firsts) and len(set(firsts)) > 1
    assert source.ends == 3


def test_generator_that_ends_early_warns_and_stops():
    x, y = linear()
    with pytest.warns(UserWarning, match="batches ran out"):
        history = regression().fit(batches_of(x, y), epochs=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="3 batches an epoch are wanted"):
        history = regression().fit(batches_of(x, y), epochs=2, steps_per_epoch=3, verbose=0)
    assert history.epoch == [0, 1]


@pytest.mark.parametrize("built", [True, False])
def test_batches_may_be_lists(built):
    x, y = linear()
    weights = np.linspace(0, 2, 32, dtype=np.float32)
    model, expected = regression(), regression()
    if not built:
        model = Sequential([Dense(1)])
        model.compile("sgd", "mse")
        model.predict(x[:1])
    model.set_weights(expected.get_weights())
    model.fit([[x[:16], y[:16]], [x[16:], y[16:]]].__iter__(), verbose=0)
    expected.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], expected.get_weights()[0], rtol=1e-6)
    weighted = expected.evaluate(x, y, sample_weight=weights, verbose=0)
    assert model.evaluate(iter([[x, y, weights]]), verbose=0) == pytest.approx(weighted, rel=1e-5)
    np.testing.assert_allclose(model.predict(iter([[x, y]])), expected.predict(x), rtol=1e-5)
    assert Sequential([Dense(2)]).predict(iter([[x, y]])).shape == (32, 2)


def test_batches_of_a_dataloader():
    torch = pytest.importorskip("torch")
    x, y = linear()
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    model = regression()
    loader = torch.utils.data.DataLoader(dataset, batch_size=8)
    assert isinstance(next(iter(loader)), list)
    before = model.evaluate(loader, verbose=0)
    assert before == pytest.approx(model.evaluate(x, y, verbose=0))
    model.fit(loader, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


def test_lists_of_arrays_that_are_several_inputs():
    x, y = linear()
    first, second = Input((3,)), Input((3,))
    model = Model([first, second], Dense(1)(minicnn.layers.Add()([first, second])))
    model.compile("sgd", "mse")
    expected = model.predict([x, 2 * x])
    np.testing.assert_allclose(model.predict(iter([[x, 2 * x]])), expected, rtol=1e-6)
    loss = model.evaluate([x, 2 * x], y, verbose=0)
    for item in ([[x, 2 * x], y], ((x, 2 * x), y), [{n: x * (i + 1) for i, n in enumerate(model.input_names)}, y]):
        assert model.evaluate(iter([item]), verbose=0) == pytest.approx(loss)

    class Sum(Model):
        def __init__(self):
            super().__init__()
            self.last = Dense(1)

        def call(self, inputs, training=False):
            return self.last(inputs[0] + inputs[1] if isinstance(inputs, list) else inputs)

    both, single = Sum(), Sum()
    assert both.predict(iter([[x, 2 * x]])).shape == (32, 1)
    single.compile("sgd", "mse")
    assert single.evaluate(iter([[x, y]]), verbose=0) == pytest.approx(single.evaluate(x, y, verbose=0))


def test_stream_with_weights_and_validation():
    x, y = linear()

    def weighted():
        for a, b in batches_of(x, y):
            yield a, b, np.zeros(len(a))

    assert regression().fit(weighted(), verbose=0, validation_data=Batches(x, y)).history["loss"] == [0.0]


def test_arguments_that_do_not_go_with_streams():
    x, y = linear()
    with pytest.raises(ValueError, match="y cannot be given with x that makes batches"):
        regression().fit(batches_of(x, y), y, verbose=0)
    with pytest.raises(ValueError, match="validation_split needs arrays"):
        regression().fit(batches_of(x, y), validation_split=0.5, verbose=0)
    with pytest.raises(ValueError, match=r"expected \(x, y\) or \(x, y, sample_weight\)"):
        regression().fit(iter([(1, 2, 3, 4)]), verbose=0)
    with pytest.raises(ValueError, match="has length 0"):
        regression().fit(Batches(x[:0], y[:0]), verbose=0)


def test_deferred_chain_trains_from_a_stream():
    x, y = linear()
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse", ["mae"])
    assert len(model.fit(Batches(x, y), verbose=0).history["mae"]) == 1


# ------------------------------------------------------------------------------------------- batches, memory


def test_whole_numbers_are_cast_batch_by_batch():
    x = np.random.default_rng(0).integers(0, 256, (8000, 28, 28)).astype(np.uint8)
    y = np.zeros(8000, int)
    model = Sequential([Flatten(input_shape=(28, 28)), Dense(2, activation="softmax")])
    model.compile(SGD(1e-9), "sparse_categorical_crossentropy")
    model.fit(x[:64], y[:64], verbose=0)
    tracemalloc.start()
    model.fit(x, y, batch_size=50, epochs=1, validation_split=0.5, verbose=0)
    model.predict(x, batch_size=50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes


def test_batch_that_is_kept_is_not_overwritten():
    kept = []

    class Keep(Layer):
        def call(self, x):
            kept.append(x.data)
            return x

    x = np.random.default_rng(0).integers(0, 256, (40, 3)).astype(np.uint8)
    model = Sequential([Keep(input_shape=(3,)), Dense(1)])
    model.compile(SGD(1e-9), "mse")
    sums = []
    look = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: sums.append(float(kept[-1].sum())))
    kept.clear()
    model.fit(x, np.zeros(40), batch_size=8, verbose=0, callbacks=[look])
    kept = kept[-5:]
    assert [float(batch.sum()) for batch in kept] == sums[-5:]
    assert sum(sums) == pytest.approx(float(x.sum()))


def test_batches_share_their_memory_when_nobody_keeps_them():
    places = set()

    class Note(Layer):
        def call(self, x):
            places.add(x.data.__array_interface__["data"][0])
            return x

    x = np.random.default_rng(0).integers(0, 256, (800, 30)).astype(np.uint8)
    model = Sequential([Note(input_shape=(30,)), Dense(1)])
    model.compile(SGD(1e-9), "mse")
    model.fit(x, np.zeros(800), batch_size=8, verbose=0)
    assert len(places) < 10


def test_arrays_in_another_order_are_read_correctly():
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32))
    y = x.sum(axis=1)[::-1].copy()[::-1]
    one, two = regression(), regression()
    two.set_weights(one.get_weights())
    two.shuffler.bit_generator.state = one.shuffler.bit_generator.state
    plain = np.ascontiguousarray(x)
    assert one.fit(x, y, batch_size=6, verbose=0).history == two.fit(plain, y, batch_size=6, verbose=0).history


def test_data_of_other_kinds():
    x, y = linear(8)
    expected = regression()
    for data in (x.tolist(), x.astype(np.float64), Tensor(x), [x]):
        np.testing.assert_allclose(expected.predict(data), expected.predict(x), rtol=1e-6)
    with pytest.raises(TypeError, match="must be numbers, but an array of dtype"):
        expected.predict(np.array([["a", "b", "c"]]))


def test_predicting_in_a_loop_keeps_no_memory():
    model = regression()
    x, _ = linear(64)
    model.predict(x)
    gc.collect()
    tracemalloc.start()
    for _ in range(5):
        model.predict(x)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        model.predict(x)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000


def test_prediction_leaves_no_tape():
    model = regression()
    x, _ = linear(4)
    model.predict(x)
    assert all(weight.grad is None for weight in model.weights)
    assert isinstance(model.predict_on_batch(x), np.ndarray)


@pytest.mark.parametrize("steps", [5, 9])
def test_no_sample_is_taken_twice_to_measure_or_predict(steps):
    x, y = linear(20)
    model = regression()
    whole, outputs = model.evaluate(x, y, batch_size=4, verbose=0), model.predict(x, batch_size=4)
    assert whole != pytest.approx(model.evaluate(x[:16], y[:16], verbose=0))

    def check(given, **options):
        inputs = given[0] if len(given) > 1 else given[0].inputs()
        assert model.evaluate(*given, steps=steps, verbose=0, **options) == pytest.approx(whole)
        np.testing.assert_allclose(model.predict(inputs, steps=steps, **options), outputs, rtol=1e-5)
        fit = {"validation_data": given if len(given) > 1 else given[0], "validation_steps": steps, "verbose": 0}
        if options:
            fit["validation_batch_size"] = options["batch_size"]
        copy = regression()
        history = copy.fit(x, y, epochs=2, **fit).history
        assert history["val_loss"][1] == pytest.approx(copy.evaluate(x, y, verbose=0))

    class Listed(Batches):
        def inputs(self):
            return [self.x[i : i + 4] for i in range(0, 20, 4)].__iter__()

    class Unmeasured(Iterable):
        def __iter__(self):
            return batches_of(self.x, self.y, 4)

        def inputs(self):
            return (batch for batch, _ in self)

    for given, options in (((x, y), {"batch_size": 4}), ((Listed(x, y, 4),), {}), ((Unmeasured(x, y),), {})):
        if steps == 5:
            check(given, **options)
        else:
            with pytest.warns(UserWarning, match=r"batches ran out: 9 are wanted, but only 5 came") as caught:
                check(given, **options)
            named = [str(warning.message).split(",")[0] for warning in caught]
            assert named == ["evaluate", "predict", "validation", "validation"]
            assert {warning.filename for warning in caught[:2]} == {__file__}


def test_every_validation_begins_with_the_first_batch():
    x, y = linear()
    model = regression()
    model.fit(x, y, epochs=3, validation_data=Iterable(x, y), validation_steps=1, verbose=0)
    history = model.history.history["val_loss"]
    assert history[-1] == pytest.approx(model.evaluate(x[:8], y[:8], verbose=0))


def test_training_goes_on_when_the_batches_to_validate_on_run_out():
    x, y = linear()
    with pytest.warns(UserWarning, match="validation.*batches ran out; the training goes on without") as caught:
        history = regression().fit(x, y, epochs=4, validation_data=batches_of(x, y), verbose=0).history
    assert [warning.filename for warning in caught] == [__file__]
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 1
    with pytest.raises(ValueError, match=r"evaluate.*there are no batches"):
        regression().evaluate(iter(()), verbose=0)


def test_predict_with_steps():
    model = regression()
    x, _ = linear(20)
    np.testing.assert_array_equal(model.predict(x, batch_size=4, steps=2), model.predict(x, batch_size=4)[:8])


# -------------------------------------------------------------------------------------------- single batches


def test_train_on_batch_makes_one_step_and_returns_the_loss_before_it():
    x, y = linear()
    model = regression(metrics=["mae"])
    loss, mae = model.test_on_batch(x, y)
    assert model.train_on_batch(x, y) == pytest.approx([loss, mae])
    assert model.optimizer.iterations == 1
    assert model.test_on_batch(x, y, return_dict=True)["loss"] < loss
    with pytest.raises(ValueError, match="y is missing"):
        model.train_on_batch(x)


def test_training_by_hand_agrees_with_fit():
    x, y = linear()
    fitted, by_hand = regression(), regression()
    by_hand.set_weights(fitted.get_weights())
    fitted.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    optimizer = SGD(0.01, parameters=by_hand.trainable_weights)
    for batch_x, batch_y in batches_of(x, y):
        loss = losses.MeanSquaredError()(batch_y, by_hand(batch_x, training=True))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for a, b in zip(fitted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_freezing_a_layer_between_two_fits_keeps_the_others_momentum():
    x, y = linear()
    model = Sequential([Dense(4, input_shape=(3,)), Dense(1)])
    model.compile(SGD(0.01, momentum=0.9), "mse")
    model.fit(x, y, verbose=0)
    state = {k: np.array(v) for k, v in model.optimizer.get_state().items()}
    model.layers[0].trainable = False
    frozen = model.layers[0].get_weights()[0]
    model.optimizer.learning_rate = 1e-30
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], frozen)
    after = model.optimizer.get_state()
    assert after["iterations"] == state["iterations"] + 1
    assert np.abs(after["velocity/2"]).sum() > 0 and np.abs(state["velocity/2"]).sum() > 0
    np.testing.assert_allclose(after["velocity/2"], 0.9 * state["velocity/2"], rtol=1e-5)


# ----------------------------------------------------------------------------------------- bits, threads


def noisy():
    model = Sequential([Dense(8, activation="relu", input_shape=(3,)), Dropout(0.3), Dense(1)])
    model.compile("adam", "mse")
    return model


def test_same_seed_same_bits():
    x, y = linear(50)
    runs = []
    for _ in range(2):
        minicnn.set_seed(3)
        model = noisy()
        runs.append((model.fit(x, y, batch_size=16, epochs=2, verbose=0).history, model.get_weights()))
    assert runs[0][0] == runs[1][0]
    for a, b in zip(runs[0][1], runs[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    minicnn.set_seed(4)
    assert noisy().fit(x, y, batch_size=16, epochs=2, verbose=0).history != runs[0][0]


def test_predicting_while_building_from_many_threads():
    model = Sequential([Dense(16, activation="relu"), Dense(4)])
    x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    barrier = threading.Barrier(8)
    results, errors = [], []

    def work():
        try:
            barrier.wait()
            for _ in range(5):
                results.append(model.predict(x, batch_size=16))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(results) == 40
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert len(model.weights) == 4


def test_predicting_while_training_does_not_disturb_the_tape():
    x, y = linear(200)
    model = regression()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            model.predict(x)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        model.fit(x, y, epochs=5, batch_size=8, verbose=0)
    finally:
        stop.set()
        thread.join()
    assert model.history.history["loss"][-1] < model.history.history["loss"][0]


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_metric_may_give_a_tensor(shape):
    class Constant(metrics.Metric):
        def reset_state(self):
            pass

        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

        def result(self):
            return Tensor(np.full(shape, 0.5, np.float32))

    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse", metrics=[Constant()])
    (found,) = model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0).history["constant"]
    assert not isinstance(found, Tensor)
    np.testing.assert_array_equal(found, np.full(shape, 0.5))
