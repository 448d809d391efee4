"""The few functions of TensorFlow that scripts use in Lambdas and as activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minicnn.functional as F
from minicnn.layers import activations
from minicnn.random import set_seed

from . import backend
from .notes import note


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None, **old: Any) -> Any:
        """Reduce over `axis`, all axes where None."""
        if "keep_dims" in old or "reduction_indices" in old:
            note("keep_dims=, reduction_indices=", "keepdims=, axis=")
            keepdims, axis = old.pop("keep_dims", keepdims), old.pop("reduction_indices", axis)
        if old:
            raise TypeError(f"tensorflow: unexpected argument {next(iter(old))!r} of a reduction")
        return function(input_tensor, axis=axis, keepdims=keepdims)

    return reduce


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(x: Any = None, name: str | None = None, **named: Any) -> Any:
        """Apply to each element; the argument may be called x, features or logits."""
        value = next(iter(named.values())) if x is None and named else x
        return function(value)

    return apply


def _nothing(*args: Any, **arguments: Any) -> None:
    """What TensorFlow needed told, and minicnn does not."""


def _no_devices(device_type: str | None = None) -> list[Any]:
    """TensorFlow's devices: none."""
    return []


def cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    """Change the type."""
    return F.cast(x, getattr(dtype, "name", dtype))


def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1, name: str | None = None) -> Any:
    """-sum over classes of labels log softmax(logits), for each sample; labels need not add up to 1."""
    return F.negative(F.sum(F.multiply(labels, F.log_softmax(logits, axis=axis)), axis=axis))


def _math() -> dict[str, Any]:
    reductions = {"max": F.max, "min": F.min, "mean": F.mean, "sum": F.sum}
    elementwise = ("abs", "exp", "log", "sigmoid", "sign", "softplus", "sqrt", "square", "tanh")
    return {
        **{f"reduce_{name}": _reduction(function) for name, function in reductions.items()},
        **{name: _unary(getattr(F, name)) for name in elementwise},
        "add": F.add,
        "divide": F.divide,
        "maximum": F.maximum,
        "minimum": F.minimum,
        "multiply": F.multiply,
        "pow": F.power,
        "subtract": F.subtract,
    }


def _nn() -> dict[str, Any]:
    # The very functions that layers know by name, so that models of them can be fused and saved.
    names = ("relu", "sigmoid", "softmax", "softplus", "softsign", "tanh", "elu", "selu", "relu6", "log_softmax")
    return {
        **{name: activations.get(name) for name in names},
        "softmax_cross_entropy_with_logits": softmax_cross_entropy_with_logits,
        "softmax_cross_entropy_with_logits_v2": softmax_cross_entropy_with_logits,
        "leaky_relu": lambda features, alpha=0.2, name=None: F.leaky_relu(features, alpha),
    }


def modules(version: str) -> dict[str, dict[str, Any]]:
    """`tensorflow` and its modules, as far as they are answered; `tensorflow.keras` is not among them."""
    math, nn = _math(), _nn()
    root = {
        **math,
        "__version__": version,
        "cast": cast,
        "clip_by_value": F.clip,
        "concat": lambda values, axis, name=None: F.concatenate(values, axis),
        "constant": backend.constant,
        "convert_to_tensor": backend.constant,
        "enable_eager_execution": _nothing,
        "expand_dims": backend.expand_dims,
        "float32": "float32",
        "float64": "float64",
        "matmul": F.matmul,
        "reshape": F.reshape,
        "set_random_seed": set_seed,
        "squeeze": backend.squeeze,
        "transpose": F.transpose,
    }
    return {
        "tensorflow": root,
        "tensorflow.config": {"list_physical_devices": _no_devices},
        "tensorflow.logging": {"ERROR": 40, "set_verbosity": _nothing},
        "tensorflow.math": math,
        "tensorflow.nn": nn,
        "tensorflow.random": {"set_seed": set_seed},
        "tensorflow.test": {"is_gpu_available": lambda *args, **arguments: False},
    }
