"""Replayed steps: recorded where nothing but kernels runs, and never anything else than the real step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import articles, layers
from minicnn.kernels import noting, recording
from minicnn.layers import normalization
from minicnn.training import repeated, replay
from minicnn.training.sources import Source

pytest.importorskip("numba", reason="only the compiled kernels are replayed", exc_type=ImportError)


def model_of(*stack: Any, optimizer: Any = "adam", loss: str = "sparse_categorical_crossentropy") -> minicnn.Model:
    minicnn.set_seed(7)
    layers.reset_names()
    model = minicnn.Sequential([minicnn.Input((10, 9, 2)), *stack])
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def lenet() -> list[Any]:
    return [
        layers.ZeroPadding2D(1), layers.Conv2D(6, 3, activation="tanh"), layers.AveragePooling2D(),
        layers.Conv2D(5, 3, activation="relu", padding="same"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(7, activation="sigmoid"), layers.Dense(3, activation="softmax"),
    ]  # fmt: skip


def data(N: int = 45) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.standard_normal((N, 10, 9, 2)).astype("float32"), generator.integers(0, 3, N)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each training step was served by: None, or (trusted, failed) of a replay before the step."""
    answers: list[Any] = []
    find = replay.Replays.find

    def spy(self: replay.Replays, batch: Any) -> Any:
        answer = find(self, batch)
        answers.append(None if answer is None else (answer.trusted, answer.failed))
        return answer

    monkeypatch.setattr(replay.Replays, "find", spy)
    return answers


def trained(model: minicnn.Model, monkeypatch: pytest.MonkeyPatch, *, replays: bool, **options: Any) -> list[Any]:
    if not replays:
        monkeypatch.setattr(replay.Replays, "find", lambda self, batch: None)
    history = model.fit(*data(), batch_size=10, epochs=3, verbose=0, **options)
    return [*model.get_weights(), *(np.array(values) for values in history.history.values())]


STACKS = {
    "as lenet5": lenet,
    "dense only": lambda: [layers.Flatten(), layers.Dense(9, activation="elu"), layers.Dense(3), layers.Softmax()],
    "one block": lambda: [
        layers.Conv2D(4, (3, 2), activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ],
    "normalized": lambda: [
        layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(momentum=0.8), layers.ReLU(),
        layers.MaxPooling2D(), layers.Conv2D(80, 2), layers.BatchNormalization(scale=False), layers.Flatten(),
        layers.Dense(6), layers.BatchNormalization(center=False), layers.Dense(3, activation="softmax"),
    ],
    "dropout": lambda: [
        layers.Conv2D(4, 3, activation="relu"), layers.Dropout(0.25), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(9, activation="relu"), layers.Dropout(0.5, seed=3), layers.Dense(3, activation="softmax"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_replayed_training_gives_the_bits_of_the_real_one(
    name: str, found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = trained(model_of(*STACKS[name]()), monkeypatch, replays=True)
    # Four batches of 10 and one of 5, three times; the shape's first batch is not recorded.
    assert found[:4] == [None, (False, False), (True, False), (True, False)]
    assert found[4] is None
    assert all(answer == (True, False) for answer in found[5:9] + found[10:14])
    real = trained(model_of(*STACKS[name]()), monkeypatch, replays=False)
    for one, other in zip(replayed, real, strict=True):
        assert one.tobytes() == other.tobytes()


def residual(x: Any) -> Any:
    y = layers.BatchNormalization()(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    return layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x), y])


def inception(x: Any) -> Any:
    wide = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
    return layers.Concatenate()([wide, layers.Conv2D(2, 1, activation="tanh")(x), layers.MaxPooling2D(1)(wide)])


def tall(x: Any) -> Any:
    return layers.Concatenate(axis=1)([layers.Conv2D(4, 2)(x), layers.Conv2D(4, (3, 2))(x)])


@pytest.mark.parametrize("branches", [residual, inception, tall])
@pytest.mark.parametrize("keepdims", [False, True])
def test_graphs_with_branches_are_recorded(
    branches: Any, keepdims: bool, found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def model() -> minicnn.Model:
        minicnn.set_seed(7)
        layers.reset_names()
        x = minicnn.Input((10, 9, 2))
        y = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=keepdims)(branches(x)))
        made = minicnn.Model(x, layers.Dense(3, activation="softmax")(y))
        made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return made

    replayed = trained(model(), monkeypatch, replays=True)
    assert found[:4] == [None, (False, False), (True, False), (True, False)]
    real = trained(model(), monkeypatch, replays=False)
    for one, other in zip(replayed, real, strict=True):
        assert one.tobytes() == other.tobytes()


def test_normalization_that_is_frozen_or_moves_other_channels_stays_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded or not: the first has another backward, the second copies in between."""

    def frozen() -> list[Any]:
        normalization = layers.BatchNormalization()
        normalization.trainable = False
        return [layers.Conv2D(4, 3), normalization, layers.Flatten(), layers.Dense(3, activation="softmax")]

    def channels_first() -> list[Any]:
        return [layers.BatchNormalization(axis=1), layers.Flatten(), layers.Dense(3, activation="softmax")]

    for stack in (frozen, channels_first):
        with monkeypatch.context() as patch:
            replayed = trained(model_of(*stack()), patch, replays=True)
            real = trained(model_of(*stack()), patch, replays=False)
        for one, other in zip(replayed, real, strict=True):
            assert one.tobytes() == other.tobytes()


def shared(x: Any) -> Any:
    layer = layers.Conv2D(2, 3, padding="same", activation="relu")
    return layer(layer(x))


def frozen(x: Any) -> Any:
    normalization = layers.BatchNormalization()
    y = normalization(layers.Conv2D(4, 3)(x))
    normalization.trainable = False
    return y


@pytest.mark.parametrize("below", [shared, frozen])
def test_gradients_that_are_zero_at_first_prove_nothing(
    below: Any, found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of zeros, whose rate begins at zero, sends none to the layers below."""

    class Warmup(minicnn.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> float:
            return 0.05 * min(1.0, float(step) / 8)

        def get_config(self) -> dict[str, Any]:
            return {}

    def model() -> minicnn.Model:
        minicnn.set_seed(7)
        layers.reset_names()
        x = minicnn.Input((10, 9, 2))
        head = layers.Dense(3, activation="softmax", kernel_initializer="zeros")
        made = minicnn.Model(x, head(layers.Flatten()(below(x))))
        made.compile(minicnn.optimizers.SGD(Warmup()), "sparse_categorical_crossentropy")
        return made

    with monkeypatch.context() as patch:
        replayed = trained(model(), patch, replays=True)
        # NumPy computes the way back through frozen averages.
        assert found[3] == ((True, False) if below is shared else None)
        real = trained(model(), patch, replays=False)
    for one, other in zip(replayed, real, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_frozen_layer_that_another_model_trains_is_read_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> list[np.ndarray]:
        minicnn.set_seed(7)
        layers.reset_names()
        base = layers.Conv2D(4, 3, activation="relu")
        models = []
        for _ in range(2):
            x = minicnn.Input((10, 9, 2))
            models.append(minicnn.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(base(x)))))
            models[-1].compile(minicnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        for index, trains in ((0, False), (1, True), (0, False)):
            base.trainable = trains
            models[index].fit(*data(40), batch_size=10, epochs=2, verbose=0)
        return [np.array(weights) for model in models for weights in model.get_weights()]

    replayed = train()
    monkeypatch.setattr(replay.Replays, "find", lambda self, batch: None)
    for one, other in zip(replayed, train(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", ["rate", "epsilon", "momentum", "trainable"])
def test_a_layer_changed_between_two_steps_is_noticed(
    name: str, found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(model: Any) -> None:
        layer = model.layers[1 if name == "rate" else 2]
        setattr(layer, name, False if name == "trainable" else 0.3)

    results = []
    for replays in (True, False):
        with monkeypatch.context() as patch:
            normalization = layers.BatchNormalization(center=False, scale=False)
            model = model_of(
                layers.Conv2D(3, 3), layers.Dropout(0.6), normalization, layers.Flatten(),
                layers.Dense(3, activation="softmax"),
            )  # fmt: skip
            if not replays:
                patch.setattr(replay.Replays, "find", lambda self, batch: None)
            model.fit(*data(40), batch_size=10, verbose=0)
            assert not replays or found[-1] == (True, False)
            model.fit(*data(40), batch_size=10, verbose=0, callbacks=[ChangeInEpoch(change)])
            results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_recording_without_the_averages_is_thrown_away(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and gradients are the same where NumPy moves them."""

    def moved_by_numpy(average: np.ndarray, latest: np.ndarray, momentum: float) -> None:
        average[...] = average * momentum + latest * (1 - momentum)

    monkeypatch.setattr(normalization, "move_average", moved_by_numpy)
    stack = [layers.BatchNormalization(), layers.Flatten(), layers.Dense(3, activation="softmax")]
    trained(model_of(*stack), monkeypatch, replays=True)
    assert found[1] == (False, False)
    assert not any(found[2:])


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_batches_are_gathered_where_the_recording_reads_them(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(40)
    x = (x * 50).astype(dtype)
    read: list[bool] = []
    run = replay.WholeStep.run

    def spy(self: replay.WholeStep, batch: np.ndarray, labels: np.ndarray) -> Any:
        if self.trusted:
            read.append(batch is self.x and labels is self.labels)
        return run(self, batch, labels)

    monkeypatch.setattr(replay.WholeStep, "run", spy)
    results = []
    for room in (True, False):
        with monkeypatch.context() as patch:
            if not room:
                patch.setattr(replay.Replays, "room", lambda self, size: (None, None))
            model = model_of(*lenet())
            model.fit(x, y, batch_size=10, epochs=2, verbose=0)
            results.append(model.get_weights())
    assert read == [True] * 6 + [False] * 6
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("like", [np.zeros((2, 5), "float64"), np.zeros((3, 4), "float32"), None])
def test_samples_are_not_gathered_into_what_does_not_fit(like: np.ndarray | None) -> None:
    x = np.arange(20, dtype="float32").reshape(4, 5)
    room = None if like is None else like.copy()
    for array in (x, np.asfortranarray(x), x.astype("int32")):
        piece = Source(array, np.dtype("float32")).take(np.array([3, 1]), 0, 2, room)
        assert piece.dtype == np.float32 and not np.shares_memory(piece, x)
        np.testing.assert_array_equal(piece, x[[3, 1]])
    assert room is None or not room.any()


def one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype="float32")[y]


LOSSES: dict[str, tuple[Any, dict[str, Any], Any, type]] = {
    "sparse": ("sparse_categorical_crossentropy", {}, lambda y: y, replay.WholeStep),
    "summed": (minicnn.losses.SparseCategoricalCrossentropy(reduction="sum"), {}, lambda y: y, replay.WholeStep),
    "for each sample": (minicnn.losses.CategoricalCrossentropy(reduction=None), {}, one_hot, replay.WholeStep),
    "smoothed": (minicnn.losses.CategoricalCrossentropy(label_smoothing=0.1), {}, one_hot, replay.WholeStep),
    "of logits": (minicnn.losses.SparseCategoricalCrossentropy(True), {}, lambda y: y, replay.Replay),
    "weighted": ("sparse_categorical_crossentropy", {"loss_weights": [0.5]}, lambda y: y, replay.Replay),
    "squares": ("mean_squared_error", {}, one_hot, replay.Replay),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_loss_is_replayed_with_the_bits_of_the_real_step(
    name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, options, targets, kind = LOSSES[name]
    x, y = data(40)
    weights = np.linspace(0.5, 2, 40) if weighted else None
    results = []
    for replays in (True, False):
        with monkeypatch.context() as patch:
            # Without a softmax, whose own gradient NumPy computes, where the loss does not go with it.
            model = model_of(*([*lenet()[:-1], layers.Dense(3)] if name in ("of logits", "squares") else lenet()))
            model.compile("adam", loss, metrics=["accuracy"], **options)
            if not replays:
                patch.setattr(replay.Replays, "find", lambda self, batch: None)
            history = model.fit(x, targets(y), batch_size=10, epochs=2, verbose=0, sample_weight=weights)
            if replays:
                (used,) = model.trainer._replays._by_shape.values()
                assert type(used) is (replay.Replay if weighted else kind) and used.trusted
            results.append([*model.get_weights(), *map(np.array, history.history.values())])
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_targets_are_looked_at_in_replayed_steps_too(found: list[Any]) -> None:
    model, (x, y) = model_of(*lenet()), data(10)
    for _ in range(4):
        model.train_on_batch(x, y)
    assert found[-1] == (True, False)
    before = model.get_weights()
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        model.train_on_batch(x, y + 1)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_loss_that_is_not_finite_is_told_of_in_replayed_steps_too(found: list[Any]) -> None:
    model, (x, y) = model_of(*lenet()), data(10)
    for _ in range(4):
        model.train_on_batch(x, y)
    assert found[-1] == (True, False)
    model.layers[-1].bias.data[...] = np.nan
    with pytest.warns(RuntimeWarning, match="the weights of .* are not finite any more"):
        model.train_on_batch(x, y)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.LocalResponseNormalization(), lambda: layers.Lambda("relu"),
        lambda: layers.Dense(4, kernel_regularizer="l2"),
    ],
)  # fmt: skip
def test_other_layers_foreign_code_and_regularizers_are_not_recorded(layer: Any, found: list[Any]) -> None:
    model_of(layer(), layers.Flatten(), layers.Dense(3, activation="softmax")).fit(*data(), batch_size=10, verbose=0)
    assert not any(found)


@pytest.mark.parametrize(
    "layer", [lambda: layers.Dense(6, activation="gelu"), lambda: layers.Dropout(0.5, noise_shape=(None, 1))]
)
def test_a_recording_that_differs_is_thrown_away(
    layer: Any, found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NumPy computes between the kernels, an activation or a mask's broadcasting, would stay as it was."""

    def stack() -> list[Any]:
        return [layers.Flatten(), layer(), layers.Dense(3, activation="softmax")]

    replayed = trained(model_of(*stack()), monkeypatch, replays=True)
    assert found[:2] == [None, (False, False)]
    assert not any(found[2:])
    real = trained(model_of(*stack()), monkeypatch, replays=False)
    for one, other in zip(replayed, real, strict=True):
        assert one.tobytes() == other.tobytes()


class Change(minicnn.callbacks.Callback):
    """Changes something in the middle of a training."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.what(self.model)


def freeze(model: Any) -> None:
    model.layers[1].trainable = False


def replace(model: Any) -> None:
    model.set_weights([weights * 0.5 for weights in model.get_weights()])


CHANGES = {
    "freezing": freeze,
    "new weights": replace,
    "unfused": lambda model: setattr(model, "fused", False),
    "one thread": lambda model: minicnn.set_num_threads(1),
    "other kernels": lambda model: minicnn.use_kernels("reference"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_the_middle_are_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, results = minicnn.get_num_threads(), []
    for replays in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            try:
                change = Change(CHANGES[name])
                results.append(trained(model_of(*lenet()), patch, replays=replays, callbacks=[change]))
            finally:
                minicnn.use_kernels(None)
                minicnn.set_num_threads(threads)
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


class ChangeInEpoch(minicnn.callbacks.Callback):
    """Changes something between two steps of one epoch."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self.what(self.model)


def stream(model: minicnn.Model, what: Any) -> Any:
    x, y = data(40)
    for step in range(4):
        if step == 3:
            what(model)
        yield x[step * 10 : step * 10 + 10], y[step * 10 : step * 10 + 10]


BATCH_CHANGES = {
    **{name: CHANGES[name] for name in ("freezing", "new weights", "other kernels")},
    "learning rate": lambda model: setattr(model.optimizer, "learning_rate", 0.1),
    "beta": lambda model: setattr(model.optimizer, "beta_1", 0.5),
    "clipping": lambda model: setattr(model.optimizer, "clipnorm", 1e-3),
    "constraint": lambda model: setattr(model.weights[0], "constraint", minicnn.constraints.NonNeg()),
    "moments": lambda model: model.optimizer.set_state({**model.optimizer.get_state(), "iterations": 0}),
}


@pytest.mark.parametrize("name", BATCH_CHANGES)
@pytest.mark.parametrize("way", ["a callback", "a stream"])
def test_changes_between_two_steps_are_noticed(way: str, name: str, found: list[Any]) -> None:
    change, results = BATCH_CHANGES[name], []
    for replays in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            model = model_of(*lenet())
            if not replays:
                patch.setattr(replay.Replays, "find", lambda self, batch: None)
            try:
                model.fit(*data(40), batch_size=10, verbose=0)
                assert not replays or found[-1] == (True, False)
                if way == "a callback":
                    model.fit(*data(40), batch_size=10, verbose=0, callbacks=[ChangeInEpoch(change)])
                else:
                    model.fit(stream(model, change), steps_per_epoch=4, verbose=0)
            finally:
                minicnn.use_kernels(None)
            results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_layer_changed_in_the_middle_of_a_training_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for replays in (True, False):
        with monkeypatch.context() as patch:
            change = Change(lambda model: setattr(model.layers[1], "activation", F.relu))
            results.append(trained(model_of(*lenet()), patch, replays=replays, callbacks=[change]))
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("kind", ["int32", "uint8", "bool", "float32", "uint64", "column"])
def test_labels_of_every_kind_are_trained_on(kind: str, found: list[Any]) -> None:
    x, y = data(10)
    y = (y > 0)[:, None].astype(np.int64) if kind == "column" else (y > 0).astype(kind)
    model, other = model_of(*lenet()), model_of(*lenet())
    # Between labels of another kind, for which there is a recording already.
    for labels in [y > 0] * 4 + [y] * 4 + [y > 0]:
        model.train_on_batch(x, labels.reshape(-1) if labels.dtype == bool else labels)
        other.train_on_batch(x, (y > 0).reshape(-1))
    assert found[-3] == (True, False)
    for one, another in zip(model.get_weights(), other.get_weights(), strict=True):
        assert one.tobytes() == another.tobytes()


def test_a_stream_is_trained_on_by_whole_steps() -> None:
    model = model_of(*lenet())
    model.fit(stream(model, lambda model: None), steps_per_epoch=4, verbose=0)
    (used,) = model.trainer._replays._by_shape.values()
    assert type(used) is replay.WholeStep and used.trusted


def test_large_steps_are_not_kept(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "MOST_BYTES", 1000)
    model_of(*lenet()).fit(*data(), batch_size=10, epochs=2, verbose=0)
    assert found[1] == (False, False)
    assert not any(found[2:])


def test_a_shape_for_which_there_is_no_room_is_trained_on_in_full(
    found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(*lenet())
    model.fit(*data(40), batch_size=10, verbose=0)
    (known,) = model.trainer._replays._by_shape.values()
    monkeypatch.setattr(repeated, "MOST_BYTES", known.nbytes * 3 // 2)
    for size, served in ((8, None), (5, (True, False)), (10, (True, False))):
        for _ in range(3):
            model.train_on_batch(*data(size))
        assert found[-1] == served, size


def test_a_mask_drawn_by_somebody_else_in_between_is_one_less(found: list[Any]) -> None:
    """Counted as in full steps, wherever the count comes from: a file, or a call of the layer."""
    weights = []
    for replays in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            model = model_of(*STACKS["dropout"]())
            if not replays:
                patch.setattr(replay.Replays, "find", lambda self, batch: None)
            for step in range(6):
                model.train_on_batch(*data(10))
                if step == 3:
                    model.layers[1](np.ones((2, 8, 7, 4), "float32"), training=True)
                if step == 4:
                    model.layers[1].set_state({"key": 2**64 - 3, "step": 5})
            weights.append(model.get_weights())
            if replays:
                assert found[3] == (True, False)
    for one, other in zip(*weights, strict=True):
        assert one.tobytes() == other.tobytes()


def test_recordings_of_other_threads_are_their_own() -> None:
    import threading

    with recording.record() as outer:
        thread = threading.Thread(target=lambda: noting.note(print, "elsewhere"))
        thread.start()
        thread.join()
        noting.note(print, "here")
        with recording.record() as inner:
            noting.note(print, "inside")
    noting.note(print, "after")
    assert [[arguments for _, arguments in each.calls] for each in (outer, inner)] == [[("here",)], [("inside",)]]


def test_a_second_fit_goes_on_with_the_recording(found: list[Any]) -> None:
    model = model_of(*lenet())
    for _ in range(2):
        model.fit(*data(40), batch_size=10, verbose=0)
    assert found[4:] == [(True, False)] * 4


def test_a_regularizer_given_later_is_noticed(found: list[Any]) -> None:
    model = model_of(*lenet())
    model.fit(*data(40), batch_size=10, verbose=0)
    model.weights[0].regularizer = minicnn.regularizers.L2(0.1)
    model.fit(*data(40), batch_size=10, verbose=0)
    assert len(found) == 4


@pytest.mark.parametrize("name", ["eastmount", "khuyen", "lenet5", "fashion-conv1x3", "besbes"])
def test_the_articles_networks_are_replayed(name: str, found: list[Any]) -> None:
    """Arithmetic that NumPy makes between their kernels would cost them that: see `minicnn.kernels.noting`."""
    article = articles.get(name)
    model = article.build()
    model.compile("sgd", "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    x = generator.random((24, *model.input_shape[1:]), dtype="float32")
    model.fit(x, generator.integers(0, model.output_shape[-1], 24), batch_size=8, verbose=0)
    assert found == [None, (False, False), (True, False)]


def test_a_layer_that_was_changed_between_two_trainings_is_noticed(monkeypatch, found):
    def twice(replays: bool) -> tuple[list[Any], int]:
        model = model_of(*lenet())
        first = trained(model, monkeypatch, replays=replays)
        begun = len(found)
        # Nothing changed: what is trusted goes on being used.
        model.fit(*data(40), batch_size=10, epochs=1, verbose=0)
        model.layers[1].activation = F.relu
        return [*first, *trained(model, monkeypatch, replays=replays)], begun

    replayed, begun = twice(True)
    assert found[begun : begun + 4] == [(True, False)] * 4
    assert (True, False) in found[begun + 4 :]
    real, _ = twice(False)
    for one, other in zip(replayed, real, strict=True):
        np.testing.assert_array_equal(one, other)


def dead(swish: bool = True) -> minicnn.Model:
    """A ReLU at the end that nothing passes for most single samples: all recordings of them look alike."""
    first = layers.Dense(16, activation="swish" if swish else "elu")
    return model_of(layers.Flatten(), first, layers.Dense(1, activation="relu"), loss="mse")


@pytest.mark.parametrize("seed", range(6))
def test_what_no_kernel_made_is_not_trusted_even_where_nothing_passes(seed: int, found: list[Any]) -> None:
    x, y = data(40)
    results = []
    for name in ("cpu", "reference"):
        with minicnn.use_kernels(name):
            model = dead()
            model.set_weights([np.random.default_rng(seed).normal(0, 0.3, w.shape) for w in model.get_weights()])
            history = model.fit(x, y[:, None] > 1, batch_size=1, epochs=2, shuffle=False, verbose=0)
            results.append([*model.get_weights(), model.predict(x, batch_size=1), np.array(history.history["loss"])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert not any(answer and answer[0] for answer in found)


def test_the_same_of_kernels_alone_is_trusted(found: list[Any]) -> None:
    model = dead(swish=False)
    x, y = data(40)
    model.fit(x, y[:, None] > 1, batch_size=1, epochs=1, shuffle=False, verbose=0)
    assert found[2:] == [(True, False)] * 38


def test_a_function_of_the_users_is_called_in_every_step(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def activation(x: Any) -> Any:
        calls.append(len(x))
        return F.relu(x) if len(calls) % 2 else x

    for layer in (layers.Dense(9, activation=activation), layers.Activation(activation)):
        calls.clear()
        trained(model_of(layers.Flatten(), layer, layers.Dense(3, activation="softmax")), monkeypatch, replays=True)
        assert len(calls) >= 15 and set(found) == {None}


def test_masks_of_a_layer_that_serves_as_an_activation(found: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def model() -> minicnn.Model:
        first = layers.Dense(9, activation=layers.Dropout(0.5, seed=3))
        return model_of(layers.Flatten(), first, layers.Dense(3, activation="softmax"))

    replayed = trained(model(), monkeypatch, replays=True)
    assert set(found) == {None}
    for one, other in zip(replayed, trained(model(), monkeypatch, replays=False), strict=True):
        assert one.tobytes() == other.tobytes()


class Keeps(minicnn.metrics.Metric):
    """Of the user's: keeps what it is given until the end."""

    def reset_state(self) -> None:
        self.kept: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.kept.append((y_true, y_pred))

    def result(self) -> float:
        return float(sum(index * float(np.sum(y * p)) for index, (y, p) in enumerate(self.kept)))


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_a_metric_of_the_users_may_keep_what_it_is_given(loss: str) -> None:
    x, y = data(40)
    results = []
    for name in ("cpu", "reference"):
        with minicnn.use_kernels(name):
            model = model_of(layers.Flatten(), layers.Dense(3, activation="softmax"))
            model.compile("sgd", loss, metrics=[Keeps()])
            targets = y[:, None] if loss != "mse" else np.eye(3, dtype="float32")[y]
            results.append(model.fit(x, targets, batch_size=5, epochs=3, verbose=0).history["keeps"])
    np.testing.assert_allclose(*results, rtol=1e-3)
