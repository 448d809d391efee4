"""The optimizer's recorded step: the same bits as its own, and the numbers of the moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import layers, optimizers, schedules
from minicnn.training import replay, update

pytest.importorskip("numba", reason="only the compiled kernels are replayed", exc_type=ImportError)


class Rates(minicnn.callbacks.Callback):
    """Sets another learning rate after every step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.optimizer.schedule is None:
            self.model.optimizer.learning_rate = 0.01 / (batch + 1)


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, decay=0.01),
    "nesterov": lambda: optimizers.SGD(schedules.ExponentialDecay(0.1, 3, 0.5), momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(),
    "adam on a schedule": lambda: optimizers.Adam(schedules.CosineDecay(0.01, 12)),
    "adamw": lambda: optimizers.AdamW(decay=0.1),
    "rmsprop": lambda: optimizers.RMSprop(),
    "centred rmsprop": lambda: optimizers.RMSprop(momentum=0.5, centered=True),
    "adagrad": lambda: optimizers.Adagrad(),
}
IN_FULL = {
    "amsgrad": lambda: optimizers.Adam(amsgrad=True),
    "decayed": lambda: optimizers.SGD(0.1, weight_decay=0.01),
    "clipped": lambda: optimizers.Adam(clipnorm=0.1),
    "clipped by value": lambda: optimizers.SGD(0.1, clipvalue=1e-3),
    "clipped together": lambda: optimizers.Adagrad(global_clipnorm=0.1),
}


def model_of(optimizer: Any, dtype: str = "float32", **options: Any) -> minicnn.Model:
    minicnn.set_seed(7)
    layers.reset_names()
    model = minicnn.Sequential(
        [
            minicnn.Input((6, 5, 2), dtype=dtype), layers.Conv2D(4, 3, activation="relu", dtype=dtype, **options),
            layers.Flatten(dtype=dtype), layers.Dense(3, activation="softmax", dtype=dtype),
        ]
    )  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.standard_normal((40, 6, 5, 2)), generator.integers(0, 3, 40)


def trained(model: minicnn.Model, monkeypatch: pytest.MonkeyPatch, *, replays: bool) -> list[np.ndarray]:
    with monkeypatch.context() as patch:
        if not replays:
            patch.setattr(replay.Replays, "find", lambda self, batch: None)
        model.fit(*data(), batch_size=10, epochs=3, verbose=0, callbacks=[Rates()])
    state = model.optimizer.get_state()
    assert state["iterations"] == 12
    return [*model.get_weights(), *(np.asarray(state[key]) for key in sorted(state))]


def the_update(model: minicnn.Model) -> update.Update:
    (recorded,) = model.trainer._replays._by_shape.values()
    assert recorded.trusted
    return recorded.updater


@pytest.mark.parametrize("name", [*OPTIMIZERS, *IN_FULL])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_gives_the_bits_of_the_real_step(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = {**OPTIMIZERS, **IN_FULL}[name]
    replayed = model_of(make(), dtype)
    results = [
        trained(replayed, monkeypatch, replays=True),
        trained(model_of(make(), dtype), monkeypatch, replays=False),
    ]
    assert the_update(replayed).trusted == (name in OPTIMIZERS)
    for one, other in zip(*results, strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_constraints_are_kept_and_weights_that_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for replays in (True, False):
        calls = iter(range(100))
        # In the first steps, when recordings are compared, it would not show.
        model = model_of("adam", kernel_constraint=lambda w, calls=calls: w if next(calls) < 8 else abs(w))
        model.layers[-1].trainable = False
        results.append(trained(model, monkeypatch, replays=replays))
        assert (model.layers[0].kernel.numpy() >= 0).all()
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_step_that_differs_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(optimizers.SGD):
        """Does something between the kernels that nothing notes."""

        def update(self, p: Any, g: Any, slots: Any, learning_rate: Any) -> None:
            super().update(p, g, slots, learning_rate)
            p += 1e-3

    assert update.Update(Mine(0.1)).failed
    monkeypatch.setattr(update, "OPTIMIZERS", (Mine,))
    replayed = model_of(Mine(0.1))
    results = [trained(replayed, monkeypatch, replays=True), trained(model_of(Mine(0.1)), monkeypatch, replays=False)]
    assert the_update(replayed).failed
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(("most", "is_recorded"), [(update.MOST_BYTES, True), (100, False)])
def test_a_step_that_changes_much_is_left_to_the_optimizer(
    most: int, is_recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MOST_BYTES", most)
    model = model_of("adam")
    trained(model, monkeypatch, replays=True)
    assert the_update(model).trusted == is_recorded


def test_a_schedule_that_breaks_is_told_of_before_anything_changes() -> None:
    model = model_of(optimizers.SGD(lambda step: float("nan") if step == 7 else 0.1))
    x, y = data()
    for _ in range(7):
        model.train_on_batch(x, y)
    before = model.get_weights()
    with pytest.raises(ValueError, match="the schedule gave the learning rate nan for step 7"):
        model.train_on_batch(x, y)
    assert model.optimizer.iterations == 7
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_steps_count_as_changes_of_the_weights() -> None:
    model = model_of("sgd")
    x, y = data()
    versions = []
    for _ in range(6):
        model.train_on_batch(x, y)
        versions.append([weight.version.count for weight in model.weights])
    assert (np.diff(versions, axis=0) > 0).all()
