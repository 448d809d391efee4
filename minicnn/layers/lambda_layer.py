"""Functions as layers, and what a file may say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import minicnn.functional as F
from minicnn.layers.base import Layer, registry
from minicnn.layers.shapes import Shape, is_shape_list


@registry.register()
class Lambda(Layer):
    """A function as a layer.

    Args:
        function: ``function(x)`` on tensors, or the name of one in `minicnn.functional`.
        output_shape: of one sample, where it cannot be found by trying the function on zeros.
        arguments: further keyword arguments of the function.

    A model file cannot hold code, so only a function of `minicnn.functional`, given itself or by its name, can
    be saved.
    """

    #: Functions whose value is never larger than x. A file that names another has to give the output's shape, so that
    #: loading it does not try what may take any amount of memory.
    _never_larger = frozenset(
        {
            "abs", "clip", "elu", "erf", "exp", "flatten", "gelu", "global_avg_pool2d", "global_max_pool2d",
            "leaky_relu", "log", "log_softmax", "logsumexp", "max", "mean", "min", "negative", "relu", "reshape",
            "sigmoid", "sign", "softmax", "softplus", "sqrt", "square", "sum", "tanh", "transpose",
        }
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any] | str,
        output_shape: Sequence[int | None] | None = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.function = _functional(function, self) if isinstance(function, str) else function
        if not callable(self.function):
            raise TypeError(f"{self.describe()}: function must be callable, but {function!r} came")
        self.given_output_shape = None if output_shape is None else tuple(output_shape)
        self.arguments = dict(arguments or {})

    def call(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x, **self.arguments)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the declared shape, or that of the function's value on zeros."""
        if self.given_output_shape is None:
            return super().compute_output_shape(input_shape)
        batch = (input_shape[0] if is_shape_list(input_shape) else input_shape)[0]
        return (batch, *self.given_output_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments.

        Raises:
            ValueError: for a function that is not in `minicnn.functional`.
        """
        name = getattr(self.function, "__name__", "")
        if getattr(F, name, None) is not self.function:
            raise ValueError(
                f"{self.describe()}: a file can name only functions of minicnn.functional, but {self.function!r} "
                "came; write a Layer subclass and register it with minicnn.layers.registry instead"
            )
        return {
            **super().get_config(),
            "function": name,
            "output_shape": self._known_output_shape(),
            "arguments": self.arguments,
        }

    def _known_output_shape(self) -> Shape | None:
        if self.given_output_shape is not None or self._build_shape is None:
            return self.given_output_shape
        shapes = self._build_shape if is_shape_list(self._build_shape) else [self._build_shape]
        if any(None in shape[1:] for shape in shapes):
            return None
        found = self.compute_output_shape(self._build_shape)
        return None if is_shape_list(found) else found[1:]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Make a layer from `get_config`'s dictionary."""
        name = config.get("function")
        if isinstance(name, str) and name not in cls._never_larger and config.get("output_shape") is None:
            raise ValueError(f"Lambda '{config.get('name')}': a file that names {name!r} has to give its output_shape")
        return super().from_config(config)


def _functional(name: str, layer: Layer) -> Callable[..., Any]:
    function = getattr(F, name, None) if name in F.__all__ else None
    if function is None:
        raise ValueError(f"{layer.describe()}: minicnn.functional has no function {name!r}")
    return function
