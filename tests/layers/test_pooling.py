from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import layers
from tests import oracles
from tests.layers.parity import (
    arrange,
    assert_close,
    compare,
    data_formats,
    dtypes,
    picture,
    same_padding,
    seeds,
    spread,
)

small = st.integers(1, 3)
sizes = st.tuples(small, st.integers(1, 9), st.integers(1, 9), small)
windows = st.tuples(st.integers(1, 4), st.integers(1, 4))


sides = st.integers(0, 3)


def torch_pooling(name: str, window: Any, strides: Any, padding: Any, data_format: str) -> Any:
    """PyTorch's pooling with TensorFlow's meaning of padding, which a maximum or a mean does not see."""
    functional = oracles.torch().nn.functional
    strides = strides or window

    def run(x: Any, *_: Any) -> Any:
        x = x if data_format == "channels_first" else x.permute(0, 3, 1, 2)
        pads = padding
        if padding == "same":
            pads = tuple(same_padding(s, k, t, 1) for s, k, t in zip(x.shape[2:], window, strides, strict=True))
        (top, bottom), (left, right) = ((0, 0), (0, 0)) if padding == "valid" else spread(pads)
        border = (left, right, top, bottom)
        if name == "MaxPooling2D":
            y = functional.max_pool2d(functional.pad(x, border, value=-np.inf), window, strides)
        else:
            inside = functional.avg_pool2d(functional.pad(x * 0 + 1, border), window, strides).detach()
            y = functional.avg_pool2d(functional.pad(x, border), window, strides) / inside
        return y if data_format == "channels_first" else y.permute(0, 2, 3, 1)

    return run


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
@given(sizes, windows, st.none() | st.tuples(small, small), data_formats, dtypes, seeds)
def test_valid_pooling_is_keras(
    name: str, size: Any, window: Any, strides: Any, data_format: str, dtype: str, seed: int
) -> None:
    n, h, w, c = size
    assume(window[0] <= h and window[1] <= w)
    options = {"pool_size": window, "strides": strides, "data_format": data_format}
    x = picture(seed, arrange(n, h, w, c, data_format), dtype)
    theirs = getattr(oracles.keras().layers, name)(**options, dtype="float64")
    compare(getattr(layers, name)(**options, dtype=dtype), theirs, x, seed)


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
@given(
    sizes, windows, st.none() | st.tuples(small, small), st.just("same") | st.tuples(st.tuples(sides, sides),
    st.tuples(sides, sides)), data_formats, dtypes, seeds,
)  # fmt: skip
def test_padded_pooling_is_torch(
    name: str, size: Any, window: Any, strides: Any, padding: Any, data_format: str, dtype: str, seed: int
) -> None:
    # Keras' PyTorch backend counts the padding of an average where it is uneven, so it cannot be the oracle.
    n, h, w, c = size
    if padding != "same":
        assume(all(max(p) < k <= s + sum(p) for p, k, s in zip(padding, window, (h, w), strict=True)))
    layer = getattr(layers, name)(window, strides, padding, data_format=data_format, dtype=dtype)
    x = picture(seed, arrange(n, h, w, c, data_format), dtype)
    compare(layer, torch_pooling(name, window, strides, padding, data_format), x, seed)


@given(sizes, st.booleans(), data_formats, dtypes, seeds)
def test_global_max_pooling_is_keras(size: Any, keepdims: bool, data_format: str, dtype: str, seed: int) -> None:
    x = picture(seed, arrange(*size, data_format), dtype)
    options = {"keepdims": keepdims, "data_format": data_format}
    theirs = oracles.keras().layers.GlobalMaxPooling2D(**options, dtype="float64")
    compare(layers.GlobalMaxPooling2D(**options, dtype=dtype), theirs, x, seed)


@given(sizes, st.booleans(), data_formats, dtypes, seeds)
def test_global_average_pooling_is_torch(size: Any, keepdims: bool, data_format: str, dtype: str, seed: int) -> None:
    # Keras' PyTorch backend takes the mean of float64 in float32.
    x = picture(seed, arrange(*size, data_format), dtype)
    axes = (2, 3) if data_format == "channels_first" else (1, 2)
    layer = layers.GlobalAveragePooling2D(data_format, keepdims, dtype=dtype)
    compare(layer, lambda x, *_: x.mean(axes, keepdim=keepdims), x, seed)
    theirs = oracles.keras().layers.GlobalAveragePooling2D(data_format, keepdims)
    assert_close(layer(x.astype("float32")).numpy().astype("float32"), theirs(x.astype("float32")), "float32", "y")


border = st.integers(0, 3)


@given(
    sizes,
    st.one_of(border, st.tuples(border, border), st.tuples(st.tuples(border, border), st.tuples(border, border))),
    data_formats, dtypes, seeds,
)  # fmt: skip
def test_zero_padding_is_keras(size: Any, padding: Any, data_format: str, dtype: str, seed: int) -> None:
    x = picture(seed, arrange(*size, data_format), dtype)
    options = {"padding": padding, "data_format": data_format}
    theirs = oracles.keras().layers.ZeroPadding2D(**options, dtype="float64")
    compare(layers.ZeroPadding2D(**options, dtype=dtype), theirs, x, seed)


def test_explicit_padding_of_max_pooling_is_minus_infinity() -> None:
    x = np.full((1, 2, 2, 1), -5.0)
    y = layers.MaxPooling2D(2, 1, padding=((1, 0), (0, 1)))(x)
    assert y.shape == (1, 2, 2, 1)
    assert (y.numpy() == -5).all()


def test_explicit_padding_of_average_pooling_is_not_counted() -> None:
    y = layers.AveragePooling2D(2, 2, padding=1)(np.full((1, 2, 2, 1), 3.0))
    np.testing.assert_array_equal(y.numpy(), np.full((1, 2, 2, 1), 3.0))


def test_a_window_of_nothing_but_padding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"AveragePooling2D 'average_pooling2d': padding must be smaller than pool_s"):
        layers.AveragePooling2D(2, padding=2)
