"""The formulas of the activations, with the numbers put in."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.layers import Layer, ReLU, activations

from .terms import Line
from .wording import number, summands

# Gives the values along an axis (batch included in the count), and the place of the one that is explained.
Along = Callable[[int], tuple[np.ndarray, int]]


def apply(function: Any, z: float, along: Along) -> tuple[list[Line], float]:
    """Apply an activation to z.

    Args:
        function: of a layer, or a layer that serves as one.
        z: what it is applied to.
        along: gives all z along an axis, for functions of more than one value.

    Returns:
        The arithmetic as lines, and the result; no line for the identity.
    """
    function, options = _plain(function)
    if function is activations.linear:
        return [], z
    if function in (F.softmax, F.log_softmax):
        return _softmax(*along(options.get("axis", -1)), logarithm=function is F.log_softmax)
    if function in _FORMULAS:
        text, value = _FORMULAS[function](z, **options)
    else:
        row, index = along(-1)
        value = float(function(Tensor(row[np.newaxis]), **options).numpy()[0, index])
        text = f"{_name(function)}({number(z)})"
    return [Line(_name(function), text, value)], value


def takes_several(function: Any) -> bool:
    """Whether an activation (None is none) makes one value of several: softmax does, one that is not known may."""
    plain = _plain(function)[0]
    return plain not in (None, activations.linear) and plain not in _FORMULAS


def works_along(function: Any) -> int:
    """The axis that an activation of several values works along, batch included in the count."""
    return _plain(function)[1].get("axis", -1)


def along_last(function: Any) -> Callable[[Any], Any]:
    """The activation along the last axis, whichever axis it works along in its layer."""
    plain, options = _plain(function)
    if "axis" not in options:
        return function
    return functools.partial(plain, **{name: value for name, value in options.items() if name != "axis"})


def _plain(function: Any) -> tuple[Any, dict[str, Any]]:
    """The function itself, and the options that a layer or `functools.partial` gives it."""
    while isinstance(function, Layer) and hasattr(function, "activation"):
        function = function.activation
    if isinstance(function, functools.partial):
        return function.func, function.keywords
    layer = getattr(function, "__self__", None)
    if isinstance(layer, ReLU):
        return ReLU, {name: getattr(layer, name) for name in ("max_value", "negative_slope", "threshold")}
    return function, {}


def _name(function: Any) -> str:
    if function is ReLU:
        return "relu"
    if isinstance(function, Layer):
        return function.name
    return getattr(function, "__name__", type(function).__name__)


def _softmax(z: np.ndarray, index: int, logarithm: bool) -> tuple[list[Line], float]:
    """exp(z_k - m) / sum of exp(z_j - m), m the largest z, which cancels out and keeps exp small."""
    largest = float(z.max())
    numerators = np.exp(z - largest)
    total = float(numerators.sum())
    own = float(numerators[index])
    lines = [
        Line(f"largest of {len(z)} z", "m", largest),
        Line("numerator", f"exp({number(z[index])} - m)", own),
        Line(f"sum of {len(z)} numerators", summands(numerators), total),
    ]
    if logarithm:
        value = float(z[index]) - largest - math.log(total)
        return [*lines, Line("log_softmax", f"{number(z[index])} - m - log({number(total)})", value)], value
    return [*lines, Line("softmax", f"{number(own)} / {number(total)}", own / total)], own / total


def _relu(z: float) -> tuple[str, float]:
    return f"max({number(z)}, 0)", z if math.isnan(z) else max(z, 0.0)


def _general_relu(z: float, max_value: float | None, negative_slope: float, threshold: float) -> tuple[str, float]:
    if max_value is not None and z >= max_value:
        return f"{number(z)} >= {number(max_value)}, the largest value", max_value
    if z > threshold:
        return f"{number(z)} > {number(threshold)}", z
    return f"{number(negative_slope)} * ({number(z)} - {number(threshold)})", negative_slope * (z - threshold)


def _relu6(z: float) -> tuple[str, float]:
    return f"min(max({number(z)}, 0), 6)", min(max(z, 0.0), 6.0)


def _leaky_relu(z: float, negative_slope: float = 0.2) -> tuple[str, float]:
    if z >= 0:
        return f"{number(z)} >= 0", z
    return f"{number(negative_slope)} * {number(z)}", negative_slope * z


def _elu(z: float, alpha: float = 1.0) -> tuple[str, float]:
    if z > 0:
        return f"{number(z)} > 0", z
    return f"{number(alpha)} * (exp({number(z)}) - 1)", alpha * math.expm1(z)


def _selu(z: float) -> tuple[str, float]:
    text, value = _elu(z, 1.6732632423543772)
    return f"1.0507 * ({text})" if z <= 0 else f"1.0507 * {number(z)}", 1.0507009873554805 * value


def _sigmoid_value(z: float) -> float:
    e = math.exp(-abs(z))
    return (1.0 if z >= 0 else e) / (1 + e)


def _sigmoid(z: float) -> tuple[str, float]:
    return f"1 / (1 + exp({number(-z)}))", _sigmoid_value(z)


def _hard_sigmoid(z: float) -> tuple[str, float]:
    return f"min(max({number(z)} / 6 + 1/2, 0), 1)", min(max(z / 6 + 0.5, 0.0), 1.0)


def _silu(z: float) -> tuple[str, float]:
    return f"{number(z)} / (1 + exp({number(-z)}))", z * _sigmoid_value(z)


def _gelu(z: float) -> tuple[str, float]:
    return f"{number(z)} / 2 * (1 + erf({number(z)} / sqrt(2)))", z / 2 * (1 + math.erf(z / math.sqrt(2)))


def _tanh(z: float) -> tuple[str, float]:
    return f"tanh({number(z)})", math.tanh(z)


def _softplus(z: float) -> tuple[str, float]:
    return f"log(1 + exp({number(z)}))", float(np.logaddexp(0, z))


def _softsign(z: float) -> tuple[str, float]:
    return f"{number(z)} / (1 + {number(abs(z))})", z / (1 + abs(z))


def _exponential(z: float) -> tuple[str, float]:
    with np.errstate(over="ignore"):
        return f"exp({number(z)})", float(np.exp(z))


_FORMULAS: dict[Any, Callable[..., tuple[str, float]]] = {
    F.relu: _relu,
    F.leaky_relu: _leaky_relu,
    F.elu: _elu,
    F.sigmoid: _sigmoid,
    F.tanh: _tanh,
    F.softplus: _softplus,
    F.exp: _exponential,
    ReLU: _general_relu,
    activations.relu6: _relu6,
    activations.leaky_relu: _leaky_relu,
    activations.elu: _elu,
    activations.selu: _selu,
    activations.silu: _silu,
    activations.gelu: _gelu,
    activations.softsign: _softsign,
    activations.hard_sigmoid: _hard_sigmoid,
}
