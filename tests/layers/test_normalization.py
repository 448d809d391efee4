from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Tensor, layers
from tests import oracles
from tests.layers.parity import arrange, assert_close, compare, data_formats, dtypes, picture, seeds

options = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.99, 0.5]),
        "epsilon": st.sampled_from([1e-3, 1e-5]),
        "center": st.booleans(),
        "scale": st.booleans(),
    }
)
# Two values a channel normalise to +-1 whatever they are, and their gradient is a difference of near equals.
pictures = st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(2, 4), st.integers(1, 4))


def torch_batch_norm(given: dict[str, Any], axis: int) -> Any:
    """PyTorch's batch normalisation, which works in float64 where Keras' PyTorch backend falls back to float32."""
    torch = oracles.torch()

    def run(x: Any, weights: list[Any], training: bool) -> Any:
        rest = list(weights)
        gamma = rest.pop(0) if given["scale"] else None
        beta = rest.pop(0) if given["center"] else None
        mean, variance = rest
        moved = x.movedim(axis, 1)
        rows = moved.transpose(0, 1).reshape(moved.shape[1], -1).detach()
        y = torch.nn.functional.batch_norm(
            moved, mean.clone(), variance.clone(), gamma, beta, training=training, eps=given["epsilon"]
        )
        if training:
            momentum = given["momentum"]
            weights[-2] = mean * momentum + rows.mean(1) * (1 - momentum)
            weights[-1] = variance * momentum + rows.var(1, correction=0) * (1 - momentum)
        return y.movedim(1, axis)

    return run


@given(options, pictures, st.sampled_from([-1, 1, 2, 3]), st.booleans(), dtypes, seeds)
def test_batch_normalization_is_torch(
    given: dict[str, Any], shape: Any, axis: int, training: bool, dtype: str, seed: int
) -> None:
    layer = layers.BatchNormalization(axis, **given, dtype=dtype)
    compare(layer, torch_batch_norm(given, axis), picture(seed, shape, dtype), seed, training)


@given(options, pictures, st.sampled_from([-1, 1, 2, 3]), st.booleans(), seeds)
def test_batch_normalization_is_keras(given: dict[str, Any], shape: Any, axis: int, training: bool, seed: int) -> None:
    x = picture(seed, shape, "float32")
    ours, theirs = layers.BatchNormalization(axis, **given), oracles.keras().layers.BatchNormalization(axis, **given)
    theirs.build(x.shape)
    ours.build(x.shape)
    assert [w.name.split("/")[-1] for w in ours.weights] == [w.name for w in theirs.weights]
    weights = [np.abs(picture(seed + i, w.shape, "float32")) + 0.5 for i, w in enumerate(ours.weights)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    tensor = oracles.torch().tensor(x)
    assert_close(ours(x, training=training).numpy(), theirs(tensor, training=training).detach(), "float32", "y")
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert_close(mine.numpy(), other.value.detach(), "float32", mine.name)


@given(st.integers(2, 6), st.integers(1, 4), seeds)
def test_batch_normalization_of_vectors(n: int, c: int, seed: int) -> None:
    given = {"momentum": 0.9, "epsilon": 1e-3, "center": True, "scale": True}
    layer = layers.BatchNormalization(**given, dtype="float64")
    compare(layer, torch_batch_norm(given, -1), picture(seed, (n, c), "float64"), seed, True)


def test_averages_that_moved_count_as_changed() -> None:
    layer = layers.BatchNormalization()
    x = Tensor(np.ones((2, 3), "float32"))
    layer(x, training=True)
    y = layer(Tensor(x.data, requires_grad=True))
    layer(x, training=True)
    with pytest.raises(RuntimeError, match="changed"):
        y.sum().backward()


def test_a_frozen_batch_normalization_runs_in_inference_mode() -> None:
    layer = layers.BatchNormalization()
    x = picture(0, (8, 3), "float32") + 5
    layer(x)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_array_equal(layer(x, training=True).numpy(), layer(x, training=False).numpy())
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert layer.trainable_weights == []
    layer.trainable = True
    assert [p.name for p in layer.trainable_weights] == ["batch_normalization/gamma", "batch_normalization/beta"]


@given(
    st.integers(0, 3), st.sampled_from([1.0, 2.0]), st.sampled_from([1.0, 1e-2]), st.sampled_from([0.5, 0.75]),
    st.integers(1, 6), data_formats, dtypes, seeds,
)  # fmt: skip
def test_local_response_normalization_is_torch(
    radius: int, bias: float, alpha: float, beta: float, c: int, data_format: str, dtype: str, seed: int
) -> None:
    size = 2 * radius + 1

    def theirs(x: Any, *_: Any) -> Any:
        x = x if data_format == "channels_first" else x.permute(0, 3, 1, 2)
        # PyTorch divides alpha by the number of channels in the window, TensorFlow does not.
        y = oracles.torch().nn.functional.local_response_norm(x, size, alpha * size, beta, bias)
        return y if data_format == "channels_first" else y.permute(0, 2, 3, 1)

    layer = layers.LocalResponseNormalization(radius, bias, alpha, beta, data_format, dtype=dtype)
    compare(layer, theirs, picture(seed, arrange(2, 3, 2, c, data_format), dtype), seed)


def test_local_response_normalization_has_tensorflows_defaults() -> None:
    layer = layers.LocalResponseNormalization()
    assert (layer.depth_radius, layer.bias, layer.alpha, layer.beta) == (5, 1.0, 1.0, 0.5)


@pytest.mark.parametrize("axis", [0, 4, -5])
def test_batch_normalization_refuses_an_axis_that_is_none(axis: int) -> None:
    with pytest.raises(ValueError, match=f"axis must be one of the axes of x other than the batch, but axis={axis}"):
        layers.BatchNormalization(axis)(np.zeros((2, 3, 4, 5)))
