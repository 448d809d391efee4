"""Several steps at once: the bits, the logs and the messages of steps made one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.training import executions
from minicnn.training.array_feed import ArrayFeed
from minicnn.training.batch import BatchRun
from minicnn.training.layout import Layout

program = pytest.importorskip(
    "minicnn.kernels.cpu.program", reason="only the compiled kernels are recorded", exc_type=ImportError
)

STEPS, SIZE = executions.STEPS, 5
# The first steps are made in full, the next ones are practice, then two executions follow, and a batch that is smaller.
BATCHES = 2 + executions.PRACTICE + 2 * STEPS
SAMPLES = SIZE * BATCHES + 2
# In a second epoch there are as many as fit into it.
IN_TWO_EPOCHS = [True] * (2 + BATCHES // STEPS)


def network(optimizer: Any = "adam", loss: Any = "sparse_categorical_crossentropy") -> minicnn.Model:
    minicnn.set_seed(7)
    layers.reset_names()
    model = minicnn.Sequential(
        [
            minicnn.Input((6, 5, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(5, 1),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(7, activation="tanh"),
            layers.Dropout(0.5, seed=3),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def data(samples: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.standard_normal((samples, 6, 5, 2)).astype("float32"), generator.integers(0, 3, samples)


@pytest.fixture(autouse=True)
def as_quick_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(executions, "LONGEST", np.inf)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each execution whether its steps stand."""
    answers: list[bool] = []
    run = executions.Execution.run

    def spy(self: executions.Execution, batches: BatchRun) -> Any:
        made = run(self, batches)
        answers.append(made is not None)
        return made

    monkeypatch.setattr(executions.Execution, "run", spy)
    return answers


def both(
    monkeypatch: pytest.MonkeyPatch, train: Callable[[minicnn.Model], Any], make: Callable[[], minicnn.Model] = network
) -> list[list[np.ndarray]]:
    """Weights, optimizer's state, and what `train` gives, made several steps at once and one by one."""
    results = []
    for at_once in (True, False):
        with monkeypatch.context() as patch:
            if not at_once:
                patch.setattr(executions, "pays", lambda step: False)
            model = make()
            given = train(model)
            state = model.optimizer.get_state()
            results.append([*model.get_weights(), *(np.array(state[key]) for key in sorted(state)), *given])
    return results


def same(results: list[list[np.ndarray]]) -> None:
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def fitted(x: np.ndarray, y: np.ndarray, **options: Any) -> Callable[[minicnn.Model], list[np.ndarray]]:
    def train(model: minicnn.Model) -> list[np.ndarray]:
        history = model.fit(x, y, **{"batch_size": SIZE, "epochs": 2, "verbose": 0, **options}).history
        return [np.array(values) for values in history.values()]

    return train


DECAYING = minicnn.schedules.ExponentialDecay(0.05, 7, 0.9)
OPTIMIZERS = {
    "sgd": lambda: minicnn.optimizers.SGD(DECAYING, momentum=0.9),
    "adam": lambda: minicnn.optimizers.Adam(DECAYING),
    "adamw": lambda: minicnn.optimizers.AdamW(0.01, decay=1e-3),
    "rmsprop": lambda: minicnn.optimizers.RMSprop(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("threads", [1, 3])
def test_they_have_the_bits_of_single_steps(
    name: str, threads: int, executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = minicnn.get_num_threads()
    minicnn.set_num_threads(threads)
    try:
        same(both(monkeypatch, fitted(*data()), lambda: network(OPTIMIZERS[name]())))
    finally:
        minicnn.set_num_threads(before)
    assert executed == IN_TWO_EPOCHS


@pytest.mark.parametrize("kind", ["uint8", "float64 pictures", "in order", "one-hot", "read-only", "a column"])
def test_data_of_every_kind(kind: str, executed: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data()
    options: dict[str, Any] = {}
    loss = "sparse_categorical_crossentropy"
    if kind == "uint8":
        x, y = (x * 50).astype("uint8"), y.astype("uint8")
    elif kind == "float64 pictures":
        x = x.astype("float64")
    elif kind == "in order":
        options["shuffle"] = False
    elif kind == "one-hot":
        y, loss = np.eye(3, dtype="float32")[y], minicnn.losses.CategoricalCrossentropy(label_smoothing=0.1)
    elif kind == "read-only":
        x.flags.writeable = y.flags.writeable = False
    else:
        y = y[:, None]
    same(both(monkeypatch, fitted(x, y, **options), lambda: network(loss=loss)))
    assert executed == IN_TWO_EPOCHS


def test_steps_per_epoch_that_begin_the_data_anew(executed: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(SIZE * (STEPS + 3))
    same(both(monkeypatch, fitted(x, y, steps_per_epoch=2 * STEPS + 1, epochs=4)))
    assert executed
    executed.clear()
    same(both(monkeypatch, fitted(x, y, steps_per_epoch=2 * STEPS + 1, epochs=4, shuffle=False)))
    assert executed


class Notes(minicnn.callbacks.Callback):
    """Notes what each step is told, and how far the optimizer is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.iterations: list[int] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.seen.append(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append((batch, dict(logs)))
        self.iterations.append(self.model.optimizer.iterations)


class Reader(Notes):
    """Says that it looks at nothing but the logs."""

    reads_only_logs = True


class Descendant(Reader):
    """Does not say so itself."""


@pytest.mark.parametrize("kind", [Notes, Reader, Descendant])
def test_who_looks_in_between_sees_single_steps(
    kind: type[Notes], executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching: list[Notes] = []

    def train(model: minicnn.Model) -> Any:
        watching.append(kind())
        return fitted(*data(), callbacks=watching[-1])(model)

    same(both(monkeypatch, train))
    assert bool(executed) == (kind is Reader)
    first, second = watching
    assert first.seen == second.seen
    assert (first.iterations == second.iterations) == (kind is not Reader)


class Looks(minicnn.callbacks.ModelCheckpoint):
    """Derived from a checkpoint, and interested in each step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.iterations  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "save_freq", "expected"),
    [(minicnn.callbacks.ModelCheckpoint, "epoch", True), (minicnn.callbacks.ModelCheckpoint, 7, False),
     (Looks, "epoch", False)],
)  # fmt: skip
def test_a_checkpoint_between_epochs_is_no_hindrance(
    kind: Any, save_freq: Any, expected: bool, executed: list[bool], tmp_path: Path
) -> None:
    network().fit(
        *data(), batch_size=SIZE, verbose=0, callbacks=kind(tmp_path / "net.minicnn", save_freq=save_freq)
    )  # fmt: skip
    assert bool(executed) == expected
    assert (tmp_path / "net.minicnn").exists()


@pytest.mark.parametrize("verbose", [1, 2])
def test_a_bar_of_progress_is_no_hindrance(verbose: int, executed: list[bool], capsys: Any) -> None:
    network().fit(*data(), batch_size=SIZE, epochs=1, verbose=verbose)
    assert executed == [True, True]
    steps = -(-SAMPLES // SIZE)
    assert f"{steps}/{steps}" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"sample_weight": np.linspace(0, 2, SAMPLES)}, {"class_weight": {0: 2.0}}])
def test_weighted_samples_are_trained_on_step_by_step(
    options: Any, executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(model: minicnn.Model) -> Any:
        fitted(*data())(model)
        executed.clear()
        return fitted(*data(), **options)(model)

    same(both(monkeypatch, train))
    assert not executed


def test_metrics_of_the_users_own_see_the_model_of_their_step(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(model: minicnn.Model) -> Any:
        def rate(y_true: Any, y_pred: Any) -> Any:
            return np.full(len(y_true), model.optimizer.learning_rate)

        model.compile(minicnn.optimizers.SGD(DECAYING), "sparse_categorical_crossentropy", metrics=[rate])
        return fitted(*data())(model)

    same(both(monkeypatch, train))
    assert not executed


def test_branches_that_numpy_adds_are_trained_on_step_by_step(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a joined gradient is not contiguous."""

    def branches() -> minicnn.Model:
        minicnn.set_seed(7)
        layers.reset_names()
        x = minicnn.Input((6, 5, 2))
        wide = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
        y = layers.Concatenate()([wide, layers.Conv2D(2, 1)(wide)])
        made = minicnn.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(y)))
        made.compile("adam", "sparse_categorical_crossentropy")
        return made

    same(both(monkeypatch, fitted(*data()), branches))
    assert not executed


def test_after_other_labels_the_steps_that_were_made_last_are_made_at_once(executed: list[bool]) -> None:
    model, (x, y) = network(), data()
    model.fit(x, y, batch_size=SIZE, epochs=2, verbose=0)
    executed.clear()
    model.fit(x, y.astype("int32"), batch_size=SIZE, epochs=2, verbose=0)
    assert len(executed) >= 3 and all(executed)


def test_long_steps_and_large_batches_are_made_one_by_one(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LONGEST", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(executions, name, 0)
            network().fit(*data(), batch_size=SIZE, epochs=1, verbose=0)
    assert not executed


def test_a_loss_that_is_not_finite_is_told_of_in_its_step(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data()
    place = SIZE * (2 + executions.PRACTICE + STEPS + 3)
    x[place] = 3e38
    told = []

    def train(model: minicnn.Model) -> Any:
        with pytest.warns(RuntimeWarning, match="the loss is .* at step") as warned:
            result = fitted(x, y, shuffle=False, epochs=1)(model)
        told.append([str(warning.message) for warning in warned if "the loss is" in str(warning.message)])
        return result

    same(both(monkeypatch, train))
    assert executed == [True, False]
    assert told[0] == told[1]
    assert f"at step {place // SIZE + 1}:" in told[0][0] and "weights" not in told[0][0]


@pytest.mark.filterwarnings("ignore:.*the loss is")
def test_where_losses_stay_not_finite_steps_are_made_one_by_one(executed: list[bool]) -> None:
    x, y = data()
    x[SIZE * (2 + executions.PRACTICE + 3)] = 3e38
    network().fit(x, y, batch_size=SIZE, epochs=3, verbose=0, shuffle=False)
    assert executed == [False, False]  # of eight


def test_input_that_is_not_finite_is_refused_with_its_place(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data()
    place = SIZE * (2 + executions.PRACTICE + 3) + 1
    x[place, 2, 1, 0] = np.nan
    for at_once in (True, False):
        with monkeypatch.context() as patch:
            if not at_once:
                patch.setattr(executions, "pays", lambda step: False)
            with pytest.raises(ValueError, match=rf"x must hold finite numbers, but nan came at position \({place}, 2"):
                network().fit(x, y, batch_size=SIZE, verbose=0)


def test_a_label_that_is_no_class_is_refused_before_its_step(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody changes the labels after `fit` has looked through them."""
    x, y = data()
    place = SIZE * (2 + executions.PRACTICE + 3)

    class Spoils(Reader):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            y[place] = 9 if batch > 3 else y[place]

    Spoils.reads_only_logs = True

    def train(model: minicnn.Model) -> Any:
        y[:] = data()[1]
        with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
            fitted(x, y, shuffle=False, callbacks=Spoils())(model)
        return []

    same(both(monkeypatch, train))
    assert executed == [False]


def test_a_schedule_that_breaks_stops_at_its_step(executed: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    breaks = 2 + executions.PRACTICE + 3

    class Breaking(minicnn.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> float:
            return 0.01 if step < breaks else np.nan

        def get_config(self) -> dict[str, Any]:
            return {}

    def train(model: minicnn.Model) -> Any:
        with pytest.raises(ValueError, match=f"the schedule gave the learning rate nan for step {breaks}"):
            fitted(*data())(model)
        return []

    same(both(monkeypatch, train, lambda: network(minicnn.optimizers.SGD(Breaking()))))
    assert executed == [False]


@pytest.mark.parametrize("moment", ["before", "after", "within"])
def test_an_interrupted_execution_changes_nothing(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    model.fit(*data(), batch_size=SIZE, epochs=1, verbose=0)
    before, iterations = model.get_weights(), model.optimizer.iterations
    run, walk = program.Program.run, program._walk
    calls: list[int] = []

    def interrupted(self: Any) -> None:
        if moment == "after":
            run(self)
        raise KeyboardInterrupt

    def cut_off(table: np.ndarray, state: np.ndarray) -> bool:
        """Makes the first half of the calls, as when a thread is late, and is interrupted then."""
        if not calls:
            calls.append(1)
            half = len(table) // program.ROW // 2
            state[: -program.ROW] = 0
            state[-program.ROW + program.BEGUN_OR_ENDED] += 1
            for row in range(half):
                one = slice(row * program.ROW, (row + 1) * program.ROW)
                program._go_on(table[one], np.append(state[one], np.zeros(program.ROW, np.int64)), False)
                state[row * program.ROW + program.TICKET] = table[row * program.ROW + program.TILES]
            raise KeyboardInterrupt
        return bool(walk(table, state))

    with monkeypatch.context() as patch:
        if moment == "within":
            patch.setattr(program, "_walk", cut_off)
        else:
            patch.setattr(program.Program, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data(), batch_size=SIZE, epochs=1, verbose=0, shuffle=False)
    assert model.optimizer.iterations == iterations
    for one, other in zip(before, model.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    uninterrupted = network()
    uninterrupted.fit(*data(), batch_size=SIZE, epochs=1, verbose=0)
    for each in (model, uninterrupted):
        each.fit(*data(), batch_size=SIZE, epochs=1, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), uninterrupted.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_other_weights_and_settings_are_noticed_between_epochs(
    executed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changes(minicnn.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.set_weights([weights * 0.5 for weights in self.model.get_weights()])
            if epoch == 2:
                self.model.layers[0].trainable = False
            if epoch == 3:
                self.model.optimizer.learning_rate = 0.3
            if epoch == 4:
                self.model.optimizer.beta_1 = 0.5

    same(both(monkeypatch, lambda model: fitted(*data(), epochs=5, callbacks=Changes())(model)))
    assert len(executed) >= 8 and all(executed)


def test_steps_count_as_changes_of_the_weights(executed: list[bool]) -> None:
    model = network()
    model.fit(*data(), batch_size=SIZE, verbose=0)
    executed.clear()
    before = [weight.version.count for weight in model.weights]
    model.fit(*data(SIZE * STEPS), batch_size=SIZE, verbose=0)
    assert executed == [True]
    assert all(weight.version.count > count for weight, count in zip(model.weights, before, strict=True))


def test_batches_in_one_piece_are_those_that_come_one_by_one() -> None:
    x, y = np.arange(46.0, dtype="float32")[:, None], np.arange(46)
    for shuffled in (True, False):
        pieces = []
        for ahead in (lambda size: 4, None):
            feed = ArrayFeed(
                Layout("fit", None, None), x, y, batch_size=5,
                generator=np.random.default_rng(1) if shuffled else None,
            )  # fmt: skip
            feed.ahead = ahead
            batches = [(b, part) for b in feed.batches(0) for part in b.split()]
            assert [b.size for b, _ in batches] == ([20] * 8 + [5, 1] if ahead else [5] * 9 + [1])
            pieces.append([(*part.x, *part.y, np.arange(46)[part.samples], part.size) for _, part in batches])
        for one, other in zip(*pieces, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)
