"""Convolution, its transpose, and the two steps it is made of in the readable form: im2col and a matrix product.

A convolution is one trilinear form (see `minicnn.kernels`), so each of its three passes has the other two as its
gradients: `Conv2D`, `Conv2DInputGradient` and `Conv2DKernelGradient` are each other's backward, to any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.autograd import Array, Function, Tensor, TensorLike, as_array
from minicnn.kernels import Padding, Pair, output_sizes, reference, winograd
from minicnn.kernels.geometry import effective_size

from .arithmetic import add
from .geometry import PaddingLike, PairLike, check_fits, check_rank, pair, resolve_padding, whole
from .reductions import sum as sum_
from .shaping import as_activations, index, reshape, transpose


@dataclass(frozen=True)
class Geometry:
    """How windows lie on the picture, normalised, and the algorithm that was asked for."""

    strides: Pair
    padding: Padding
    dilation: Pair
    groups: int
    algorithm: str = "auto"


class Conv2D(Function):
    """y from x, w and a bias."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        """x is saved only where w needs a gradient, and w only where x does."""
        needs_x, needs_w = self.needs_input_gradient[:2] or (False, False)
        self.save_inputs(*([0] if needs_w else []), *([1] if needs_x else []))
        self.input_size, self.kernel_size = x.shape[1:3], w.shape[:2]
        return kernels.conv2d(x, w, b, **vars(self.geometry))

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        """The other two passes; the bias receives the sum over all positions."""
        saved = iter(self.saved_inputs)
        needs_x, needs_w, *needs_b = self.needs_input_gradient
        gw = Conv2DKernelGradient(self.geometry, self.kernel_size)(next(saved), gy) if needs_w else None
        gx = Conv2DInputGradient(self.geometry, self.input_size)(gy, next(saved)) if needs_x else None
        return gx, gw, *(sum_(gy, axis=(0, 1, 2)) if needed else None for needed in needs_b)


class Conv2DInputGradient(Function):
    """gx from gy and w: also the transposed convolution."""

    def __init__(self, geometry: Geometry, input_size: Pair) -> None:
        self.geometry, self.input_size = geometry, input_size

    def forward(self, gy: Array, w: Array) -> Array:
        """Saves both."""
        self.save_inputs(0, 1)
        self.kernel_size = w.shape[:2]
        return kernels.conv2d_input_gradient(gy, w, input_size=self.input_size, **vars(self.geometry))

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """ggx takes the place of x in the trilinear form."""
        gy, w = self.saved_inputs
        needs_gy, needs_w = self.needs_input_gradient
        by_gy = Conv2D(self.geometry)(ggx, w) if needs_gy else None
        return by_gy, Conv2DKernelGradient(self.geometry, self.kernel_size)(ggx, gy) if needs_w else None


class Conv2DKernelGradient(Function):
    """gw from x and gy."""

    def __init__(self, geometry: Geometry, kernel_size: Pair) -> None:
        self.geometry, self.kernel_size = geometry, kernel_size

    def forward(self, x: Array, gy: Array) -> Array:
        """Saves both."""
        self.save_inputs(0, 1)
        self.input_size = x.shape[1:3]
        return kernels.conv2d_kernel_gradient(x, gy, kernel_size=self.kernel_size, **vars(self.geometry))

    def backward(self, ggw: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """ggw takes the place of w in the trilinear form."""
        x, gy = self.saved_inputs
        needs_x, needs_gy = self.needs_input_gradient
        by_x = Conv2DInputGradient(self.geometry, self.input_size)(gy, ggw) if needs_x else None
        return by_x, Conv2D(self.geometry)(x, ggw) if needs_gy else None


def conv2d(
    x: TensorLike,
    w: TensorLike,
    b: TensorLike | None = None,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation_rate: PairLike = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Any:
    """Slide w over x and write down the weighted sums.

    y[n,i,j,f] = b[f] + sum over p,q,c of w[p,q,c,f] * x[n, i*SH + p*DH - top, j*SW + q*DW - left, c]: a
    cross-correlation, as all networks have it (`convolve2d` flips the kernel; LeCun et al. 1989).

    Args:
        x: pictures (N, H, W, C).
        w: kernels (KH, KW, C/groups, F).
        b: biases (F,), or None.
        strides: steps down and right.
        padding: "valid", "same" (TensorFlow's rule), pixels on every side, (rows, columns) or
            ((top, bottom), (left, right)); zeros.
        dilation_rate: distance of the kernel's taps.
        groups: filter f sees only the channels of its own group out of so many.
        algorithm: how the `cpu` kernels make the sums, here and in the gradients (others have one way only). "direct":
            as the formula says. "winograd": with a fraction of the multiplications, for kernels of 3x3 and 5x5 whose
            strides, dilation and groups are 1 (Lavin and Gray 2015); float32 results are within 1e-5 of the largest
            one. "auto": the faster one, by shape and dtype alone, and always "direct" in float64.

    Returns:
        (N, OH, OW, F) with OH = (H + top + bottom - DH*(KH-1) - 1) // SH + 1.

    Raises:
        TypeError: strides and the like that are no whole numbers.
        ValueError: shapes that do not fit, each with what came and what was expected; a kernel without taps, channels
            or filters; another algorithm, or "winograd" for a convolution that it cannot do.

    A 4x4 picture and a 3x3 kernel:

    >>> x = [[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]
    >>> w = [[0, 2, 1], [1, 3, 2], [2, 0, -1]]
    >>> x, w = np.float32(x).reshape(1, 4, 4, 1), np.float32(w).reshape(3, 3, 1, 1)
    >>> conv2d(x, w)[0, :, :, 0]
    array([[ 0., 12.],
           [-8., 12.]], dtype=float32)
    """
    geometry, operands = convolution_operands(x, w, b, strides, padding, dilation_rate, groups, algorithm, "conv2d")
    return Conv2D(geometry)(*operands)


def convolution_operands(
    x: TensorLike, w: TensorLike, b: TensorLike | None, strides: PairLike, padding: PaddingLike,
    dilation_rate: PairLike, groups: int, algorithm: str, operation: str,
) -> tuple[Geometry, Any]:  # fmt: skip
    """The geometry of a convolution and its operands as floats, the bias only if there is one; all checked.

    Raises:
        TypeError, ValueError: as `conv2d` does.
    """
    picture, kernel = as_array(x), as_array(w)
    check_rank(picture, "x", "(N, H, W, C)", operation)
    check_rank(kernel, "w", "(KH, KW, C/groups, F)", operation)
    groups = whole(groups, "groups", operation)
    (KH, KW, CG, F), C = kernel.shape, picture.shape[3]
    if CG * groups != C or F % groups:
        raise ValueError(
            f"{operation}: x has {C} channels and w has shape {kernel.shape}, which with groups={groups} expects "
            f"{CG * groups} channels and a multiple of {groups} filters"
        )
    _check_sizes(kernel, operation)
    _check_bias(b, F, operation)
    geometry = _geometry(picture.shape[1:3], (KH, KW), strides, padding, dilation_rate, groups, operation, algorithm)
    check_algorithm(algorithm, (KH, KW), geometry.strides, geometry.dilation, groups, operation)
    x, w, b = as_activations(x, w, b)
    return geometry, ((x, w) if b is None else (x, w, b))


def _check_sizes(kernel: Array, operation: str) -> None:
    if 0 in kernel.shape:
        raise ValueError(f"{operation}: w must have no axis of size 0, got shape {kernel.shape}")


def _check_bias(b: TensorLike | None, F: int, operation: str) -> None:
    if b is not None and as_array(b).shape != (F,):
        raise ValueError(f"{operation}: b must have shape ({F},), one for each filter, got {as_array(b).shape}")


def check_algorithm(
    algorithm: Any, kernel_size: Pair, strides: Pair, dilation: Pair, groups: int, operation: str
) -> None:
    """Refuse an algorithm that does not exist, or that cannot do this convolution.

    Raises:
        ValueError: with the reason.
    """
    if algorithm not in winograd.ALGORITHMS:
        names = ", ".join(f'"{name}"' for name in winograd.ALGORITHMS)
        raise ValueError(f"{operation}: algorithm must be one of {names}, got {algorithm!r}")
    if algorithm == "winograd" and (reason := winograd.obstacle(kernel_size, strides, dilation, groups)):
        raise ValueError(
            f'{operation}: algorithm="winograd" cannot do this convolution, which has {reason}; use "auto" or "direct"'
        )


def _geometry(
    input_size: Pair, kernel_size: Pair, strides: PairLike, padding: PaddingLike, dilation_rate: PairLike, groups: int,
    operation: str, algorithm: str = "auto",
) -> Geometry:  # fmt: skip
    steps, dilation = pair(strides, "strides", operation), pair(dilation_rate, "dilation_rate", operation)
    pads = resolve_padding(padding, input_size, kernel_size, steps, dilation, operation)
    check_fits(input_size, kernel_size, pads, dilation, operation)
    return Geometry(steps, pads, dilation, groups, algorithm)


def conv2d_transpose(
    x: TensorLike,
    w: TensorLike,
    b: TensorLike | None = None,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    output_padding: PairLike | None = None,
    dilation_rate: PairLike = 1,
) -> Any:
    """The adjoint of `conv2d`: every pixel of x stamps w, scaled, into the output, where stamps overlap they add up.

    Args:
        x: (N, H, W, C).
        w: (KH, KW, F, C), as Keras has it: the kernel of the convolution that leads from the output back to x.
        b: (F,), or None.
        strides: how far apart the stamps of neighbouring pixels lie.
        padding: what that convolution pads its input with; it is cut off here.
        output_padding: rows and columns more at the bottom and the right, less than the strides; None takes
            what makes "same" give H*SH rows and "valid" H*SH + max(KH - SH, 0), as Keras does.
        dilation_rate: distance of the kernel's taps.

    Returns:
        (N, OH, OW, F).

    Raises:
        TypeError: strides and the like that are no whole numbers.
        ValueError: shapes that do not fit, each with what came and what was expected; a kernel without taps, channels
            or filters.
    """
    operation = "conv2d_transpose"
    picture, kernel = as_array(x), as_array(w)
    check_rank(picture, "x", "(N, H, W, C)", operation)
    check_rank(kernel, "w", "(KH, KW, F, C)", operation)
    if picture.shape[3] != kernel.shape[3]:
        raise ValueError(
            f"{operation}: x has {picture.shape[3]} channels but w of shape {kernel.shape} expects {kernel.shape[3]}"
        )
    _check_sizes(kernel, operation)
    _check_bias(b, kernel.shape[2], operation)
    steps, dilation = pair(strides, "strides", operation), pair(dilation_rate, "dilation_rate", operation)
    extra = None if output_padding is None else pair(output_padding, "output_padding", operation, least=0)
    rows, columns = (
        transposed_axis(axis, picture.shape[1 + axis], kernel.shape[axis], steps, padding, extra, dilation)
        for axis in (0, 1)
    )
    geometry = Geometry(steps, (rows[1], columns[1]), dilation, 1)
    x, w, b = as_activations(x, w, b)
    y = Conv2DInputGradient(geometry, (rows[0], columns[0]))(x, w)
    return y if b is None else add(y, b)


def transposed_axis(
    axis: int, size: int, kernel: int, strides: Pair, padding: PaddingLike, extra: Pair | None, dilation: Pair
) -> tuple[int, Pair]:
    """Output size of `conv2d_transpose` and what is cut off (before, after), along axis 0 (rows) or 1 (columns).

    Raises:
        ValueError: output_padding is not less than the stride, or padding leaves nothing.
    """
    stride, reach = strides[axis], effective_size(kernel, dilation[axis])
    if extra is not None and extra[axis] >= stride:
        raise ValueError(
            f"conv2d_transpose: output_padding must be less than the strides, got {extra[axis]} with stride {stride}"
        )
    if isinstance(padding, str):
        padding = padding.lower()
    if padding == "same":
        # TensorFlow's rule for the convolution that leads back: the odd pixel is cut off at the end.
        out = size * stride if extra is None else (size - 1) * stride + reach - reach // 2 * 2 + extra[axis]
        total = max((size - 1) * stride + reach - out, 0)
        before = total // 2
    else:
        before, after = resolve_padding(padding, (size, size), (kernel, kernel), strides, dilation, "conv2d_transpose")[
            axis
        ]
        total = before + after
        default = max(stride - reach, 0) if padding == "valid" else 0
        out = (size - 1) * stride + reach - total + (default if extra is None else extra[axis])
    if out < 1:
        raise ValueError(f"conv2d_transpose: padding {padding!r} leaves nothing of an output of {out + total} pixels")
    return out, (before, max(0, (size - 1) * stride + reach - before - out))


class Im2Col(Function):
    """Every window as a row of a matrix."""

    def __init__(self, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> None:
        self.windows = kernel_size, strides, padding, dilation

    def forward(self, x: Array) -> Array:
        """A copy, KH*KW/(SH*SW) times as large as x."""
        self.shape = x.shape
        return reference.im2col(x, *self.windows)

    def backward(self, gy: Tensor) -> Tensor:
        """Add the rows back."""
        return Col2Im(self.shape, *self.windows)(gy)


class Col2Im(Function):
    """Add every row back to where its window lay: the adjoint of `Im2Col`."""

    def __init__(
        self, shape: tuple[int, ...], kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair
    ) -> None:
        self.shape, self.windows = shape, (kernel_size, strides, padding, dilation)

    def forward(self, columns: Array) -> Array:
        """Where windows overlap, their values add up."""
        return reference.col2im(columns, self.shape, *self.windows)

    def backward(self, gy: Tensor) -> Tensor:
        """Read the windows again."""
        return Im2Col(*self.windows)(gy)


def im2col(
    x: TensorLike,
    kernel_size: PairLike,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation_rate: PairLike = 1,
) -> Any:
    """Lay every window of x out as a row, so that a convolution becomes one matrix product.

    Rows run over the pictures, then down, then to the right; columns over the window's rows, its columns, then the
    channels, as `w.reshape(-1, F)` has them: ``im2col(x, (KH, KW)) @ w.reshape(-1, F) + b`` is `conv2d`.

    Args:
        x: (N, H, W, C).
        kernel_size, strides, padding, dilation_rate: as for `conv2d`.

    Returns:
        (N*OH*OW, KH*KW*C), a copy: `im2col_bytes` says beforehand how large.

    Raises:
        TypeError: a kernel_size or the like that is no whole number.
        ValueError: x does not have four axes, or a window does not fit into the padded picture.

    The picture and the kernel of `conv2d`'s example:

    >>> x = [[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]]
    >>> w = [[0, 2, 1], [1, 3, 2], [2, 0, -1]]
    >>> columns = im2col(np.float32(x).reshape(1, 4, 4, 1), 3)
    >>> columns
    array([[ 0.,  1.,  2.,  3.,  0., -1., -2.,  0.,  1.],
           [ 1.,  2.,  4.,  0., -1.,  5.,  0.,  1.,  3.],
           [ 3.,  0., -1., -2.,  0.,  1.,  1.,  0.,  9.],
           [ 0., -1.,  5.,  0.,  1.,  3.,  0.,  9.,  0.]], dtype=float32)
    >>> (columns @ np.float32(w).reshape(9)).reshape(2, 2)
    array([[ 0., 12.],
           [-8., 12.]], dtype=float32)
    """
    array = as_array(x)
    check_rank(array, "x", "(N, H, W, C)", "im2col")
    kernel = pair(kernel_size, "kernel_size", "im2col")
    geometry = _geometry(array.shape[1:3], kernel, strides, padding, dilation_rate, 1, "im2col")
    return Im2Col(kernel, geometry.strides, geometry.padding, geometry.dilation)(x)


def im2col_bytes(
    shape: tuple[int, ...],
    kernel_size: PairLike,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation_rate: PairLike = 1,
    dtype: Any = "float32",
) -> int:
    """How many bytes the matrix of `im2col` takes for pictures of this shape (N, H, W, C).

    Raises:
        TypeError, ValueError: as `im2col` does.

    >>> im2col_bytes((64, 28, 28, 32), 5, padding="same") / 2**20
    153.125
    """
    kernel = pair(kernel_size, "kernel_size", "im2col_bytes")
    geometry = _geometry((shape[1], shape[2]), kernel, strides, padding, dilation_rate, 1, "im2col_bytes")
    itemsize = np.dtype(dtype).itemsize
    return reference.im2col_bytes(shape, kernel, geometry.strides, geometry.padding, geometry.dilation, itemsize)


def col2im(
    columns: TensorLike,
    shape: tuple[int, ...],
    kernel_size: PairLike,
    *,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation_rate: PairLike = 1,
) -> Any:
    """Add every row of an im2col matrix back to where its window lay; overlaps add up. The adjoint of `im2col`.

    Args:
        columns: (N*OH*OW, KH*KW*C).
        shape: (N, H, W, C) of the pictures.
        kernel_size, strides, padding, dilation_rate: as for `im2col`.

    Returns:
        (N, H, W, C).

    Raises:
        TypeError: a kernel_size or the like that is no whole number.
        ValueError: columns of another shape, or a window that does not fit into the padded picture.

    How many windows of 2x2 see each pixel of a 3x3 picture:

    >>> col2im(np.ones((4, 4)), (1, 3, 3, 1), 2)[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    array = as_array(columns)
    kernel = pair(kernel_size, "kernel_size", "col2im")
    geometry = _geometry((shape[1], shape[2]), kernel, strides, padding, dilation_rate, 1, "col2im")
    OH, OW = output_sizes((shape[1], shape[2]), kernel, geometry.strides, geometry.padding, geometry.dilation)
    expected = (shape[0] * OH * OW, kernel[0] * kernel[1] * shape[3])
    if array.shape != expected:
        raise ValueError(f"col2im: columns must have shape {expected} for pictures of shape {shape}, got {array.shape}")
    return Col2Im(tuple(shape), kernel, geometry.strides, geometry.padding, geometry.dilation)(columns)


def convolve2d(picture: TensorLike, kernel: TensorLike, mode: str = "full") -> Any:
    """Convolve one picture with one kernel, in the mathematician's sense: the kernel is flipped.

    y[i, j] = sum over p, q of kernel[p, q] * picture[i - p, j - q], with zeros outside, as SciPy has it.

    Args:
        picture: (H, W), or (H, W, C) to treat each channel by itself.
        kernel: (KH, KW).
        mode: "full" gives every overlap, (H+KH-1, W+KW-1); "same" its middle, (H, W); "valid" only windows inside
            the picture, (H-KH+1, W-KW+1).

    Raises:
        ValueError: another mode, or a kernel larger than the picture in mode "valid".

    >>> convolve2d([[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0]], mode="same")
    array([[1., 1.],
           [3., 1.]], dtype=float32)
    """
    image, taps = as_array(picture), as_array(kernel)
    if image.ndim not in (2, 3):
        raise ValueError(f"convolve2d: picture must have axes (H, W) or (H, W, C), got shape {image.shape}")
    check_rank(taps, "kernel", "(KH, KW)", "convolve2d")
    KH, KW = taps.shape
    pads = {
        "full": ((KH - 1, KH - 1), (KW - 1, KW - 1)),
        "same": ((KH // 2, (KH - 1) // 2), (KW // 2, (KW - 1) // 2)),
        "valid": ((0, 0), (0, 0)),
    }
    if mode not in pads:
        raise ValueError(f'convolve2d: mode must be "full", "same" or "valid", got {mode!r}')
    # Channels take the place of the batch: each is convolved with the same kernel.
    planes = index(picture, (None, ..., None)) if image.ndim == 2 else _planes(picture)
    flipped = reshape(index(kernel, (slice(None, None, -1), slice(None, None, -1))), (KH, KW, 1, 1))
    y = conv2d(planes, flipped, padding=pads[mode])
    return index(y, (0, ..., 0)) if image.ndim == 2 else transpose(index(y, (..., 0)), (1, 2, 0))


def _planes(picture: TensorLike) -> Any:
    return index(transpose(picture, (2, 0, 1)), (..., None))
