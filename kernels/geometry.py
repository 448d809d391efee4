"""Shape arithmetic that every implementation shares.

The letters, here and in all kernels:

====== ==========================================   ======= =================================
N      pictures in the batch                        KH, KW  height and width of the kernel
H, W   height and width of the input                SH, SW  strides
C      channels in                                  DH, DW  dilation: distance of kernel taps
F      filters, that is channels out                PH, PW  height and width of a pool window
G      groups                                       OH, OW  height and width of the output
====== ==========================================   ======= =================================

Arrays: x (N, H, W, C), w (KH, KW, C/G, F), y (N, OH, OW, F); gx, gw and gy are their gradients.
"""

from __future__ import annotations

import math

import numpy as np

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

# Cells of a pooling window, at most, where a byte can say which of them won.
MOST_CELLS = 256


def winner_dtype(pool_size: Pair) -> np.dtype:
    """The dtype of winners' places in windows of this size."""
    return np.dtype(np.uint8 if math.prod(pool_size) <= MOST_CELLS else np.int32)


def effective_size(kernel: int, dilation: int) -> int:
    """Rows from the first to the last tap of a dilated kernel: ``dilation * (kernel - 1) + 1``."""
    return dilation * (kernel - 1) + 1


def output_size(size: int, kernel: int, stride: int, pads: Pair, dilation: int = 1) -> int:
    """Windows that fit: ``(size + before + after - dilation*(kernel - 1) - 1) // stride + 1``.

    >>> output_size(28, 5, 1, (2, 2)), output_size(4, 3, 3, (1, 1)), output_size(5, 2, 2, (0, 1))
    (28, 2, 3)
    """
    return (size + sum(pads) - effective_size(kernel, dilation)) // stride + 1


def output_sizes(sizes: Pair, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """(OH, OW) for (H, W); see `output_size`."""
    oh, ow = (output_size(*axis) for axis in zip(sizes, kernel, strides, padding, dilation, strict=True))
    return oh, ow
