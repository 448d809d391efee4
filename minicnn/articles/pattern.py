"""The pattern that Besbes' article gives for networks: [[CONV, RELU] x N, POOL] x M, [FC, RELU] x K, FC."""

from __future__ import annotations

from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.models import Sequential


def pattern(
    n: int,
    m: int,
    k: int,
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    filters: int = 16,
    units: int = 64,
    classes: int = 10,
    kernel_size: int = 3,
) -> Sequential:
    """A network of the pattern: m times (n convolutions with ReLU, one pooling), k dense layers with ReLU, a softmax.

    Args:
        n: convolutions before each pooling, at least 1.
        m: poolings of 2x2; the filters double after each, as is usual. 0 for a network without convolutions.
        k: hidden dense layers.
        input_shape: (H, W, C) of a picture.
        filters: of the first convolutions. units: of each hidden dense layer. classes: of the softmax.
        kernel_size: of every convolution; "same" padding.

    Returns:
        Pictures (N, H, W, C) to class probabilities (N, classes).

    Raises:
        ValueError: n below 1, m or k below 0, or more poolings than the picture has room for.

    >>> [layer.name.split("_")[0] for layer in pattern(2, 1, 1).layers]
    ['conv2d', 'conv2d', 'max', 'flatten', 'dense', 'dense']
    """
    H, W, _ = input_shape
    for name, value, least in (("n", n, 1), ("m", m, 0), ("k", k, 0)):
        if value < least:
            raise ValueError(f"pattern: {name} must be at least {least}, got {value!r}")
    if min(H, W) < 2**m:
        raise ValueError(f"pattern: m = {m} poolings halve a side {m} times, but input_shape is {input_shape}")
    model = Sequential(name=f"pattern-{n}-{m}-{k}")
    model.add(Input(input_shape))
    for stage in range(m):
        for _ in range(n):
            model.add(Conv2D(filters * 2**stage, kernel_size, padding="same", activation="relu"))
        model.add(MaxPooling2D(2))
    model.add(Flatten())
    for _ in range(k):
        model.add(Dense(units, activation="relu"))
    model.add(Dense(classes, activation="softmax"))
    return model
