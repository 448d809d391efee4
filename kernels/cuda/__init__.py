"""The contract of `minicnn.kernels` on NVIDIA GPUs: CUDA C++ in the `.cu` files beside this one, launched by CuPy.

`product.cuh` is the heart: tiles of matrices, multiplied on the tensor cores or exactly, whose operands need not exist
as matrices; `convolution.cu` and `matrices.cu` are made of it. `direct.cu` serves convolutions in thin groups;
`columns.cu`, `pooling.cu`, `elementwise.cu`, `softmax.cu`, `optimizer.cu` and `warping.cu` the rest; `samples.cu` puts
batches together. The modules of Python beside them work out shapes and launch.

Nothing adds with atomics: a result is gathered by the one thread that owns it, or summed in parts that are added in
their order. So the same input gives the same bits, on any device of the same kind of arithmetic.
"""

from __future__ import annotations

from .columns import batch_moments, batch_norm, batch_norm_gradients, sum_rows
from .convolution import (
    conv2d,
    conv2d_block,
    conv2d_block_gradients,
    conv2d_input_gradient,
    conv2d_kernel_gradient,
    dense_block,
    dense_block_gradients,
)
from .elementwise import (
    dropout_mask,
    erf,
    relu,
    relu_gradient,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_gradient,
)
from .matrices import matmul
from .optimizer import adagrad_step, adam_step, rmsprop_step, sgd_step
from .pooling import avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gather, max_pool2d_gradient
from .samples import one_hot, take_rows
from .warping import affine_warp

__all__ = [
    "adagrad_step",
    "adam_step",
    "affine_warp",
    "avg_pool2d",
    "avg_pool2d_gradient",
    "batch_moments",
    "batch_norm",
    "batch_norm_gradients",
    "conv2d",
    "conv2d_block",
    "conv2d_block_gradients",
    "conv2d_input_gradient",
    "conv2d_kernel_gradient",
    "dense_block",
    "dense_block_gradients",
    "dropout_mask",
    "erf",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_gradient",
    "one_hot",
    "relu",
    "relu_gradient",
    "rmsprop_step",
    "sgd_step",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "sum_rows",
    "take_rows",
]
