"""Channels-first layers look at NHWC buffers through views: nothing is copied back and forth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn import Tensor, layers


def is_nhwc_inside(y: np.ndarray) -> bool:
    """Whether an (N, C, H, W) array is a view of a contiguous (N, H, W, C) buffer."""
    return y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, data_format="channels_first"),
        layers.Conv2D(4, 3, activation="relu", data_format="channels_first"),
        layers.Conv2DTranspose(4, 3, data_format="channels_first"),
        layers.DepthwiseConv2D(3, data_format="channels_first"),
        layers.MaxPooling2D(data_format="channels_first"),
        layers.AveragePooling2D(data_format="channels_first"),
        layers.ZeroPadding2D(data_format="channels_first"),
        layers.LocalResponseNormalization(data_format="channels_first"),
    ],
    ids=lambda layer: layer.name,
)
def test_layers_return_views_of_nhwc_buffers(layer: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype("float32").transpose(0, 3, 1, 2)
    assert is_nhwc_inside(layer(x).numpy())


def test_a_layer_passes_its_input_on_as_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    import minicnn.functional as F

    seen = []
    real = F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda x, *a, **k: seen.append(x.numpy()) or real(x, *a, **k))
    y = layers.Conv2D(4, 3, data_format="channels_first")(np.ones((2, 3, 8, 8), "float32"))
    layers.MaxPooling2D(data_format="channels_first")(layers.Activation("relu")(y))
    layers.MaxPooling2D(data_format="channels_first")(y)
    assert seen[0].shape == (2, 6, 6, 4)
    assert all(a.flags.c_contiguous for a in seen)
    assert np.shares_memory(seen[1], y.numpy())


def test_both_layouts_give_the_same_network() -> None:
    def network(data_format: str) -> list[Any]:
        convolution = layers.Conv2D(4, 3, padding="same", activation="relu", data_format=data_format)
        return [convolution, layers.MaxPooling2D(data_format=data_format), layers.Flatten(data_format), layers.Dense(5)]

    x = np.random.default_rng(0).standard_normal((3, 6, 8, 2)).astype("float32")
    last, first = network("channels_last"), network("channels_first")
    outputs, gradients = [], []
    for chain, given in ((last, x), (first, np.ascontiguousarray(x.transpose(0, 3, 1, 2)))):
        tensor = Tensor(given, requires_grad=True)
        y: Any = tensor
        for layer, other in zip(chain, last, strict=True):
            layer(y)
            layer.set_weights(other.get_weights())
            y = layer(y)
        y.sum().backward()
        assert tensor.grad is not None
        outputs.append(y.numpy())
        gradients.append(tensor.grad.numpy())
    np.testing.assert_array_equal(*outputs)
    np.testing.assert_array_equal(gradients[0], gradients[1].transpose(0, 2, 3, 1))
