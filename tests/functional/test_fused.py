"""Fused blocks against the separate operations: the same values and gradients, of the first order and the second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicnn.functional as F
from minicnn.autograd import Function, GradientError, Tensor, grad, gradcheck, no_grad
from minicnn.functional.fused import ConvBlock, conv2d_block
from tests.functional.agreement import assert_close, dtypes, seeds
from tests.functional.operations import Operation, distinct, normal
from tests.functional.test_convolution import convolutions
from tests.functional.test_operations import scale_gradients

SEPARATE = {
    "linear": lambda x, alpha: x,
    "relu": lambda x, alpha: F.relu(x),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "sigmoid": lambda x, alpha: F.sigmoid(x),
    "tanh": lambda x, alpha: F.tanh(x),
}
POOLS: list[dict[str, Any]] = [
    {"pool_size": None},
    {"pool_size": 2},
    {"pool_size": 3, "pool_strides": 2, "pool_padding": "same"},
    {"pool_size": (2, 3), "pool_strides": 1, "pool_padding": ((1, 0), (2, 1))},
    {"pool_size": (3, 4), "pooling": "avg"},
    {"pool_size": 2, "pooling": "avg"},
    {"pool_size": 3, "pool_strides": 2, "pool_padding": "same", "pooling": "avg"},
]


def separately(x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """The block, step by step."""
    pool = {key.removeprefix("pool_"): options.pop(key) for key in ("pool_strides", "pool_padding") if key in options}
    pool_size, activation, alpha = options.pop("pool_size"), options.pop("activation"), options.pop("alpha")
    pooling = {"max": F.max_pool2d, "avg": F.avg_pool2d}[options.pop("pooling", "max")]
    y = SEPARATE[activation](F.conv2d(x, w, b, **options), alpha)
    return y if pool_size is None else pooling(y, pool_size, **pool)


def check(arrays: list[np.ndarray], options: dict[str, Any], dtype: str, seed: int) -> None:
    """Values and gradients of both; x, w and b may be whole numbers, so that sums are exact and ties true."""
    results = []
    for function in (conv2d_block, separately):
        tensors = [Tensor(array.astype(dtype), requires_grad=True) for array in arrays]
        y = function(*tensors, **options)
        weights = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
        results.append([y, *grad(y, tensors, [weights])])
    for ours, expected, what in zip(*results, ("y", "gx", "gw", "gb"), strict=False):
        assert_close(ours.data, expected.data, dtype, what)


def numbers(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Multiples of 1/8 below 8: their products and sums are exact in float32, so that all orders of adding agree."""
    return generator.integers(-64, 65, shape) / 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("activation", SEPARATE)
def test_a_block_is_its_three_operations(activation: str, pool: dict[str, Any], dtype: str) -> None:
    generator = np.random.default_rng(0)
    arrays = [numbers(generator, 3, 9, 8, 4), numbers(generator, 3, 2, 4, 18) / 64, numbers(generator, 18)]
    options = {"activation": activation, "alpha": 0.25, "padding": "same", "strides": (1, 1), **pool}
    check(arrays, options, dtype, 1)
    check(arrays[:2], options, dtype, 2)


@given(
    case=convolutions(), activation=st.sampled_from(["linear", "relu", "leaky_relu"]), pool=st.sampled_from(POOLS),
    dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_blocks_of_generated_shapes(
    case: dict[str, Any], activation: str, pool: dict[str, Any], dtype: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    CG = case["shape"][3] // case["options"]["groups"]
    arrays = [numbers(generator, *case["shape"]), numbers(generator, *case["kernel"], CG, case["filters"])]
    options = {"activation": activation, "alpha": 0.25, **pool, **case["options"]}
    try:
        separately(*arrays, **options)
    except ValueError:  # the windows do not fit
        with pytest.raises(ValueError, match="conv2d_block: a window of"):
            conv2d_block(*arrays, **options)
        assume(False)
    check([*arrays, numbers(generator, case["filters"])], options, dtype, seed)


# --- gradients -------------------------------------------------------------------------------------------------------


def block(activation: str, **options: Any) -> Operation:
    call = lambda x, w, b: conv2d_block(x, w, b, activation=activation, alpha=0.4, **options)  # noqa: E731
    return Operation(call, (distinct(2, 6, 5, 2), normal(2, 3, 2, 3), normal(3)))


BLOCKS = {
    **{f"{activation}, pooled": block(activation, pool_size=2, padding="same") for activation in SEPARATE},
    **{f"{a}, averages": block(a, pool_size=2, padding="same", pooling="avg") for a in ("tanh", "relu", "linear")},
    "overlapping averages": block("elu", pool_size=3, pool_strides=1, pool_padding="same", pooling="avg"),
    "no pooling": block("tanh", strides=2),
    "overlapping windows": block("sigmoid", pool_size=3, pool_strides=1, pool_padding="same"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_to_second_order(name: str) -> None:
    assert gradcheck(BLOCKS[name].call, BLOCKS[name].inputs(), order=2)


@pytest.mark.parametrize("name", BLOCKS)
def test_gradcheck_finds_a_wrong_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scale_gradients(monkeypatch, ConvBlock, 1.01)
    with pytest.raises(GradientError):
        gradcheck(BLOCKS[name].call, BLOCKS[name].inputs())


@pytest.mark.parametrize("name", BLOCKS)
def test_taped_and_untaped_gradients_agree(name: str) -> None:
    """Under create_graph the gradient goes through the dense operations, else through the fused kernel."""
    tensors = [Tensor(array, requires_grad=True) for array in BLOCKS[name].inputs()]
    y = BLOCKS[name].call(*tensors)
    weights = np.random.default_rng(0).standard_normal(y.shape)
    taped = grad(y, tensors, [weights], create_graph=True)
    plain = grad(y, tensors, [weights])
    assert any(a.requires_grad for a in taped)
    for a, b in zip(taped, plain, strict=True):
        assert not b.requires_grad
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("create_graph", [False, True])
def test_only_the_gradients_that_are_asked_for_come_back(create_graph: bool) -> None:
    operation = BLOCKS["relu, pooled"]
    arrays = operation.inputs()

    def gradients(needed: list[bool]) -> list[np.ndarray]:
        tensors = [Tensor(array, requires_grad=n) for array, n in zip(arrays, needed, strict=True)]
        y = operation.call(*tensors)
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        return [g.data for g in grad(y, wanted, [np.ones(y.shape)], create_graph=create_graph)]

    together = gradients([True] * 3)
    for i, expected in enumerate(together):
        (alone,) = gradients([j == i for j in range(3)])
        np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12)


def test_backward_keeps_nothing_of_the_size_of_the_picture_before_pooling() -> None:
    """What lies between the two passes: x, w, the pooled output and a byte for each window."""
    x, w = (Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((2, 32, 32, 3), (3, 3, 3, 16)))
    y = conv2d_block(x, w, padding="same", pool_size=2)
    node = y.node
    assert isinstance(node, ConvBlock)
    kept = [array for array, *_ in node._saved or []] + [node.kept]
    assert [array.shape for array in kept] == [x.shape, w.shape, y.shape, y.shape]
    assert node.kept.dtype == np.uint8
    assert not any(isinstance(value, (Tensor, np.ndarray)) for key, value in vars(node).items() if key != "kept")


# --- arrays and errors -----------------------------------------------------------------------------------------------


def test_plain_arrays_give_plain_arrays_and_lists_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = BLOCKS["elu, pooled"].inputs("float32")
    expected = BLOCKS["elu, pooled"].call(*(Tensor(array, requires_grad=True) for array in arrays))
    monkeypatch.setattr(Function, "_tape", lambda *_: pytest.fail("plain arrays were taped"))
    for inputs in (arrays, [array.tolist() for array in arrays]):
        y = BLOCKS["elu, pooled"].call(*inputs)
        assert isinstance(y, np.ndarray) and y.dtype == "float32"
        np.testing.assert_array_equal(y, expected.data)
    with no_grad():
        assert not BLOCKS["elu, pooled"].call(*(Tensor(a, requires_grad=True) for a in arrays)).requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", SEPARATE)
def test_gradients_of_both_orders_keep_the_type(activation: str, dtype: str) -> None:
    operation = BLOCKS[f"{activation}, pooled"]
    tensors = [Tensor(array, requires_grad=True) for array in operation.inputs(dtype)]
    y = operation.call(*tensors)
    assert y.dtype == dtype
    assert [g.dtype for g in grad(y, tensors, [np.ones(y.shape, dtype)], retain_graph=True)] == [dtype] * 3
    taped = grad(y, tensors, [np.ones(y.shape, dtype)], create_graph=True)
    assert [g.dtype for g in taped] == [dtype] * 3
    second = [g for g in taped if g.requires_grad]
    assert all(g.dtype == dtype for g in grad(second, tensors[:2], [np.ones(g.shape, dtype) for g in second]))


X, W = np.zeros((2, 6, 6, 3), np.float32), np.zeros((3, 3, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X[0]}, r"conv2d_block: x must have 4 axes \(N, H, W, C\), got shape \(6, 6, 3\)"),
        ({"w": W[:, :, :2]}, "conv2d_block: x has 3 channels and w has shape"),
        ({"b": np.zeros(3)}, r"conv2d_block: b must have shape \(4,\)"),
        ({"padding": "full"}, "conv2d_block: padding must be"),
        ({"pooling": "sum"}, "conv2d_block: pooling must be 'max' or 'avg', got 'sum'"),
        ({"activation": "gelu"}, "conv2d_block: activation must be one of 'linear', 'relu'.*got 'gelu'"),
        ({"alpha": 0.0}, "conv2d_block: alpha must be above 0, got 0.0"),
        ({"algorithm": "fast"}, 'conv2d_block: algorithm must be one of "auto", "direct", "winograd", got .fast.'),
        ({"pool_size": 5}, "conv2d_block: a window of 5x5 does not fit into a picture of 4x4"),
        ({"pool_size": 2, "pool_padding": 2}, "conv2d_block: padding must be smaller than the window"),
        ({"pool_size": 2, "pool_strides": 0}, "conv2d_block: strides must be at least 1"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conv2d_block(**{"x": X, "w": W} | arguments)
