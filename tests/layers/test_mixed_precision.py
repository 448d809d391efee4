"""Policies of mixed precision: what a CPU makes of them, and Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import mixed_precision
from minicnn.layers import Conv2D, Dense, LocalResponseNormalization
from tests.cuda_on_host import device
from tests.oracles import keras


@pytest.fixture
def mixed() -> Iterator[None]:
    mixed_precision.set_dtype_policy("mixed_float16")
    yield
    mixed_precision.set_dtype_policy("float32")


def network(framework: Any = minicnn, **options: Any) -> Any:
    layers = [
        framework.layers.Conv2D(4, 3, activation="relu", **options), framework.layers.MaxPooling2D(**options),
        framework.layers.BatchNormalization(**options), framework.layers.Flatten(**options),
        framework.layers.Dense(3, activation="softmax", **options),
    ]  # fmt: skip
    return framework.Sequential([framework.Input((8, 8, 1)), *layers])


def test_layers_take_the_policy_that_is_set_and_the_one_they_are_given(mixed: None) -> None:
    layer = Dense(3)
    assert layer.dtype_policy == mixed_precision.DTypePolicy("mixed_float16") == mixed_precision.global_policy()
    assert (layer.dtype, layer.variable_dtype, layer.compute_dtype) == ("float32", "float32", "float16")
    plain = Dense(3, dtype="float32")
    assert (plain.compute_dtype, plain.variable_dtype) == ("float32", "float32")
    assert Dense.from_config(layer.get_config()).dtype_policy == layer.dtype_policy
    # It squares, which float16 has no room for.
    assert LocalResponseNormalization().compute_dtype == "float32"
    layer.build((None, 2))
    assert {weight.dtype for weight in layer.weights} == {np.dtype(np.float32)}


def test_the_attributes_are_keras() -> None:
    for dtype in ("float32", "float64", "mixed_float16", "mixed_bfloat16"):
        ours, theirs = Conv2D(2, 3, dtype=dtype), keras().layers.Conv2D(2, 3, dtype=dtype)
        for name in ("dtype", "compute_dtype", "variable_dtype"):
            assert getattr(ours, name) == getattr(theirs, name), (dtype, name)
        assert ours.dtype_policy.name == theirs.dtype_policy.name


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Dense(3, name="d", dtype="bfloat16"), "Dense 'd': dtype must be .* but bfloat16 came"),
    (lambda: Dense(3, name="d", dtype="float16"), "Dense 'd': dtype must be .*, but float16 came"),
    (lambda: mixed_precision.set_dtype_policy("mixed"), "set_dtype_policy: policy must be float32, .* but mixed came"),
    (lambda: mixed_precision.set_dtype_policy(None), "set_dtype_policy: policy must be .* but None came"),  # type: ignore
    (lambda: mixed_precision.DTypePolicy("mixed_float61"), "did you mean 'mixed_float16'"),
])  # fmt: skip
def test_what_is_no_policy_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    assert mixed_precision.dtype_policy().name == "float32"


@pytest.mark.parametrize(("policy", "scaled"), [("mixed_float16", True), ("mixed_bfloat16", False)])
def test_on_a_cpu_it_computes_in_float32_and_training_says_so(policy: str, scaled: bool) -> None:
    """The loss is scaled where Keras scales it."""
    x, y = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32), np.arange(6) % 3
    results = []
    for dtype in ("float32", policy):
        minicnn.set_seed(0)
        model = network(dtype=dtype)
        model.compile("adam", "sparse_categorical_crossentropy")
        if dtype == policy:
            assert isinstance(model.optimizer, minicnn.optimizers.LossScaleOptimizer) == scaled
            with pytest.warns(UserWarning, match=rf"{policy} compute in float32 on a CPU.*model\.to\(\"cuda\"\)"):
                losses = model.fit(x, y, batch_size=3, epochs=2, verbose=0).history["loss"]
        else:
            losses = model.fit(x, y, batch_size=3, epochs=2, verbose=0).history["loss"]
        results.append([*losses, *model.predict(x, verbose=0).ravel()])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


@pytest.mark.parametrize("suffix", [".minicnn", ".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*mixed_float16 compute in float32:UserWarning")
def test_files_keep_policy_scale_and_progress(tmp_path: Path, suffix: str) -> None:
    x, y = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32), np.arange(6) % 3
    model = network(dtype="mixed_float16")
    optimizer = minicnn.optimizers.LossScaleOptimizer("adam", initial_scale=16.0, dynamic_growth_steps=2)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=2, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    loaded = minicnn.load_model(tmp_path / f"model{suffix}")
    assert [layer.dtype_policy.name for layer in loaded.layers if layer.weights] == ["mixed_float16"] * 3
    state = loaded.optimizer.get_state()
    assert (state["dynamic_scale"], state["step_counter"], state["iterations"]) == (32.0, 1, 3)
    assert type(loaded.optimizer.inner_optimizer) is minicnn.optimizers.Adam
    assert (loaded.optimizer.initial_scale, loaded.optimizer.dynamic_growth_steps) == (16.0, 2)
    np.testing.assert_allclose(loaded.train_on_batch(x, y), model.train_on_batch(x, y), rtol=1e-5)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_keras_reads_a_mixed_model_and_writes_one(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32), np.arange(6) % 3
    theirs = network(keras(), dtype="mixed_float16")
    theirs.compile(keras().optimizers.LossScaleOptimizer(keras().optimizers.Adam(), initial_scale=16.0),
                   "sparse_categorical_crossentropy")  # fmt: skip
    theirs.optimizer.build(theirs.trainable_variables)
    theirs.save(tmp_path / "theirs.keras")
    ours = minicnn.load_model(tmp_path / "theirs.keras")
    assert ours.layers[-1].dtype_policy.name == "mixed_float16"
    assert ours.optimizer.initial_scale == ours.optimizer.dynamic_scale == 16.0
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=2e-3)
    with pytest.warns(UserWarning, match="mixed_float16 compute in float32"):
        ours.fit(x, y, batch_size=3, verbose=0)
    ours.save(tmp_path / "ours.keras")
    back = keras().saving.load_model(tmp_path / "ours.keras")
    assert back.layers[-1].compute_dtype == "float16"
    assert int(back.optimizer.iterations) == 2 and float(back.optimizer.dynamic_scale) == 16.0
    np.testing.assert_allclose(back.predict(x, verbose=0), ours.predict(x, verbose=0), atol=2e-3)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_keras_reads_a_model_of_mixed_bfloat16_and_writes_one(tmp_path: Path) -> None:
    """Its optimizer scales nothing, there and here."""
    keras().mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        theirs = network(keras())
        theirs.compile("sgd", "sparse_categorical_crossentropy")
    finally:
        keras().mixed_precision.set_dtype_policy("float32")
    assert isinstance(theirs.optimizer, keras().optimizers.SGD)
    x = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32)
    theirs.save(tmp_path / "theirs.keras")
    ours = minicnn.load_model(tmp_path / "theirs.keras")
    assert {layer.dtype_policy.name for layer in ours.layers} == {"mixed_bfloat16"}
    assert type(ours.optimizer) is minicnn.optimizers.SGD
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0).astype("f4"), atol=2e-2)
    ours.save(tmp_path / "ours.keras")
    back = keras().saving.load_model(tmp_path / "ours.keras")
    assert {layer.compute_dtype for layer in back.layers} == {"bfloat16"}


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_training_on_a_gpu_is_keras_own_of_mixed_bfloat16() -> None:
    """From the same weights: the losses of five steps, and where the weights go. Rounding comes in other places."""

    def trainable(framework: Any) -> Any:
        layers, policy = framework.layers, "mixed_bfloat16"
        model = framework.Sequential([
            framework.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu", dtype=policy),
            layers.MaxPooling2D(dtype=policy), layers.BatchNormalization(dtype=policy), layers.Flatten(dtype=policy),
            layers.Dense(16, activation="tanh", dtype=policy), layers.Dense(4, dtype="float32"),
        ])  # fmt: skip
        loss = framework.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(framework.optimizers.SGD(0.1, momentum=0.9), loss)
        return model

    generator = np.random.default_rng(0)
    x, y = generator.random((8, 8, 8, 1), dtype=np.float32), generator.integers(0, 4, 8)
    minicnn.set_seed(1)
    ours, theirs = trainable(minicnn), trainable(keras())
    before = ours.get_weights()
    theirs.set_weights(before)
    with device.present():
        ours.to("cuda")
        losses = [[float(model.train_on_batch(x, y)) for _ in range(5)] for model in (ours, theirs)]
        after = [model.get_weights() for model in (ours, theirs)]
    assert losses[0][-1] < 0.2 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)
    for start, one, other in zip(before, *after, strict=True):
        assert np.linalg.norm(one - other) < 0.25 * np.linalg.norm(other - start)
