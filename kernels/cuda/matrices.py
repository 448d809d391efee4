"""Matrix products."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cupy
import numpy as np

from ..floats import is_half
from ..geometry import Pair
from ..tf32 import tf32_is_used
from .arrays import Array, contiguous, floating, is_aligned, on_device, wide
from .loading import KEPT, REAL, Kernels

# Tiles, by rows and columns.
LARGE, MEDIUM, NARROW, SMALL = (128, 64), (64, 64), (128, 32), (32, 32)
# (type, arithmetic, numbers copied at once) and the tiles that there are for it, the largest first.
_TILES: dict[tuple[str, str, int], tuple[Pair, ...]] = {
    **{(real, "Tensor", 4): (LARGE, MEDIUM, SMALL) for real in ("float", "Half", "BFloat")},
    **{(real, "Tensor", 1): (SMALL,) for real in ("float", "Half", "BFloat")},
    ("float", "Exact", 4): (LARGE, SMALL), ("float", "Exact", 1): (SMALL,), ("double", "Exact", 1): (SMALL,),
}  # fmt: skip
# Whether a and b have k as their fast axis.
_LAYOUTS = [(a, b) for a in ("true", "false") for b in ("true", "false")]
_multiply = Kernels(
    "matrices.cu", "multiply",
    combinations=[
        (real, *tile, vector, arithmetic, *layout) for (real, arithmetic, vector), tiles in _TILES.items()
        for tile in tiles for layout in _LAYOUTS
    ],
)  # fmt: skip
_add_parts = Kernels("matrices.cu", "add_parts", KEPT)

# Threads of a block that makes a tile, and as matrices.cu has it, of one that adds parts.
THREADS, ADDERS = (128,), 256
# Not made to the measure of the device at hand: the bits of a result must not depend on it. How many sums all tiles at
# work should have together, where sums can be cut up; and of tiles that have S sums there must be S / FOR_ONE_TILE: the
# last of large ones are waited for long.
WANTED_SUMS, FOR_ONE_TILE = 1 << 21, 32
# Blocks along the second axis of a grid, on every device: here, tiles side by side.
MOST_ABREAST = (1 << 16) - 1
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


@lru_cache(maxsize=4096)
def cut(rows: int, columns: int, depth: int, tiles: tuple[Pair, ...], groups: int = 1) -> Cut:
    """Large tiles read memory less often; too few of them, or too large ones, leave processors idle.

    Args:
        rows, columns, depth: of one of `groups` products; a depth of 0 is not cut up.
        tiles: those to choose from, the largest first. One that makes half as many sums again as the smallest do, those
            beyond the edges included, is too large.
    """
    most_parts = max(depth // SHORTEST_PART, 1)
    for tile in tiles:
        blocks = -(-rows // tile[0]), -(-columns // tile[1])
        at_work, sums = math.prod(blocks) * groups, math.prod(tile)
        is_full = math.prod(blocks) * sums <= 1.5 * _padded(rows, columns, tiles[-1])
        if tile == tiles[-1] or (is_full and at_work * most_parts * FOR_ONE_TILE >= sums):
            break
    return Cut(tile, blocks, max(1, min(WANTED_SUMS // max(at_work * sums, 1), most_parts)))


def _padded(rows: int, columns: int, tile: Pair) -> int:
    """The numbers that tiles of this size make, those beyond the edges included."""
    return -(-rows // tile[0]) * tile[0] * -(-columns // tile[1]) * tile[1]


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


def matmul(a: Array, b: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """See `minicnn.kernels.matmul`."""
    return multiply(a, b, bias, out)


def multiply(
    a: Array, b: Array, bias: Array | None = None, out: Array | None = None, activation: int = 0, alpha: float = 1.0
) -> Array:
    """activation(a b + bias), to `out`, which is of a's dtype or, without bias and activation, of the wide one."""
    dtype = floating("matmul", a, half=True)
    (M, K), N = a.shape, b.shape[1]
    out = cupy.empty((M, N), dtype) if out is None else out
    bias = None if bias is None else contiguous(bias, wide(dtype))
    last = np.int32(activation), wide(dtype).type(alpha)
    if not out.size:
        return out
    if not K:
        return add_parts(cupy.zeros((1, M, N), wide(dtype)), out, bias, *last)
    left, right = _operand(a, dtype, 1), _operand(b, dtype, 0)
    lines = K if left.along_k == "true" else M, K if right.along_k == "true" else N
    whole = all(number % 4 == 0 for number in (*lines, left.step, right.step))
    whole = whole and is_aligned(left.array) and is_aligned(right.array)
    vector = 4 if dtype.itemsize <= 4 and whole else 1
    real, how = REAL[dtype], arithmetic("matmul", dtype)
    plan = cut(M, N, K, _TILES[real, how, vector])
    if plan.blocks[1] > MOST_ABREAST:
        raise ValueError(f"matmul: {N:,} columns are too many for the cuda kernels when there are {M:,} rows")
    parts = None
    if plan.parts > 1:
        parts = cupy.empty((plan.parts, M, N), wide(dtype))
    elif out.dtype != dtype:
        parts = out
    kernel = _multiply[real, plan.tile[0], plan.tile[1], vector, how, left.along_k, right.along_k]
    sizes = np.int32(M), np.int32(N), np.int32(K)
    kernel(
        (*plan.blocks, plan.parts), THREADS,
        (left.array, np.int32(left.step), right.array, np.int32(right.step), bias,
         out if parts is None else None, parts, *sizes, *last),
    )  # fmt: skip
    return add_parts(parts, out, bias, *last) if plan.parts > 1 else out


def add_parts(
    parts: Array, out: Array | None = None, bias: Array | None = None, activation: int = 0, alpha: float = 1.0
) -> Array:
    """activation(the sum over the first axis, in order, + bias along the last axis), to `out`."""
    if out is None and len(parts) == 1:
        return parts[0]
    out = cupy.empty(parts.shape[1:], parts.dtype) if out is None else out
    lines = 1 if len(parts) <= 16 else 8 if len(parts) <= 256 else 32
    _add_parts[REAL[out.dtype]](
        (-(-out.size * lines // ADDERS),), (ADDERS,),
        (parts, bias, out, np.int64(out.size), np.int32(len(parts)), np.int32(out.shape[-1]), np.int32(lines),
         np.int32(activation), wide(out.dtype).type(alpha)),
    )  # fmt: skip
    return out
