"""tanh, sigmoid and ELU as plain arithmetic that a compiled loop turns into vector instructions.

A call of the C library's functions would hold such a loop to one number at a time. All three are made of exp(z) or
exp(z) - 1 for some z that is not above zero, so nothing overflows. With n the whole number nearest to
z / log(2), exp(z) = 2**n * exp(r) where r = z - n * log(2) is at most log(2) / 2 in size, so that the first terms of
the exponential series suffice for the last bit of the dtype.

- log(2) comes in two parts, the first so short that n times it is exact, so r loses nothing to cancellation (Cody and
  Waite, "Software manual for the elementary functions", 1980).
- Adding 1.5 * 2**23 (float64: 2**52) rounds a float to a whole number and leaves that number in its lowest bits, from
  where one shift takes it to the exponent of 2**n.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .cache import inlined
from .vectors import emitted


class _Format(NamedTuple):
    """What depends on the dtype."""

    bits: int
    mantissa: int  # bits
    one: int  # the bits of 1.0
    lowest: float  # below it 2**n is zero
    log2_high: float
    log2_low: float
    terms: int  # of the series


_FORMATS = {
    types.float32: _Format(32, 23, 127 << 23, -88.0, 0.693359375, -2.12194440e-4, 7),
    types.float64: _Format(64, 52, 1023 << 52, -709.1, 0.693145751953125, 1.42860682030941723e-6, 13),
}


class _Parts:
    """Emits p = exp(r) - 1 and s = 2**n, so that exp(z) = s * p + s."""

    def __init__(self, context: Any, builder: ir.IRBuilder, dtype: types.Float, z: ir.Value) -> None:
        self.builder = builder
        self.format = _FORMATS[dtype]
        self.type = context.get_value_type(dtype)
        f = self.format
        lowest = self.number(f.lowest)
        z = builder.select(builder.fcmp_ordered("<", z, lowest), lowest, z)  # keeps NaN
        rounder = self.number(1.5 * 2**f.mantissa)
        shifted = self.multiply_add(z, self.number(1 / math.log(2)), rounder)
        n = builder.fsub(shifted, rounder)
        r = self.multiply_add(n, self.number(-f.log2_high), z)
        r = self.multiply_add(n, self.number(-f.log2_low), r)
        series = self.number(1 / math.factorial(f.terms))
        for k in range(f.terms - 1, 1, -1):
            series = self.multiply_add(series, r, self.number(1 / math.factorial(k)))
        self.p = self.multiply_add(builder.fmul(series, r), r, r)
        integer = ir.IntType(f.bits)
        exponent = builder.shl(builder.bitcast(shifted, integer), integer(f.mantissa))
        self.s = builder.bitcast(builder.add(exponent, integer(f.one)), self.type)

    def number(self, value: float) -> ir.Value:
        return ir.Constant(self.type, value)

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        function = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fmuladd.f{self.format.bits}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), [x, y, z])


@emitted
def _exp(typingctx, z):
    """exp(z) for z <= 0; what would be no normal number is 0, and a NaN stays one."""

    def codegen(context, builder, signature, args):
        parts = _Parts(context, builder, signature.args[0], args[0])
        return parts.multiply_add(parts.s, parts.p, parts.s)

    return z(z), codegen


@emitted
def _expm1(typingctx, z):
    """exp(z) - 1 for z <= 0, without the cancellation near zero; a NaN stays one."""

    def codegen(context, builder, signature, args):
        parts = _Parts(context, builder, signature.args[0], args[0])
        return parts.multiply_add(parts.s, parts.p, builder.fsub(parts.s, parts.number(1.0)))

    return z(z), codegen


@inlined
def tanh(x):
    """-t / (2 + t) where t = exp(-2x) - 1, for x >= 0; odd in x."""
    t = _expm1(-abs(x + x))
    size = -t / (type(x)(2) + t)
    return size if x >= 0 else -size


@inlined
def sigmoid(x):
    """1 / (1 + t) for x >= 0, t / (1 + t) below, where t = exp(-|x|)."""
    one = type(x)(1)
    t = _exp(-abs(x))
    return (one if x >= 0 else t) / (one + t)


@inlined
def elu(x, alpha):
    """x where positive, else alpha * (exp(x) - 1)."""
    return x if x > 0 else alpha * _expm1(-abs(x))
