"""Fused blocks: convolution, activation and pooling, or a dense layer and its activation, as one operation.

Models use them on their own where layers follow each other so (see `minicnn.kernels.conv2d_block` for what they save);
results are those of the separate operations but for rounding.
"""

from __future__ import annotations

from typing import Any

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array, is_grad_enabled
from minicnn.kernels import Pair, composition, output_sizes

from .activations import ReLUGradient
from .arithmetic import add, multiply, subtract, where
from .convolution import Conv2DInputGradient, Conv2DKernelGradient, Geometry, convolution_operands
from .geometry import PaddingLike, PairLike
from .linear import MatMul, apply_to_rows, dense_operands, room_for_weights
from .pooling import ScatterToWinners, SpreadAverage, Windows, pool_windows
from .reductions import sum as sum_
from .shaping import transpose

ACTIVATIONS = tuple(composition.ACTIVATIONS)


class ConvBlock(Function):
    """max_pool2d or avg_pool2d of activation(conv2d(x, w, b)); pooling is left out where `windows` is None."""

    def __init__(
        self, geometry: Geometry, activation: str, alpha: float, windows: Windows | None, pooling: str = "max"
    ) -> None:
        self.geometry, self.activation, self.alpha = geometry, activation, alpha
        self.windows, self.pooling = windows, pooling

    @property
    def options(self) -> dict[str, Any]:
        """The kernels' keywords."""
        pool_size, pool_strides, pool_padding = self.windows or (None, None, None)
        return vars(self.geometry) | {
            "activation": self.activation, "alpha": self.alpha, "pool_size": pool_size,
            "pool_strides": pool_strides, "pool_padding": pool_padding, "pooling": self.pooling,
        }  # fmt: skip

    @property
    def _averages(self) -> bool:
        return self.windows is not None and self.pooling == "avg"

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        """Saves x, w and the output, and with max pooling a byte for each window, which says where the winner stood.

        With average pooling the activation's output before it is kept, of which the derivative is a function.
        """
        self.save_inputs(*range(2 if b is None or not self._averages else 3))
        self.save_outputs(0)
        keep = is_grad_enabled() and True in self.needs_input_gradient
        y, self.kept = kernels.conv2d_block(x, w, b, **self.options, keep=keep)
        return y

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        """One call of the kernels; the separate operations, which have derivatives again, where backward is taped."""
        x, w, *b = self.saved_inputs
        (y,) = self.saved_outputs
        needs_x, needs_w, *needs_b = self.needs_input_gradient
        if is_grad_enabled():
            return self._separately(gy, y, x, w, *b)
        gradients = kernels.conv2d_block_gradients(
            gy.data, y.data, self.kept, x.data, w.data, needs_x=needs_x, needs_w=needs_w, needs_b=any(needs_b),
            **self.options,
        )  # fmt: skip
        results = [None if gradient is None else Tensor(gradient) for gradient in gradients]
        return tuple(results[: len(self.needs_input_gradient)])

    def free(self) -> None:
        """Let go of what was kept, too."""
        super().free()
        self.kept = None

    def _separately(self, gy: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor | None = None) -> Any:
        needs_x, needs_w, *needs_b = self.needs_input_gradient
        input_size, kernel_size = _pair(x.shape[1:3]), _pair(w.shape[:2])
        if self._averages and self.windows is not None:
            # What was kept is connected to nothing, and the derivative depends on it.
            y = ConvBlock(self.geometry, self.activation, self.alpha, None)(x, w, *([] if b is None else [b]))
            gy = SpreadAverage(self.windows, _pair(y.shape[1:3]))(gy)
        g = _times_derivative(gy, y, self.activation, self.alpha)
        gb = sum_(g, axis=(0, 1, 2)) if any(needs_b) else None
        if self.windows is not None and not self._averages:
            strides, padding, dilation = self.geometry.strides, self.geometry.padding, self.geometry.dilation
            size = output_sizes(input_size, kernel_size, strides, padding, dilation)
            g = ScatterToWinners(self.windows, self.kept, size)(g)
        gx = Conv2DInputGradient(self.geometry, input_size)(g, w) if needs_x else None
        gw = Conv2DKernelGradient(self.geometry, kernel_size)(x, g) if needs_w else None
        return gx, gw, *(gb for _ in needs_b)


def _pair(shape: tuple[int, ...]) -> Pair:
    rows, columns = shape
    return rows, columns


def _times_derivative(gy: Tensor, y: Tensor, activation: str, alpha: float) -> Any:
    """gy times the derivative, as a function of the activation's output y."""
    if activation == "linear":
        return gy
    if activation == "relu":
        return ReLUGradient(y.data)(gy)
    if activation == "leaky_relu":
        return where(y.data >= 0, gy, multiply(gy, alpha))
    if activation == "elu":
        return where(y.data > 0, gy, multiply(gy, add(y, alpha)))
    slope = multiply(y, subtract(1, y)) if activation == "sigmoid" else subtract(1, multiply(y, y))
    return multiply(gy, slope)


class DenseBlock(Function):
    """activation(x @ w + b)."""

    def __init__(self, activation: str, alpha: float) -> None:
        self.activation, self.alpha = activation, alpha

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        """Saves x, w and the output."""
        self.save_inputs(0, 1)
        self.save_outputs(0)
        return kernels.dense_block(x, w, b, activation=self.activation, alpha=self.alpha)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        """One call of the kernels; the separate operations, which have derivatives again, where backward is taped."""
        x, w = self.saved_inputs
        (y,) = self.saved_outputs
        needs_x, needs_w, *needs_b = self.needs_input_gradient
        if is_grad_enabled():
            g = _times_derivative(gy, y, self.activation, self.alpha)
            gx = MatMul()(g, transpose(w)) if needs_x else None
            gw = MatMul(room_for_weights(None, g, w.shape))(transpose(x), g) if needs_w else None
            return gx, gw, *(sum_(g, axis=0) if needed else None for needed in needs_b)
        gradients = kernels.dense_block_gradients(
            gy.data, y.data, x.data, w.data, needs_x=needs_x, needs_w=needs_w, needs_b=any(needs_b),
            activation=self.activation, alpha=self.alpha,
            out=room_for_weights(self.gradient_buffer(1), gy, w.shape),
        )  # fmt: skip
        results = [None if gradient is None else Tensor(gradient) for gradient in gradients]
        return tuple(results[: len(self.needs_input_gradient)])


def dense_block(
    x: TensorLike, w: TensorLike, b: TensorLike | None = None, *, activation: str = "relu", alpha: float = 1.0
) -> Any:
    """`dense` and an activation in one pass: y = activation(x @ w + b).

    Args:
        x, w, b: as for `dense`.
        activation, alpha: as for `conv2d_block`.

    Returns:
        (..., units).

    Raises:
        ValueError: as `dense` does; another activation; an alpha that is not above 0.

    >>> dense_block([[1.0, 2.0]], [[3.0, -3.0], [0.5, 0.5]])
    array([[4., 0.]], dtype=float32)
    """
    _check_activation("dense_block", activation, alpha)
    return apply_to_rows(DenseBlock(activation, float(alpha)), *dense_operands("dense_block", x, w, b))


def conv2d_block(
    x: TensorLike,
    w: TensorLike,
    b: TensorLike | None = None,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation_rate: PairLike = 1,
    groups: int = 1,
    algorithm: str = "auto",
    activation: str = "relu",
    alpha: float = 1.0,
    pool_size: PairLike | None = None,
    pool_strides: PairLike | None = None,
    pool_padding: PaddingLike = "valid",
    pooling: str = "max",
) -> Any:
    """`conv2d`, an activation and `max_pool2d` or `avg_pool2d` in one pass.

    y = max_pool2d(activation(conv2d(x, w, b))); the picture between them is never stored. Of the cells of a window that
    are equal after the activation, another one may receive the gradient than from the separate operations, where it is
    zero or rounding made them equal.

    Args:
        x, w, b, strides, padding, dilation_rate, groups, algorithm: as for `conv2d`.
        activation: "linear", "relu", "leaky_relu", "elu", "sigmoid" or "tanh".
        alpha: the slope of "leaky_relu" and the scale of "elu" below zero; above 0.
        pool_size, pool_strides, pool_padding: as for `max_pool2d`; no pooling where `pool_size` is None.
        pooling: "max" or "avg". For averages the picture between is stored if a gradient may be asked for.

    Returns:
        (N, OH, OW, F), the output of the pooling, or of the convolution where there is none.

    Raises:
        ValueError: as `conv2d` and `max_pool2d` do; another activation or pooling; an alpha that is not above 0.

    >>> import numpy as np
    >>> x = np.float32([[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]).reshape(1, 4, 4, 1)
    >>> w = np.float32([-1]).reshape(1, 1, 1, 1)
    >>> conv2d_block(x, w, pool_size=2)[0, :, :, 0]
    array([[0., 1.],
           [2., 0.]], dtype=float32)
    """
    operation = "conv2d_block"
    _check_activation(operation, activation, alpha)
    if pooling not in ("max", "avg"):
        raise ValueError(f"conv2d_block: pooling must be 'max' or 'avg', got {pooling!r}")
    geometry, operands = convolution_operands(x, w, b, strides, padding, dilation_rate, groups, algorithm, operation)
    windows = None
    if pool_size is not None:
        sizes = _pair(as_array(x).shape[1:3]), _pair(as_array(w).shape[:2])
        size = output_sizes(*sizes, geometry.strides, geometry.padding, geometry.dilation)
        windows = pool_windows(size, pool_size, pool_strides, pool_padding, operation)
    return ConvBlock(geometry, activation, float(alpha), windows, pooling)(*operands)


def _check_activation(operation: str, activation: str, alpha: float) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{operation}: activation must be one of {', '.join(map(repr, ACTIVATIONS))}, got {activation!r}"
        )
    if not alpha > 0:
        raise ValueError(f"{operation}: alpha must be above 0, got {alpha!r}")
