"""The contract of `minicnn.kernels` on the processor's vector units, compiled by Numba at first use.

`vectors` emits vector instructions and `simd` makes the multiply-add loop of them; `moving`, `panels` and `windows`
bring matrices and pictures before it; `convolution` and `matrices` are made of them, and `blocks` fuses convolutions
with what follows them. Where it pays (`algorithms`), `winograd` and `winograd_gradient` do convolutions with fewer
multiplications; `transforms` has their vector code. `threads` shares tiles among cores, `memory` reuses buffers,
`cache` compiles and keeps machine code, and `program` calls recorded kernels again without Python in between. `samples`
and `moving_average` are beside the contract: what the modules of those names in `minicnn.kernels` do, compiled.
"""

from __future__ import annotations

from .blocks import conv2d_block, conv2d_block_gradients
from .convolution import conv2d, conv2d_input_gradient, conv2d_kernel_gradient
from .elementwise import (
    erf,
    relu,
    relu_gradient,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_gradient,
    sum_rows,
)
from .matrices import dense_block, dense_block_gradients, matmul
from .memory import empty
from .moving_average import move_average
from .normalization import batch_moments, batch_norm, batch_norm_gradients
from .optimizer import adagrad_step, adam_step, rmsprop_step, sgd_step
from .pooling import avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gather, max_pool2d_gradient
from .random import dropout_mask
from .samples import is_finite, one_hot, take_rows
from .threads import get_num_threads, set_num_threads
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
    "empty",
    "erf",
    "get_num_threads",
    "is_finite",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_gradient",
    "move_average",
    "one_hot",
    "relu",
    "relu_gradient",
    "rmsprop_step",
    "set_num_threads",
    "sgd_step",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "sum_rows",
    "take_rows",
]
