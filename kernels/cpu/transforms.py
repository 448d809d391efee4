"""The transforms of Winograd's convolution, B^T d B and A^T s A, as vector instructions.

Bias and 2x2 max pooling follow A^T s A while the numbers are still in registers. The transforms are written out for a
vector of channels at a time, from the exact matrices of `minicnn.kernels.winograd`: zeros cost nothing, ones an
addition. Points come in pairs p, -p, so rows of B^T come in pairs too, that differ only in the sign of their odd
powers; even and odd parts are worked out once, then added and subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .. import winograd
from ..winograd import Rows, Variant
from .vectors import (
    INT64,
    VECTOR_BYTES,
    Vectors,
    cases_of,
    copy_pieces,
    element_bytes,
    emitted,
    origin,
)

INT8 = ir.IntType(8)
Row = Sequence[Fraction]
# What compiled code calls the variants: their places here.
VARIANTS = (winograd.F23, winograd.F43, winograd.F25, winograd.F45)
# B^T depends on the side of the tile alone.
SIZES = {variant.size: variant for variant in VARIANTS}


class _Algebra:
    """Emits sums of vectors with constant coefficients."""

    def __init__(self, builder: ir.IRBuilder, simd: Vectors) -> None:
        self.builder, self.simd = builder, simd

    def _constant(self, value: Fraction) -> ir.Constant:
        return ir.Constant(self.simd.type, [float(value)] * self.simd.lanes)

    def _sum(self, coefficients: Row, values: Sequence[ir.Value]) -> ir.Value:
        terms = [(c, value) for c, value in zip(coefficients, values, strict=True) if c]
        # A term with coefficient 1 costs nothing to begin with.
        terms.sort(key=lambda term: term[0] != 1)
        (first, total), *rest = terms
        if first != 1:
            total = self.builder.fmul(self._constant(first), total)
        for c, value in rest:
            if c == 1:
                total = self.builder.fadd(total, value)
            elif c == -1:
                total = self.builder.fsub(total, value)
            else:
                total = self.simd.multiply_add(value, self._constant(c), total)
        return total

    def multiply(self, rows: Rows, values: Sequence[ir.Value]) -> list[ir.Value]:
        """The product of a constant matrix and a vector of vectors."""
        results: dict[int, ir.Value] = {}
        for i, row in enumerate(rows):
            if i in results:
                continue
            partner = next((k for k in range(i + 1, len(rows)) if _differ_in_signs(row, rows[k])), None)
            if partner is None:
                results[i] = self._sum(row, values)
                continue
            same = self._sum([a if a == b else Fraction(0) for a, b in zip(row, rows[partner], strict=True)], values)
            other = self._sum([a if a != b else Fraction(0) for a, b in zip(row, rows[partner], strict=True)], values)
            results[i] = self.builder.fadd(same, other)
            results[partner] = self.builder.fsub(same, other)
        return [results[i] for i in range(len(rows))]

    def nested(self, rows: Rows, tile: Sequence[Sequence[ir.Value]]) -> list[list[ir.Value]]:
        """rows @ tile @ rows^T."""
        columns = [self.multiply(rows, column) for column in zip(*tile, strict=True)]
        return [self.multiply(rows, row) for row in zip(*columns, strict=True)]


def _differ_in_signs(row: Row, other: Row) -> bool:
    """Whether the rows are e + o and e - o with neither e nor o zero."""
    pairs = [(a, b) for a, b in zip(row, other, strict=True) if a or b]
    return all(abs(a) == abs(b) for a, b in pairs) and any(a == b for a, b in pairs) and any(a != b for a, b in pairs)


def _transform(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value], cases: dict[int, tuple[Rows, int]]
) -> Any:
    """The code of the two transforms below, M d M^T: M and the side of d for each case of the first argument."""
    element_type, row_step, column_step = signature.args[1], args[3], args[4]
    simd = Vectors(
        builder, context.get_value_type(element_type.dtype), VECTOR_BYTES // element_bytes(context, element_type)
    )
    source = origin(context, builder, signature, args, 1, 2)
    target = origin(context, builder, signature, args, 5, 6)
    with cases_of(builder, args[0], tuple(cases)) as emitted_cases:
        for case in emitted_cases:
            matrix, side = cases[case]
            tile = []
            for i in range(side):
                row = builder.gep(source, [builder.mul(row_step, INT64(i))])
                tile.append([simd.load(builder.gep(row, [builder.mul(column_step, INT64(j))])) for j in range(side)])
            transformed = [value for line in _Algebra(builder, simd).nested(matrix, tile) for value in line]
            for e, value in enumerate(transformed):
                simd.store(value, builder.gep(target, [builder.mul(args[7], INT64(e))]))
    return context.get_dummy_value()


@emitted
def transform_input(typingctx, size, source, base, row_step, column_step, target, target_base, plane_step):
    """target[target_base + (i*n + j)*plane_step + k] = (B^T d B)[i, j] for one vector of k and tiles of n = `size`.

    d[i, j] = source[base + i*row_step + j*column_step + k]; all of its vectors must be readable.
    """
    cases = {size: (winograd.matrices(variant).BT, size) for size, variant in SIZES.items()}

    def codegen(context, builder, signature, args):
        return _transform(context, builder, signature, args, cases)

    i = types.intp
    return types.void(size, source, i, i, i, target, i, i), codegen


@emitted
def transform_cotangent(typingctx, variant, source, base, row_step, column_step, target, target_base, plane_step):
    """The adjoint of the output transform, A d A^T: as `transform_input`, from tiles of m x m to n x n.

    `variant` is a place in `VARIANTS`.
    """
    cases = {place: (winograd.matrices(variant).A, variant.outputs) for place, variant in enumerate(VARIANTS)}

    def codegen(context, builder, signature, args):
        return _transform(context, builder, signature, args, cases)

    i = types.intp
    return types.void(variant, source, i, i, i, target, i, i), codegen


class _Outputs:
    """Emits a tile's outputs, A^T s A + b, and stores those that lie inside the picture."""

    def __init__(self, context: Any, builder: ir.IRBuilder, source_type: Any) -> None:
        self.builder = builder
        self.element = context.get_value_type(source_type.dtype)
        self.lanes = VECTOR_BYTES // element_bytes(context, source_type)
        self.simd = Vectors(builder, self.element, self.lanes)

    def compute(
        self, variant: Variant, source: ir.Value, plane_step: ir.Value, bias: ir.Value
    ) -> list[list[ir.Value]]:
        n = variant.size
        planes = [self.builder.mul(plane_step, INT64(e)) for e in range(n * n)]
        sums = [self.simd.load(self.builder.gep(source, [plane])) for plane in planes]
        transposed = tuple(zip(*winograd.matrices(variant).A, strict=True))
        outputs = _Algebra(self.builder, self.simd).nested(transposed, [sums[i * n : (i + 1) * n] for i in range(n)])
        shift = self.simd.load(bias)
        return [[self.builder.fadd(y, shift) for y in row] for row in outputs]

    def first_largest(self, cells: Sequence[ir.Value]) -> tuple[ir.Value, ir.Value]:
        """The largest of some vectors, lane by lane, and which it was: as in `pooling.pool_vector`."""
        builder = self.builder
        numbers = ir.VectorType(INT8, self.lanes)
        best, winner = cells[0], ir.Constant(numbers, [0] * self.lanes)
        for i, value in enumerate(cells[1:], 1):
            wins = builder.and_(builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best))
            winner = builder.select(wins, ir.Constant(numbers, [i] * self.lanes), winner)
            best = builder.select(wins, value, best)
        return best, winner

    def store(
        self, grid: Sequence[Sequence[ir.Value]], cell: Callable[[ir.Value, ir.Value], ir.Value], rows: ir.Value,
        columns: ir.Value, count: ir.Value,
    ) -> None:  # fmt: skip
        """Store the first `rows` rows, `columns` columns and `count` lanes of a square of vectors."""
        builder, side, lanes = self.builder, len(grid), self.lanes
        element = grid[0][0].type.element
        whole = builder.and_(
            builder.and_(builder.icmp_signed(">=", rows, INT64(side)), builder.icmp_signed(">=", columns, INT64(side))),
            builder.icmp_signed(">=", count, INT64(lanes)),
        )
        staging = cgutils.alloca_once(builder, ir.ArrayType(element, side * side * lanes))
        staging = builder.bitcast(staging, element.as_pointer())
        cells = [(i, j, grid[i][j]) for i in range(side) for j in range(side)]
        with builder.if_else(whole) as (inside, on_the_edge):
            with inside:
                for i, j, vector in cells:
                    self._store(vector, cell(INT64(i), INT64(j)))
            with on_the_edge:
                for i, j, vector in cells:
                    self._store(vector, builder.gep(staging, [INT64((i * side + j) * lanes)]))
                rows, columns = (
                    builder.select(builder.icmp_signed("<", limit, INT64(side)), limit, INT64(side))
                    for limit in (rows, columns)
                )
                with cgutils.for_range(builder, rows) as i, cgutils.for_range(builder, columns) as j:
                    place = builder.mul(builder.add(builder.mul(i.index, INT64(side)), j.index), INT64(lanes))
                    source, target = builder.gep(staging, [place]), cell(i.index, j.index)
                    with builder.if_else(builder.icmp_signed(">=", count, INT64(lanes))) as (vector, piece):
                        with vector:
                            moved = builder.load(builder.bitcast(source, cells[0][2].type.as_pointer()))
                            moved.align = 1
                            self._store(moved, target)
                        with piece:
                            copy_pieces(builder, element, [source], [target], lanes, count)

    def _store(self, vector: ir.Value, pointer: ir.Value) -> None:
        stored = self.builder.store(vector, self.builder.bitcast(pointer, vector.type.as_pointer()))
        stored.align = 1


@emitted
def transform_output(
    typingctx, variant, source, base, plane_step, bias, bias_base, y, y_base, row_step, column_step, rows, columns,
    count,
):  # fmt: skip
    """y[y_base + i*row_step + j*column_step + k] = (A^T s A)[i, j] + bias[bias_base + k].

    For i < `rows`, j < `columns` and k < `count`, but at most m, m and a vector, where s[i, j] =
    source[base + (i*n + j)*plane_step + k]; `variant` is a place in `VARIANTS`. Whole vectors of source and bias must
    be readable.
    """

    def codegen(context, builder, signature, args):
        at = partial(origin, context, builder, signature, args)
        source, bias, y = at(1, 2), at(4, 5), at(6, 7)
        emit = _Outputs(context, builder, signature.args[1])

        def cell(i: ir.Value, j: ir.Value) -> ir.Value:
            return builder.gep(y, [builder.add(builder.mul(i, args[8]), builder.mul(j, args[9]))])

        with cases_of(builder, args[0], range(len(VARIANTS))) as places:
            for place in places:
                outputs = emit.compute(VARIANTS[place], source, args[3], bias)
                emit.store(outputs, cell, *args[10:])
        return context.get_dummy_value()

    i = types.intp
    return types.void(variant, source, i, i, bias, i, y, i, i, i, i, i, i), codegen


@emitted
def pool_output(
    typingctx, variant, source, base, plane_step, bias, bias_base, y, y_base, winners, winners_base, row_step,
    column_step, rows, columns, count,
):  # fmt: skip
    """`transform_output`, with the largest of each 2x2 outputs and its place in winners, which lie as y does."""

    def codegen(context, builder, signature, args):
        at = partial(origin, context, builder, signature, args)
        source, bias, y, winners = at(1, 2), at(4, 5), at(6, 7), at(8, 9)
        emit = _Outputs(context, builder, signature.args[1])

        def cell_of(array: ir.Value) -> Callable[[ir.Value, ir.Value], ir.Value]:
            return lambda i, j: builder.gep(array, [builder.add(builder.mul(i, args[10]), builder.mul(j, args[11]))])

        with cases_of(builder, args[0], range(len(VARIANTS))) as places:
            for place in places:
                z = emit.compute(VARIANTS[place], source, args[3], bias)
                pooled = [
                    [emit.first_largest([*upper[j : j + 2], *lower[j : j + 2]]) for j in range(0, len(upper), 2)]
                    for upper, lower in zip(z[::2], z[1::2], strict=True)
                ]
                emit.store([[best for best, _ in row] for row in pooled], cell_of(y), *args[12:])
                emit.store([[winner for _, winner in row] for row in pooled], cell_of(winners), *args[12:])
        return context.get_dummy_value()

    i = types.intp
    return types.void(variant, source, i, i, bias, i, y, i, winners, i, i, i, i, i, i), codegen
