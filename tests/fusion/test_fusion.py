"""Blocks of layers: which layers are joined, and that joining changes no result beyond rounding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import articles, layers, regularizers
from minicnn.fusion import Block


def blocks_of(model: minicnn.Model) -> list[list[str]]:
    """The class names of the layers in each block."""
    graph: Any = model.graph
    return [[type(layer).__name__ for layer in s.layer.layers] for s in graph.fused_steps if isinstance(s.layer, Block)]


def chain(*stack: Any, shape: tuple[int, ...] = (12, 11, 3)) -> minicnn.Model:
    return minicnn.Sequential([minicnn.Input(shape), *stack])


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (lambda: [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()], [["Conv2D", "MaxPooling2D"]]),
        (lambda: [layers.Conv2D(4, 3), layers.ReLU(), layers.MaxPooling2D()], [["Conv2D", "ReLU", "MaxPooling2D"]]),
        (lambda: [layers.Conv2D(4, 3), layers.Activation("tanh"), layers.Flatten()], [["Conv2D", "Activation"]]),
        (
            lambda: [layers.Conv2D(4, 3), layers.LeakyReLU(0.1), layers.MaxPooling2D(3, 2)],
            [["Conv2D", "LeakyReLU", "MaxPooling2D"]],
        ),
        (lambda: [layers.Conv2D(4, 3), layers.MaxPooling2D()], [["Conv2D", "MaxPooling2D"]]),
        (lambda: [layers.Conv2D(4, 3, activation="elu"), layers.Flatten()], [["Conv2D"]]),
        # An activation that is no function of its output alone, or none at all that a byte could point into.
        (lambda: [layers.Conv2D(4, 3, activation="gelu"), layers.MaxPooling2D()], []),
        (lambda: [layers.Conv2D(4, 3, activation="softmax"), layers.MaxPooling2D()], []),
        (lambda: [layers.Conv2D(4, 3, padding=12), layers.MaxPooling2D((17, 16))], [["Conv2D"]]),
        (
            lambda: [layers.Conv2D(4, 3, activation="relu"), layers.AveragePooling2D()],
            [["Conv2D", "AveragePooling2D"]],
        ),
        # A second activation and dropout stay outside.
        (lambda: [layers.Conv2D(4, 3, activation="relu"), layers.ReLU(), layers.MaxPooling2D()], [["Conv2D"]]),
        (lambda: [layers.Conv2D(4, 3, activation="relu"), layers.Dropout(0.5), layers.MaxPooling2D()], [["Conv2D"]]),
        # Layouts that differ.
        (lambda: [layers.Conv2D(4, 3), layers.MaxPooling2D(data_format="channels_first")], [["Conv2D"]]),
    ],
)  # fmt: skip
def test_what_is_joined(stack: Callable[[], list[Any]], expected: list[list[str]]) -> None:
    assert blocks_of(chain(*stack(), layers.Flatten(), layers.Dense(2))) == expected


def test_subclasses_are_left_alone() -> None:
    class Mine(layers.Conv2D):
        pass

    assert blocks_of(chain(Mine(4, 3, activation="relu"), layers.MaxPooling2D())) == []


def test_what_somebody_else_reads_is_computed() -> None:
    x = minicnn.Input((8, 8, 2))
    y = layers.Conv2D(4, 3, activation="relu", padding="same")(x)
    z = layers.MaxPooling2D()(y)
    model = minicnn.Model(x, [y, z])
    assert blocks_of(model) == []
    inner = minicnn.Model(x, layers.Concatenate()([layers.MaxPooling2D()(y), layers.MaxPooling2D(2, 2)(y)]))
    assert blocks_of(inner) == [["Conv2D"]]
    assert [output.shape for output in model.predict(np.ones((1, 8, 8, 2)), verbose=0)] == [(1, 8, 8, 4), (1, 4, 4, 4)]


def test_shapes_that_do_not_fit_are_still_told_layer_by_layer() -> None:
    model = chain(
        layers.Conv2D(4, 3, activation="relu", name="first"), layers.MaxPooling2D(name="half"),
        layers.Conv2D(2, 9, activation="relu", name="large"), layers.GlobalMaxPooling2D(),
        shape=(None, None, 3),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"(?s)'large'.*9x9.*first .*half .*large +fails"):
        model(np.ones((1, 12, 11, 3), "float32"))


def test_the_summary_shows_the_blocks() -> None:
    model = chain(layers.Conv2D(4, 3, activation="relu", name="edges"), layers.MaxPooling2D(name="half"))
    lines: list[str] = []
    model.summary(fused=True, print_fn=lines.append)
    assert lines[-2:] == ["Fused blocks:", "  edges + half"]
    model.fused = False
    model.summary(fused=True, print_fn=lines.append)
    assert lines[-1] == "Fused blocks: none (model.fused is False)"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "linear"])
def test_fused_and_unfused_agree(activation: str, data_format: str) -> None:
    """Predictions, and each weight's gradient within 1e-5 of its largest value."""
    shape = (9, 13, 2) if data_format == "channels_last" else (2, 9, 13)
    options: Any = {"data_format": data_format}
    model = chain(
        layers.Conv2D(5, 3, padding="same", activation=activation, **options), layers.MaxPooling2D(**options),
        layers.Conv2D(4, (2, 3), strides=(1, 2), **options), layers.Activation(activation),
        layers.MaxPooling2D(2, 1, padding="same", **options), layers.Flatten(), layers.Dense(3),
        shape=shape,
    )  # fmt: skip
    x = np.random.default_rng(3).standard_normal((6, *shape)).astype("float32")
    results = []
    for fused in (True, False):
        model.fused = fused
        y = model(minicnn.Tensor(x), training=True)
        (y * y).sum().backward()
        results.append([y.numpy(), *(w.grad.numpy() for w in model.trainable_weights)])
        for weight in model.trainable_weights:
            weight.grad = None
    assert len(blocks_of(model)) == 2
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "linear"])
def test_fused_and_unfused_averages_agree(activation: str) -> None:
    """Windows that cover the picture, that leave a row and a column over, and that overlap in padding."""
    model = chain(
        layers.Conv2D(5, 3, padding="same", activation=activation), layers.AveragePooling2D((2, 3)),
        layers.Conv2D(17, 2), layers.Activation(activation), layers.AveragePooling2D(),
        layers.Conv2D(3, 2, padding="same", activation=activation), layers.AveragePooling2D(2, 1, padding="same"),
        layers.Flatten(), layers.Dense(3), shape=(12, 18, 2),
    )  # fmt: skip
    x = np.random.default_rng(3).standard_normal((6, 12, 18, 2)).astype("float32")
    results = []
    for fused in (True, False):
        model.fused = fused
        y = model(minicnn.Tensor(x), training=True)
        (y * y).sum().backward()
        results.append([model.predict(x, verbose=0), y.numpy(), *(w.grad.numpy() for w in model.trainable_weights)])
        for weight in model.trainable_weights:
            weight.grad = None
    assert len(blocks_of(model)) == 3
    for a, b in zip(*results, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


@pytest.mark.parametrize("name", ["eastmount", "khuyen", "lenet5", "fashion-conv1x3"])
def test_articles_train_alike(name: str) -> None:
    """The losses of the first 10 steps within 1e-4."""
    losses = []
    for fused in (True, False):
        minicnn.set_seed(6)
        layers.reset_names()
        model = articles.get(name).build()
        model.fused = fused
        model.compile("sgd", "sparse_categorical_crossentropy")
        generator = np.random.default_rng(1)
        x = generator.random((8, *model.inputs[0].shape[1:]), dtype="float32")
        y = generator.integers(0, 10, 8)
        losses.append([float(np.ravel(model.train_on_batch(x, y))[0]) for _ in range(10)])
    assert np.abs(np.subtract(*losses)).max() <= 1e-4


def test_copies_and_files_keep_their_blocks(tmp_path: Any) -> None:
    import copy
    import pickle

    model = chain(layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(2))
    x = np.random.default_rng(0).standard_normal((3, 12, 11, 3)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.minicnn")
    loaded = minicnn.load_model(tmp_path / "model.minicnn")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert blocks_of(other) == [["Conv2D", "MaxPooling2D"]]
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_blocks_keep_the_algorithm_of_their_convolution() -> None:
    x = np.random.default_rng(3).standard_normal((6, 12, 11, 3)).astype("float32")
    results = {}
    for algorithm in ("direct", "winograd"):
        minicnn.set_seed(5)
        convolution = layers.Conv2D(8, 5, padding="same", activation="relu", algorithm=algorithm)
        model = chain(convolution, layers.MaxPooling2D(), layers.Conv2D(6, 3, algorithm=algorithm))
        for fused in (True, False):
            model.fused = fused
            results[algorithm, fused] = model.predict(x, verbose=0)
    scale = np.abs(results["direct", False]).max()
    for a, b in zip(results["direct", False], results["winograd", True], strict=True):
        assert np.abs(a - b).max() <= 2e-5 * scale
    # Winograd's rounding is its own, and it is the same in a block.
    assert (results["direct", True] != results["winograd", True]).any()
    np.testing.assert_array_equal(results["winograd", True], results["winograd", False])


@pytest.mark.parametrize("activation", [F.relu, F.softmax])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_an_activation_that_was_changed_is_the_one_that_runs(activation: Callable[..., Any], place: int) -> None:
    model = chain(
        layers.Conv2D(4, 3), layers.Activation("tanh"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(3, activation="sigmoid"),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 12, 11, 3), np.float32)
    before = model(x).numpy()
    changed: Any = model.layers[place]
    changed.activation = activation
    fused = model(x).numpy()
    model.fused = False
    np.testing.assert_allclose(fused, model(x).numpy(), rtol=1e-5, atol=1e-6)
    assert abs(fused - before).max() > 1e-3


# For each argument of Conv2D that can be changed, what the attribute is set to once the model has been drawn.
CHANGES: dict[str, Any] = {
    "filters": 7, "strides": (2, 1), "padding": "same", "data_format": "channels_first", "dilation_rate": (1, 2),
    "groups": 2, "activation": F.tanh, "use_bias": False, "algorithm": "direct", "kernel_initializer": "ones",
    "bias_initializer": "ones", "kernel_regularizer": regularizers.L2(1.0), "bias_regularizer": regularizers.L2(1.0),
    "kernel_constraint": "non_neg", "bias_constraint": "non_neg",
}  # fmt: skip


def outcomes(model: minicnn.Model, x: np.ndarray) -> list[Any]:
    """The output, fused and not, or the first line of what is said against it."""
    found: list[Any] = []
    for fused in (True, False):
        model.fused = fused
        try:
            found.append(model(x).numpy())
        except ValueError as error:
            found.append(str(error).splitlines()[0].replace("conv2d_block:", "conv2d:"))
    return found


def assert_alike(fused: Any, unfused: Any) -> None:
    if isinstance(unfused, str):
        assert fused == unfused
    else:
        np.testing.assert_allclose(fused, unfused, rtol=1e-5, atol=1e-5)


def differ(now: Any, before: Any) -> bool:
    return isinstance(now, str) or now.shape != before.shape or bool(np.abs(now - before).max() > 1e-3)


def test_every_argument_of_a_convolution_may_change() -> None:
    names = set(inspect.signature(layers.Conv2D).parameters) - {"options"}
    assert names - set(CHANGES) == {"kernel_size"}
    with pytest.raises(AttributeError):
        layers.Conv2D(4, 3).kernel_size = (2, 2)  # type: ignore[misc]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("bordered", [False, True])
def test_a_convolution_that_was_changed_runs_as_it_is_now(name: str, bordered: bool) -> None:
    border = [layers.ZeroPadding2D(1)] if bordered else []
    model = chain(*border, layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), shape=(12, 12, 12))
    x = np.random.default_rng(0).standard_normal((2, 12, 12, 12), np.float32)
    before, _ = outcomes(model, x)
    assert blocks_of(model) == [[type(layer).__name__ for layer in model.layers]]
    layer: Any = model.layers[-2]
    setattr(layer, name, CHANGES[name])
    fused, unfused = outcomes(model, x)
    assert_alike(fused, unfused)
    if name in ("strides", "padding", "dilation_rate", "groups", "activation", "data_format"):
        assert differ(unfused, before)


@pytest.mark.parametrize("change", [
    lambda border, pooling: setattr(border, "padding", ((0, 3), (2, 1))),
    lambda border, pooling: setattr(border, "data_format", "channels_first"),
    lambda border, pooling: setattr(pooling, "strides", (1, 3)),
    lambda border, pooling: setattr(pooling, "padding", ((0, 2), (1, 0))),
    lambda border, pooling: setattr(pooling, "data_format", "channels_first"),
])  # fmt: skip
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_what_stands_around_a_convolution_may_change_too(change: Callable[..., None], pooling: Any) -> None:
    model = chain(layers.ZeroPadding2D(1), layers.Conv2D(4, 3), layers.ReLU(), pooling(3), shape=(12, 12, 12))
    x = np.random.default_rng(0).standard_normal((2, 12, 12, 12), np.float32)
    before, _ = outcomes(model, x)
    change(model.layers[0], model.layers[-1])
    fused, unfused = outcomes(model, x)
    assert len(blocks_of(model)) == 1
    assert_alike(fused, unfused)
    assert differ(unfused, before)
