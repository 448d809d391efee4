"""Models that are trained on one side, saved, and trained on by the other, with the optimizer's state."""

from __future__ import annotations

import json
import zipfile

import h5py
import numpy as np
import pytest

from minicnn import schedules
from minicnn.losses import registry as losses
from minicnn.metrics import registry as metrics
from minicnn.optimizers import Adam
from minicnn.optimizers import registry as optimizers
from tests.oracles import keras
from tests.saving.keras_side import OURS, THEIRS, WAY_NAMES, WAYS, save, shared, train

# What Keras and PyTorch are warned of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

ENDINGS = (".keras", ".h5")


def data(n=12):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((n, 6, 6, 2)).astype(np.float32)
    return x, generator.integers(0, 3, n)


def chain(side):
    L = side.layers
    return side.sequential(
        [
            L.Input((6, 6, 2)),
            L.Conv2D(3, 3, activation="relu", kernel_regularizer="l2", name="conv"),
            L.BatchNormalization(name="bn"),
            L.Flatten(name="flat"),
            L.Dense(3, activation="softmax", bias_constraint="max_norm", name="fc"),
        ]
    )


OPTIMIZERS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True, "clipvalue": 0.05}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.01}, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}],
    "AdamW": [{"weight_decay": 0.02, "clipnorm": 0.5}],
    "RMSprop": [{}, {"momentum": 0.5, "centered": True, "rho": 0.8}],
    "Adagrad": [{"initial_accumulator_value": 0.2, "global_clipnorm": 1.0}],
}
SCHEDULES = {
    "ExponentialDecay": {"decay_steps": 5, "decay_rate": 0.5, "staircase": True},
    "InverseTimeDecay": {"decay_steps": 5, "decay_rate": 0.5},
    "PolynomialDecay": {"decay_steps": 15, "power": 2.0, "cycle": True},
    "CosineDecay": {"decay_steps": 15, "warmup_target": 0.05, "warmup_steps": 4, "alpha": 0.1},
    # No restart within the steps: Keras misses some by rounding.
    "CosineDecayRestarts": {"first_decay_steps": 20, "t_mul": 1.5, "m_mul": 0.8},
    "PiecewiseConstantDecay": {"boundaries": [5, 10], "values": [0.03, 0.01, 0.003]},
}


def test_every_optimizer_and_schedule_that_both_have_is_tried():
    # The scaling of losses has its tests with mixed precision.
    assert set(OPTIMIZERS) == shared(optimizers, keras().optimizers) - {"Optimizer", "LossScaleOptimizer"}
    assert set(SCHEDULES) == shared(schedules.registry, keras().optimizers.schedules)


def goes_on(tmp_path, first, second, model, x, y, ending):
    path = tmp_path / f"model{ending}"
    save(model, path)
    again = second.load(path)
    np.testing.assert_allclose(second.predict(again, x), first.predict(model, x), rtol=1e-5, atol=1e-5)
    return again


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize(("name", "number"), [(n, i) for n in OPTIMIZERS for i in range(len(OPTIMIZERS[n]))])
def test_the_next_20_steps_are_the_same(tmp_path, first, second, name, number):
    x, y = data()
    model = chain(first)
    optimizer = getattr(first.optimizers, name)(learning_rate=0.01, **OPTIMIZERS[name][number])
    model.compile(optimizer, first.losses.SparseCategoricalCrossentropy())
    train(model, x, y, 3)
    others = [goes_on(tmp_path, first, second, model, x, y, ending) for ending in ENDINGS]
    expected = train(model, x, y, 20)
    for again in others:
        assert type(again.optimizer).__name__ == name and int(again.optimizer.iterations) == 3
        np.testing.assert_allclose(train(again, x, y, 20), expected, rtol=1e-4, atol=1e-4)
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_go_on_from_their_step(tmp_path, first, second, name):
    x, y = data()
    model = chain(first)
    options = SCHEDULES[name]
    start = {} if "values" in options else {"initial_learning_rate": 0.03}
    schedule = getattr(first.schedules, name)(**start, **options)
    model.compile(first.optimizers.SGD(schedule), first.losses.SparseCategoricalCrossentropy())
    train(model, x, y, 3)
    again = goes_on(tmp_path, first, second, model, x, y, ".keras")
    assert float(again.optimizer.learning_rate) == pytest.approx(float(model.optimizer.learning_rate), rel=1e-6)
    np.testing.assert_allclose(train(again, x, y, 12), train(model, x, y, 12), rtol=1e-4, atol=1e-4)
    described = again.optimizer.get_config()["learning_rate"]
    assert described["class_name"] == name
    assert {key: described["config"][key] for key in options} == options


def test_decay_reaches_keras_as_a_schedule(tmp_path):
    x, y = data()
    model = chain(OURS)
    model.compile(Adam(0.02, decay=0.1), "sparse_categorical_crossentropy")
    train(model, x, y, 3)
    others = [goes_on(tmp_path, OURS, side, model, x, y, ending) for ending in ENDINGS for side in (OURS, THEIRS)]
    expected = train(model, x, y, 20)
    for again in others:
        np.testing.assert_allclose(train(again, x, y, 20), expected, rtol=1e-4, atol=1e-4)
    model.compile(Adam(schedules.ExponentialDecay(0.1, 3, 0.5), decay=0.1), "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"Adam has both a schedule and decay=0\.1"):
        model.save(tmp_path / "m.keras")


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_compiled_and_never_trained(tmp_path, first, second, ending):
    x, y = data()
    model = chain(first)
    model.compile(first.optimizers.Adam(0.02), first.losses.SparseCategoricalCrossentropy())
    if first is THEIRS and ending == ".h5":
        # Keras makes no optimizer weights before the first step, and leaves none in the file.
        model.optimizer.build(model.trainable_variables)
    again = goes_on(tmp_path, first, second, model, x, y, ending)
    np.testing.assert_allclose(train(again, x, y, 5), train(model, x, y, 5), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------ structure


def graph(side):
    """Two inputs, three outputs, a layer used three times, a chain and a graph within, a frozen layer in each."""
    L = side.layers
    picture, vector = L.Input((6, 6, 2), name="picture"), L.Input((5,), name="vector")
    shared_layer = L.Dense(4, activation="tanh", name="shared")
    inner = side.sequential(
        [L.Input((6, 6, 2)), L.Conv2D(2, 3, name="c"), L.BatchNormalization(name="bn"), L.Flatten(name="f")],
        name="inner",
    )
    inner.layers[0].trainable = False
    entry = L.Input((32,), name="entry")
    hidden = L.Dense(32, name="d", trainable=False)(entry)
    deep = side.model(entry, L.Dense(32, name="e")(hidden), name="deep")
    wide = L.Dense(32, name="wide")(vector)
    flat = inner(picture)
    total = L.Add(name="add")([flat, deep(wide)])
    joined = L.Concatenate(name="join")([shared_layer(wide), shared_layer(flat), shared_layer(total)])
    outputs = [L.Dense(3, activation="softmax", name="a")(joined), L.Dense(1, name="b")(shared_layer(flat)), deep(flat)]
    return side.model([picture, vector], outputs, name="whole")


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_graphs_with_all_that_there_is(tmp_path, first, second, ending):
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((8, *shape)).astype(np.float32) for shape in ((6, 6, 2), (5,))]
    y = [np.arange(8) % 3, *(generator.standard_normal((8, n)).astype(np.float32) for n in (1, 32))]
    model = graph(first)
    kinds = [first.losses.SparseCategoricalCrossentropy(), first.losses.MeanSquaredError(), first.losses.Huber()]
    model.compile(first.optimizers.Adam(0.005, amsgrad=True), kinds, loss_weights=[1.0, 2.0, 0.5])
    train(model, x, y, 3)
    save(model, tmp_path / f"m{ending}")
    model.save_weights(tmp_path / "w.weights.h5")
    again = second.load(tmp_path / f"m{ending}")
    other = graph(second)
    other.load_weights(tmp_path / "w.weights.h5")
    for a, b, c in zip(first.predict(model, x), second.predict(again, x), second.predict(other, x), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(c, a, rtol=1e-5, atol=1e-5)
    frozen = [again.get_layer("inner").get_layer("c"), again.get_layer("deep").get_layer("d")]
    if second is OURS or ending == ".keras":
        assert [layer.trainable for layer in frozen] == [False, False]
    np.testing.assert_allclose(train(again, x, y, 20), train(model, x, y, 20), rtol=1e-4, atol=1e-4)


def test_the_state_of_training_that_keras_has_no_place_for_comes_back_to_us(tmp_path):
    x, y = data(20)
    for ending in ENDINGS:
        L = OURS.layers
        model = OURS.sequential([L.Flatten(input_shape=(6, 6, 2)), L.Dropout(0.5), L.Dense(3, activation="softmax")])
        model.class_names = ["cat", "dog", "other"]
        model.preprocessing = {"scale": 0.5}
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], clip_probabilities=True)
        model.fit(x, y, batch_size=7, epochs=2, verbose=0)
        model.save(tmp_path / f"m{ending}")
        again = OURS.load(tmp_path / f"m{ending}")
        assert (again.epoch, again.class_names, again.preprocessing) == (2, model.class_names, {"scale": 0.5})
        assert again.trainer.clip_probabilities
        first = model.fit(x, y, batch_size=7, epochs=3, initial_epoch=2, verbose=0).history
        assert again.fit(x, y, batch_size=7, epochs=3, initial_epoch=2, verbose=0).history == first


def test_without_compiling(tmp_path):
    from minicnn.saving import load_model

    model = chain(OURS)
    model.compile("adam", "sparse_categorical_crossentropy")
    for ending in ENDINGS:
        model.save(tmp_path / f"m{ending}")
        assert not load_model(tmp_path / f"m{ending}", compile=False).compiled
        fresh = chain(OURS)
        fresh.save(tmp_path / f"f{ending}")
        assert not load_model(tmp_path / f"f{ending}").compiled


# ------------------------------------------------------------------------- losses and metrics

SPARSE = {
    "SparseCategoricalCrossentropy", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy"
}  # fmt: skip
LOSS_OPTIONS = {
    "BinaryCrossentropy": {"label_smoothing": 0.1},
    "CategoricalCrossentropy": {"label_smoothing": 0.1},
    "Huber": {"delta": 0.3},
    "MeanSquaredError": {"reduction": "sum", "name": "mine"},
}
METRIC_OPTIONS = {
    "AUC": {"num_thresholds": 50, "curve": "PR"},
    "BinaryAccuracy": {"threshold": 0.3},
    "BinaryCrossentropy": {"label_smoothing": 0.1},
    "CategoricalCrossentropy": {"label_smoothing": 0.1},
    "Precision": {"thresholds": 0.4, "class_id": 1},
    "Recall": {"top_k": 2, "name": "found"},
    "SparseTopKCategoricalAccuracy": {"k": 2},
    "TopKCategoricalAccuracy": {"k": 2},
}


def head(side):
    L = side.layers
    return side.sequential([L.Input((4,)), L.Dense(3, activation="sigmoid")])


def targets(name, n=9):
    labels = np.arange(n) % 3
    return labels if name in SPARSE else np.eye(3, dtype=np.float32)[labels]


def measured(model, x, y):
    return np.ravel(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
def test_losses(tmp_path, first, second):
    names = shared(losses, keras().losses) - {"Loss"}
    assert {losses.find(name).__name__ for name in losses.names()} == names
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    model = head(first)
    for name in sorted(names):
        kind, options = getattr(first.losses, name), LOSS_OPTIONS.get(name, {})
        # Keras' own description of Huber leaves its delta out.
        described = options if first is OURS else kind(**options).get_config()
        model.compile("sgd", kind(**{key: value for key, value in options.items() if key in described}))
        y = targets(name)
        expected = measured(model, x, y)
        for ending in ENDINGS:
            save(model, tmp_path / f"m{ending}")
            again = second.load(tmp_path / f"m{ending}")
            np.testing.assert_allclose(measured(again, x, y), expected, rtol=1e-5, err_msg=f"{name}{ending}")


@pytest.mark.parametrize(("first", "second"), WAYS, ids=WAY_NAMES)
def test_metrics(tmp_path, first, second):
    # Mean is fed values by hand and takes no targets.
    names = shared(metrics, keras().metrics) - {"Metric", "Mean"}
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    model = head(first)
    for sparse in (False, True):
        chosen = [name for name in sorted(names) if (name in SPARSE) == sparse]
        made = [getattr(first.metrics, name)(**METRIC_OPTIONS.get(name, {})) for name in chosen]
        loss = "SparseCategoricalCrossentropy" if sparse else "MeanSquaredError"
        model.compile("sgd", getattr(first.losses, loss)(), metrics=made)
        y = targets(loss)
        expected = measured(model, x, y)
        for ending in ENDINGS:
            save(model, tmp_path / f"m{ending}")
            again = second.load(tmp_path / f"m{ending}")
            np.testing.assert_allclose(measured(again, x, y), expected, rtol=1e-4, err_msg=f"{chosen}{ending}")


def test_names_of_losses_and_metrics_from_keras(tmp_path):
    x, y = data()
    model = chain(THEIRS)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for ending in ENDINGS:
        save(model, tmp_path / f"m{ending}")
        again = OURS.load(tmp_path / f"m{ending}")
        np.testing.assert_allclose(measured(again, x, y), measured(model, x, y), rtol=1e-5)


def test_an_optimizer_that_averages_weights_is_refused_by_name(tmp_path):
    model = head(THEIRS)
    model.compile(keras().optimizers.SGD(use_ema=True), "mse")
    save(model, tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"m\.keras: SGD has no use_ema, which the file sets to True"):
        OURS.load(tmp_path / "m.keras")


def test_files_look_as_keras_writes_them(tmp_path):
    """Names of members, groups and attributes are those of Keras' own files, for tools that read them."""
    x, y = data()
    for side in (OURS, THEIRS):
        model = chain(side)
        model.compile(side.optimizers.Adam(), side.losses.SparseCategoricalCrossentropy())
        train(model, x, y, 1)
        save(model, tmp_path / f"{side.name}.keras")
        save(model, tmp_path / f"{side.name}.h5")
        model.save_weights(tmp_path / f"{side.name}.weights.h5")
    tables = []
    for side in (OURS, THEIRS):
        with zipfile.ZipFile(tmp_path / f"{side.name}.keras") as archive:
            config = json.loads(archive.read("config.json"))
            tables.append(
                [
                    sorted(archive.namelist()),
                    [(layer["module"], layer["class_name"]) for layer in config["config"]["layers"]],
                    listing(h5py.File(archive.open("model.weights.h5"))),
                    listing(h5py.File(tmp_path / f"{side.name}.weights.h5")),
                    legacy_listing(tmp_path / f"{side.name}.h5"),
                ]
            )
    ours, theirs = tables
    assert ours[:3] == theirs[:3]
    # Keras puts the optimizer's state among the weights, too.
    assert ours[3] == [name for name in theirs[3] if not name.startswith("optimizer")]
    assert ours[4] == theirs[4]


def legacy_listing(path):
    with h5py.File(path) as file:
        weights = file["model_weights"]
        # A path may begin with the name of the model, which differs.
        return {
            name: [weight.split("/")[-2:] for weight in map(text, weights[name].attrs["weight_names"])]
            for name in map(text, weights.attrs["layer_names"])
        }


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def listing(file):
    names = []
    with file:
        file.visit(names.append)
    return sorted(names)
