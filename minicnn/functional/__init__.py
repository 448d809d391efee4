"""Differentiable operations on tensors, and on plain arrays: plain arrays in, plain arrays out, nothing taped.

Pictures are NHWC, kernels HWIO (KH, KW, C/groups, F). To add an operation, write a `Function` with `forward` and
`backward` and a thin function below it in the module where it belongs, and export it here.

`minicnn.functional.fused` holds what models use on their own: convolution, activation and pooling in one pass.
"""

from __future__ import annotations

from . import operators as _operators  # noqa: F401 - attaches the operators to Tensor
from .activations import (
    elu,
    erf,
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_with_probabilities,
    softplus,
    tanh,
)
from .arithmetic import (
    abs,
    add,
    clip,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sign,
    sqrt,
    square,
    subtract,
    where,
)
from .convolution import col2im, conv2d, conv2d_transpose, convolve2d, im2col, im2col_bytes
from .dropout import dropout
from .linear import dense, matmul
from .normalization import batch_norm, batch_norm_training, local_response_normalization
from .pooling import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d
from .reductions import max, mean, min, sum
from .shaping import (
    broadcast_to,
    cast,
    concatenate,
    flatten,
    index,
    one_hot,
    pad,
    reshape,
    stack,
    sum_to,
    transpose,
)

__all__ = [
    "abs",
    "add",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_training",
    "broadcast_to",
    "cast",
    "clip",
    "col2im",
    "concatenate",
    "conv2d",
    "conv2d_transpose",
    "convolve2d",
    "dense",
    "divide",
    "dropout",
    "elu",
    "erf",
    "exp",
    "flatten",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "im2col",
    "im2col_bytes",
    "index",
    "leaky_relu",
    "local_response_normalization",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "one_hot",
    "pad",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "sigmoid_cross_entropy",
    "sign",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_probabilities",
    "softplus",
    "sqrt",
    "square",
    "stack",
    "subtract",
    "sum",
    "sum_to",
    "tanh",
    "transpose",
    "where",
]
