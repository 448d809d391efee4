"""Matrix products."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cupy
import numpy as np

from ..dispatch import tf32_is_used
from ..floats import is_half
from ..geometry import Pair
from .arrays import Array, contiguous, floating, launch, on_device, wide
from .loading import KEPT, REAL, Kernels

# (type, arithmetic, tile, numbers copied at once)
_HOW = [
    (*how, *tile) for how in (("float", "Tensor"), ("float", "Exact"), ("Half", "Tensor"), ("BFloat", "Tensor"))
    for tile in ((128, 4), (64, 4), (64, 1))
]  # fmt: skip
# Whether a and b have k as their fast axis.
_LAYOUTS = [(a, b) for a in ("true", "false") for b in ("true", "false")]
_multiply = Kernels(
    "matrices.cu", "multiply",
    combinations=[(*how, *layout) for how in (*_HOW, ("double", "Exact", 64, 1)) for layout in _LAYOUTS],
)  # fmt: skip
_add_parts = Kernels("matrices.cu", "add_parts", KEPT)

LARGE, SMALL, NARROW = (128, 128), (64, 64), (128, 32)
# As many blocks as should at least be at work; a power of two near what large devices hold. Not the device's own
# number: the bits of a result must not depend on it.
WANTED_BLOCKS = 256
# The steps of a sum that are worth a block of their own.
SHORTEST_PART = 256
# Ten times the compute capability from which on tensor cores multiply such numbers.
MULTIPLIED_FROM = {"float16": 75, "bfloat16": 80}


@cupy.memoize(for_each_device=True)
def capability() -> int:
    """Ten times the device's compute capability."""
    return int(cupy.cuda.Device().compute_capability)


def arithmetic(operation: str, dtype: np.dtype) -> str:
    """How product.cuh multiplies: "Tensor" where float32 may be rounded to TF32 on the way, else "Exact".

    Tensor cores multiply TF32 and bfloat16 from compute capability 8.0 on, and float16 from 7.5 on.

    Raises:
        TypeError: float16 or bfloat16 on an older device; the message says what runs there.
    """
    if is_half(dtype):
        needed = MULTIPLIED_FROM[dtype.name]
        if capability() < needed:
            raise TypeError(
                f"{operation}: {dtype.name} needs a GPU of compute capability {needed / 10} or more, this one has "
                f"{capability() / 10}; use {'float16 or ' if capability() >= MULTIPLIED_FROM['float16'] else ''}float32"
            )
        return "Tensor"
    return "Tensor" if dtype == np.float32 and tf32_is_used() and capability() >= 80 else "Exact"


class Cut(NamedTuple):
    """How a product is shared among blocks."""

    tile: Pair  # rows and columns that a block makes
    blocks: Pair
    parts: int  # of the sum over k

    @property
    def threads(self) -> tuple[int]:
        """Threads to a block: THREADS_FOR of product.cuh."""
        return (256 if math.prod(self.tile) > 64 * 64 else 128,)


def tiled(rows: int, columns: int, tile: Pair, parts: int = 1) -> Cut:
    """A product in tiles of this size."""
    return Cut(tile, (-(-rows // tile[0]), -(-columns // tile[1])), parts)


@lru_cache(maxsize=4096)
def cut(rows: int, columns: int, depth: int, vector: int, groups: int = 1, narrow: bool = False) -> Cut:
    """Large tiles read memory less often; where there are too few of them, the sums over k are cut up.

    Args:
        rows, columns, depth: of one of `groups` products.
        vector: numbers copied at once.
        narrow: whether there are tiles for few columns.
    """
    how = tiled(rows, columns, LARGE)
    if vector != 4 or math.prod(how.blocks) * groups < WANTED_BLOCKS // 2:
        how = tiled(rows, columns, NARROW if narrow and columns <= NARROW[1] else SMALL)
    parts = min(WANTED_BLOCKS // max(math.prod(how.blocks) * groups, 1), depth // SHORTEST_PART)
    return how._replace(parts=max(parts, 1))


class Operand(NamedTuple):
    """A matrix as a kernel takes it."""

    array: Array
    step: int  # from one of its lines to the next
    along_k: str  # "true" where the lines run along k


def _operand(array: Array, dtype: np.dtype, k_axis: int) -> Operand:
    """A matrix with either axis fast as it is; any other is copied."""
    item = dtype.itemsize
    array = on_device(array).astype(dtype, copy=False)
    for fast in (k_axis, 1 - k_axis):
        lines = array.strides[1 - fast]
        if array.strides[fast] == item and lines % item == 0 and lines >= array.shape[fast] * item:
            return Operand(array, lines // item, str(fast == k_axis).lower())
    return Operand(contiguous(array, dtype), array.shape[1], str(k_axis == 1).lower())


def is_aligned(*arrays: Array) -> bool:
    """Whether 16 bytes may be read at once from where the arrays begin."""
    return all(array.data.ptr % 16 == 0 for array in arrays)


def matmul(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """See `minicnn.kernels.matmul`."""
    dtype = floating("matmul", a, half=True)
    (M, K), N = a.shape, b.shape[1]
    out = cupy.empty((M, N), dtype) if out is None else out
    bias = None if bias is None else contiguous(bias, wide(dtype))
    if not out.size:
        return out
    if not K:
        out[...] = 0 if bias is None else bias
        return out
    left, right = _operand(a, dtype, 1), _operand(b, dtype, 0)
    lines = K if left.along_k == "true" else M, K if right.along_k == "true" else N
    whole = all(number % 4 == 0 for number in (*lines, left.step, right.step))
    vector = 4 if dtype.itemsize <= 4 and whole and is_aligned(left.array, right.array) else 1
    how = cut(M, N, K, vector)
    # What is summed is wide; what is to be kept in 16 bits is rounded afterwards.
    at_once = how.parts == 1 and out.dtype == wide(dtype)
    target, added = (out, bias) if at_once else (cupy.empty((how.parts, M, N), wide(dtype)), None)
    kernel = _multiply[
        REAL[dtype], arithmetic("matmul", dtype), how.tile[0], vector, left.along_k, right.along_k
    ]
    sizes = np.int32(M), np.int32(N), np.int32(K)
    kernel(
        (*how.blocks, how.parts), how.threads,
        (left.array, np.int64(left.step), right.array, np.int64(right.step), added, target, *sizes),
    )  # fmt: skip
    return out if at_once else add_parts(target, out, bias)


def add_parts(parts: Array, out: Array | None = None, bias: Array | None = None) -> Array:
    """Sum an array over its first axis, in order, into `out`; a bias goes along the last axis."""
    if out is None and len(parts) == 1:
        return parts[0]
    out = cupy.empty(parts.shape[1:], parts.dtype) if out is None else out
    launch(
        _add_parts[REAL[out.dtype]], out.size, parts, bias, out, np.int64(out.size), np.int32(len(parts)),
        np.int32(out.shape[-1]),
    )  # fmt: skip
    return out
