"""Moving numbers in memory, in compiled code: copies, zeros, and rows to columns."""

from __future__ import annotations

from numba import types
from numba.core import cgutils

from .cache import inlined
from .vectors import INT64, VECTOR_BYTES, Vectors, element_bytes, emitted, origin


@emitted
def copy_elements(typingctx, target, target_base, source, source_base, count):
    """target[target_base:][:count] = source[source_base:][:count] for flat arrays of one dtype that do not overlap."""

    def codegen(context, builder, signature, args):
        target = origin(context, builder, signature, args, 0, 1)
        source = origin(context, builder, signature, args, 2, 3)
        cgutils.raw_memcpy(builder, target, source, args[4], element_bytes(context, signature.args[0]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(target, i, source, i, i), codegen


@emitted
def clear_elements(typingctx, target, base, count):
    """target[base:][:count] = 0 for a flat array."""

    def codegen(context, builder, signature, args):
        target = origin(context, builder, signature, args, 0, 1)
        size = builder.mul(args[2], INT64(element_bytes(context, signature.args[0])))
        cgutils.memset(builder, target, size, 0)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp), codegen


@emitted
def transpose_tile(typingctx, source, source_base, row_step, last_row, target, target_base, pitch):
    """target[target_base + i*pitch + j] = source[source_base + min(j, last_row)*row_step + i] for a square of lanes.

    Eklundh's method: exchange the off-diagonal halves of every 2 x 2 block, then of every 4 x 4 block, and so on.
    """

    def codegen(context, builder, signature, args):
        element = context.get_value_type(signature.args[0].dtype)
        lanes = VECTOR_BYTES // element_bytes(context, signature.args[0])
        simd = Vectors(builder, element, lanes)
        source = origin(context, builder, signature, args, 0, 1)
        target = origin(context, builder, signature, args, 4, 5)
        vectors = []
        for j in range(lanes):
            row = builder.select(builder.icmp_signed("<", INT64(j), args[3]), INT64(j), args[3])
            vectors.append(simd.load(builder.gep(source, [builder.mul(row, args[2])])))
        half = 1
        while half < lanes:
            for j in (j for j in range(lanes) if not j & half):
                vectors[j], vectors[j + half] = simd.exchange(vectors[j], vectors[j + half], half)
            half *= 2
        for i, vector in enumerate(vectors):
            simd.store(vector, builder.gep(target, [builder.mul(args[6], INT64(i))]))
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, target, i, i), codegen


@inlined
def transpose(source, base, row_step, rows, count, target, target_base, pitch, room):
    """target[target_base + k*pitch + n] = source[base + n*row_step + k] for n < rows, k < count.

    Up to `room` (at least `rows`) numbers of each target row may be overwritten, of which the next row is written
    later.
    """
    lanes = VECTOR_BYTES // target.itemsize
    for block in range(0, rows, lanes):
        # The last square overlaps the one before where it would not fit behind it.
        n = block if block + lanes <= room else max(0, rows - lanes)
        done = 0
        if count >= lanes and n + lanes <= room:
            for k in range(0, count, lanes):
                i = min(k, count - lanes)
                transpose_tile(
                    source, base + n * row_step + i, row_step, rows - 1 - n, target, target_base + i * pitch + n, pitch
                )
            done = count
        for i in range(n, min(n + lanes, rows)):
            for k in range(done, count):
                target[target_base + k * pitch + i] = source[base + i * row_step + k]
