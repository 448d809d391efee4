"""Training steps as one graph: never anything else than steps in full, and made where they can be."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import articles, callbacks, layers, losses, metrics, optimizers, schedules
from minicnn.kernels import varying
from minicnn.kernels.capture import Graph
from minicnn.training import step_graphs
from minicnn.training.step_graphs import StepGraph, StepGraphs
from tests.cuda_on_host import device, streams
from tests.cuda_on_host.launching import Settings

pytestmark = pytest.mark.gpu

SPARSE = "sparse_categorical_crossentropy"


@pytest.fixture
def cupy() -> Iterator[Any]:
    Settings.thorough = False
    with device.present() as module, minicnn.kernels.use_tf32(False):
        yield module
    Settings.thorough = True


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each training step was made: by a "graph", or in "full"."""
    made: list[str] = []
    for owner, name, how in ((StepGraph, "step", "graph"), (StepGraphs, "_on_device", "full")):
        before = getattr(owner, name)

        def spy(self: Any, batch: Any, before: Any = before, how: str = how) -> Any:
            made.append(how)
            return before(self, batch)

        monkeypatch.setattr(owner, name, spy)
    return made


def data(count: int = 22) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((count, 8, 8, 2), dtype=np.float32), generator.integers(0, 3, count)


def model_of(*stack: Any, **options: Any) -> minicnn.Sequential:
    minicnn.set_seed(5)
    layers.reset_names()
    model = minicnn.Sequential([minicnn.Input((8, 8, 2)), *stack])
    model.compile(**{"optimizer": "adam", "loss": SPARSE, "metrics": ["accuracy"], **options})
    return model.to("cuda")


def simple(**options: Any) -> minicnn.Sequential:
    return model_of(
        layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.4), layers.Flatten(),
        layers.Dense(3, activation="softmax"), **options,
    )  # fmt: skip


def results(model: minicnn.Sequential, *, graphs: bool, **options: Any) -> list[Any]:
    """What training leaves: weights, the optimizer's state, and the history."""
    arguments = {"x": data()[0], "y": data()[1], "batch_size": 8, "epochs": 2, "verbose": 0, **options}
    with pytest.MonkeyPatch.context() as patch:
        if not graphs:
            patch.setattr(step_graphs, "_is_capturable", lambda trainer: False)
        history = model.fit(**arguments)
    state = model.optimizer.get_state()
    return [*model.get_weights(), *(state[key] for key in sorted(state)), *history.history.values()]


def compare(build: Callable[[], minicnn.Sequential], steps: list[str], **options: Any) -> None:
    """By graphs as in full: the same bits, and graphs were made."""
    replayed = results(build(), graphs=True, **options)
    assert steps[:3] == ["full", "graph", "full"] and steps[3:] == ["graph"] * (len(steps) - 3)
    steps.clear()
    real = results(build(), graphs=False, **options)
    assert set(steps) == {"full"}
    for one, other in zip(real, replayed, strict=True):
        np.testing.assert_array_equal(other, one)


def functional() -> minicnn.Model:
    """Layers that take several tensors."""
    minicnn.set_seed(5)
    x = minicnn.Input((8, 8, 2))
    one, other = layers.Conv2D(3, 3, padding="same")(x), layers.Conv2D(3, 1)(x)
    merged = layers.Concatenate()([kind()([one, other]) for kind in (
        layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract)])  # fmt: skip
    model = minicnn.Model(x, layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(merged)))
    model.compile("adam", SPARSE)
    return model.to("cuda")


STACKS: dict[str, Callable[[], Any]] = {
    "pooled blocks": simple,
    "all in one row": lambda: model_of(
        layers.ZeroPadding2D(1), layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.Activation("tanh"),
        layers.Conv2DTranspose(3, 2, strides=2), layers.LeakyReLU(), layers.AveragePooling2D(),
        layers.LocalResponseNormalization(), layers.ELU(), layers.GlobalAveragePooling2D(), layers.Dense(6),
        layers.ReLU(), layers.Reshape((2, 3)), layers.Flatten(), layers.Dense(3), layers.Softmax(),
    ),
    "several inputs to a layer": functional,
    "noise along one axis, drawn twice": lambda: model_of(
        layers.Flatten(), layers.Dropout(0.3, noise_shape=(None, 1)), layers.Dense(6, activation="sigmoid"),
        layers.Dropout(0.5, seed=3), layers.Dense(3),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_graphs_of_layers_give_the_bits_of_steps_in_full(cupy: Any, steps: list[str], name: str) -> None:
    compare(STACKS[name], steps)


def test_every_layer_that_may_be_in_a_graph_was_in_one_above() -> None:
    known = {kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, layers.Layer)}
    seen = set()
    with device.present():
        for build in STACKS.values():
            seen |= {type(layer) for layer in build().graph.layers}
    assert known - seen == {layers.Layer, layers.Lambda}


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(schedules.ExponentialDecay(0.3, 2, 0.5), momentum=0.9, nesterov=True, decay=0.1),
    "plain sgd, clipped": lambda: optimizers.SGD(0.1, global_clipnorm=0.2),
    "adam": lambda: optimizers.Adam(0.01, clipvalue=0.01),
    "adamw": lambda: optimizers.AdamW(schedules.CosineDecay(0.02, 5), clipnorm=0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adagrad": lambda: optimizers.Adagrad(0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_graphs_of_optimizers_give_the_bits_of_steps_in_full(cupy: Any, steps: list[str], name: str) -> None:
    compare(lambda: simple(optimizer=OPTIMIZERS[name]()), steps)


ONE_HOT = np.eye(3, dtype=np.float32)[data()[1]]
MEASURES: dict[str, tuple[Any, list[Any], Any]] = {
    "categorical": ("categorical_crossentropy", ["accuracy"], ONE_HOT),
    "binary": (losses.BinaryCrossentropy(label_smoothing=0.1), [metrics.BinaryAccuracy(0.4)], ONE_HOT),
    "mean squares": ("mean_squared_error", [metrics.Accuracy()], ONE_HOT),
    "sum": (losses.Huber(reduction="sum"), [], ONE_HOT),
}


@pytest.mark.parametrize("name", MEASURES)
def test_graphs_of_losses_and_metrics_give_the_bits_of_steps_in_full(
    cupy: Any, steps: list[str], name: str
) -> None:
    loss, measured, y = MEASURES[name]
    compare(lambda: simple(loss=loss, metrics=measured), steps, y=y)


def test_weighted_samples_are_part_of_the_batch(cupy: Any, steps: list[str]) -> None:
    weights = np.linspace(0, 2, 22).astype(np.float32)
    compare(simple, steps, sample_weight=weights, class_weight={1: 3.0})


# --- data that stay on the device ------------------------------------------------------------------------------------

WEIGHTS = np.linspace(0, 2, 22)
STAYING: dict[str, dict[str, Any]] = {
    "shuffled": {},
    "as they come": {"shuffle": False},
    "bytes and doubles": {"x": (255 * data()[0]).astype(np.uint8), "y": np.eye(3)[data()[1]]},
    "half and 32 bits": {"x": data()[0].astype(np.float16), "y": data()[1].astype(np.int32)},
    "weighted": {"sample_weight": WEIGHTS},
    "classes weighted": {"class_weight": {1: 3.0}},
    "both weighted": {"class_weight": {1: 3.0}, "sample_weight": WEIGHTS.astype(np.float32)},
    "held back": {"validation_split": 0.25, "batch_size": 6},
    "more steps than batches": {"steps_per_epoch": 5},
    "fewer steps than batches, as they come": {"steps_per_epoch": 2, "shuffle": False, "epochs": 3},
}


def there(cupy: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The same with its arrays on the device, weights included."""
    options = {"x": data()[0], "y": data()[1], **options}
    return {key: cupy.asarray(v) if isinstance(v, np.ndarray) else v for key, v in options.items()}


def suited(options: dict[str, Any]) -> minicnn.Sequential:
    y = options.get("y", data()[1])
    return simple(loss="categorical_crossentropy" if y.ndim > 1 else SPARSE)


@pytest.mark.parametrize("name", STAYING)
def test_data_give_the_same_bits_wherever_they_lie(cupy: Any, steps: list[str], name: str) -> None:
    """On the device, on the host, and by steps in full."""
    options = STAYING[name]
    on_host = results(suited(options), graphs=True, **options)
    made = list(steps)
    for graphs in (True, False):
        steps.clear()
        on_device = results(suited(options), graphs=graphs, **there(cupy, options))
        assert steps == made if graphs else set(steps) == {"full"}
        for one, other in zip(on_host, on_device, strict=True):
            np.testing.assert_array_equal(other, one)
    assert "graph" in made


@pytest.mark.parametrize("case", ["labels on the host", "transposed", "batches from a stream"])
def test_data_that_only_partly_stay_give_the_same_bits(cupy: Any, steps: list[str], case: str) -> None:
    x, y = data()
    x = x.transpose(0, 2, 1, 3)
    on_host = results(simple(), graphs=False, x=x, y=y, shuffle=False)
    there = cupy.asarray(x if case != "transposed" else data()[0])
    if case == "labels on the host":
        arguments = {"x": there, "y": y}
    elif case == "transposed":
        arguments = {"x": there.transpose(0, 2, 1, 3), "y": cupy.asarray(y)}
    else:
        cuts = [(there[i : i + 8], cupy.asarray(y[i : i + 8])) for i in (0, 8, 16)]
        arguments = {"x": cuts, "y": None, "batch_size": None}
        arguments["x"] = Batches(cuts)
    steps.clear()
    found = results(simple(), graphs=True, shuffle=False, **arguments)
    assert steps == ["full", "graph", "full", "graph", "graph", "graph"]
    for one, other in zip(on_host, found, strict=True):
        np.testing.assert_array_equal(other, one)


class Batches:
    """The batches themselves, again in every epoch."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def test_a_step_on_data_that_stay_is_one_copy_and_one_launch(
    cupy: Any, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if device.on_gpu:
        pytest.skip("counted on the stand-in")
    options = there(cupy, {"sample_weight": WEIGHTS, "class_weight": {2: 0.5}, "batch_size": 5})
    model, made = simple(), []
    results(model, graphs=True, **options)
    step = model.trainer.train_step

    def now() -> np.ndarray:
        return np.array([streams.clock.now, len(streams.Graph.launched), cupy.transfers.to_device,
                         cupy.transfers.to_host])  # fmt: skip

    def counted(batch: Any) -> None:
        before = now()
        step(batch)
        made.append((now() - before).tolist())

    monkeypatch.setattr(model.trainer, "train_step", counted)
    steps.clear()
    before = now()
    results(model, graphs=True, **options)
    assert steps == ["graph"] * 10
    # Asked for, of that graphs; copied there, and back. Where another graph goes on, the two running sums are brought
    # to it, that of the loss and that of what was right: where an epoch begins, and for its last, smaller batch.
    first, other = [3, 1, 1, 0], [1, 1, 1, 0]
    assert made == [first, other, other, other, first] * 2
    # Besides, each epoch brings its order there; classes with a weight, and their weights, go there once.
    assert now()[2] - before[2] == 10 + 2 + 2


def test_every_epoch_has_an_order_of_its_own_which_is_brought_there_once(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Any, int]] = []
    step = StepGraph.step

    def spy(self: Any, parts: Any) -> None:
        found.append((parts[0].rows.order, parts[0].rows.begin))
        step(self, parts)

    monkeypatch.setattr(StepGraph, "step", spy)
    model, options = simple(), there(cupy, {"epochs": 4})
    results(model, graphs=True, **options)
    assert [begin for _, begin in found] == [8, *[0, 8, 16] * 3]
    orders = [order for order, begin in found if begin == 8]
    assert all(order is orders[(2 + index) // 3] for index, (order, _) in enumerate(found))
    listed = [order.get().tolist() for order in orders]
    assert all(sorted(order) == list(range(22)) for order in listed) and len({tuple(order) for order in listed}) == 4


def test_training_that_is_resumed_gives_the_bits_of_one_that_went_on(cupy: Any, tmp_path: Any) -> None:
    options = there(cupy, {"epochs": 4})
    model = simple()
    expected = results(model, graphs=True, **options)
    first = simple()
    results(first, graphs=True, **{**options, "epochs": 2})
    first.save(tmp_path / "half.minicnn")
    second = minicnn.load_model(tmp_path / "half.minicnn").to("cuda")
    found = results(second, graphs=True, initial_epoch=second.epoch, **options)
    histories = len(model.history.history)
    for one, other in zip(expected[:-histories], found[:-histories], strict=True):
        np.testing.assert_array_equal(other, one)
    assert [values[2:] for values in expected[-histories:]] == found[-histories:]


def test_one_graph_serves_whatever_data_come_and_keeps_none(cupy: Any, steps: list[str]) -> None:
    """Of one form: another training goes on with the graph of the last one."""
    found = []
    for place in (np.asarray, cupy.asarray):
        model = simple()
        for seed in range(3):
            x, y = data()
            x = np.roll(x, seed, axis=0)
            arrays = place(x), place(y)
            model.fit(*arrays, batch_size=11, verbose=0)
            kept = weakref.ref(arrays[0]) if place is cupy.asarray and not device.on_gpu else None
            del arrays
        found.append(model.get_weights())
        assert steps == ["full", *["graph"] * 5]
        steps.clear()
    gc.collect()
    assert kept is None or kept() is None
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(other, one)


def test_single_steps_on_arrays_of_the_device_are_graphs_too(cupy: Any, steps: list[str]) -> None:
    x, y = data()
    found = []
    for place in (np.asarray, cupy.asarray):
        model = simple()
        found.append([model.train_on_batch(place(x[i : i + 5]), place(y[i : i + 5]), return_dict=True)["loss"]
                      for i in range(0, 20, 5)])  # fmt: skip
    assert steps == ["full", "graph", "graph", "graph"] * 2 and found[0] == found[1]


# --- what else a step may be -----------------------------------------------------------------------------------------



class Looking(callbacks.Callback):
    """Looks at everything while a network is trained, and changes the learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append([dict(logs), self.model.get_weights()[0].copy(), self.model.optimizer.iterations])
        self.model.optimizer.learning_rate *= 0.7


def test_callbacks_that_look_inside_see_what_they_would_see(cupy: Any, steps: list[str]) -> None:
    found = []
    for graphs in (True, False):
        looking = Looking()
        results(simple(), graphs=graphs, callbacks=[looking])
        found.append(looking.seen)
    assert steps.count("graph") == 4
    for (logs, weights, count), other in zip(*found, strict=True):
        assert logs == other[0] and count == other[2]
        np.testing.assert_array_equal(weights, other[1])
    assert [count for _, _, count in found[0]] == [1, 2, 3, 4, 5, 6]


def test_every_step_draws_other_masks(cupy: Any, steps: list[str]) -> None:
    """Of the same batch the loss differs, since only the masks do: nothing is learned."""
    model = model_of(layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, activation="softmax"),
                     optimizer=optimizers.SGD(1e-30))  # fmt: skip
    x, y = data(8)
    found = [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(5)]
    assert steps == ["full"] + ["graph"] * 4 and len(set(found)) == 5
    assert model.layers[1].get_state()["step"] == 5 and model.optimizer.iterations == 5


def test_what_a_graph_depends_on_is_looked_at_before_each_single_step(cupy: Any, steps: list[str]) -> None:
    found = []
    for graphs in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not graphs:
                patch.setattr(step_graphs, "_is_capturable", lambda trainer: False)
            model, (x, y) = simple(optimizer=optimizers.SGD(0.1, momentum=0.5)), data(8)

            def step(model: Any = model, x: Any = x, y: Any = y) -> float:
                return float(model.train_on_batch(x, y, return_dict=True)["loss"])

            values = [step()]
            # Where the moments lie is settled in a step, which must not be one that is captured.
            model.optimizer.set_state(model.optimizer.get_state())
            values += [step() for _ in range(3)]
            model.layers[0].trainable = False
            values += [step() for _ in range(3)]
            model.layers[0].trainable = True
            model.optimizer.momentum = 0.9
            values += [step() for _ in range(3)]
            model.optimizer.set_state(model.optimizer.get_state())
            values += [step() for _ in range(3)]
            model.set_weights([w * 2 for w in model.get_weights()])
            values += [step()]
            model.to("cpu")
            model.to("cuda")
            values += [step() for _ in range(3)]
            model.layers[2].rate = 0.1
            values += [step() for _ in range(3)]
            model.layers[2].set_state({"key": 9, "step": 4})
            values += [step() for _ in range(3)]
            found.append(values)
    made = steps[: len(steps) // 2]
    assert made == ["full"] + ["full", "graph", "graph"] * 4 + ["graph"] + ["full", "graph", "graph"] * 3
    assert found[0] == found[1]


def test_the_switch_for_tf32_holds_for_graphs_too(cupy: Any, steps: list[str]) -> None:
    model, (x, y) = simple(), data(8)
    for used in (False, False, True, True, False):
        with minicnn.kernels.use_tf32(used):
            model.train_on_batch(x, y)
    assert steps == ["full", "graph", "full", "graph", "full"]


def test_data_that_begin_elsewhere_get_a_graph_of_their_own(cupy: Any, steps: list[str]) -> None:
    """That copies smaller words at once, since longer ones would not begin where they must."""
    (x, y), model, other = data(8), simple(), simple()
    room = cupy.empty(x.size + 1, np.float32)
    for begin in (0, 0, 1, 1):
        there = room[begin : begin + x.size].reshape(x.shape)
        there[...] = cupy.asarray(x)
        model.train_on_batch(there, cupy.asarray(y))
        other.train_on_batch(x, y)
    assert steps[::2] == ["full", "graph", "full", "graph"]
    for one, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)


class WithinAnEpoch(callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.model.epoch == 1 and batch == 1:
            self.model.optimizer.momentum = 0.9


class BetweenEpochs(callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.model.layers[2].rate = 0.1


@pytest.mark.parametrize(("kind", "second"), [
    (WithinAnEpoch, ["graph", "full", "graph"]), (BetweenEpochs, ["full", "graph", "graph"])])  # fmt: skip
def test_what_a_callback_changes_is_noticed_in_the_next_step(
    cupy: Any, steps: list[str], kind: type[callbacks.Callback], second: list[str]
) -> None:
    (x, y), found = data(24), []
    for graphs in (True, False):
        model = simple(optimizer=optimizers.SGD(0.1, momentum=0.5))
        found.append(results(model, graphs=graphs, x=x, y=y, epochs=3, callbacks=[kind()]))
    assert steps[:9] == ["full", "graph", "graph", *second, "graph", "graph", "graph"]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_step_of_lenet5_is_few_kernels(cupy: Any, steps: list[str]) -> None:
    """Each costs a microsecond or two, about as long as it runs."""
    if device.on_gpu:
        pytest.skip("counted on the stand-in")
    model = articles.get("lenet5").build()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((2, *model.inputs[0].shape[1:]), np.float32), np.eye(10, dtype=np.float32)[:2]
    streams.Graph.launched.clear()
    for _ in range(2):
        model.to("cuda").train_on_batch(x, y)
    assert len(streams.Graph.launched) == 1 and streams.Graph.launched[0] <= 60


def test_around_the_loss_there_is_little_to_do(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean, its share of each sample, and the running sum: nothing is filled, converted or copied for them."""
    if device.on_gpu:
        pytest.skip("counted on the stand-in")
    noted: list[str] = []
    note = streams.Graph.note
    monkeypatch.setattr(streams.Graph, "note", lambda *a: (noted.append(a[3]), note(*a)))
    model = minicnn.Sequential([minicnn.Input((4,)), layers.Dense(3, activation="softmax")]).to("cuda")
    model.compile("sgd", SPARSE)
    for _ in range(2):
        model.train_on_batch(np.ones((2, 4), np.float32), np.arange(2))
    others = [what for what in noted if "<" not in what and what != "copyto"]
    assert others == ["sum", "__truediv__", "__truediv__", "multiply", "__iadd__"]


def test_measuring_between_epochs_costs_no_graph(cupy: Any, steps: list[str]) -> None:
    compare(simple, steps, validation_data=tuple(array[:5] for array in data()), epochs=3)


def test_others_notice_that_the_weights_have_changed(cupy: Any, steps: list[str]) -> None:
    model, (x, y) = simple(), data(8)
    for _ in range(2):
        model.train_on_batch(x, y)
    total = minicnn.functional.sum(model(cupy.asarray(x)))
    model.train_on_batch(x, y)
    assert steps == ["full", "graph", "graph"]
    with pytest.raises(RuntimeError, match="changed in place"):
        total.backward()


class Mine(optimizers.SGD):
    """A user's own."""


def test_what_may_differ_from_step_to_step_is_made_in_full(cupy: Any, steps: list[str]) -> None:
    dense = layers.Dense(3, activation="softmax", kernel_constraint="max_norm")
    unknown: list[Callable[[], Any]] = [
        lambda: simple(optimizer=Mine(0.1)),
        lambda: simple(optimizer=optimizers.Adam(amsgrad=True)),
        lambda: simple(optimizer=optimizers.SGD(weight_decay=0.1)),
        lambda: simple(loss=lambda t, p: minicnn.functional.mean(minicnn.functional.square(p - 1), axis=-1)),
        lambda: simple(loss=losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")),
        lambda: simple(metrics=[metrics.SparseTopKCategoricalAccuracy(2)]),
        lambda: model_of(layers.Flatten(), dense),
        lambda: model_of(layers.Flatten(), layers.Dense(3, activation="softmax", kernel_regularizer="l2")),
        lambda: model_of(layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(3, activation="softmax")),
        lambda: model_of(layers.Flatten(), layers.Dense(3), layers.Activation(lambda x: minicnn.functional.softmax(x))),
    ]
    for build in unknown:
        results(build(), graphs=True, epochs=1)
    assert set(steps) == {"full"}
    x = minicnn.Input((8, 8, 2))
    flat = layers.Flatten()(x)
    several = minicnn.Model(x, [layers.Dense(3, activation="softmax")(flat) for _ in range(2)])
    several.compile("adam", SPARSE)
    results(several.to("cuda"), graphs=True, epochs=1, y=[data()[1]] * 2)
    assert set(steps) == {"full"}
    with minicnn.kernels.use_kernels("reference"):
        results(model_of(layers.Flatten(), layers.Dense(3, activation="softmax")), graphs=True, epochs=1)
    assert set(steps) == {"full"}


def test_shapes_beyond_the_first_few_get_no_graph(cupy: Any, steps: list[str]) -> None:
    model, (x, y) = simple(), data()
    for _ in range(2):
        for size in (8, 7, 6):
            model.train_on_batch(x[:size], y[:size])
    assert steps == ["full"] * 3 + ["graph"] * 2 + ["full"]


def test_where_a_graph_cannot_be_made_training_goes_on(
    cupy: Any, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, *arguments: Any) -> None:
        arguments[0]()  # the work, half of which was noted
        raise MemoryError("out of memory allocating 512 bytes")

    real = results(simple(), graphs=False)
    monkeypatch.setattr(Graph, "__init__", lambda self, work, numbers: full(self, lambda: None))
    with pytest.warns(UserWarning, match="step by step, since no graph could be made of one: out of memory"):
        found = results(simple(), graphs=True)
    for one, other in zip(real, found, strict=True):
        np.testing.assert_array_equal(other, one)
    assert "graph" not in steps


# --- capturing -------------------------------------------------------------------------------------------------------


def numbers(cupy: Any) -> varying.DeviceNumbers:
    return varying.DeviceNumbers(cupy.empty(64, np.uint8))


def test_a_graph_does_nothing_before_it_is_launched_and_then_all_of_it_each_time(cupy: Any) -> None:
    from minicnn import kernels

    x, total = cupy.asarray(np.array([-1.0, 2.0], np.float32)), cupy.zeros(2, np.float32)

    def work() -> None:
        y = kernels.relu(x * 2)
        total[...] = total + y

    work()
    graph = Graph(work, numbers(cupy))
    assert total.get().tolist() == [0, 4]
    graph.launch()
    x[...] = cupy.asarray(np.array([1.0, 1.0], np.float32))
    graph.launch()
    assert total.get().tolist() == [2, 10] and graph.nbytes > 0


def test_numbers_that_change_are_read_from_the_device(cupy: Any) -> None:
    from minicnn import kernels

    kept, rates = numbers(cupy), iter([9.0, 0.5, 0.25])
    p, g = cupy.asarray(np.zeros(3, np.float32)), cupy.asarray(np.ones(3, np.float32))

    def work() -> None:
        rate = varying.vary(lambda: next(rates))
        half = varying.vary(lambda x: x / 2, rate)
        kernels.sgd_step(p, g, None, learning_rate=half, momentum=0.0, nesterov=False)

    graph = Graph(work, kept)
    for expected in (-0.25, -0.375):
        kept.renew()
        kept.device.set(kept.host)
        graph.launch()
        assert p.get().tolist() == [expected] * 3


def test_too_many_numbers_are_refused(cupy: Any) -> None:
    kept = varying.DeviceNumbers(cupy.empty(16, np.uint8))
    for _ in range(2):
        kept.add(lambda: 1.0).place(np.float32)
    with pytest.raises(RuntimeError, match="may have 2 numbers that change, not more"):
        kept.add(lambda: 1.0).place(np.float64)


def test_work_that_waits_for_the_device_cannot_be_captured(cupy: Any) -> None:
    x = cupy.asarray(np.ones(3, np.float32))
    for work in (lambda: float(x.sum()), x.get, lambda: cupy.asarray(np.ones(3))):
        with pytest.raises(RuntimeError):
            Graph(work, numbers(cupy))
    # And the stream is whole again.
    Graph(lambda: x + 1, numbers(cupy)).launch()


def test_a_graph_on_memory_that_was_given_back_shows(cupy: Any) -> None:
    """The harness: memory from the default pool, which others are then given."""
    if device.on_gpu:
        pytest.skip("a GPU says nothing")
    x, stream = cupy.asarray(np.ones(3, np.float32)), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        x + 1
        graph = stream.end_capture()
    with pytest.raises(streams.StreamError, match=r"a graph's __add__ is in memory that somebody else"):
        graph.launch()
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        streams.DEFAULT.begin_capture()
    pool = cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        x * 2
        graph = stream.end_capture()
    graph.launch()
    del pool
    with pytest.raises(streams.StreamError, match=r"a graph's __mul__"):
        graph.launch()
