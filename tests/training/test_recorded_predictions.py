"""Recorded predictions: the bits of the model, whatever changes between them, in arrays of the caller's own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.parameter import Parameter
from minicnn.training import recorded_predictions

pytest.importorskip("numba", reason="only the compiled kernels are recorded", exc_type=ImportError)

N, BATCH = 60, 3


def model_of(*stack: Any, dtype: str = "float32") -> minicnn.Model:
    minicnn.set_seed(7)
    layers.reset_names()
    entry = minicnn.Input((10, 9, 2), dtype=dtype)
    model = minicnn.Sequential([entry, *stack])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def small(dtype: str = "float32") -> minicnn.Model:
    return model_of(
        layers.ZeroPadding2D(1, dtype=dtype), layers.Conv2D(6, 3, activation="tanh", dtype=dtype),
        layers.AveragePooling2D(dtype=dtype), layers.Conv2D(5, 3, padding="same", dtype=dtype),
        layers.BatchNormalization(dtype=dtype), layers.ReLU(dtype=dtype),
        layers.MaxPooling2D(dtype=dtype), layers.Dropout(0.5, dtype=dtype), layers.Flatten(dtype=dtype),
        layers.Dense(7, activation="sigmoid", dtype=dtype), layers.Dense(3, activation="softmax", dtype=dtype),
        dtype=dtype,
    )  # fmt: skip


def pictures(seed: int = 3, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, 10, 9, 2)).astype(dtype)


def in_full(model: minicnn.Model, x: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """What the model itself gives, batch by batch."""
    with minicnn.no_grad():
        return np.concatenate([model(x[i : i + batch], training=False).numpy() for i in range(0, len(x), batch)])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each batch was served by a recording."""
    answers: list[bool] = []
    compute = recorded_predictions.Predictions.compute

    def spy(self: recorded_predictions.Predictions, model: Any, arrays: Any) -> Any:
        answer = compute(self, model, arrays)
        answers.append(answer is not None)
        return answer

    monkeypatch.setattr(recorded_predictions.Predictions, "compute", spy)
    return answers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_recorded_predictions_are_the_models(dtype: str, threads: int, served: list[bool]) -> None:
    before = minicnn.get_num_threads()
    minicnn.set_num_threads(threads)
    try:
        model, x = small(dtype), pictures(dtype=dtype)
        results = model.predict(x, batch_size=BATCH)
        assert results.dtype == dtype
        assert results.tobytes() == in_full(model, x).tobytes()
        assert served == [False] * (recorded_predictions.COMMON - 1) + [True] * (
            N // BATCH - recorded_predictions.COMMON + 1
        )
        # At once from now on, also for other pictures; other sizes have recordings of their own.
        other = pictures(4, dtype)
        assert model.predict(other, batch_size=BATCH).tobytes() == in_full(model, other).tobytes()
        assert all(served[-N // BATCH :])
        assert model.predict(x, batch_size=7).tobytes() == in_full(model, x, 7).tobytes()
        assert model.predict(x, batch_size=BATCH).tobytes() == results.tobytes()
    finally:
        minicnn.set_num_threads(before)


def test_results_are_the_callers_own() -> None:
    model, x = small(), pictures()
    model.predict(x, batch_size=BATCH)
    first = model.predict_on_batch(x[:BATCH])
    kept = first.copy()
    second = model.predict_on_batch(x[BATCH : 2 * BATCH])
    assert first.tobytes() == kept.tobytes() != second.tobytes()
    first[...] = 5
    assert model.predict_on_batch(x[:BATCH]).tobytes() == kept.tobytes()
    before = x.copy()
    model.predict(x, batch_size=BATCH)[...] = 9
    assert x.tobytes() == before.tobytes()


def swap(model: minicnn.Model) -> None:
    """Another head, as is done for other classes."""
    model.pop()
    model.add(layers.Dense(4, activation="softmax", name="other"))


def another_kernel(model: minicnn.Model) -> None:
    dense = model.layers[-1]
    dense.kernel = Parameter(dense.kernel.shape, initializer=minicnn.initializers.get("ones"))


def train(model: minicnn.Model) -> None:
    model.fit(pictures(5), np.arange(N) % 3, batch_size=20, epochs=2, verbose=0)


def in_place(model: minicnn.Model) -> None:
    model.layers[1].kernel.data[...] *= -2


CHANGES: dict[str, Callable[[Any], Any]] = {
    "set_weights": lambda model: model.set_weights([weights * 0.5 for weights in model.get_weights()]),
    "in place": in_place,
    "fit": train,
    "one layer's weights": lambda model: model.layers[1].set_weights([w + 1 for w in model.layers[1].get_weights()]),
    "swapped layer": swap,
    "another parameter": another_kernel,
    "another activation": lambda model: setattr(model.layers[-1], "activation", minicnn.functional.sigmoid),
    "unfused": lambda model: setattr(model, "fused", False),
    "one thread": lambda model: minicnn.set_num_threads(1),
    "other kernels": lambda model: minicnn.use_kernels("reference"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_between_predictions_are_noticed(name: str, served: list[bool]) -> None:
    model, x, threads = small(), pictures(), minicnn.get_num_threads()
    try:
        before = model.predict(x, batch_size=BATCH)
        assert served[-1]
        CHANGES[name](model)
        after = model.predict(x, batch_size=BATCH)
        np.testing.assert_allclose(after, in_full(model, x), rtol=1e-5, atol=1e-6)
        if name not in ("unfused", "one thread", "other kernels"):
            assert after.shape != before.shape or abs(after - before).max() > 1e-4
    finally:
        minicnn.use_kernels(None)
        minicnn.set_num_threads(threads)


def test_weights_from_a_file_are_noticed(tmp_path: Path) -> None:
    model, x = small(), pictures()
    expected = model.predict(x, batch_size=BATCH)
    model.save_weights(tmp_path / "weights.npz")
    CHANGES["set_weights"](model)
    assert model.predict(x, batch_size=BATCH).tobytes() != expected.tobytes()
    model.load_weights(tmp_path / "weights.npz")
    assert model.predict(x, batch_size=BATCH).tobytes() == expected.tobytes()


def test_a_callback_may_change_the_model_in_the_middle() -> None:
    model, x = small(), pictures()

    def change(batch: int, logs: Any) -> None:
        if batch == 15:
            model.layers[-1].activation = minicnn.functional.sigmoid

    expected = in_full(model, x)
    results = model.predict(
        x, batch_size=BATCH, callbacks=[minicnn.callbacks.LambdaCallback(on_predict_batch_begin=change)]
    )  # fmt: skip
    assert results[: 15 * BATCH].tobytes() == expected[: 15 * BATCH].tobytes()
    np.testing.assert_allclose(results[15 * BATCH :], in_full(model, x)[15 * BATCH :], rtol=1e-5)
    assert abs(results[15 * BATCH :] - expected[15 * BATCH :]).max() > 1e-3


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Dense(6, activation="gelu"), lambda: layers.Lambda(lambda x: x * 2),
    ],
)  # fmt: skip
def test_what_is_not_kernels_alone_is_computed_in_full(layer: Callable[[], Any], served: list[bool]) -> None:
    """All batches are alike, so that a recording could only be found wrong on other numbers: on noise."""
    model = model_of(layers.Flatten(), layer(), layers.Dense(3, activation="softmax"))
    model.predict(np.zeros((N, 10, 9, 2), "float32"), batch_size=BATCH)
    x = pictures()
    assert model.predict(x, batch_size=BATCH).tobytes() == in_full(model, x).tobytes()
    assert not any(served)


def test_large_batches_are_not_recorded(served: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small(), pictures()
    monkeypatch.setattr(recorded_predictions, "MOST_BYTES", 20_000)
    model.predict(x, batch_size=BATCH)
    assert not any(served)


def test_what_is_recorded_stays_within_bounds(served: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording that was not used for longest goes, and its shape may come back."""
    model, x = small(), pictures()
    model.predict(x, batch_size=BATCH)
    (known,) = recorded_predictions.predictions_of(model)._recorded.values()
    assert known is not None
    monkeypatch.setattr(recorded_predictions, "MOST_BYTES", int(known.bytes * 1.5))
    model.predict(x, batch_size=2)
    assert list(recorded_predictions.predictions_of(model)._recorded) == [(2, 10, 9, 2)]
    served.clear()
    assert model.predict(x, batch_size=BATCH).tobytes() == in_full(model, x).tobytes()
    assert served[0] is False and served[-1] is True


def test_several_threads_predict_at_once() -> None:
    model = small()
    xs = [pictures(seed) for seed in range(4)]
    expected = [in_full(model, x).tobytes() for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = pool.map(lambda x: model.predict(x, batch_size=BATCH).tobytes(), xs)
            assert list(results) == expected


def test_copies_have_recordings_of_their_own() -> None:
    model, x = small(), pictures()
    expected = model.predict(x, batch_size=BATCH)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.predict(x, batch_size=BATCH).tobytes() == expected.tobytes()
        CHANGES["set_weights"](other)
        assert other.predict(x, batch_size=BATCH).tobytes() != expected.tobytes()
    assert model.predict(x, batch_size=BATCH).tobytes() == expected.tobytes()


LOSSES = {
    "joined with its softmax": "sparse_categorical_crossentropy",
    "of the output": minicnn.losses.SparseCategoricalCrossentropy(reduction="sum", from_logits=True),
    "of another kind": "mean_squared_error",
}


def compiled(loss: Any = "sparse_categorical_crossentropy") -> minicnn.Model:
    model = small()
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def labels(loss: Any = None) -> np.ndarray:
    classes = np.random.default_rng(1).integers(0, 3, N)
    return np.eye(3, dtype="float32")[classes] if loss == "mean_squared_error" else classes


@pytest.mark.filterwarnings("ignore:sparse_categorical_crossentropy has from_logits")
@pytest.mark.parametrize("name", LOSSES)
def test_measuring_is_recorded_too(name: str, served: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    loss, x = LOSSES[name], pictures()
    y = labels(loss)
    results = []
    for recorded in (True, False):
        with monkeypatch.context() as patch:
            if not recorded:
                patch.setattr(recorded_predictions.Predictions, "compute", lambda self, model, arrays: None)
            model = compiled(loss)
            first = model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True)
            model.fit(x, y, batch_size=BATCH, epochs=2, validation_data=(x, y), verbose=0)
            on_batch = model.test_on_batch(x[:BATCH], y[:BATCH])
            results.append([first, model.history.history, on_batch])
    # In the first epoch of `fit` the weights are brought to the optimizer: all is recorded anew.
    batches, late = N // BATCH, recorded_predictions.COMMON - 1
    assert served.count(True) == 2 * (batches - late) + batches + 1
    assert repr(results[0]) == repr(results[1])


@pytest.mark.parametrize("way", ["between", "within"])
# Another activation or output would have to be compiled anew.
@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"swapped layer", "another activation", "fit"}))
def test_changes_are_noticed_in_measuring(
    way: str, name: str, served: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changes(minicnn.callbacks.Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == N // BATCH - 3:
                CHANGES[name](self.model)

    x, y, threads = pictures(), labels(), minicnn.get_num_threads()
    results = []
    try:
        for recorded in (True, False):
            with monkeypatch.context() as patch:
                if not recorded:
                    patch.setattr(recorded_predictions.Predictions, "compute", lambda self, model, arrays: None)
                model = compiled()
                found = [model.evaluate(x, y, batch_size=BATCH, verbose=0)]
                assert served[-1] or not recorded
                if way == "between":
                    CHANGES[name](model)
                found.append(
                    model.evaluate(x, y, batch_size=BATCH, verbose=0, callbacks=None if way == "between" else Changes())
                )
                results.append(found)
            minicnn.set_num_threads(threads)
            minicnn.use_kernels("cpu")
    finally:
        minicnn.set_num_threads(threads)
        minicnn.use_kernels("cpu")
    assert results[0] == results[1]


def test_copies_of_a_measured_model_measure_for_themselves() -> None:
    model, x, y = compiled(), pictures(), labels()
    expected = model.evaluate(x, y, batch_size=BATCH, verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.evaluate(x, y, batch_size=BATCH, verbose=0) == expected
        CHANGES["set_weights"](other)
        assert other.evaluate(x, y, batch_size=BATCH, verbose=0) != expected
    assert model.evaluate(x, y, batch_size=BATCH, verbose=0) == expected


def test_changes_are_noticed_in_measuring_one_batch(served: list[bool]) -> None:
    model, x, y = compiled(), pictures(), labels()
    model.evaluate(x, y, batch_size=BATCH, verbose=0)
    before = model.test_on_batch(x[:BATCH], y[:BATCH])
    assert served[-1]
    CHANGES["another parameter"](model)
    assert model.test_on_batch(x[:BATCH], y[:BATCH]) != before


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("activation", ["swish", "gelu", "selu", "relu6"])
def test_what_no_kernel_made_is_computed_where_nothing_passes(activation: str, seed: int) -> None:
    """A ReLU that lets nothing of most samples pass makes them all look alike."""
    model = model_of(layers.Flatten(), layers.Dense(16, activation=activation), layers.Dense(1, activation="relu"))
    model.set_weights([np.random.default_rng(seed).normal(0, 0.3, w.shape) for w in model.get_weights()])
    x = pictures()
    np.testing.assert_array_equal(model.predict(x, batch_size=1), in_full(model, x, 1))
