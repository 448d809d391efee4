"""The whole way of a training on the GPU's path: networks, optimisers, transfers, moving between devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import minicnn
from minicnn import articles, explain, layers, optimizers, plots
from minicnn.autograd import Tensor, from_dlpack
from minicnn.cli import contestant
from minicnn.device import DeviceMemoryError
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy() -> Iterator[Any]:
    """One order of threads a launch, another for each: the kernels have tests of their own."""
    Settings.thorough = False
    with device.present() as module, minicnn.kernels.use_tf32(False):
        yield module
    Settings.thorough = True


def digits(count: int, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((count, size, size, 1), dtype=np.float32), generator.integers(0, 10, count)


def small(**options: Any) -> minicnn.Sequential:
    minicnn.set_seed(1)
    layers = [
        Conv2D(8, 3, input_shape=(10, 10, 1), activation="relu"), MaxPooling2D(),
        # A bias before a normalisation has no gradient but rounding, which Adam would follow.
        Conv2D(8, 3, padding="same", use_bias=False), BatchNormalization(), Dropout(0.25),
        Flatten(), Dense(10, activation="softmax"),
    ]  # fmt: skip
    model = minicnn.Sequential(layers)
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options})
    return model


def losses(model: Any, x: np.ndarray, y: np.ndarray, steps: int, batch: int) -> list[float]:
    found = []
    for step in range(steps):
        part = slice(step * batch, (step + 1) * batch)
        found.append(model.train_on_batch(x[part], y[part], return_dict=True)["loss"])
    return found


@pytest.mark.network
@pytest.mark.parametrize(("name", "steps", "batch"), [("lenet5", 3, 4), ("eastmount", 3, 2)])
def test_an_articles_network_has_the_processors_losses(cupy: Any, name: str, steps: int, batch: int) -> None:
    article = articles.get(name)
    recipe = article.recipe(article.default_recipe)
    found = []
    for where in ("cpu", "cuda"):
        minicnn.set_seed(0)
        model = article.build()
        x, y = digits(steps * batch)
        x = np.resize(x, (len(x), *model.inputs[0].shape[1:]))
        targets = np.eye(10, dtype=np.float32)[y] if "sparse" not in str(recipe.loss) else y
        model.compile(optimizer=recipe.optimizer(), loss=recipe.loss)
        assert model.to(where).device == where
        found.append(losses(model, x, targets, steps, batch))
        assert all(isinstance(p.data, cupy.ndarray) == (where == "cuda") for p in model.weights)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert len(set(found[0])) == steps


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: optimizers.Adam(0.01, clipvalue=0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, clipnorm=0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adagrad": lambda: optimizers.Adagrad(0.1, global_clipnorm=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_steps_on_the_device(cupy: Any, name: str) -> None:
    x, y = digits(12, 10)
    found = []
    for where in ("cpu", "cuda"):
        model = small(optimizer=OPTIMIZERS[name]()).to(where)
        found.append(losses(model, x, y, 3, 4))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_a_training_step_copies_its_batch_there_and_nothing_back(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss when somebody asks for it, and no more."""
    if device.on_gpu:
        pytest.skip("counted on the stand-in")
    x, y = digits(40, 10)
    model = small(metrics=["accuracy"], optimizer=optimizers.SGD(0.01, clipnorm=1.0)).to("cuda")
    model.fit(x[:8], y[:8], batch_size=8, verbose=0)
    step, copies = model.trainer.train_step, []

    def counted(batch: Any) -> None:
        before = cupy.transfers.to_host, cupy.transfers.to_device
        step(batch)
        copies.append((cupy.transfers.to_host - before[0], cupy.transfers.to_device - before[1]))

    monkeypatch.setattr(model.trainer, "train_step", counted)
    before = cupy.transfers.to_host
    history = model.fit(x, y, batch_size=8, verbose=0)
    # Pictures, labels and, where a graph makes the step, the numbers that change: all in one.
    assert copies == [(0, 1)] * 5
    # At the end of the epoch the history asks: for the loss, and for how many predictions were right.
    assert cupy.transfers.to_host - before == 2
    assert model.trainer.logs() == {name: values[-1] for name, values in history.history.items()}
    assert cupy.transfers.to_host - before == 2


def test_a_match_with_keras_is_trained_on_the_device(cupy: Any, tmp_path: Any) -> None:
    """Our side of `minicnn bench`."""
    x, y = digits(12, 10)
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    small(optimizer=optimizers.SGD(0.1)).save(tmp_path / "model.minicnn")
    found = []
    for where in ("cpu", "cuda"):
        task = {"seed": 0, "threads": minicnn.get_num_threads(), "device": where, "epochs": 2, "batch_size": 4}
        model, watch, about = contestant.with_minicnn(tmp_path, task)
        assert (model.device, f"'{where}' kernels" in about) == (where, True)
        found.append(contestant.train(model, watch, task, arrays)["losses"])
    assert len(found[0]) == 6
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_models_in_turn_with_one_optimizer_and_frozen_ones(cupy: Any) -> None:
    x, y = digits(8, 10)
    found = []
    for place in ("cpu", "cuda"):
        optimizer = optimizers.Adam(0.01)
        models = [small(optimizer=optimizer).to(place) for _ in range(2)]
        values = [losses(model, x, y, 1, 8)[0] for _ in range(3) for model in models]
        models[0].trainable = False
        with pytest.warns(UserWarning, match="has no trainable weights"):
            values += models[0].fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        state = models[1].trainer.optimizer_state()
        assert state["iterations"] == 6
        assert all(isinstance(value, np.ndarray) for key, value in state.items() if "/" in key)
        found.append((values, state["velocity/0"]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-3)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-2, atol=1e-8)


@pytest.mark.parametrize("one_hot", [False, True])
def test_data_may_stay_on_the_device_whole(cupy: Any, one_hot: bool) -> None:
    """As bytes too; then a step copies nothing but which pictures it takes."""
    x, y = (255 * digits(20, 10)[0]).astype(np.uint8), digits(20, 10)[1]
    targets = np.eye(10, dtype=np.float32)[y] if one_hot else y
    results = []
    for place in (np.asarray, cupy.asarray):
        model = small(loss="categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy").to("cuda")
        arguments: Any = {"batch_size": 8, "verbose": 0, "validation_split": 0.2, "class_weight": {3: 2.0}}
        history = model.fit(place(x), place(targets), epochs=2, **arguments)
        results.append([*history.history["val_loss"], *model.predict(place(x)).ravel()])
    np.testing.assert_array_equal(results[0], results[1])
    if not device.on_gpu:
        there = cupy.asarray(x), cupy.asarray(targets)
        before = cupy.transfers.to_host, cupy.transfers.to_device
        model.fit(*there, batch_size=10, verbose=0)
        # The loss and what the first look at the targets needs; the epoch's order, and of the second step, which is a
        # graph, the numbers that change.
        assert cupy.transfers.to_host - before[0] <= 3 and cupy.transfers.to_device - before[1] == 2


def test_fit_evaluate_and_predict_agree_with_the_processor(cupy: Any) -> None:
    x, y = digits(20, 10)
    results = []
    for where in ("cpu", "cuda"):
        model = small(metrics=["accuracy", minicnn.metrics.SparseTopKCategoricalAccuracy(3)]).to(where)
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_split=0.2)
        measured = model.evaluate(x, y, verbose=0, return_dict=True)
        predictions = model.predict(x, batch_size=8)
        assert type(predictions) is np.ndarray
        results.append((history.history, measured, predictions))
    (history, measured, predictions), other = results
    for name, values in history.items():
        np.testing.assert_allclose(other[0][name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    for name, value in measured.items():
        assert other[1][name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
    np.testing.assert_allclose(other[2], predictions, atol=1e-4)


def test_a_model_moves_with_its_optimisers_state(cupy: Any) -> None:
    """Two steps there, two steps here, as if it had never moved; weights shared and frozen included."""
    x, y = digits(16, 10)
    stays, moves = small(), small()
    for model in (stays, moves):
        model.layers[2].trainable = False
    expected = losses(stays, x, y, 4, 4)
    found = losses(moves, x[:4], y[:4], 1, 4)
    found += losses(moves.to("cuda"), x[4:12], y[4:12], 2, 4)
    found += losses(moves.to("cpu"), x[12:], y[12:], 1, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    state = moves.optimizer.get_state()
    assert state["iterations"] == 4 and all(type(v) is np.ndarray for k, v in state.items() if "/" in k)
    for one, other in zip(stays.get_weights(), moves.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_weights_made_later_and_layers_added_later_live_where_the_model_lives(cupy: Any) -> None:
    model = minicnn.Sequential([Dense(3)]).to("cuda")
    model.add(Dense(2))
    model.build((None, 4))
    assert {p.device for p in model.weights} == {"cuda"}
    assert all(isinstance(p.data, cupy.ndarray) for p in model.weights)
    model.set_weights([np.ones(w.shape, np.float32) for w in model.weights])
    assert model.get_weights()[0].sum() == 12


def test_a_saved_model_does_not_know_the_device(cupy: Any, tmp_path: Any) -> None:
    x, y = digits(8, 10)
    model = small().to("cuda")
    losses(model, x, y, 2, 4)
    model.save(tmp_path / "model.minicnn")
    loaded = minicnn.load_model(tmp_path / "model.minicnn")
    assert loaded.device == "cpu"
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), atol=1e-5)
    np.testing.assert_allclose(losses(loaded, x, y, 1, 8), losses(model, x, y, 1, 8), rtol=1e-4)


def test_a_model_and_its_array_must_live_together(cupy: Any) -> None:
    model = small().to("cuda")
    with pytest.raises(TypeError, match="NumPy and CuPy are mixed"):
        model(digits(2, 10)[0])
    with pytest.raises(TypeError, match="NumPy and CuPy are mixed"):
        small().predict(cupy.asarray(digits(2, 10)[0]))
    y = model(cupy.asarray(digits(2, 10)[0]))
    assert y.device == "cuda" and y.shape == (2, 10)


def test_a_loss_that_is_not_finite_is_told_when_the_means_are_asked_for(cupy: Any) -> None:
    x, y = digits(8, 10)
    model = small(optimizer=optimizers.SGD(1e30)).to("cuda")
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match=r"the loss is nan|the loss is inf"):
        model.fit(x, y, batch_size=2, epochs=2, verbose=0)


@pytest.mark.parametrize(("loss", "y"), [
    ("sparse_categorical_crossentropy", [0, 11, 2, 3]), ("categorical_crossentropy", np.full((4, 10), 2.0))],
    ids=["class", "share"])  # fmt: skip
def test_targets_out_of_range_are_refused_before_they_leave_the_host(cupy: Any, loss: str, y: Any) -> None:
    model = small(loss=loss).to("cuda")
    with pytest.raises(ValueError, match="labels must lie in"):
        model.train_on_batch(digits(4, 10)[0], np.asarray(y))


@pytest.mark.parametrize(("allowed", "where"), [(0, "the batch's way there"), (2, "conv2d"), (17, "the way back")])
def test_full_memory_names_the_layer_and_a_batch_that_fits(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, allowed: int, where: str
) -> None:
    if device.on_gpu:
        pytest.skip("fills the memory that the stand-in pretends to have")
    x, y = digits(8, 10)
    model = small().to("cuda")
    model.train_on_batch(x[:2], y[:2])
    empty, count = cupy.empty, iter(range(1000))

    def full(*args: Any, **options: Any) -> Any:
        if next(count) >= allowed:
            raise MemoryError("out of memory allocating 512 bytes")
        return empty(*args, **options)

    monkeypatch.setattr(cupy, "empty", full)
    text = rf"memory \(0\.0 GiB\) is full at {where}.*, with a batch of 8; batch_size=4 should fit"
    with pytest.raises(DeviceMemoryError, match=text):
        model.train_on_batch(x, y)


@pytest.mark.parametrize(("method", "missing", "where"), [
    ("train_on_batch", "the first", "the loss, a metric or the optimizer's step"),
    ("evaluate", "asarray", "the batch's way there"), ("evaluate", "the first", "the loss or a metric"),
    ("predict", "asarray", "the batch's way there")])  # fmt: skip
def test_full_memory_is_explained_wherever_a_batch_is_involved(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, method: str, missing: str, where: str
) -> None:
    if device.on_gpu:
        pytest.skip("fills the memory that the stand-in pretends to have")
    x, y = digits(8, 10)
    model = small().to("cuda")
    model.evaluate(x, y, verbose=0)

    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError("out of memory allocating 512 bytes")

    if missing == "asarray":
        monkeypatch.setattr(cupy, "asarray", full)
    else:
        monkeypatch.setattr(type(model.trainer.means), "add", full)
    with pytest.raises(DeviceMemoryError, match=rf"is full at {where}, with a batch of 8; batch_size=4 should fit"):
        getattr(model, method)(*([x] if method == "predict" else [x, y]), **({} if "_" in method else {"verbose": 0}))


# --- tensors ---------------------------------------------------------------------------------------------------------


def test_tensors_live_where_their_arrays_live(cupy: Any) -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    there = x.to("cuda")
    assert (x.device, there.device, there.requires_grad) == ("cpu", "cuda", True)
    assert there.to("cuda") is there
    y = minicnn.functional.sum(minicnn.functional.relu(there * 3))
    y.backward()
    assert isinstance(there.grad.data, cupy.ndarray) and y.item() == 3
    np.testing.assert_array_equal(there.grad.numpy(), [3, 0])
    assert type(there.numpy()) is np.ndarray and "Tensor([ 1., -2.]" in repr(there)
    with pytest.raises(ValueError, match=r"Tensor\.to: expected a device, one of 'cpu', 'cuda', got 'gpu'"):
        x.to("gpu")


def test_plain_device_arrays_in_plain_device_arrays_out(cupy: Any) -> None:
    F, generator = minicnn.functional, np.random.default_rng(0)
    x, w = generator.standard_normal((2, 6, 6, 3)).astype("f4"), generator.standard_normal((3, 3, 3, 4)).astype("f4")
    y = F.softmax(F.flatten(F.max_pool2d(F.conv2d(cupy.asarray(x), cupy.asarray(w), padding="same"), 2)))
    assert isinstance(y, cupy.ndarray)
    expected = F.softmax(F.flatten(F.max_pool2d(F.conv2d(x, w, padding="same"), 2)))
    np.testing.assert_allclose(y.get(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_dlpack_shares_memory_on_the_device_both_ways(cupy: Any, dtype: Any) -> None:
    there = cupy.asarray(np.arange(4).astype(dtype))
    tensor = from_dlpack(there)
    assert tensor.device == "cuda" and tensor.dtype == dtype
    there[0] = 9.0
    back = cupy.from_dlpack(tensor)
    back[1] = 7.0
    np.testing.assert_array_equal(tensor.numpy(), [9, 7, 2, 3])
    np.testing.assert_array_equal(there.get(), [9, 7, 2, 3])


def test_a_model_made_of_layers_on_the_device_lives_there_too(cupy: Any) -> None:
    """And does not take them away from the model that they were made for."""
    model = small().to("cuda")
    features = minicnn.Model(model.inputs[0], model.layers[3].output)
    assert features.device == model.device == "cuda"
    assert all(isinstance(p.data, cupy.ndarray) for p in model.weights)
    longer = minicnn.Sequential([*model.layers[:2], Flatten(), Dense(2)])
    longer.build((None, 10, 10, 1))
    assert {p.device for p in longer.weights} == {"cuda"}
    x = digits(2, 10)[0]
    assert longer.predict(x).shape == (2, 2) and features.predict(x).shape == (2, 4, 4, 8)


def test_what_looks_into_a_network_looks_into_one_on_the_device(cupy: Any) -> None:
    x, y = digits(4, 10)
    here, there = small(), small().to("cuda")
    for model in (here, there):
        model.build((None, 10, 10, 1))
    norms = [plots.gradient_norm_by_layer(model, x, y) for model in (here, there)]
    np.testing.assert_allclose(list(norms[1].values()), list(norms[0].values()), rtol=1e-4)
    maps = [plots.activation_maps(model, x[0], model.layers[0]) for model in (here, there)]
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-5)
    plots.filters(there.layers[0])
    plots.exciting_patches(there, there.layers[0], x)
    # The numbers shown are exact, whatever the switch allows.
    with minicnn.kernels.use_tf32(True):
        for layer, place in ((0, (1, 2, 3)), (1, (0, 1, 2)), (2, (0, 3, 7)), (3, (1, 1, 0)), (-1, 4)):
            values = [explain.pixel(model, x[0], layer, place).value for model in (here, there)]
            assert values[1] == pytest.approx(values[0], abs=1e-5)
        for ask, place in ((explain.weight_gradient, (0, 1, 0, 3)), (explain.pixel_gradient, (2, 3, 4))):
            values = [ask(model, x[0], y[0], 0, place).value for model in (here, there)]
            assert values[1] == pytest.approx(values[0], abs=1e-5)


def test_stamps_and_responses_on_the_device_are_explained_too(cupy: Any) -> None:
    parts = (layers.Conv2DTranspose(3, 3, strides=2), layers.LocalResponseNormalization(1))
    model = minicnn.Sequential([layers.Input((3, 4, 2)), *parts, Flatten(), Dense(2)]).to("cuda")
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    for layer, place in ((0, (2, 4, 1)), (1, (2, 4, 1))):
        # What the model computed on the device is compared with the terms, computed here.
        assert np.isfinite(explain.pixel(model, x, layer, place).value)
        assert explain.pixel_gradient(model, x, [1.0, 2.0], layer, place, loss="mse").value
    assert explain.weight_gradient(model, x, [1.0, 2.0], 0, (0, 1, 2, 1), loss="mse").value
    assert explain.pixel_gradient(model, x, [1.0, 2.0], model.input_names[0], (1, 1, 0), loss="mse").value


def test_dlpack_shares_memory_both_ways() -> None:
    values = np.arange(4.0)
    tensor = from_dlpack(values)
    values[0] = 9
    assert tensor.numpy()[0] == 9 and np.from_dlpack(tensor)[0] == 9
    with pytest.raises(TypeError, match=r"from_dlpack: expected an array that has __dlpack__, got list"):
        from_dlpack([1.0])
    with pytest.raises(TypeError, match=r"from_dlpack: NumPy cannot share a ndarray of bfloat16: DLPack only supports"):
        from_dlpack(values.astype(ml_dtypes.bfloat16))
