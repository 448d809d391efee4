"""The contract of `minicnn.kernels` on the processor's vector units, compiled by Numba at first use."""

from __future__ import annotations

from ..reference import (
    adagrad_step,
    adam_step,
    avg_pool2d,
    avg_pool2d_gradient,
    dropout_mask,
    erf,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_gradient,
    relu,
    relu_gradient,
    rmsprop_step,
    sgd_step,
    softmax,
    softmax_cross_entropy,
    sum_rows,
)
from .convolution import conv2d, conv2d_input_gradient, conv2d_kernel_gradient
from .matmul import matmul
from .threads import get_num_threads, set_num_threads

__all__ = [
    "adagrad_step",
    "adam_step",
    "avg_pool2d",
    "avg_pool2d_gradient",
    "conv2d",
    "conv2d_input_gradient",
    "conv2d_kernel_gradient",
    "dropout_mask",
    "erf",
    "get_num_threads",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_gradient",
    "relu",
    "relu_gradient",
    "rmsprop_step",
    "set_num_threads",
    "sgd_step",
    "softmax",
    "softmax_cross_entropy",
    "sum_rows",
]
