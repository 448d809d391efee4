"""Pooling: one number for each window and channel."""

from __future__ import annotations

from typing import Any

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array
from minicnn.kernels import Padding, Pair

from .geometry import PaddingLike, PairLike, check_fits, check_rank, pair, resolve_padding
from .reductions import max as max_
from .reductions import mean
from .shaping import as_activations

# (pool_size, strides, padding), normalised.
Windows = tuple[Pair, Pair, Padding]


def _named(windows: Windows) -> dict[str, Any]:
    return dict(zip(("pool_size", "strides", "padding"), windows, strict=True))


class MaxPool2D(Function):
    """The largest value of each window."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def forward(self, x: Array) -> Array:
        """Keeps no values, only where the winners stand."""
        self.input_size = x.shape[1:3]
        y, self.winners = kernels.max_pool2d(x, **_named(self.windows))
        return y

    def backward(self, gy: Tensor) -> Tensor:
        """gy to the winners."""
        return ScatterToWinners(self.windows, self.winners, self.input_size)(gy)


class ScatterToWinners(Function):
    """Each gradient to the cell that won its window."""

    def __init__(self, windows: Windows, winners: Array, input_size: Pair) -> None:
        self.windows, self.winners, self.input_size = windows, winners, input_size

    def forward(self, gy: Array) -> Array:
        """A cell that won several windows receives their sum."""
        return kernels.max_pool2d_gradient(gy, self.winners, input_size=self.input_size, **_named(self.windows))

    def backward(self, ggx: Tensor) -> Tensor:
        """Read them again."""
        return GatherWinners(self.windows, self.winners)(ggx)


class GatherWinners(Function):
    """What stands in the cells that won: the adjoint of `ScatterToWinners`."""

    def __init__(self, windows: Windows, winners: Array) -> None:
        self.windows, self.winners = windows, winners

    def forward(self, x: Array) -> Array:
        """One value for each window."""
        self.input_size = x.shape[1:3]
        return kernels.max_pool2d_gather(x, self.winners, **_named(self.windows))

    def backward(self, gy: Tensor) -> Tensor:
        """Scatter them again."""
        return ScatterToWinners(self.windows, self.winners, self.input_size)(gy)


class AvgPool2D(Function):
    """The mean of each window, padding not counted."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def forward(self, x: Array) -> Array:
        """Linear: nothing need be saved."""
        self.input_size = x.shape[1:3]
        return kernels.avg_pool2d(x, **_named(self.windows))

    def backward(self, gy: Tensor) -> Tensor:
        """An equal share to each cell."""
        return SpreadAverage(self.windows, self.input_size)(gy)


class SpreadAverage(Function):
    """An equal share of each gradient to the cells of its window: the adjoint of `AvgPool2D`."""

    def __init__(self, windows: Windows, input_size: Pair) -> None:
        self.windows, self.input_size = windows, input_size

    def forward(self, gy: Array) -> Array:
        """Linear: nothing need be saved."""
        return kernels.avg_pool2d_gradient(gy, input_size=self.input_size, **_named(self.windows))

    def backward(self, ggx: Tensor) -> Tensor:
        """Average them again."""
        return AvgPool2D(self.windows)(ggx)


def max_pool2d(
    x: TensorLike, pool_size: PairLike = 2, *, strides: PairLike | None = None, padding: PaddingLike = "valid"
) -> Any:
    """The largest value of each window, channel by channel; of several equal ones the first receives the gradient.

    Args:
        x: (N, H, W, C).
        pool_size: rows and columns of a window.
        strides: steps down and right; as `pool_size` by default. Windows may overlap.
        padding: as for `conv2d`; counts as minus infinity, so that it wins only where all of a window's cells are
            minus infinity; its gradient is lost then.

    Returns:
        (N, OH, OW, C).

    Raises:
        TypeError: a pool_size or the like that is no whole number.
        ValueError: x does not have four axes; a window larger than the padded picture, or a padding that some window
            could lie in entirely.

    >>> import numpy as np
    >>> x = [[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]
    >>> max_pool2d(np.float32(x).reshape(1, 4, 4, 1), 3, strides=1)[0, :, :, 0]
    array([[3., 5.],
           [9., 9.]], dtype=float32)
    """
    return MaxPool2D(_windows(x, pool_size, strides, padding, "max_pool2d"))(*as_activations(x))


def avg_pool2d(
    x: TensorLike, pool_size: PairLike = 2, *, strides: PairLike | None = None, padding: PaddingLike = "valid"
) -> Any:
    """The mean of each window, channel by channel; padding does not count.

    Args:
        x: (N, H, W, C).
        pool_size, strides, padding: as for `max_pool2d`.

    Returns:
        (N, OH, OW, C).

    Raises:
        TypeError, ValueError: as `max_pool2d` does.

    >>> import numpy as np
    >>> x = [[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]
    >>> avg_pool2d(np.float32(x).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 1.  ,  2.5 ],
           [-0.25,  3.25]], dtype=float32)
    """
    return AvgPool2D(_windows(x, pool_size, strides, padding, "avg_pool2d"))(*as_activations(x))


def _windows(
    x: TensorLike, pool_size: PairLike, strides: PairLike | None, padding: PaddingLike, operation: str
) -> Windows:
    array = as_array(x)
    check_rank(array, "x", "(N, H, W, C)", operation)
    return pool_windows(array.shape[1:3], pool_size, strides, padding, operation)


def pool_windows(
    size: Pair, pool_size: PairLike, strides: PairLike | None, padding: PaddingLike, operation: str
) -> Windows:
    """The windows of a pooling of pictures of this size, normalised and checked.

    Raises:
        TypeError, ValueError: as `max_pool2d` does.
    """
    window = pair(pool_size, "pool_size", operation)
    steps = window if strides is None else pair(strides, "strides", operation)
    pads = resolve_padding(padding, size, window, steps, (1, 1), operation)
    check_fits(size, window, pads, (1, 1), operation)
    for cells, sides in zip(window, pads, strict=True):
        if max(sides) >= cells:
            raise ValueError(
                f"{operation}: padding must be smaller than the window, or a window could hold nothing but padding; "
                f"got padding {pads} with windows of {window[0]}x{window[1]}"
            )
    return window, steps, pads


def global_max_pool2d(x: TensorLike, keepdims: bool = False) -> Any:
    """The largest value of each channel: (N, H, W, C) to (N, C), or (N, 1, 1, C) with `keepdims`.

    Raises:
        ValueError: x does not have four axes, or no pixels.
    """
    check_rank(as_array(x), "x", "(N, H, W, C)", "global_max_pool2d")
    return max_(x, axis=(1, 2), keepdims=keepdims)


def global_avg_pool2d(x: TensorLike, keepdims: bool = False) -> Any:
    """The mean of each channel: (N, H, W, C) to (N, C), or (N, 1, 1, C) with `keepdims`.

    Raises:
        ValueError: x does not have four axes.
    """
    check_rank(as_array(x), "x", "(N, H, W, C)", "global_avg_pool2d")
    return mean(x, axis=(1, 2), keepdims=keepdims)
