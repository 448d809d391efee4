from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicnn.functional as functional
from minicnn.layers import Conv2D, Conv2DTranspose, DepthwiseConv2D
from tests import oracles
from tests.layers.parity import (
    arrange,
    assert_close,
    compare,
    data_formats,
    draw_weights,
    dtypes,
    picture,
    run_ours,
    same_padding,
    seeds,
    spread,
)

small = st.integers(1, 3)
pairs = st.tuples(small, small)
sides = st.integers(0, 3)
explicit = st.one_of(sides, st.tuples(sides, sides), st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
activations = st.sampled_from([None, "relu", "tanh", "sigmoid", "elu"])


def fits(size: tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int], padding: Any) -> bool:
    before_after = spread(padding) if padding not in ("same", "valid") else ((0, 0), (0, 0))
    return padding == "same" or all(
        d * (k - 1) + 1 <= s + sum(p) for s, k, d, p in zip(size, kernel, dilation, before_after, strict=True)
    )


def torch_conv2d(x: Any, w: Any, b: Any, options: dict[str, Any]) -> Any:
    """PyTorch's convolution of NHWC and HWIO tensors, with TensorFlow's padding."""
    functional = oracles.torch().nn.functional
    stride, dilation, padding = options["strides"], options["dilation_rate"], options["padding"]
    if padding == "same":
        padding = tuple(map(same_padding, x.shape[1:3], w.shape[:2], stride, dilation))
    (top, bottom), (left, right) = ((0, 0), (0, 0)) if padding == "valid" else spread(padding)
    x = functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    # PyTorch's float64 convolution insists on a kernel that is contiguous as OIHW.
    w = w.permute(3, 2, 0, 1).contiguous()
    y = functional.conv2d(x, w, b, stride=stride, dilation=dilation, groups=options["groups"])
    return y.permute(0, 2, 3, 1)


@st.composite
def conv_options(draw: Any) -> tuple[dict[str, Any], tuple[int, int, int, int]]:
    groups = draw(small)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    options = {
        "filters": groups * draw(small),
        "kernel_size": kernel,
        "strides": draw(pairs),
        "dilation_rate": draw(pairs),
        "groups": groups,
        "use_bias": draw(st.booleans()),
    }
    return options, (draw(small), *size, groups * draw(small))


@given(conv_options(), st.sampled_from(["valid", "same"]), activations, data_formats, dtypes, seeds)
def test_conv2d_is_keras(case: Any, padding: str, activation: Any, data_format: str, dtype: str, seed: int) -> None:
    options, (n, h, w, c) = case
    # Keras refuses strides together with dilation; PyTorch serves for that below.
    if max(options["strides"]) > 1:
        options["dilation_rate"] = (1, 1)
    assume(fits((h, w), options["kernel_size"], options["dilation_rate"], padding))
    options |= {"padding": padding, "activation": activation, "data_format": data_format}
    x = picture(seed, arrange(n, h, w, c, data_format), dtype)
    compare(Conv2D(**options, dtype=dtype), oracles.keras().layers.Conv2D(**options, dtype="float64"), x, seed)


@given(conv_options(), st.one_of(st.sampled_from(["valid", "same"]), explicit), dtypes, seeds)
def test_conv2d_is_torch_with_any_padding_stride_and_dilation(case: Any, padding: Any, dtype: str, seed: int) -> None:
    options, shape = case
    options |= {"padding": padding}
    assume(fits(shape[1:3], options["kernel_size"], options["dilation_rate"], padding))
    layer = Conv2D(**options, dtype=dtype)
    x = picture(seed, shape, dtype)
    layer.build(x.shape)
    weights = draw_weights(layer, np.random.default_rng(seed))
    y, gy, (gx,), gw = run_ours(layer, x, seed + 1)

    torch = oracles.torch()
    tensors = [torch.tensor(a.astype("float64"), requires_grad=True) for a in (x, *weights)]
    expected = torch_conv2d(tensors[0], tensors[1], tensors[2] if len(tensors) > 2 else None, options)
    exact = torch.autograd.grad(expected, tensors, torch.tensor(gy.astype("float64")))
    assert_close(y, expected.detach().numpy(), dtype, "y")
    for name, a, b in zip(("x", "kernel", "bias"), (gx, *gw), exact, strict=False):
        assert_close(a, b.numpy(), dtype, f"gradient of {name}")


@given(conv_options(), st.sampled_from(["valid", "same"]), small, data_formats, dtypes, seeds)
def test_depthwise_is_keras(case: Any, padding: str, multiplier: int, data_format: str, dtype: str, seed: int) -> None:
    options, (n, h, w, c) = case
    del options["filters"], options["groups"]
    # Keras' depthwise convolution takes one stride for both axes, and no dilation beside it.
    options["strides"] = options["strides"][:1] * 2
    if options["strides"][0] > 1:
        options["dilation_rate"] = (1, 1)
    assume(fits((h, w), options["kernel_size"], options["dilation_rate"], padding))
    options |= {"padding": padding, "depth_multiplier": multiplier, "data_format": data_format}
    x = picture(seed, arrange(n, h, w, c, data_format), dtype)
    keras_layer = oracles.keras().layers.DepthwiseConv2D(**options, dtype="float64")
    compare(DepthwiseConv2D(**options, dtype=dtype), keras_layer, x, seed)


@given(conv_options(), st.sampled_from(["valid", "same"]), data_formats, dtypes, st.data(), seeds)
def test_conv2d_transpose_is_keras(
    case: Any, padding: str, data_format: str, dtype: str, data: Any, seed: int
) -> None:
    options, (n, h, w, c) = case
    del options["groups"]
    if max(options["strides"]) > 1:
        options["dilation_rate"] = (1, 1)
    options |= {"padding": padding, "data_format": data_format}
    if data.draw(st.booleans()):
        options["output_padding"] = tuple(data.draw(st.integers(0, s - 1)) for s in options["strides"])
        sizes = zip((h, w), options["kernel_size"], options["strides"], options["output_padding"], strict=True)
        assume(all((size - 1) * s + k % 2 + o > 0 for size, k, s, o in sizes))
    x = picture(seed, arrange(n, h, w, c, data_format), dtype)
    keras_layer = oracles.keras().layers.Conv2DTranspose(**options, dtype="float64")
    compare(Conv2DTranspose(**options, dtype=dtype), keras_layer, x, seed)


@given(st.tuples(small, small), st.tuples(st.integers(1, 4), st.integers(1, 4)), explicit, st.data(), seeds)
def test_conv2d_transpose_with_explicit_padding_is_torch(
    strides: Any, kernel: Any, padding: Any, data: Any, seed: int
) -> None:
    (top, bottom), (left, right) = spread(padding)
    assume(top == bottom and left == right)
    output_padding = tuple(data.draw(st.integers(0, s - 1)) for s in strides)
    sizes = [4 * s - 2 * p + k - s + o for s, p, k, o in zip(strides, (top, left), kernel, output_padding, strict=True)]
    assume(min(sizes) > 0)
    layer = Conv2DTranspose(2, kernel, strides, padding, output_padding, dtype="float64")
    x = picture(seed, (2, 4, 4, 3), "float64")
    y = layer(x).numpy()
    torch = oracles.torch()
    w, b = (torch.tensor(a) for a in layer.get_weights())
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x).permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), b, strides, (top, left), output_padding
    )
    assert_close(y, expected.permute(0, 2, 3, 1).numpy(), "float64", "y")
    assert layer.compute_output_shape((None, 4, 4, 3)) == (None, *y.shape[1:])


def test_open_sizes_stay_open() -> None:
    assert Conv2D(4, 3, 2, "same").compute_output_shape((None, None, 9, 3)) == (None, None, 5, 4)
    assert Conv2DTranspose(4, 3, 2, "same").compute_output_shape((None, None, 9, 3)) == (None, None, 18, 4)


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert Conv2D(4, 3)(np.zeros((0, 5, 5, 1))).shape == (0, 3, 3, 4)


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (Conv2D(64, 5, padding="same"), (None, 14, 14, 32), 14 * 14 * 64 * 5 * 5 * 32),
        (Conv2D(6, 3, groups=3), (None, 5, 5, 9), 3 * 3 * 6 * 3 * 3 * 3),
        (DepthwiseConv2D(3, depth_multiplier=2), (None, 5, 5, 4), 3 * 3 * 8 * 9),
        (Conv2DTranspose(6, 3, 2), (None, 5, 5, 4), 5 * 5 * 4 * 9 * 6),
    ],
)
def test_multiply_adds(layer: Any, shape: Any, count: int) -> None:
    assert layer.multiply_adds(shape) == count


def test_the_algorithm_of_a_layer_is_the_one_of_its_sums() -> None:
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3)).astype("float32")
    layers = {name: Conv2D(5, 3, padding="same", algorithm=name) for name in ("auto", "direct", "winograd")}
    for layer in layers.values():
        layer.build(x.shape)
        layer.set_weights(layers["auto"].get_weights())
    y = {name: layer(x).numpy() for name, layer in layers.items()}
    kernel, bias = layers["auto"].get_weights()
    for name in layers:
        expected = functional.conv2d(x, kernel, bias, padding="same", algorithm=name)
        np.testing.assert_array_equal(y[name], expected)
    assert_close(y["winograd"], y["direct"], "float32", "y")
    assert (y["winograd"] != y["direct"]).any()  # the rounding tells which it was


def test_the_algorithm_is_in_the_config_only_where_it_was_chosen() -> None:
    assert "algorithm" not in Conv2D(4, 3).get_config()
    layer = Conv2D.from_config(Conv2D(4, 3, algorithm="winograd").get_config())
    assert layer.algorithm == "winograd"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"algorithm": "fft"}, r"""Conv2D '\w+': algorithm must be one of "auto", "direct", "winograd", got 'fft'"""),
        ({"algorithm": None}, "algorithm must be one of .* got None"),
        ({"algorithm": "winograd", "strides": 2}, r"cannot do this convolution, which has strides of \(2, 2\)"),
        ({"algorithm": "winograd", "kernel_size": (3, 1)}, "which has a kernel of 3x1 instead of 3x3 or 5x5"),
        ({"algorithm": "winograd", "groups": 2}, "which has 2 groups instead of 1"),
        ({"algorithm": "winograd", "dilation_rate": 2}, r"which has a dilation of \(2, 2\) instead of 1"),
    ],
)
def test_an_algorithm_that_cannot_be_is_refused_at_once(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Conv2D(**{"filters": 4, "kernel_size": 3} | arguments)
