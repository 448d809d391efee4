"""Attaches operators and methods to `Tensor`, from one table that can be read at a glance."""

from __future__ import annotations

import operator
from typing import Any

from minicnn.autograd import Tensor, as_array
from minicnn.device import array_module

from . import arithmetic, linear, reductions, shaping


def _reflected(function: Any) -> Any:
    """For `2 - tensor`: Python hands the tensor first."""
    return lambda self, other: function(other, self)


def _compared(compare: Any) -> Any:
    """Comparisons give plain arrays of booleans: they have no gradient."""
    return lambda self, other: compare(self.data, as_array(other))


def _equality(compare: Any) -> Any:
    """As `_compared`; what is no number, such as None, is equal to none."""

    def compared(self: Tensor, other: Any) -> Any:
        try:
            array = as_array(other)
        except TypeError:
            return array_module(self.data).full(self.shape, compare is operator.ne)
        return compare(self.data, array)

    return compared


_TABLE: dict[str, Any] = {
    "__add__": arithmetic.add,
    "__radd__": _reflected(arithmetic.add),
    "__sub__": arithmetic.subtract,
    "__rsub__": _reflected(arithmetic.subtract),
    "__mul__": arithmetic.multiply,
    "__rmul__": _reflected(arithmetic.multiply),
    "__truediv__": arithmetic.divide,
    "__rtruediv__": _reflected(arithmetic.divide),
    "__pow__": arithmetic.power,
    "__rpow__": _reflected(arithmetic.power),
    "__matmul__": linear.matmul,
    "__rmatmul__": _reflected(linear.matmul),
    "__neg__": arithmetic.negative,
    "__abs__": arithmetic.abs,
    "__getitem__": shaping.index,
    "__eq__": _equality(operator.eq),
    "__ne__": _equality(operator.ne),
    "__lt__": _compared(operator.lt),
    "__le__": _compared(operator.le),
    "__gt__": _compared(operator.gt),
    "__ge__": _compared(operator.ge),
    "abs": arithmetic.abs,
    "clip": arithmetic.clip,
    "exp": arithmetic.exp,
    "flatten": shaping.flatten,
    "log": arithmetic.log,
    "matmul": linear.matmul,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "reshape": shaping.reshape,
    "sqrt": arithmetic.sqrt,
    "square": arithmetic.square,
    "sum": reductions.sum,
    "transpose": shaping.transpose,
    "T": property(shaping.transpose),
}

for _name, _function in _TABLE.items():
    setattr(Tensor, _name, _function)
