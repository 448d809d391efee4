"""Methods and logs that Keras has dropped."""

from __future__ import annotations

import h5py
import numpy as np
import pytest


@pytest.fixture
def keras(install):
    install("2.0.8")
    import keras

    return keras


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(32, 4)).astype("float32")
    return x, np.eye(2, dtype="float32")[(x[:, 0] > 0).astype(int)]


def compiled(keras, metrics=("accuracy",)):
    model = keras.models.Sequential([keras.layers.Dense(2, activation="softmax", input_shape=(4,))])
    model.compile(keras.optimizers.SGD(lr=0.1), "categorical_crossentropy", metrics=list(metrics))
    return model


def batches(x, y, size=8):
    while True:
        for first in range(0, len(x), size):
            yield x[first : first + size], y[first : first + size]


@pytest.mark.parametrize("metric", ["acc", "accuracy"])
def test_history_and_callbacks_answer_both_names(keras, data, metric):
    seen = []

    class Reader(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs.get("acc"), logs["accuracy"], logs.get("val_acc"), logs["val_accuracy"]))

    history = compiled(keras, [metric]).fit(*data, nb_epoch=2, verbose=0, validation_data=data, callbacks=[Reader()])
    assert history.history["acc"] == history.history["accuracy"] == [entry[0] for entry in seen]
    assert history.history.get("val_acc") == history.history["val_accuracy"] == [entry[3] for entry in seen]
    assert "acc" in history.history and "precision" not in history.history
    assert list(history.history) == ["loss", metric, "val_loss", f"val_{metric}"]
    with pytest.raises(KeyError):
        history.history["precision"]


def test_stopping_may_watch_the_other_name(keras, data):
    stopping = keras.callbacks.EarlyStopping(monitor="val_acc", patience=0, min_delta=2, mode="max")
    history = compiled(keras).fit(*data, epochs=5, verbose=0, validation_data=data, callbacks=stopping)
    assert len(history.epoch) == 2


def test_generators(keras, data):
    x, y = data
    model = compiled(keras)
    history = model.fit_generator(
        batches(x, y), steps_per_epoch=4, epochs=2, validation_data=batches(x, y), validation_steps=4, verbose=0,
        workers=2, max_q_size=10,
    )  # fmt: skip
    assert len(history.history["val_acc"]) == 2
    inputs = (batch for batch, _ in batches(x, y))
    np.testing.assert_array_equal(model.predict_generator(inputs, 4), model.predict(x, batch_size=8))
    assert model.evaluate_generator(batches(x, y), steps=4) == pytest.approx(model.evaluate(x, y, verbose=0), abs=1e-6)


class Counted:
    """A generator of Keras 1's kind, which told its batch size."""

    batch_size = 8

    def __init__(self, x, y):
        self._batches = batches(x, y)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._batches)


def test_samples_become_batches(keras, data):
    model = compiled(keras)
    history = model.fit_generator(
        Counted(*data), samples_per_epoch=32, nb_epoch=1, validation_data=Counted(*data), nb_val_samples=16, verbose=0
    )
    assert model.optimizer.iterations == 4
    assert len(history.history["val_loss"]) == 1
    with pytest.raises(ValueError, match=r"samples_per_epoch: the generator does not tell its batch_size"):
        model.fit_generator(batches(*data), samples_per_epoch=32, nb_epoch=1)


def test_classes_and_probabilities(keras, data):
    x, _ = data
    model = compiled(keras)
    np.testing.assert_array_equal(model.predict_classes(x), model.predict(x).argmax(-1))
    np.testing.assert_array_equal(model.predict_proba(x), model.predict(x))
    single = keras.models.Sequential([keras.layers.Dense(1, activation="sigmoid", input_dim=4)])
    np.testing.assert_array_equal(single.predict_classes(x), (single.predict(x) > 0.5).astype("int32"))


def adversaries(keras):
    """A discriminator that is frozen after it was compiled, and what trains a generator through it."""
    models, layers = keras.models, keras.layers
    optimizer = keras.optimizers.Adam(0.01, 0.5)
    discriminator = models.Sequential([layers.Dense(8, input_shape=(4,)), layers.Dense(1, activation="sigmoid")])
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer)
    generator = models.Sequential([layers.Dense(4, input_dim=3)])
    noise = layers.Input(shape=(3,))
    discriminator.trainable = False
    combined = models.Model(noise, discriminator(generator(noise)))
    combined.compile(loss="binary_crossentropy", optimizer=optimizer)
    return discriminator, generator, combined


@pytest.mark.parametrize("method", ["train_on_batch", "fit"])
@pytest.mark.parametrize("thawed", [False, True])
def test_what_is_trained_is_settled_when_a_model_is_compiled(keras, data, method, thawed):
    discriminator, generator, combined = adversaries(keras)
    # By the other model's time it makes no difference any more.
    discriminator.trainable = thawed
    x, ones = data[0], np.ones((32, 1))
    for _ in range(2):
        before = discriminator.get_weights()[0], generator.get_weights()[0]
        getattr(discriminator, method)(x, ones)
        own = discriminator.get_weights()[0]
        assert not np.array_equal(own, before[0])
        getattr(combined, method)(x[:, :3], ones)
        np.testing.assert_array_equal(discriminator.get_weights()[0], own)
        assert not np.array_equal(generator.get_weights()[0], before[1])
        assert bool(discriminator.trainable_weights) == discriminator.trainable == thawed
    discriminator.compile("sgd", "binary_crossentropy")
    if not thawed:
        with pytest.warns(UserWarning, match="no trainable weights"):
            discriminator.train_on_batch(x, ones)
        np.testing.assert_array_equal(discriminator.get_weights()[0], own)


def test_in_keras_3_freezing_needs_no_compiling(install, data):
    install("3")
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    before = model.get_weights()[0]
    model.trainable = False
    with pytest.warns(UserWarning, match="no trainable weights"):
        model.train_on_batch(*data)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_steps_of_a_prediction_divide_the_array(keras, data):
    x, _ = data
    model = compiled(keras)
    assert model.predict(x[:11], steps=1).shape == (11, 2)
    assert model.predict(x, steps=3).shape == (32, 2)
    assert model.predict(x[:9], steps=6).shape == (9, 2)
    assert model.predict(x, batch_size=8, steps=2).shape == (16, 2)


def test_bars(keras, data, capsys):
    from keras_tqdm import TQDMNotebookCallback

    from minicnn.compat.keras.progress import TQDMCallback

    compiled(keras).fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[TQDMCallback()])
    drawn = capsys.readouterr().err
    assert "Training: 100%" in drawn
    assert "Epoch 1: 100%" in drawn and "4/4" in drawn
    assert "loss: " in drawn and "accuracy: " in drawn and " acc: " not in drawn
    notebook = TQDMNotebookCallback(leave_inner=True, leave_outer=False)
    compiled(keras).fit(*data, epochs=2, batch_size=8, verbose=0, callbacks=[notebook])
    assert "Epoch 1: 100%" in capsys.readouterr().err


def test_bars_take_the_arguments_of_keras_tqdm_alone(keras):
    from keras_tqdm import TQDMNotebookCallback

    TQDMNotebookCallback(outer_description="T", metric_format="{name}", separator=", ", initial=1, show_inner=False)
    with pytest.raises(TypeError, match=r"unknown argument 'leave_inners'; did you mean 'leave_inner'"):
        TQDMNotebookCallback(leave_inners=True, leave_outer=True)


@pytest.mark.parametrize("name", ["conv_model_e13", "weights.hdf5", "model.h5", "model.keras"])
def test_models_are_saved_under_any_name(keras, data, tmp_path, name):
    model = compiled(keras)
    model.fit(*data, epochs=1, verbose=0)
    model.save(str(tmp_path / name))
    loaded = keras.models.load_model(str(tmp_path / name))
    np.testing.assert_array_equal(loaded.predict(data[0]), model.predict(data[0]))
    assert loaded.optimizer.iterations == model.optimizer.iterations > 0
    assert h5py.is_hdf5(tmp_path / name) is (name != "model.keras")


def test_in_keras_3_the_name_says_the_format(install, data, tmp_path):
    install("3")
    import keras

    with pytest.raises(ValueError, match=r"the ending of 'conv_model' must be one of"):
        compiled(keras).save(str(tmp_path / "conv_model"))
    assert not list(tmp_path.iterdir())


def test_the_numbers_of_seed_001s_baseline(install):
    install("2.3")
    import tensorflow as tf

    np.testing.assert_array_equal(tf.nn.relu(tf.constant([1.0, 2, 3, -4])).numpy(), [1, 2, 3, 0])
    probabilities = tf.nn.softmax(tf.constant([1.0, 2, 3, -5])).numpy()
    np.testing.assert_allclose(probabilities, [0.0900105, 0.2446739, 0.6650925, 0.00022311], atol=1e-7)
    # For two right answers at once, as its list of labels has them.
    labels = tf.constant([1.0, 1, 0, 0])
    loss = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=tf.constant([1.0, 2, 3, -5]))
    assert float(loss.numpy()) == pytest.approx(3.815658, abs=1e-5)
