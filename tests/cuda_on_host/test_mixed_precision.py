"""Mixed precision on the GPU's path: 16 bits between the layers, float32 for weights, loss and their gradients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import articles, explain, losses, optimizers
from minicnn.autograd import Tensor, grad
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)
from minicnn.training.step_graphs import StepGraph
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings

pytestmark = pytest.mark.gpu

# How far a result may be from that in float32, in parts of it and of 1, after the rounding of some layers and steps.
POLICIES = {"mixed_float16": 0.02, "mixed_bfloat16": 0.08}
HALVES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@pytest.fixture
def cupy() -> Iterator[Any]:
    Settings.thorough = False
    with device.present() as module:
        yield module
    Settings.thorough = True


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    minicnn.mixed_precision.set_dtype_policy("float32")


def digits(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((count, size, size, 1), dtype=np.float32), generator.integers(0, 10, count)


def small(dtype: str, optimizer: Any = "adam", fused: bool = True) -> minicnn.Sequential:
    minicnn.set_seed(1)
    layers = [
        Conv2D(8, 3, dtype=dtype, activation="relu"), MaxPooling2D(dtype=dtype),
        Conv2D(12, 3, dtype=dtype, padding="same", use_bias=False), BatchNormalization(dtype=dtype),
        Activation("elu", dtype=dtype), Dropout(0.25, dtype=dtype), AveragePooling2D(dtype=dtype),
        Conv2D(8, 1, dtype=dtype), Flatten(dtype=dtype), Dense(16, activation="tanh", dtype=dtype),
        Dense(10, activation="softmax", dtype=dtype),
    ]  # fmt: skip
    model = minicnn.Sequential([minicnn.Input((10, 10, 1)), *layers])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fused = fused
    return model.to("cuda")


@pytest.mark.parametrize("fused", [True, False])
def test_training_follows_that_in_float32(cupy: Any, policy: str, fused: bool) -> None:
    """Steps in full and by graph; weights and what the optimizer keeps of them stay float32."""
    x, y = digits(32, 10)
    found = []
    for dtype in ("float32", policy):
        model = small(dtype, fused=fused)
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
        measured = model.evaluate(x, y, verbose=0)
        predictions = model.predict(x, verbose=0)
        assert predictions.dtype == np.float32
        found.append([*history["loss"], measured[0], *predictions.ravel()])
        graphs = [g for g in model.trainer._graphs._by_shape.values() if isinstance(g, StepGraph)]
        assert len(graphs) == 1
    np.testing.assert_allclose(found[1], found[0], rtol=POLICIES[policy], atol=POLICIES[policy] / 10)
    assert found[1] != found[0]
    assert {weight.data.dtype for weight in model.weights} == {np.dtype(np.float32)}
    assert model(cupy.asarray(x[:2])).dtype == np.float32, "a softmax is made in float32"
    assert model.layers[0](cupy.asarray(x[:2])).dtype == HALVES[policy.removeprefix("mixed_")]
    if policy == "mixed_float16":
        assert (model.optimizer.dynamic_scale, model.optimizer.step_counter) == (2.0**15, 12)
    else:
        assert type(model.optimizer) is optimizers.Adam, "gradients of bfloat16 need no scale"


@pytest.mark.network
def test_an_articles_network_has_nearly_the_losses_of_float32(cupy: Any, policy: str) -> None:
    article = articles.get("lenet5")
    recipe, found = article.recipe(article.default_recipe), []
    for dtype in ("float32", policy):
        minicnn.mixed_precision.set_dtype_policy(dtype)
        minicnn.set_seed(0)
        model = article.build()
        x, y = digits(8, 28)
        x = np.resize(x, (len(x), *model.inputs[0].shape[1:]))
        targets = np.eye(10, dtype=np.float32)[y] if "sparse" not in str(recipe.loss) else y
        model.compile(optimizer=recipe.optimizer(), loss=recipe.loss)
        model.to("cuda")
        found.append([model.train_on_batch(x[i : i + 4], targets[i : i + 4], return_dict=True)["loss"] for i in (0, 4)])
    np.testing.assert_allclose(found[1], found[0], rtol=POLICIES[policy] / 4)
    assert found[1] != found[0]


def test_loss_and_metrics_of_predictions_of_16_bits_are_float32(cupy: Any, policy: str) -> None:
    """The predictions themselves are what the last layer computes, as Keras has it."""
    minicnn.set_seed(1)
    model = minicnn.Sequential([minicnn.Input((4,)), Dense(3, dtype=policy)])
    seen = []

    def largest(y_true: Any, y_pred: Any) -> Any:
        seen.append(y_pred.dtype)
        return F.max(y_pred, axis=-1)

    model.compile("sgd", "mse", metrics=["mae", largest])
    model.to("cuda")
    x, y = np.random.default_rng(0).standard_normal((2, 8, 4)).astype(np.float32)
    loss, mae, _ = model.evaluate(x, y[:, :3], verbose=0)
    assert set(seen) == {np.dtype(np.float32)}
    own = losses.MeanSquaredError()(cupy.asarray(y[:, :3]), model(cupy.asarray(x)).data)
    assert float(own) == pytest.approx(loss, rel=1e-6)
    predictions = model.predict(x, verbose=0)
    assert predictions.dtype == HALVES[policy.removeprefix("mixed_")]
    predictions = predictions.astype(np.float32)
    assert loss == pytest.approx(np.mean((predictions - y[:, :3]) ** 2), rel=1e-6)
    assert mae == pytest.approx(np.mean(np.abs(predictions - y[:, :3])), rel=1e-6)


def test_numbers_are_explained_to_within_their_16_bits(cupy: Any, policy: str) -> None:
    model, (x, y) = small(policy), digits(1, 10)
    for layer, place in ((0, (1, 2, 3)), (1, (0, 1, 2)), (3, (1, 1, 0)), (7, (0, 0, 3)), (9, 5), (10, 4)):
        found = explain.pixel(model, x[0], layer, place)
        assert found.value == pytest.approx(found.computed, rel=POLICIES[policy], abs=POLICIES[policy])
    for ask, place in ((explain.weight_gradient, (0, 1, 0, 3)), (explain.pixel_gradient, (2, 3, 4))):
        found = ask(model, x[0], y[0], 0, place)
        assert found.value == pytest.approx(found.computed, rel=POLICIES[policy], abs=POLICIES[policy])


def test_a_step_copies_its_batch_there_and_nothing_back(
    cupy: Any, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the gradients are finite is never asked by the host."""
    if device.on_gpu:
        pytest.skip("counted on the stand-in")
    x, y = digits(24, 10)
    model = small(policy)
    model.fit(x[:8], y[:8], batch_size=8, verbose=0)
    step, copies = model.trainer.train_step, []

    def counted(batch: Any) -> None:
        before = cupy.transfers.to_host, cupy.transfers.to_device
        step(batch)
        copies.append((cupy.transfers.to_host - before[0], cupy.transfers.to_device - before[1]))

    monkeypatch.setattr(model.trainer, "train_step", counted)
    model.fit(x, y, batch_size=8, verbose=0)
    assert copies == [(0, 1)] * 3


@pytest.mark.parametrize("by_graph", [True, False])
@pytest.mark.parametrize("inner", ["adam", "sgd"])
def test_a_step_that_overflows_changes_nothing_but_the_scale(cupy: Any, inner: str, by_graph: bool) -> None:
    """From a scale far too large down to one that fits, and up again."""
    x, y = digits(8, 10)
    steps = optimizers.Adam(0.01) if inner == "adam" else optimizers.SGD(0.01, momentum=0.9)
    optimizer = optimizers.LossScaleOptimizer(steps, initial_scale=2.0**22, dynamic_growth_steps=2)
    model = small("mixed_float16", optimizer)
    scales, moved = [], []
    for _ in range(14):
        if scales and not by_graph:
            model.trainer._graphs.possible = False
        before = [w.numpy().copy() for w in model.trainable_weights]
        slots = {key: value for key, value in optimizer.get_state().items() if "/" in key}
        scale = optimizer.dynamic_scale
        model.train_on_batch(x, y)
        scales.append(optimizer.dynamic_scale)
        after = optimizer.get_state()
        assert all(np.isfinite(w.numpy()).all() for w in model.trainable_weights)
        changed = any((w.numpy() != b).any() for w, b in zip(model.trainable_weights, before, strict=True))
        moved.append(changed)
        if scales[-1] < scale:
            assert scales[-1] == scale / 2 and not changed and optimizer.step_counter == 0
            assert all((after[key] == value).all() for key, value in slots.items())
        else:
            assert changed and scales[-1] in (scale, 2 * scale)
    assert not moved[0] and True in moved, "it overflows first, and then trains"
    assert any(b == 2 * a for a, b in itertools.pairwise(scales)), "and the scale grows again"


def test_graphs_and_steps_in_full_give_the_same_bits(cupy: Any, policy: str) -> None:
    """Loss scaling is possible with every policy."""
    x, y = digits(16, 10)
    found = []
    for possible in (True, False):
        optimizer = optimizers.LossScaleOptimizer("adam", initial_scale=2.0**20, dynamic_growth_steps=2)
        model = small(policy, optimizer)
        model.trainer.bind()
        model.trainer._graphs.possible = possible
        for _ in range(6):
            model.train_on_batch(x, y)
        found.append((model.get_weights(), optimizer.dynamic_scale, optimizer.step_counter))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][1:] == found[1][1:]


CALLS: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding="same"), [(2, 5, 6, 8), (3, 3, 8, 8), (8,)]),
    "conv2d_transpose": (lambda x, w: F.conv2d_transpose(x, w, strides=2), [(2, 4, 3, 8), (3, 3, 8, 8)]),
    "dense": (lambda x, w, b: F.dense(x, w, b), [(6, 16), (16, 8), (8,)]),
    "batch_norm_training": (lambda x, g, b: F.batch_norm_training(x, g, b)[0], [(9, 4), (4,), (4,)]),
    "sum of rows": (lambda x: F.sum(x, axis=0), [(40, 8)]),
    "sum of columns": (lambda x: F.sum(x, axis=1), [(8, 40)]),
}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", CALLS)
def test_gradients_of_weights_are_float32_and_second_ones_exist(cupy: Any, name: str, dtype: str) -> None:
    call, shapes = CALLS[name]
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape).astype(HALVES[dtype]) for shape in shapes]
    found = []
    for half in (True, False):
        kinds = [HALVES[dtype] if half else np.float64, *[np.float32 if half else np.float64] * (len(arrays) - 1)]
        tensors = [
            Tensor(cupy.asarray(a.astype(k)), requires_grad=True) for a, k in zip(arrays, kinds, strict=True)
        ]
        y = call(*tensors)
        assert y.dtype == (np.float32 if half and name.startswith("sum") else kinds[0])
        gradients = grad(F.sum(F.square(F.cast(y, np.float32 if half else np.float64))), tensors, create_graph=True)
        assert [g.dtype for g in gradients] == kinds
        second = grad(F.sum(F.cast(gradients[0], kinds[-1])), tensors[:1])
        found.append([array.data.get().astype(float) for array in (y, *gradients, *second)])
    for one, other in zip(*found, strict=True):
        bound = 16 * float(ml_dtypes.finfo(HALVES[dtype]).eps)
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * max(1.0, np.abs(other).max()))


def test_layers_of_other_policies_stand_between_mixed_ones(cupy: Any, policy: str) -> None:
    """A float32 layer widens what comes to it, and a block joins only layers of one policy."""
    minicnn.set_seed(0)
    layers = [Conv2D(8, 3, dtype=policy), Activation("sigmoid", dtype="float32"),
              GlobalAveragePooling2D(dtype="float32"), Dense(3, dtype="float32")]  # fmt: skip
    model = minicnn.Sequential([minicnn.Input((6, 6, 2)), *layers]).to("cuda")
    x = cupy.asarray(np.random.default_rng(0).random((2, 6, 6, 2), dtype=np.float32))
    kinds, z = [], x
    for layer in model.layers:
        z = layer(z)
        kinds.append(z.dtype.name)
    assert kinds == [policy.removeprefix("mixed_"), "float32", "float32", "float32"]
    np.testing.assert_array_equal(model(x).data.get(), z.data.get())


@pytest.mark.parametrize(("capability", "dtype", "message"), [
    ("70", "float16", r"float16 needs a GPU of compute capability 7\.5 or more, this one has 7\.0; use float32"),
    ("70", "bfloat16", r"bfloat16 needs a GPU of compute capability 8\.0 or more, this one has 7\.0; use float32"),
    ("75", "bfloat16", r"bfloat16 needs .* 8\.0 or more, this one has 7\.5; use float16 or float32"),
    ("75", "float16", None), ("80", "bfloat16", None)])  # fmt: skip
def test_a_gpu_too_old_for_it_says_so(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, capability: str, dtype: str, message: str | None
) -> None:
    if device.on_gpu:
        pytest.skip("a GPU has the capability that it has")
    from minicnn.kernels.cuda import matrices

    monkeypatch.setattr(cupy.Device, "compute_capability", capability)
    matrices.capability.cache_clear()
    a, x = cupy.zeros((8, 8), HALVES[dtype]), cupy.zeros((1, 4, 4, 8), np.float32)
    model = minicnn.Sequential([minicnn.Input((4, 4, 8)), Conv2D(8, 3, dtype=f"mixed_{dtype}")]).to("cuda")
    try:
        for operation, call in (("matmul", lambda: F.matmul(a, a)), ("conv2d", lambda: model(x))):
            if message is None:
                assert call().dtype == HALVES[dtype]
            else:
                with pytest.raises(TypeError, match=rf"{operation}: {message}\b(?! or)"):
                    call()
    finally:
        matrices.capability.cache_clear()


def test_arrays_of_bfloat16_are_trained_on_and_measured_like_any_others(cupy: Any) -> None:
    """Samples are widened on the device, where the model's input is float32."""
    x, y = digits(16, 10)
    there = cupy.asarray(x).astype(HALVES["bfloat16"])
    found = []
    for data in (there, there.astype(np.float32)):
        model = small("mixed_bfloat16")
        losses = model.fit(data, cupy.asarray(y), batch_size=8, epochs=2, verbose=0).history["loss"]
        found.append([*losses, *model.predict(data, verbose=0).ravel()])
    assert found[0] == found[1]
