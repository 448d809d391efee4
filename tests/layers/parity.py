"""One layer of ours and one of Keras' on the same weights and data: outputs and all gradients must agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor
from tests import oracles

dtypes = st.sampled_from(["float32", "float64"])
data_formats = st.sampled_from(["channels_last", "channels_first"])
seeds = st.integers(0, 2**32 - 1)
tolerance = {"float32": 1e-5, "float64": 1e-10}


def assert_close(ours: Any, oracle: Any, dtype: str, what: str) -> None:
    """Agreement as the project defines it: max|a - b| <= tolerance * max|b|."""
    a, b = np.asarray(ours), np.asarray(oracle)
    assert a.dtype == dtype, f"{what} is {a.dtype}"
    assert a.shape == b.shape, f"{what}: {a.shape} against {b.shape}"
    if b.size:
        error, scale = np.abs(a - b).max(), np.abs(b).max()
        assert error <= tolerance[dtype] * scale, f"{what}: off by {error} of {scale}"


def draw_weights(layer: Any, generator: np.random.Generator) -> list[np.ndarray]:
    """Random weights for the layer, set on it; those called variance are positive.

    They are small enough to keep tanh and sigmoid from saturating: in 1 - tanh(x)**2 near 0 float32 has no digits.
    """
    weights = []
    for parameter in layer.weights:
        values = 0.3 * generator.standard_normal(parameter.shape)
        weights.append((np.abs(values) + 0.5 if "variance" in parameter.name else values).astype(parameter.dtype))
    layer.set_weights(weights)
    return weights


def run_ours(layer: Any, x: Any, gy_seed: int, training: bool = False) -> tuple[Any, Any, list[Any], list[Any]]:
    """(y, gy, gradients of x, gradients of the trainable weights) of a layer that is built."""
    several = isinstance(x, list)
    tensors = [Tensor(a, requires_grad=True) for a in (x if several else [x])]
    y = layer(tensors if several else tensors[0], training=training)
    gy = np.random.default_rng(gy_seed).standard_normal(y.shape).astype(y.dtype)
    gradients = minicnn.grad([y], [*tensors, *layer.trainable_weights], [gy])
    arrays = [g.numpy() for g in gradients]
    return y.numpy(), gy, arrays[: len(tensors)], arrays[len(tensors) :]


def compare(ours: Any, theirs: Any, x: Any, seed: int, training: bool = False, oracle_dtype: str = "float64") -> None:
    """Same weights, same x, same cotangent: compare y, the gradients, and every weight afterwards.

    theirs: a Keras layer, or ``function(inputs, weights) -> y`` on PyTorch tensors. As a rule it computes
    in float64 whatever the dtype of ours, so that its result counts as exact.
    """
    torch = oracles.torch()
    arrays = x if isinstance(x, list) else [x]
    shapes = [(None, *a.shape[1:]) for a in arrays]
    shape = shapes if isinstance(x, list) else shapes[0]
    ours.build(shape)
    weights = [torch.tensor(w.astype(oracle_dtype)) for w in draw_weights(ours, np.random.default_rng(seed))]
    y, gy, gx, gw = run_ours(ours, x, seed + 1, training)

    inputs = [torch.tensor(a.astype(oracle_dtype), requires_grad=True) for a in arrays]
    run = keras_layer(theirs, weights, x) if hasattr(theirs, "get_config") else theirs
    for parameter, weight in zip(ours.weights, weights, strict=True):
        weight.requires_grad_(parameter.trainable)
    expected = run(inputs if isinstance(x, list) else inputs[0], weights, training)
    trainable = [w for p, w in zip(ours.weights, weights, strict=True) if p.trainable]
    gradients = torch.autograd.grad(expected, [*inputs, *trainable], torch.tensor(gy.astype(oracle_dtype)))
    exact = [g.numpy() for g in gradients]

    dtype = ours.dtype
    assert_close(y, expected.detach().numpy(), dtype, "y")
    for i, (a, b) in enumerate(zip(gx, exact[: len(inputs)], strict=True)):
        assert_close(a, b, dtype, f"gradient of input {i}")
    for parameter, a, b in zip(ours.trainable_weights, gw, exact[len(inputs) :], strict=True):
        assert_close(a, b, dtype, f"gradient of {parameter.name}")
    for parameter, b in zip(ours.weights, weights, strict=True):
        assert_close(parameter.numpy(), b.detach().numpy(), dtype, parameter.name)
    assert ours.compute_output_shape(shape)[1:] == y.shape[1:]


def keras_layer(layer: Any, weights: list[Any], x: Any) -> Any:
    """The layer as a function of its inputs and these very tensors as weights."""
    layer.build([a.shape for a in x] if isinstance(x, list) else x.shape)
    variables = layer.weights
    assert len(variables) == len(weights)
    for i, (variable, weight) in enumerate(zip(variables, weights, strict=True)):
        assert tuple(variable.shape) == tuple(weight.shape)
        if weight.ndim == 4:
            # PyTorch's float64 convolution insists on a kernel that is contiguous as OIHW.
            weights[i] = weight = weight.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
        variable.value.data = weight

    def run(inputs: Any, _: list[Any], training: bool) -> Any:
        weights[:] = [variable.value for variable in variables]
        return layer(inputs, training=training)

    return run


def picture(seed: int, shape: Sequence[int], dtype: str) -> np.ndarray:
    """Random values of a shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arrange(n: int, h: int, w: int, c: int, data_format: str) -> tuple[int, int, int, int]:
    """The shape of a batch of pictures in a data format."""
    return (n, c, h, w) if data_format == "channels_first" else (n, h, w, c)


def spread(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = (padding, padding) if isinstance(padding, int) else padding
    return tuple((p, p) if isinstance(p, int) else p for p in (rows, columns))  # type: ignore[return-value]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2
