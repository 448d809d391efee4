"""The transforms of Winograd's convolution, B^T d B and A^T s A, as vector instructions.

Both are written out for a vector of channels at a time, from the exact matrices of `minicnn.kernels.winograd`: zeros
cost nothing, ones an addition. Points come in pairs p, -p, so rows of B^T come in pairs too, that differ only in the
sign of their odd powers; even and odd parts are worked out once, then added and subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .. import winograd
from ..winograd import Rows
from .vectors import (
    INT64,
    VECTOR_BYTES,
    Vectors,
    array_pointer,
    cases_of,
    copy_pieces,
    element_bytes,
    emitted,
)

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


@emitted
def transform_input(typingctx, size, source, base, row_step, column_step, target, target_base, plane_step):
    """target[target_base + (i*n + j)*plane_step + k] = (B^T d B)[i, j] for one vector of k and tiles of n = `size`.

    d[i, j] = source[base + i*row_step + j*column_step + k]; all of its vectors must be readable.
    """

    def codegen(context, builder, signature, args):
        simd = Vectors(
            builder, context.get_value_type(signature.args[1].dtype),
            VECTOR_BYTES // element_bytes(context, signature.args[1]),
        )  # fmt: skip
        source = builder.gep(array_pointer(context, builder, signature.args[1], args[1]), [args[2]])
        target = builder.gep(array_pointer(context, builder, signature.args[5], args[5]), [args[6]])
        with cases_of(builder, args[0], SIZES) as sizes:
            for n in sizes:
                tile = []
                for i in range(n):
                    row = builder.gep(source, [builder.mul(args[3], INT64(i))])
                    tile.append([simd.load(builder.gep(row, [builder.mul(args[4], INT64(j))])) for j in range(n)])
                transformed = _Algebra(builder, simd).nested(winograd.matrices(SIZES[n]).BT, tile)
                for i in range(n):
                    for j in range(n):
                        plane = builder.mul(args[7], INT64(i * n + j))
                        simd.store(transformed[i][j], builder.gep(target, [plane]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(size, source, i, i, i, target, i, i), codegen


@emitted
def transform_output(
    typingctx, variant, source, base, plane_step, bias, bias_base, target, target_base, row_step, column_step, rows,
    columns, count,
):  # fmt: skip
    """target[target_base + i*row_step + j*column_step + k] = (A^T s A)[i, j] + bias[bias_base + k], for i < rows,
    j < columns and k < count, at most a vector.

    s[i, j] = source[base + (i*n + j)*plane_step + k]; `variant` is a place in `VARIANTS`. Whole vectors of source and
    bias must be readable.
    """

    def codegen(context, builder, signature, args):
        element = context.get_value_type(signature.args[1].dtype)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[1])
        simd = Vectors(builder, element, lanes)
        source = builder.gep(array_pointer(context, builder, signature.args[1], args[1]), [args[2]])
        bias = simd.load(builder.gep(array_pointer(context, builder, signature.args[4], args[4]), [args[5]]))
        target = builder.gep(array_pointer(context, builder, signature.args[6], args[6]), [args[7]])
        most = max(variant.outputs for variant in VARIANTS)
        staging = builder.bitcast(
            cgutils.alloca_once(builder, ir.ArrayType(element, most * most * lanes)), element.as_pointer()
        )

        def cell(i: ir.Value, j: ir.Value) -> ir.Value:
            return builder.gep(target, [builder.add(builder.mul(i, args[8]), builder.mul(j, args[9]))])

        with cases_of(builder, args[0], range(len(VARIANTS))) as places:
            for place in places:
                m, n = VARIANTS[place].outputs, VARIANTS[place].size
                tile = [
                    [simd.load(builder.gep(source, [builder.mul(args[3], INT64(i * n + j))])) for j in range(n)]
                    for i in range(n)
                ]
                transposed = tuple(zip(*winograd.matrices(VARIANTS[place]).A, strict=True))
                outputs = _Algebra(builder, simd).nested(transposed, tile)
                outputs = [[builder.fadd(y, bias) for y in row] for row in outputs]
                smallest = builder.select(builder.icmp_signed("<", args[10], args[11]), args[10], args[11])
                whole = builder.and_(
                    builder.icmp_signed(">=", smallest, INT64(m)), builder.icmp_signed(">=", args[12], INT64(lanes))
                )
                with builder.if_else(whole) as (all_of_it, part):
                    with all_of_it:
                        for i in range(m):
                            for j in range(m):
                                simd.store(outputs[i][j], cell(INT64(i), INT64(j)))
                    with part:
                        for i in range(m):
                            for j in range(m):
                                simd.store(outputs[i][j], builder.gep(staging, [INT64((i * m + j) * lanes)]))
                        with cgutils.for_range(builder, args[10]) as i, cgutils.for_range(builder, args[11]) as j:
                            staged = builder.add(builder.mul(i.index, INT64(m)), j.index)
                            staged = builder.gep(staging, [builder.mul(staged, INT64(lanes))])
                            _copy_vector(builder, simd, element, staged, cell(i.index, j.index), args[12])
        return context.get_dummy_value()

    i = types.intp
    return types.void(variant, source, i, i, bias, i, target, i, i, i, i, i, i), codegen


def _copy_vector(
    builder: ir.IRBuilder, simd: Vectors, element: ir.Type, source: ir.Value, target: ir.Value, count: ir.Value
) -> None:
    """The first `count` lanes; all, if `count` is larger."""
    with builder.if_else(builder.icmp_signed(">=", count, INT64(simd.lanes))) as (whole, part):
        with whole:
            simd.store(simd.load(source), target)
        with part:
            copy_pieces(builder, element, [source], [target], simd.lanes, count)
