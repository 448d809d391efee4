"""Activations, and functions of `minicnn.functional` that a Lambda can name, in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.layers import activations
from minicnn.saving.onnx.builder import Builder, Value, in_order


def convert_function(graph: Builder, owner: str, function: Callable[..., Any], x: Any, **arguments: Any) -> Value:
    """Apply a function to a value (or a list of them).

    Raises:
        ValueError: ONNX has no counterpart for it, or not with these arguments.
    """
    converter = _FUNCTIONS.get(function)
    if converter is None:
        known = sorted({known.__name__ for known in _FUNCTIONS})
        raise ValueError(
            f"export: {owner}: the function {getattr(function, '__name__', function)!r} has no ONNX counterpart; "
            f"those that have one: {', '.join(known)}"
        )
    try:
        return converter(graph, x, **arguments)
    except TypeError as error:
        raise ValueError(f"export: {owner}: {function.__name__} with these arguments: {error}") from error


def _elementwise(operator: str, **attributes: float) -> Callable[..., Value]:
    def convert(graph: Builder, x: Value) -> Value:
        return graph.apply(operator, x, **attributes)

    return convert


def _same(graph: Builder, x: Value) -> Value:
    return x


def _softmax(operator: str) -> Callable[..., Value]:
    def convert(graph: Builder, x: Value, axis: int = -1) -> Value:
        return graph.apply(operator, x, axis=x.place(axis))

    return convert


def _leaky_relu(graph: Builder, x: Value, negative_slope: float = 0.2) -> Value:
    return graph.apply("LeakyRelu", x, alpha=float(negative_slope))


def _elu(graph: Builder, x: Value, alpha: float = 1.0) -> Value:
    return graph.apply("Elu", x, alpha=float(alpha))


def _clip(graph: Builder, x: Value, low: float | None = None, high: float | None = None) -> Value:
    # Limits that are left out are inputs without a name.
    limits = ["" if limit is None else graph.constant(limit, "limit") for limit in (low, high)]
    return graph.apply("Clip", x, *limits)


def _relu6(graph: Builder, x: Value) -> Value:
    return _clip(graph, x, 0.0, 6.0)


def _silu(graph: Builder, x: Value) -> Value:
    return graph.apply("Mul", x, graph.apply("Sigmoid", x).name)


def _square(graph: Builder, x: Value) -> Value:
    return graph.apply("Mul", x, x.name)


def _gelu(graph: Builder, x: Value, approximate: bool = False) -> Value:
    def scaled(value: Value, factor: float) -> Value:
        return graph.apply("Mul", value, graph.constant(factor, "factor"))

    if approximate:
        cubic = scaled(graph.apply("Mul", _square(graph, x), x.name), 0.044715)
        inner = graph.apply("Tanh", scaled(graph.apply("Add", x, cubic.name), math.sqrt(2 / math.pi)))
    else:
        inner = graph.apply("Erf", scaled(x, 1 / math.sqrt(2)))
    return graph.apply("Mul", scaled(x, 0.5), graph.apply("Add", inner, graph.constant(1.0, "one")).name)


def _with_constant(operator: str) -> Callable[..., Value]:
    def convert(graph: Builder, a: Value, b: Any) -> Value:
        other = np.asarray(b, np.float32)
        if other.ndim > a.rank:
            raise TypeError(f"b has {other.ndim} axes, x only {a.rank}")
        # A single number meets every element alike, however the axes lie.
        a = graph.arranged(a) if other.ndim else a
        return graph.apply(operator, a, graph.constant(other, "operand"))

    return convert


def _reduction(operator: str) -> Callable[..., Value]:
    def convert(graph: Builder, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        chosen = range(x.rank) if axis is None else [axis] if isinstance(axis, int) else axis
        x = x if keepdims else graph.arranged(x)
        axes = sorted(x.place(a) for a in chosen)
        if operator == "ReduceSum":
            name = graph.node(operator, [x.name, graph.constant(axes, "axes", np.int64)], keepdims=int(keepdims))
        else:
            name = graph.node(operator, [x.name], axes=axes, keepdims=int(keepdims))
        return Value(name, x.shape, x.order if keepdims else in_order(x.rank - len(axes)))

    return convert


def _logsumexp(graph: Builder, x: Value, axis: int = -1, keepdims: bool = False) -> Value:
    return _reduction("ReduceLogSumExp")(graph, x, axis, keepdims)


def _transpose(graph: Builder, x: Value, axes: Sequence[int] | None = None) -> Value:
    # The tensor stays as it lies; only what its axes are called changes.
    axes = [a % x.rank for a in axes] if axes is not None else list(range(x.rank))[::-1]
    return x._replace(order=tuple(axes.index(a) for a in x.order))


def flatten(graph: Builder, x: Value) -> Value:
    """(N, ...) to (N, product of the rest), in the order in which x lies."""
    return Value(graph.node("Flatten", [x.name], axis=1), x.shape, in_order(2))


def _flatten(graph: Builder, x: Value) -> Value:
    return flatten(graph, graph.arranged(x))


def concatenate(graph: Builder, x: Sequence[Value], axis: int = -1) -> Value:
    """One after another along an axis."""
    first = x[0]
    names = [graph.arranged(value, first.order).name for value in x]
    return first._replace(name=graph.node("Concat", names, axis=first.place(axis)))


_FUNCTIONS: dict[Any, Callable[..., Value]] = {
    F.abs: _elementwise("Abs"),
    F.add: _with_constant("Add"),
    F.clip: _clip,
    F.concatenate: concatenate,
    F.divide: _with_constant("Div"),
    F.elu: _elu,
    F.erf: _elementwise("Erf"),
    F.exp: _elementwise("Exp"),
    F.flatten: _flatten,
    F.gelu: _gelu,
    F.leaky_relu: _leaky_relu,
    F.log: _elementwise("Log"),
    F.log_softmax: _softmax("LogSoftmax"),
    F.logsumexp: _logsumexp,
    F.max: _reduction("ReduceMax"),
    F.maximum: _with_constant("Max"),
    F.mean: _reduction("ReduceMean"),
    F.min: _reduction("ReduceMin"),
    F.minimum: _with_constant("Min"),
    F.multiply: _with_constant("Mul"),
    F.negative: _elementwise("Neg"),
    F.power: _with_constant("Pow"),
    F.relu: _elementwise("Relu"),
    F.sigmoid: _elementwise("Sigmoid"),
    F.sign: _elementwise("Sign"),
    F.softmax: _softmax("Softmax"),
    F.softplus: _elementwise("Softplus"),
    F.sqrt: _elementwise("Sqrt"),
    F.square: _square,
    F.subtract: _with_constant("Sub"),
    F.sum: _reduction("ReduceSum"),
    F.tanh: _elementwise("Tanh"),
    F.transpose: _transpose,
    activations.elu: _elu,
    activations.gelu: _gelu,
    activations.hard_sigmoid: _elementwise("HardSigmoid", alpha=1 / 6, beta=0.5),
    activations.leaky_relu: _leaky_relu,
    activations.linear: _same,
    activations.relu6: _relu6,
    activations.selu: _elementwise("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    activations.silu: _silu,
    activations.softsign: _elementwise("Softsign"),
}
