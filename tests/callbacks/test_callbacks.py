"""Every callback does what Keras' callback of that name does."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from minicnn import callbacks
from minicnn.autograd import Tensor
from minicnn.layers import Dense, Input
from minicnn.models import Model, Sequential
from minicnn.optimizers import SGD


def data(n=16):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, 3)).astype(np.float32)
    return x, x @ np.array([[1.0], [2.0], [3.0]], np.float32)


def model_of(learning_rate=0.05):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile(SGD(learning_rate), "mse")
    return model


class Scripted(callbacks.Callback):
    """Puts given values into the logs, so that the callbacks after it see a known course."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: course[epoch] for name, course in self.values.items()})


def run(*used, epochs, model=None, **options):
    model = model or model_of()
    x, y = data()
    return model, model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(used), **options)


def test_hooks_come_in_keras_order():
    calls = []

    class Spy(callbacks.Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                return lambda *arguments: calls.append((name, arguments[0] if len(arguments) > 1 else None))
            return super().__getattribute__(name)

    x, y = data(4)
    model_of().fit(x, y, batch_size=2, epochs=1, verbose=0, callbacks=[Spy()], validation_data=(x, y))
    batches = [
        ("on_train_batch_begin", 0),
        ("on_train_batch_end", 0),
        ("on_train_batch_begin", 1),
        ("on_train_batch_end", 1),
    ]
    tests = [("on_test_begin", None)]
    tests += [(f"on_test_batch_{when}", step) for step in (0, 1) for when in ("begin", "end")]
    tests += [("on_test_end", None)]
    expected = [
        ("on_train_begin", None),
        ("on_epoch_begin", 0),
        *batches,
        *tests,
        ("on_epoch_end", 0),
        ("on_train_end", None),
    ]
    assert calls == expected


def test_batch_hooks_have_a_second_name():
    seen = []

    class Old(callbacks.Callback):
        def on_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            seen.append(("end", batch, sorted(logs)))

    run(Old(), epochs=1)
    assert seen == [("begin", 0), ("end", 0, ["loss"]), ("begin", 1), ("end", 1, ["loss"])]


def test_predict_and_evaluate_call_their_hooks():
    seen = []
    hooks = ["on_predict_begin", "on_predict_end", "on_test_begin", "on_test_end"]
    spy = callbacks.LambdaCallback(**{name: lambda *_, name=name: seen.append(name) for name in hooks})
    x, y = data()
    model = model_of()
    model.predict(x, callbacks=[spy])
    model.evaluate(x, y, verbose=0, callbacks=[spy])
    assert seen == hooks


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks must be Callback objects, got int: 3"):
        run(3, epochs=1)


def test_lambda_callback_and_its_errors():
    epochs = []
    run(callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append((epoch, "loss" in logs))), epochs=2)
    assert epochs == [(0, True), (1, True)]
    with pytest.raises(TypeError, match="'on_epoch' is no hook"):
        callbacks.LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="must be a function, got int"):
        callbacks.LambdaCallback(on_epoch_end=3)


def test_history_sees_what_other_callbacks_add():
    _, history = run(Scripted(extra=[5.0, 6.0]), epochs=2)
    assert history.history["extra"] == [5.0, 6.0]
    assert history.epoch == [0, 1]
    assert history.params["epochs"] == 2


def test_early_stopping_counts_epochs_without_improvement():
    course = [5.0, 4.0, 4.5, 4.4, 4.3, 1.0]
    stopping = callbacks.EarlyStopping("val_loss", patience=3)
    _, history = run(Scripted(val_loss=course), stopping, epochs=6)
    assert history.epoch == [0, 1, 2, 3, 4]
    assert stopping.stopped_epoch == 4 and stopping.best == 4.0 and stopping.best_epoch == 1


def test_early_stopping_needs_an_improvement_of_min_delta():
    _, history = run(Scripted(v=[5.0, 4.95, 4.9]), callbacks.EarlyStopping("v", min_delta=0.1, patience=2), epochs=3)
    assert len(history.epoch) == 3
    stopping = callbacks.EarlyStopping("v", min_delta=-0.1, patience=1)
    _, history = run(Scripted(v=[5.0, 4.8, 4.75]), stopping, epochs=3)
    assert stopping.best == 4.8


def test_early_stopping_maximises_accuracies():
    for name, mode in (("val_accuracy", "auto"), ("v", "max")):
        stopping = callbacks.EarlyStopping(name, patience=1, mode=mode)
        _, history = run(Scripted(**{name: [0.1, 0.5, 0.4, 0.9]}), stopping, epochs=4)
        assert history.epoch == [0, 1, 2]


def test_early_stopping_with_a_baseline_and_a_late_start():
    stopping = callbacks.EarlyStopping("v", patience=2, baseline=1.0)
    _, history = run(Scripted(v=[5.0, 4.0, 4.5, 3.0]), stopping, epochs=4)
    # Without the baseline the second epoch would have started a new count.
    assert history.epoch == [0, 1, 2]
    stopping = callbacks.EarlyStopping("v", patience=1, start_from_epoch=3)
    _, history = run(Scripted(v=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), stopping, epochs=6)
    assert history.epoch == [0, 1, 2, 3, 4]


def test_early_stopping_ignores_nan():
    stopping = callbacks.EarlyStopping("v", patience=2)
    _, history = run(Scripted(v=[math.nan, 3.0, math.nan, math.nan]), stopping, epochs=4)
    assert stopping.best == 3.0 and history.epoch == [0, 1, 2, 3]


@pytest.mark.parametrize("stops_itself", [True, False])
def test_best_weights_come_back_whoever_ended_the_training(stops_itself):
    kept = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(keep.model.get_weights()))
    course = [3.0, 1.0, 2.0, 2.5]
    stopping = callbacks.EarlyStopping("v", patience=2 if stops_itself else 10, restore_best_weights=True)
    model, _ = run(Scripted(v=course), keep, stopping, epochs=4)
    for ours, best in zip(model.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(ours, best)
    assert not np.array_equal(kept[1][0], kept[-1][0])


def test_early_stopping_starts_afresh():
    stopping = callbacks.EarlyStopping("v", patience=1)
    run(Scripted(v=[1.0, 2.0]), stopping, epochs=2)
    _, history = run(Scripted(v=[9.0, 8.0, 7.0]), stopping, epochs=3)
    assert history.epoch == [0, 1, 2] and stopping.best == 7.0


def test_monitor_that_is_not_there_warns_once_and_names_what_is():
    with pytest.warns(
        UserWarning, match="monitors 'val_loss', but the logs hold loss; give fit validation_data"
    ) as caught:
        run(callbacks.EarlyStopping(), epochs=3)
    assert len(caught) == 1


@pytest.mark.parametrize("argument", ["patience", "start_from_epoch"])
def test_epochs_to_wait_are_whole_numbers(argument):
    with pytest.raises(TypeError, match=f"EarlyStopping: {argument} must be a whole number, got '2'"):
        callbacks.EarlyStopping(**{argument: "2"})
    with pytest.raises(ValueError, match=f"EarlyStopping: {argument} must be at least 0, got -1"):
        callbacks.EarlyStopping(**{argument: -1})
    with pytest.raises(ValueError, match="ReduceLROnPlateau: patience must be at least 0, got -1"):
        callbacks.ReduceLROnPlateau(patience=-1)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode must be"):
        callbacks.EarlyStopping(mode="up")


def test_checkpoint_names_files_by_epoch_and_value(tmp_path):
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "net-{epoch:02d}-{val_loss:.2f}.minicnn")
    run(Scripted(val_loss=[0.5, 0.25]), checkpoint, epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net-01-0.50.minicnn", "net-02-0.25.minicnn"]


def test_checkpoint_saves_improvements_only(tmp_path):
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{epoch}.minicnn", "v", save_best_only=True)
    run(Scripted(v=[3.0, 4.0, 2.0]), checkpoint, epochs=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.minicnn", "3.minicnn"]
    checkpoint = callbacks.ModelCheckpoint(
        tmp_path / "b{epoch}.minicnn", "v", save_best_only=True, initial_value_threshold=2.5, mode="min"
    )
    run(Scripted(v=[3.0, 4.0, 2.0]), checkpoint, epochs=3)
    assert sorted(p.name for p in tmp_path.glob("b*")) == ["b3.minicnn"]


def test_checkpoint_every_few_steps_and_weights_only(tmp_path):
    checkpoint = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.safetensors", save_freq=3, save_weights_only=True
    )
    run(checkpoint, epochs=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2-1.safetensors", "3-2.safetensors"]
    with pytest.raises(ValueError, match="save_freq must be"):
        callbacks.ModelCheckpoint("x", save_freq="batch")


def test_checkpoint_with_an_unknown_field(tmp_path):
    with pytest.raises(KeyError, match="asks for 'val_acc', but there is only loss, epoch"):
        run(callbacks.ModelCheckpoint(tmp_path / "{val_acc}.minicnn"), epochs=1)


def read(path, delimiter=","):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    _, history = run(callbacks.CSVLogger(path), epochs=2)
    assert [float(row["loss"]) for row in read(path)] == history.history["loss"]
    assert [row["epoch"] for row in read(path)] == ["0", "1"]
    run(callbacks.CSVLogger(path, append=True), epochs=1)
    assert [row["epoch"] for row in read(path)] == ["0", "1", "0"]
    run(callbacks.CSVLogger(path, separator=";"), epochs=1)
    assert path.read_text().startswith("epoch;loss")


def test_csv_logger_has_columns_for_values_that_come_later(tmp_path):
    path = tmp_path / "log.csv"
    x, y = data()
    run(callbacks.CSVLogger(path), epochs=2, validation_data=(x, y), validation_freq=2)
    first, second = read(path)
    assert first["val_loss"] == "NA" and float(second["val_loss"]) > 0


def test_csv_logger_writes_arrays_as_lists(tmp_path):
    log = tmp_path / "log.csv"
    run(Scripted(matrix=[np.eye(2), Tensor(np.ones(2))]), callbacks.CSVLogger(log), epochs=2)
    rows = csv.DictReader(log.read_text().splitlines())
    assert [row["matrix"] for row in rows] == ["[[1.0, 0.0], [0.0, 1.0]]", "[1.0, 1.0]"]


def test_an_array_cannot_be_monitored():
    with pytest.raises(ValueError, match=r"EarlyStopping: monitor must be one number, but 'matrix' is an array of sha"):
        run(Scripted(matrix=[np.eye(2)]), callbacks.EarlyStopping("matrix"), epochs=1)
    scripted = Scripted(mean=[Tensor(np.array(2.0)), Tensor(np.array(1.0))])
    stopping = callbacks.EarlyStopping("mean", patience=3)
    run(scripted, stopping, epochs=2)
    assert stopping.best == 1


def test_csv_file_is_closed_after_an_error(tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "log.csv")

    def fail(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(logger, callbacks.LambdaCallback(on_epoch_end=fail), epochs=2)
    assert len(read(tmp_path / "log.csv")) == 1
    assert logger._file is None


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.5, lambda epoch: 0.05 * 0.5 ** (epoch + 1)])
def test_learning_rate_scheduler(schedule):
    model, history = run(callbacks.LearningRateScheduler(schedule), epochs=3)
    assert history.history["learning_rate"] == pytest.approx([0.025, 0.0125, 0.00625])
    assert model.optimizer.learning_rate == pytest.approx(0.00625)


def test_learning_rate_scheduler_must_give_a_number():
    with pytest.raises(TypeError, match="schedule must return a number, got 'small'"):
        run(callbacks.LearningRateScheduler(lambda epoch: "small"), epochs=1)


def test_reduce_on_plateau():
    reducer = callbacks.ReduceLROnPlateau("v", factor=0.5, patience=2, cooldown=1, min_lr=0.01)
    _, history = run(Scripted(v=[1.0] * 8), reducer, epochs=8, model=model_of(0.04))
    rates = history.history["learning_rate"]
    # The log shows the rate that the epoch ran with. Epochs 1, 2 wait; 3 cools down and counts again; and so on.
    assert rates == pytest.approx([0.04, 0.04, 0.04, 0.02, 0.02, 0.01, 0.01, 0.01])
    with pytest.raises(ValueError, match="factor must be"):
        callbacks.ReduceLROnPlateau(factor=1.5)


# Keras' own conversion of its variables warns under NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_reduce_on_plateau_agrees_with_keras():
    from tests.oracles import keras

    course = [1.0, 0.9, 0.95, 0.93, 0.91, 0.92, 0.5, 0.5, 0.5, 0.5, 0.6, 0.5]
    options = {"factor": 0.5, "patience": 2, "cooldown": 2, "min_delta": 0.01, "mode": "min"}
    ours = callbacks.ReduceLROnPlateau("v", **options)
    theirs = keras().callbacks.ReduceLROnPlateau(monitor="v", **options)
    _, history = run(Scripted(v=course), ours, epochs=len(course), model=model_of(0.1))
    oracle = keras().Sequential([keras().layers.Dense(1)])
    oracle.compile(keras().optimizers.SGD(0.1), "mse")
    theirs.set_model(oracle)
    theirs.on_train_begin()
    rates = []
    for epoch, value in enumerate(course):
        logs = {"v": value}
        theirs.on_epoch_end(epoch, logs)
        rates.append(float(logs["learning_rate"]))
    assert history.history["learning_rate"] == pytest.approx(rates)


def test_early_stopping_agrees_with_keras():
    from tests.oracles import keras

    generator = np.random.default_rng(1)
    for case in range(20):
        course = generator.random(12).round(2).tolist()
        options = {
            "patience": int(generator.integers(0, 4)),
            "min_delta": float(generator.choice([0.0, 0.1])),
            "mode": str(generator.choice(["min", "max"])),
            "baseline": [None, 0.5][case % 2],
            "start_from_epoch": int(generator.integers(0, 4)),
        }
        ours = callbacks.EarlyStopping("v", **options)
        theirs = keras().callbacks.EarlyStopping(monitor="v", **options)
        oracle = keras().Sequential([keras().layers.Dense(1)])
        oracle.compile("sgd", "mse")
        oracle.stop_training = False
        theirs.set_model(oracle)
        theirs.on_train_begin()
        stopped = len(course) - 1
        for epoch, value in enumerate(course):
            theirs.on_epoch_end(epoch, {"v": value})
            if oracle.stop_training:
                stopped = epoch
                break
        _, history = run(Scripted(v=course), ours, epochs=len(course))
        assert history.epoch[-1] == stopped, options


def test_terminate_on_nan(capsys):
    model = model_of(1e30)
    x, y = data(64)
    with pytest.warns(RuntimeWarning):
        history = model.fit(x, y, batch_size=2, epochs=5, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1
    assert "training stops" in capsys.readouterr().out


def test_weight_history():
    model = model_of()
    watched = callbacks.WeightHistory(model.layers[0])
    by_name = callbacks.WeightHistory(model.layers[0].name)
    before = model.get_weights()[0]
    run(watched, by_name, epochs=3, model=model)
    assert watched.values().shape == (4, 3, 1) and watched.values(1).shape == (4, 1)
    np.testing.assert_array_equal(watched.values()[0], before)
    np.testing.assert_array_equal(watched.values()[-1], model.get_weights()[0])
    assert not np.array_equal(watched.values()[1], watched.values()[2])
    np.testing.assert_array_equal(watched.values(), by_name.values())
    assert watched.epochs == [None, 0, 1, 2]
    with pytest.raises(ValueError, match="has 2 weights, there is none at 5"):
        watched.values(5)
    with pytest.raises(ValueError, match="no weights kept yet"):
        callbacks.WeightHistory("x").values()


def test_callback_may_stop_in_the_middle_of_an_epoch():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    seen = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    _, history = run(Stop(), count, epochs=5)
    assert seen == [0] and history.epoch == [0]


def test_an_ending_that_cannot_be_saved_is_refused_before_the_training():
    with pytest.raises(ValueError, match=r"ModelCheckpoint: the ending of 'x.png' must be one of .minicnn, .keras, "):
        callbacks.ModelCheckpoint("x.png")
    with pytest.raises(ValueError, match=r"must be one of .weights.h5, .h5, .safetensors, .npz"):
        callbacks.ModelCheckpoint("x-{epoch}.minicnn", save_weights_only=True)


@pytest.mark.parametrize("ending", [".minicnn", ".keras", ".h5"])
def test_a_model_that_cannot_be_saved_is_refused_before_the_training(tmp_path, ending):
    model = Sequential([Dense(1, activation=lambda x: x, input_shape=(3,))])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match="activation '<lambda>' is not registered, so no file can name it"):
        run(callbacks.ModelCheckpoint(tmp_path / f"m{ending}"), epochs=1, model=model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    run(callbacks.ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True), epochs=1, model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.weights.h5"]


def test_a_checkpoint_of_a_model_that_its_first_batch_builds(tmp_path):
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    x, y = data(8)
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "m.keras")
    model.fit(iter([(x, y)]), epochs=1, verbose=0, callbacks=checkpoint)
    assert (tmp_path / "m.keras").exists()


def test_a_callback_need_not_be_in_a_list():
    seen = []
    x, y = data()
    model = model_of()
    model.fit(x, y, verbose=0, callbacks=callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)))
    model.evaluate(x, y, verbose=0, callbacks=callbacks.LambdaCallback(on_test_end=lambda logs: seen.append("test")))
    assert seen == [0, "test"]


def test_train_end_is_called_after_an_error():
    ended = []

    def fail(batch, logs):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(
            callbacks.LambdaCallback(on_train_batch_end=fail, on_train_end=lambda logs: ended.append(True)),
            epochs=1,
        )
    assert ended == [True]


def test_logs_are_not_computed_for_nobody():
    calls = []

    class Counting(callbacks.Callback):
        def wants_batch(self, hook):
            return False

        def on_train_batch_end(self, batch, logs=None):
            calls.append(batch)

    run(Counting(), epochs=1)
    assert calls == []


def test_callback_may_predict_and_evaluate_within_fit():
    x, y = data()
    model = model_of()

    def look(epoch, logs):
        model.predict(x)
        model.evaluate(x, y, verbose=0)

    plain = model_of()
    plain.set_weights(model.get_weights())
    ours = model.fit(x, y, shuffle=False, epochs=2, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=look)])
    assert ours.history == plain.fit(x, y, shuffle=False, epochs=2, verbose=0).history


def test_model_with_branches_under_a_callback():
    x = Input((3,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", "mse")
    inputs, targets = data()
    seen = {}
    model.fit(
        inputs, [targets, targets], verbose=0,
        callbacks=[callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs))],
    )  # fmt: skip
    assert list(seen) == ["loss", "a_loss", "b_loss"]
    assert seen["loss"] == pytest.approx(seen["a_loss"] + seen["b_loss"])
