"""`keras.backend`: settings, and tensor functions under the names Keras gave them."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import losses
from minicnn.autograd import Tensor
from minicnn.layers import reset_names

from .notes import note

#: The format of layers that are given none; layers read it when they are made.
data_format = {"value": "channels_last"}


def image_data_format() -> str:
    """Where pictures have their channels: "channels_last" unless `set_image_data_format` said otherwise."""
    return data_format["value"]


def set_image_data_format(value: str) -> None:
    """Give all layers made from now on this format; ValueError for anything but the two there are."""
    if value not in ("channels_last", "channels_first"):
        raise ValueError(f"set_image_data_format: expected 'channels_last' or 'channels_first', got {value!r}")
    data_format["value"] = value


def image_dim_ordering() -> str:
    """Keras 1's name of the format: "tf" or "th"."""
    note("image_dim_ordering()", "image_data_format()")
    return "tf" if image_data_format() == "channels_last" else "th"


def set_image_dim_ordering(value: str) -> None:
    """Set the format by Keras 1's name, "tf" or "th"."""
    note("set_image_dim_ordering()", "set_image_data_format()")
    names = {"tf": "channels_last", "th": "channels_first"}
    if value not in names:
        raise ValueError(f"set_image_dim_ordering: expected 'tf' or 'th', got {value!r}")
    set_image_data_format(names[value])


def backend() -> str:
    """The name of what computes."""
    return "minicnn"


def epsilon() -> float:
    """Where probabilities are clipped."""
    return 1e-7


def floatx() -> str:
    """The type of numbers."""
    return "float32"


def cast_to_floatx(x: Any) -> np.ndarray:
    """An array of float32."""
    return np.asarray(x, dtype=np.float32)


def clear_session() -> None:
    """Let the numbering of layer names begin anew."""
    reset_names()


def eval(x: Any) -> np.ndarray:
    """The array in a tensor."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


get_value = eval


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, None where a size is open."""
    return tuple(x.shape)


def ndim(x: Any) -> int:
    """How many axes x has."""
    return len(x.shape)


def variable(value: Any, dtype: Any = "float32", name: str | None = None) -> Tensor:
    """A tensor that gradients flow to."""
    return Tensor(np.array(value, dtype=dtype), requires_grad=True)


def constant(value: Any, dtype: Any = "float32", shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor without a gradient."""
    array = np.array(value, dtype=dtype)
    return Tensor(array if shape is None else np.broadcast_to(array, shape).copy())


def dot(x: Any, y: Any) -> Any:
    """The matrix product."""
    return F.matmul(x, y)


def batch_flatten(x: Any) -> Any:
    """(N, product of the other axes)."""
    return F.flatten(x)


def expand_dims(x: Any, axis: int = -1) -> Any:
    """A new axis of size 1."""
    place = axis % (ndim(x) + 1)
    return F.reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: Any, axis: int) -> Any:
    """Without the axis, which must be of size 1."""
    place = axis % ndim(x)
    if x.shape[place] != 1:
        raise ValueError(f"squeeze: axis {axis} of shape {tuple(x.shape)} is not of size 1")
    return F.reshape(x, (*x.shape[:place], *x.shape[place + 1 :]))


def permute_dimensions(x: Any, pattern: Any) -> Any:
    """The axes in another order."""
    return F.transpose(x, tuple(pattern))


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The standard deviation of the whole population."""
    return F.sqrt(var(x, axis, keepdims))


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance of the whole population."""
    return F.mean(F.square(x - F.mean(x, axis, True)), axis, keepdims)


def categorical_crossentropy(target: Any, output: Any) -> Any:
    """-sum over classes of target log(output), for each sample."""
    return losses.CategoricalCrossentropy(reduction=None)(target, output)


def binary_crossentropy(target: Any, output: Any) -> Any:
    """-target log(output) - (1 - target) log(1 - output), the mean over each sample's outputs."""
    return losses.BinaryCrossentropy(reduction=None)(target, output)


_FUNCTIONS = (
    "abs", "clip", "concatenate", "elu", "exp", "flatten", "log", "max", "maximum", "mean", "min", "minimum", "relu",
    "reshape", "sigmoid", "sign", "softmax", "softplus", "sqrt", "square", "stack", "sum", "tanh",
)  # fmt: skip


def names() -> dict[str, Any]:
    """All of `keras.backend`."""
    own = (
        image_data_format, set_image_data_format, image_dim_ordering, set_image_dim_ordering, backend, epsilon, floatx,
        cast_to_floatx, clear_session, eval, int_shape, ndim, variable, constant, dot, batch_flatten, expand_dims,
        squeeze, permute_dimensions, std, var, categorical_crossentropy, binary_crossentropy,
    )  # fmt: skip
    return {
        **{name: getattr(F, name) for name in _FUNCTIONS},
        **{function.__name__: function for function in own},
        "get_value": get_value,
        "pow": F.power,
    }
