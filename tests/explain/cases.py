"""Small networks that between them have every layer that can be explained, in every geometry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn import Model, Sequential, layers
from minicnn.layers import Input

# (H, W, C), neither square nor even.
SIZE = (7, 6, 4)
FIRST = {"data_format": "channels_first"}


def chain(*parts, shape=SIZE) -> Model:
    return Sequential([Input(shape), *parts])


def merged(layer, *, stretched=False) -> Model:
    x = Input(SIZE)
    other = layers.Conv2D(4, 1, name="branch")(x)
    if stretched:
        other = layers.GlobalAveragePooling2D(keepdims=True)(other)
    return Model(x, layer([x, other]))


# Layers that are explained, each the last of its network.
PIXELS: dict[str, Callable[[], Model]] = {
    "conv": lambda: chain(layers.Conv2D(3, 3)),
    "conv 1x1": lambda: chain(layers.Conv2D(3, 1)),
    "conv as large as the picture": lambda: chain(layers.Conv2D(3, (7, 6))),
    "conv same": lambda: chain(layers.Conv2D(3, (2, 4), padding="same", activation="relu")),
    "conv same strided": lambda: chain(layers.Conv2D(3, 3, strides=2, padding="same")),
    "conv same uneven": lambda: chain(layers.Conv2D(2, (4, 3), strides=(3, 2), padding="same", use_bias=False)),
    "conv explicit": lambda: chain(layers.Conv2D(2, 3, strides=(1, 2), padding=((2, 0), (1, 3)))),
    "conv dilated": lambda: chain(layers.Conv2D(2, (3, 2), dilation_rate=(2, 3), padding="same")),
    "conv groups": lambda: chain(layers.Conv2D(6, 2, groups=2, activation="tanh")),
    "conv winograd": lambda: chain(layers.Conv2D(3, 3, padding="same", algorithm="winograd")),
    "conv softmax": lambda: chain(layers.Conv2D(3, 2, activation="softmax")),
    "conv channels first": lambda: chain(
        layers.Conv2D(6, (3, 2), strides=(2, 1), padding="same", groups=3, **FIRST), shape=(6, 5, 7)
    ),
    "conv channels first softmax": lambda: chain(layers.Conv2D(2, 2, activation="softmax", **FIRST)),
    "depthwise": lambda: chain(layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="elu")),
    "depthwise channels first": lambda: chain(layers.DepthwiseConv2D(2, depth_multiplier=3, **FIRST)),
    "transposed": lambda: chain(layers.Conv2DTranspose(3, 3, activation="relu")),
    "transposed strided": lambda: chain(layers.Conv2DTranspose(2, (3, 4), strides=2, padding="same")),
    "transposed stamps apart": lambda: chain(layers.Conv2DTranspose(2, (1, 2), strides=3, use_bias=False)),
    "transposed dilated": lambda: chain(
        layers.Conv2DTranspose(2, (3, 2), dilation_rate=(2, 3), padding=((1, 2), (0, 1)), activation="tanh")
    ),
    "transposed larger": lambda: chain(
        layers.Conv2DTranspose(2, 3, strides=(2, 3), padding=((0, 1), (1, 0)), output_padding=(1, 2))
    ),
    "transposed channels first": lambda: chain(
        layers.Conv2DTranspose(3, (2, 3), strides=(2, 1), padding="same", activation="sigmoid", **FIRST)
    ),
    "dense": lambda: chain(layers.Dense(3, activation="sigmoid"), shape=(5,)),
    "dense on maps": lambda: chain(layers.Dense(3, activation="relu")),
    "dense softmax": lambda: chain(layers.Dense(4, activation="softmax"), shape=(5,)),
    "dense without bias": lambda: chain(layers.Dense(2, use_bias=False), shape=(3, 5)),
    "max pool": lambda: chain(layers.MaxPooling2D(2)),
    "max pool overlapping": lambda: chain(layers.MaxPooling2D((3, 2), strides=(2, 1), padding="same")),
    "max pool explicit": lambda: chain(layers.MaxPooling2D(3, strides=2, padding=((1, 0), (2, 1)))),
    "max pool channels first": lambda: chain(layers.MaxPooling2D(2, padding="same", **FIRST)),
    "mean pool": lambda: chain(layers.AveragePooling2D(2)),
    "mean pool border": lambda: chain(layers.AveragePooling2D(3, strides=2, padding="same")),
    "global max": lambda: chain(layers.GlobalMaxPooling2D()),
    "global max kept": lambda: chain(layers.GlobalMaxPooling2D(keepdims=True, **FIRST)),
    "global mean": lambda: chain(layers.GlobalAveragePooling2D(**FIRST)),
    "batch norm": lambda: chain(layers.BatchNormalization()),
    "batch norm plain": lambda: chain(layers.BatchNormalization(center=False, scale=False, epsilon=0.1)),
    "batch norm axis": lambda: chain(layers.BatchNormalization(axis=1)),
    "batch norm of units": lambda: chain(layers.BatchNormalization(scale=False), shape=(5,)),
    "response norm": lambda: chain(layers.LocalResponseNormalization(1)),
    "response norm of a pixel alone": lambda: chain(layers.LocalResponseNormalization(0, bias=2, alpha=0.5, beta=0.75)),
    "response norm wide": lambda: chain(layers.LocalResponseNormalization(alpha=1e-4, beta=-0.5)),
    "response norm channels first": lambda: chain(layers.LocalResponseNormalization(2, 2.0, 0.3, 0.75, **FIRST)),
    "flatten": lambda: chain(layers.Flatten()),
    "flatten channels first": lambda: chain(layers.Conv2D(2, 2, **FIRST), layers.Flatten(**FIRST)),
    "reshape": lambda: chain(layers.Reshape((4, 14, -1))),
    "dropout": lambda: chain(layers.Dropout(0.5)),
    "zero padding": lambda: chain(layers.ZeroPadding2D(((1, 2), (0, 3)))),
    "zero padding channels first": lambda: chain(layers.ZeroPadding2D((1, 2), **FIRST)),
    "add": lambda: merged(layers.Add()),
    "add stretched": lambda: merged(layers.Add(), stretched=True),
    "subtract": lambda: merged(layers.Subtract()),
    "average": lambda: merged(layers.Average()),
    "multiply": lambda: merged(layers.Multiply()),
    "multiply stretched": lambda: merged(layers.Multiply(), stretched=True),
    "maximum": lambda: merged(layers.Maximum()),
    "minimum stretched": lambda: merged(layers.Minimum(), stretched=True),
    "concatenate": lambda: merged(layers.Concatenate()),
    "concatenate rows": lambda: merged(layers.Concatenate(axis=1)),
    "largest channel": lambda: chain(layers.Lambda("max", arguments={"axis": 3, "keepdims": True})),
    "smallest of a column": lambda: chain(layers.Lambda("min", arguments={"axis": 1})),
    "mean of maps": lambda: chain(layers.Lambda("mean", arguments={"axis": (-3, 2)})),
    "sum of all": lambda: chain(layers.Lambda("sum", arguments={"axis": (1, 2, 3), "keepdims": True})),
    "softmax layer": lambda: chain(layers.Softmax()),
    "softmax along rows": lambda: chain(layers.Softmax(axis=1)),
}

ACTIVATIONS = (
    "linear", "relu", "relu6", "sigmoid", "tanh", "elu", "selu", "silu", "gelu", "softplus", "softsign",
    "hard_sigmoid", "leaky_relu", "exponential", "softmax", "log_softmax",
)  # fmt: skip
ACTIVATION_LAYERS: dict[str, Callable[[], layers.Layer]] = {
    **{name: lambda name=name: layers.Activation(name) for name in ACTIVATIONS},
    "ReLU": layers.ReLU,
    "ReLU in general": lambda: layers.ReLU(max_value=0.8, negative_slope=0.1, threshold=0.3),
    "LeakyReLU": layers.LeakyReLU,
    "ELU": lambda: layers.ELU(0.5),
    "a layer as function": lambda: layers.Activation(layers.LeakyReLU(0.05)),
    "a function of one's own": lambda: layers.Activation(lambda x: x * x + 1.0),
}


def prepared(model: Model, seed: int = 0) -> tuple[Model, np.ndarray]:
    """The model with weights that are all different and a variance that is positive, and a sample for it."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.data = np.abs(layer.moving_variance.data)
    return model, rng.normal(size=model.input_shape[1:]).astype(np.float32)


def positions(shape, count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """The two corners and some positions between."""
    rng = np.random.default_rng(seed)
    ends = [tuple(0 for _ in shape), tuple(size - 1 for size in shape)]
    return ends + [tuple(int(rng.integers(size)) for size in shape) for _ in range(count)]
