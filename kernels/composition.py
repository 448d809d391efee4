"""The fused blocks of the contract as what they mean: one kernel after the other.

`naive` and `reference` make their blocks here, of their own convolution and pooling; the fast kernels fall back on it
where fusing pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from .dispatch import array_module
from .geometry import Padding, Pair, output_sizes

# NumPy's or CuPy's array.
Array = Any


class Activation(NamedTuple):
    """A function between layers, and its derivative as a function of its own output."""

    value: Callable[[Any, Array, float], Array]  # (array module, x, alpha)
    derivative: Callable[[Any, Array, float], Array]  # (array module, y, alpha)


def _sigmoid(xp: Any, x: Array, _: float) -> Array:
    e = xp.exp(-abs(x))  # of negative numbers alone: nothing overflows
    return xp.where(x >= 0, 1, e) / (1 + e)


def _elu(xp: Any, x: Array, alpha: float) -> Array:
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


# All of them rise nowhere but with x, so that pooling may come before or after. Compiled kernels number them in this
# order.
ACTIVATIONS = {
    "linear": Activation(lambda xp, x, _: x, lambda xp, y, _: xp.ones_like(y)),
    "relu": Activation(lambda xp, x, _: xp.maximum(x, 0), lambda xp, y, _: y > 0),
    "leaky_relu": Activation(
        lambda xp, x, alpha: xp.where(x >= 0, x, alpha * x), lambda xp, y, alpha: xp.where(y >= 0, 1, alpha)
    ),
    "elu": Activation(_elu, lambda xp, y, alpha: xp.where(y > 0, 1, y + alpha)),
    "sigmoid": Activation(_sigmoid, lambda xp, y, _: y * (1 - y)),
    "tanh": Activation(lambda xp, x, _: xp.tanh(x), lambda xp, y, _: 1 - y * y),
}


def activate(x: Array, activation: str, alpha: float) -> Array:
    """The activation of that name; any shape."""
    return ACTIVATIONS[activation].value(array_module(x), x, alpha).astype(x.dtype, copy=False)


def activation_gradient(gy: Array, y: Array, activation: str, alpha: float) -> Array:
    """gy times the derivative, which is worked out from the activation's output y."""
    if activation == "linear":
        return gy
    xp = array_module(gy)
    slope = ACTIVATIONS[activation].derivative(xp, y, alpha).astype(gy.dtype, copy=False)
    # Where the slope is zero nothing passes, not even a NaN: as in `relu_gradient`.
    return xp.where(slope != 0, gy * slope, gy.dtype.type(0))


def blocks(
    kernels: Callable[[], ModuleType],
    gradient: Callable[[Array, Array, str, float], Array] = activation_gradient,
    activate: Callable[[Array, str, float], Array] = activate,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`conv2d_block` and `conv2d_block_gradients` made of an implementation's own kernels.

    Args:
        kernels: the implementation, once it is complete.
        gradient, activate: as `activation_gradient` and `activate`, for an implementation that has faster ones.
    """

    def conv2d_block(
        x: Array, w: Array, b: Array | None, *, strides: Pair, padding: Padding, dilation: Pair, groups: int,
        algorithm: str = "auto", activation: str, alpha: float, pool_size: Pair | None, pool_strides: Pair | None,
        pool_padding: Padding | None, pooling: str = "max", keep: bool = True,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """See `minicnn.kernels.conv2d_block`."""
        z = kernels().conv2d(
            x, w, b, strides=strides, padding=padding, dilation=dilation, groups=groups, algorithm=algorithm
        )
        y = activate(z, activation, alpha)
        if pool_size is None:
            return y, None
        windows: Any = {"pool_size": pool_size, "strides": pool_strides, "padding": pool_padding}
        if pooling == "avg":
            return kernels().avg_pool2d(y, **windows), y if keep else None
        pooled, winners = kernels().max_pool2d(y, **windows)
        return pooled, winners if keep else None

    def conv2d_block_gradients(
        gy: Array, y: Array, kept: Array | None, x: Array, w: Array, *, needs_x: bool, needs_w: bool,
        needs_b: bool, strides: Pair, padding: Padding, dilation: Pair, groups: int, algorithm: str = "auto",
        activation: str, alpha: float, pool_size: Pair | None, pool_strides: Pair | None,
        pool_padding: Padding | None, pooling: str = "max",
    ) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
        """See `minicnn.kernels.conv2d_block_gradients`."""
        geometry: Any = {
            "strides": strides, "padding": padding, "dilation": dilation, "groups": groups, "algorithm": algorithm,
        }  # fmt: skip
        size, kernel_size = x.shape[1:3], w.shape[:2]
        output = output_sizes(size, kernel_size, strides, padding, dilation)
        windows: Any = {"pool_size": pool_size, "strides": pool_strides, "padding": pool_padding}
        if pool_size is not None and pooling == "avg":
            gy, y = kernels().avg_pool2d_gradient(gy, input_size=output, **windows), kept
        g = gradient(gy, y, activation, alpha)
        gb = kernels().sum_rows(g.reshape(-1, g.shape[3])) if needs_b else None
        if pool_size is not None and pooling == "max":
            g = kernels().max_pool2d_gradient(g, kept, input_size=output, **windows)
        gx = kernels().conv2d_input_gradient(g, w, input_size=size, **geometry) if needs_x else None
        gw = kernels().conv2d_kernel_gradient(x, g, kernel_size=kernel_size, **geometry) if needs_w else None
        return gx, gw, gb

    return conv2d_block, conv2d_block_gradients


def dense_blocks(
    kernels: Callable[[], ModuleType], gradient: Callable[[Array, Array, str, float], Array] = activation_gradient
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`dense_block` and `dense_block_gradients` made of an implementation's own kernels; arguments as for `blocks`."""

    def dense_block(x: Array, w: Array, b: Array | None, *, activation: str, alpha: float) -> Array:
        """See `minicnn.kernels.dense_block`."""
        return activate(kernels().matmul(x, w, b), activation, alpha)

    def dense_block_gradients(
        gy: Array, y: Array, x: Array, w: Array, *, needs_x: bool, needs_w: bool, needs_b: bool, activation: str,
        alpha: float, out: Array | None = None,
    ) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
        """See `minicnn.kernels.dense_block_gradients`."""
        g = gradient(gy, y, activation, alpha)
        gx = kernels().matmul(g, w.T) if needs_x else None
        gw = kernels().matmul(x.T, g, None, out) if needs_w else None
        return gx, gw, kernels().sum_rows(g) if needs_b else None

    return dense_block, dense_block_gradients
