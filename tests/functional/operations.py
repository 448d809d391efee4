"""The table of all differentiable operations: one line here, and the operation is gradchecked, mutated and typed.

`call` takes tensors or arrays; `draw` makes float64 arrays for it that stay away from kinks and ties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minicnn.functional as F

Generator = np.random.Generator


@dataclass(frozen=True)
class Operation:
    """What to call, and a drawer for each of its inputs."""

    call: Callable[..., Any]
    draw: tuple[Callable[[Generator], np.ndarray], ...]

    def inputs(self, dtype: str = "float64", seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [draw(generator).astype(dtype) for draw in self.draw]


def normal(*shape: int) -> Callable[[Generator], np.ndarray]:
    return lambda generator: generator.standard_normal(shape)


def positive(*shape: int) -> Callable[[Generator], np.ndarray]:
    return lambda generator: 0.5 + generator.random(shape)


def distinct(*shape: int) -> Callable[[Generator], np.ndarray]:
    """All elements differ by at least a seventh, and none is zero: no maximum ties, no kink at zero."""

    def draw(generator: Generator) -> np.ndarray:
        count = int(np.prod(shape))
        return (generator.permutation(count).reshape(shape) - count // 2 + 0.5) / 7

    return draw


def op(call: Callable[..., Any], *draw: Callable[[Generator], np.ndarray]) -> Operation:
    return Operation(call, draw)


MASK = np.array([[True, False, True], [False, False, True]])
ROWS = np.array([0, 2, 0])

OPERATIONS: dict[str, Operation] = {
    # arithmetic
    "abs": op(F.abs, distinct(2, 3)),
    "add": op(F.add, normal(2, 3), normal(3)),
    "add to a column": op(F.add, normal(2, 1), normal(1, 3)),
    "clip": op(lambda x: F.clip(x, -0.3, 0.3), distinct(2, 3)),
    "clip from below": op(lambda x: F.clip(x, 0.01, None), distinct(2, 3)),
    "divide": op(F.divide, normal(3, 1), positive(4)),
    "divide a number": op(lambda x: F.divide(2.0, x), positive(4)),
    "exp": op(F.exp, normal(2, 3)),
    "log": op(F.log, positive(2, 3)),
    "maximum": op(F.maximum, distinct(2, 4), lambda g: 0.05 + np.zeros((4,))),
    "minimum": op(F.minimum, distinct(2, 4), lambda g: 0.05 + np.zeros((2, 1))),
    "multiply": op(F.multiply, normal(2, 1, 3), normal(4, 1)),
    "negative": op(F.negative, normal(3)),
    "power": op(F.power, positive(3), normal(2, 3)),
    "power of a whole number": op(lambda x: F.power(x, 3), normal(4)),
    "power of a number": op(lambda x: F.power(2.0, x), normal(4)),
    "sqrt": op(F.sqrt, positive(2, 3)),
    "square": op(F.square, normal(2, 3)),
    "subtract": op(F.subtract, normal(3), normal(2, 3)),
    "subtract from a number": op(lambda x: F.subtract(1.0, x), normal(3)),
    "where": op(lambda a, b: F.where(MASK, a, b), normal(3), normal(2, 1)),
    # activations and losses
    "elu": op(lambda x: F.elu(x, 0.7), distinct(3, 4)),
    "erf": op(F.erf, normal(3, 2)),
    "gelu": op(F.gelu, normal(3, 2)),
    "gelu, approximate": op(lambda x: F.gelu(x, approximate=True), normal(3, 2)),
    "leaky_relu": op(lambda x: F.leaky_relu(x, 0.3), distinct(3, 4)),
    "log_softmax": op(F.log_softmax, normal(3, 4)),
    "log_softmax along another axis": op(lambda x: F.log_softmax(x, axis=1), normal(2, 4, 3)),
    "logsumexp": op(F.logsumexp, normal(3, 4)),
    "logsumexp along another axis": op(lambda x: F.logsumexp(x, axis=0, keepdims=True), normal(3, 4)),
    "relu": op(F.relu, distinct(3, 4)),
    "sigmoid": op(F.sigmoid, normal(3, 4)),
    "sigmoid_cross_entropy": op(F.sigmoid_cross_entropy, distinct(3, 4), normal(3, 4)),
    "softmax": op(F.softmax, normal(3, 4)),
    "softmax along another axis": op(lambda x: F.softmax(x, axis=1), normal(2, 4, 3)),
    "softmax_cross_entropy": op(F.softmax_cross_entropy, normal(3, 4), positive(3, 4)),
    "softmax_cross_entropy of a map": op(F.softmax_cross_entropy, normal(2, 2, 4), positive(2, 2, 4)),
    "softmax_cross_entropy_with_probabilities": op(
        F.softmax_cross_entropy_with_probabilities, normal(3, 4), positive(3, 4)
    ),
    "softplus": op(F.softplus, distinct(3, 4)),
    "tanh": op(F.tanh, normal(3, 4)),
    # convolution
    "col2im": op(lambda x: F.col2im(x, (2, 3, 4, 2), 2, padding=((1, 0), (0, 0))), normal(18, 8)),
    "conv2d": op(F.conv2d, normal(2, 4, 5, 2), normal(3, 2, 2, 3), normal(3)),
    "conv2d without a bias": op(F.conv2d, normal(1, 3, 3, 2), normal(2, 2, 2, 2)),
    "conv2d by Winograd, 3x3": op(
        lambda x, w, b: F.conv2d(x, w, b, padding=1, algorithm="winograd"),
        normal(2, 5, 4, 2), normal(3, 3, 2, 3), normal(3),
    ),
    "conv2d by Winograd, 5x5": op(
        lambda x, w, b: F.conv2d(x, w, b, padding=((2, 1), (0, 2)), algorithm="winograd"),
        normal(1, 6, 5, 2), normal(5, 5, 2, 2), normal(2),
    ),
    "conv2d with everything": op(
        lambda x, w, b: F.conv2d(
            x, w, b, strides=(2, 1), padding=((0, 2), (1, 0)), dilation_rate=(1, 2), groups=2
        ),
        normal(2, 6, 7, 4), normal(3, 2, 2, 6), normal(6),
    ),
    "conv2d_transpose": op(
        lambda x, w, b: F.conv2d_transpose(x, w, b, strides=2, padding="same"),
        normal(2, 3, 4, 3), normal(3, 3, 2, 3), normal(2),
    ),
    "convolve2d": op(F.convolve2d, normal(5, 6), normal(3, 2)),
    "convolve2d of channels": op(lambda x, k: F.convolve2d(x, k, "same"), normal(4, 5, 3), normal(2, 3)),
    "im2col": op(lambda x: F.im2col(x, 3, strides=2, padding="same"), normal(2, 5, 5, 2)),
    # pooling
    "avg_pool2d": op(lambda x: F.avg_pool2d(x, 3, strides=2, padding="same"), normal(2, 6, 5, 3)),
    "global_avg_pool2d": op(F.global_avg_pool2d, normal(2, 3, 3, 2)),
    "global_max_pool2d": op(F.global_max_pool2d, distinct(2, 3, 3, 2)),
    "max_pool2d": op(lambda x: F.max_pool2d(x, 3, strides=2, padding="same"), distinct(2, 6, 5, 3)),
    # matrices
    "dense": op(F.dense, normal(3, 4), normal(4, 5), normal(5)),
    "dense on a map": op(F.dense, normal(2, 3, 4), normal(4, 5)),
    "matmul": op(F.matmul, normal(3, 4), normal(4, 2)),
    "matmul of stacks": op(F.matmul, normal(2, 1, 3, 4), normal(2, 4, 2)),
    "matmul with vectors": op(lambda a, b: F.matmul(F.matmul(a, b), a), normal(4), normal(4, 4)),
    # normalisation and dropout
    "batch_norm": op(F.batch_norm, normal(2, 2, 2, 3), normal(3), normal(3), normal(3), positive(3)),
    "batch_norm_training": op(F.batch_norm_training, normal(4, 2, 2, 3), normal(3), normal(3)),
    "batch_norm_training along another axis": op(
        lambda x, g, b: F.batch_norm_training(x, g, b, axis=1), normal(4, 3, 2, 2), normal(3), normal(3)
    ),
    "dropout": op(lambda x: F.dropout(x, 0.4, key=1), normal(4, 5)),
    "local_response_normalization": op(lambda x: F.local_response_normalization(x, 2), normal(2, 2, 2, 7)),
    # reductions
    "max": op(lambda x: F.max(x, axis=1), distinct(3, 4)),
    "mean": op(lambda x: F.mean(x, axis=(0, 2), keepdims=True), normal(2, 3, 4)),
    "mean of all": op(F.mean, normal(3, 4)),
    "min": op(lambda x: F.min(x, axis=(0, 2)), distinct(2, 3, 2)),
    "sum": op(lambda x: F.sum(x, axis=1), normal(2, 3, 4)),
    "sum of all": op(F.sum, normal(3, 4)),
    "sum over all but the channels": op(lambda x: F.sum(x, axis=(0, 1)), normal(2, 3, 4)),
    # shape
    "broadcast_to": op(lambda x: F.broadcast_to(x, (4, 2, 3)), normal(2, 1)),
    "cast": op(lambda x: F.cast(F.cast(x, np.longdouble), x.dtype), normal(2, 3)),
    "concatenate": op(lambda a, b: F.concatenate([a, b], axis=1), normal(2, 3), normal(2, 1)),
    "flatten": op(F.flatten, normal(2, 3, 2)),
    "index": op(lambda x: F.index(x, (slice(1, None), ..., 0)), normal(3, 2, 2)),
    "index with repeated rows": op(lambda x: F.index(x, (ROWS, slice(1, None))), normal(3, 4)),
    "index with a mask": op(lambda x: F.index(x, MASK), normal(2, 3)),
    "pad": op(lambda x: F.pad(x, [(1, 0), (0, 2)], value=3.0), normal(2, 3)),
    "reshape": op(lambda x: F.reshape(x, 3, -1), normal(2, 6)),
    "stack": op(lambda a, b: F.stack([a, b], axis=1), normal(2, 3), normal(2, 3)),
    "sum_to": op(lambda x: F.sum_to(x, (2, 1)), normal(4, 2, 3)),
    "transpose": op(lambda x: F.transpose(x, (2, 0, 1)), normal(2, 3, 4)),
    "transpose all": op(F.transpose, normal(2, 3)),
}  # fmt: skip

# What minicnn.functional offers that has no gradient.
WITHOUT_GRADIENT = {"im2col_bytes", "one_hot", "sign"}


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]
