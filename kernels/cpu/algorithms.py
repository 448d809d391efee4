"""Which algorithm a convolution takes: a function of its shape and dtype alone, so that results repeat everywhere.

Winograd's algorithm saves multiplications and pays for it with transforms. In multiply-adds of the direct algorithm one
call costs about

    direct      N * OH*OW * r*r * C*F
    winograd    N * tiles * n*n * (C*F + TRANSFORM * (C + F))  +  KERNEL * n*n * C*F  +  CALL

so few channels or filters make the transforms dear, small pictures waste parts of tiles (14 rows are 4 tiles of 4),
and a small batch repays neither the transformed kernel nor the calls that make it. The constants were fitted to
measurements, which `python -m benchmarks.algorithms` repeats.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..geometry import Pair
from ..winograd import Variant, obstacle
from .transforms import VARIANTS

# Multiply-adds in the time that it takes to transform one number, in or out, and to move it about.
TRANSFORM = 20
# The same for one number of the transformed kernel.
KERNEL = 40
# The same for the calls behind the transformed kernel.
CALL = 8_000_000
# With fewer channels or filters the transforms seldom pay, and the direct algorithm has ways of its own.
FEWEST = 16
# What Winograd must be ahead by, to be worth its rounding.
MARGIN = 1.15


def multiplications(variant: Variant, output: Pair) -> int:
    """For each picture, channel and filter."""
    return math.prod(-(-size // variant.outputs) for size in output) * variant.size**2


def pays(variant: Variant, images: int, output: Pair, channels: int, filters: int) -> bool:
    """Whether Winograd is ahead of the direct algorithm; see the module.

    >>> from minicnn.kernels.winograd import F43
    >>> pays(F43, 32, (28, 28), 32, 32), pays(F43, 32, (28, 28), 1, 32), pays(F43, 1, (8, 8), 128, 128)
    (True, False, False)
    """
    if min(channels, filters) < FEWEST:
        return False
    products, transforms = channels * filters, TRANSFORM * (channels + filters)
    tiles = images * multiplications(variant, output) * (products + transforms)
    winograd = tiles + KERNEL * variant.size**2 * products + CALL
    return winograd * MARGIN < images * math.prod(output) * variant.taps**2 * products


@lru_cache(maxsize=1024)
def choose_variant(
    algorithm: str, images: int, output: Pair, channels: int, filters: int, kernel_size: Pair, strides: Pair,
    dilation: Pair, groups: int, dtype: np.dtype,
) -> Variant | None:  # fmt: skip
    """The variant of Winograd's algorithm that computes an output of this size, or None for the direct algorithm.

    Of those for this kernel, the one with the fewest multiplications. "auto" takes it only in float32: who computes in
    float64 wants digits.
    """
    if algorithm == "direct" or obstacle(kernel_size, strides, dilation, groups):
        return None
    fitting = [variant for variant in VARIANTS if variant.taps == kernel_size[0]]
    variant = min(fitting, key=lambda variant: multiplications(variant, output))
    if algorithm == "winograd":
        return variant
    return variant if dtype == np.float32 and pays(variant, images, output, channels, filters) else None
