"""Convolutions: Conv2D, DepthwiseConv2D and Conv2DTranspose.

Deep learning's convolution does not flip the kernel. With x padded, stride (SH, SW) and dilation (DH, DW):

    y[n, i, j, f] = b[f] + sum over p, q, c of x[n, i SH + p DH, j SW + q DW, c] w[p, q, c, f]
"""

from __future__ import annotations

from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional.convolution import check_algorithm, transposed_axis
from minicnn.layers.arguments import positive
from minicnn.layers.base import registry
from minicnn.layers.shapes import Shape
from minicnn.layers.spatial import SpatialLayer, WindowLayer, pair, product
from minicnn.layers.weighted import WeightedLayer


class _Convolution(WeightedLayer, WindowLayer):
    """What the convolutions share: channels that must be known and stay what they were."""

    window_argument = "kernel_size"

    @property
    def kernel_size(self) -> tuple[int, int]:
        """(KH, KW)."""
        return self._window

    def check_channels(self, input_shape: Any) -> int:
        """The number of input channels; ValueError where it is open or not what the layer was built for."""
        channels = self.split_shape(input_shape)[3]
        if channels is None:
            raise ValueError(f"{self.describe()}: the number of channels must be known, but x has shape {input_shape}")
        if self._build_shape is not None:
            expected = self.split_shape(self._build_shape)[3]
            if channels != expected:
                raise ValueError(
                    f"{self.describe()}: x must have {expected} channels, as the layer was built for, but {channels} "
                    f"came: shape {input_shape} with data_format='{self.data_format}'"
                    f"{self._other_layout_hint() if expected in input_shape[1:] else ''}"
                )
        return channels

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where rank, channels or size do not fit."""
        self.check_rank(input_shape)
        self.check_channels(input_shape)
        super().check_input(input_shape)

    def output_channels(self, channels: int) -> int:
        """Number of channels out for this many in."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, OH, OW, F) in the layer's data format."""
        self.check_input(input_shape)
        n, height, width, channels = self.split_shape(input_shape)
        return self.join_shape(n, *self.windows(height, width), self.output_channels(channels or 0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
        }


@registry.register("Convolution2D")
class Conv2D(_Convolution):
    """2-D convolution, y = activation(x * w + b): kernels slide over pictures and answer with feature maps.

    ``y[n, i, j, f] = b[f] + sum over p, q, c of x[n, i SH + p DH - top, j SW + q DW - left, c] w[p, q, c, f]``
    (LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition; the arithmetic of
    padding and strides: Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning).

    Input (N, H, W, C), output (N, OH, OW, F), or (N, C, H, W) and (N, F, OH, OW) with channels first. Weights:
    kernel (KH, KW, C / groups, F), bias (F,).

    Args:
        filters: F, the number of feature maps.
        kernel_size: KH, KW: an int or a pair.
        strides: SH, SW: an int or a pair.
        padding: "valid", "same" (OH = ceil(H / SH); the odd pixel goes to the bottom and the right), an int, a
            pair (height, width), or ((top, bottom), (left, right)).
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: DH, DW: distance between the pixels that a kernel touches.
        groups: splits channels and filters into groups that do not see each other.
        activation: name or function; None is linear.
        algorithm: "auto", "direct" or "winograd", as for `minicnn.functional.conv2d`.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as the names say.

    Raises:
        ValueError: for arguments out of range, and at a call whose x has the wrong rank or channels, or is
            smaller than the kernel.

    >>> import numpy as np
    >>> from minicnn.layers import Conv2D
    >>> layer = Conv2D(32, 5, padding="same", activation="relu")
    >>> layer(np.zeros((1, 28, 28, 1))).shape
    (1, 28, 28, 32)
    >>> layer.count_params()
    832
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        algorithm: str = "auto",
        **options: Any,
    ):
        super().__init__(
            window=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.filters = positive(filters, "filters", self)
        self.groups = positive(groups, "groups", self)
        if self.filters % self.groups:
            raise ValueError(
                f"{self.describe()}: filters must be a multiple of groups, but filters={filters}, groups={groups} came"
            )
        check_algorithm(algorithm, self.kernel_size, self.strides, self.dilation_rate, self.groups, self.describe())
        self.algorithm = algorithm

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        channels = self.check_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{self.describe()}: the channels of x must be a multiple of groups={self.groups}, but {channels} "
                f"came: shape {input_shape} with data_format='{self.data_format}'"
            )
        self.add_kernel_and_bias((*self.kernel_size, channels // self.groups, self.filters), self.filters)

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute x * w + b."""
        y = F.conv2d(
            self.to_nhwc(x),
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            algorithm=self.algorithm,
        )
        return self.from_nhwc(y)

    def output_channels(self, channels: int) -> int:
        """Give the number of filters."""
        return self.filters

    def multiply_adds(self, input_shape: Any) -> int:
        """OH OW F KH KW C / groups."""
        channels = self.split_shape(input_shape)[3] or 0
        per_output = product(self.kernel_size) * (channels // self.groups)
        return product(self.compute_output_shape(input_shape)[1:]) * per_output

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the algorithm only if one was chosen, as Keras has none."""
        config = {**super().get_config(), "filters": self.filters, "groups": self.groups}
        return config if self.algorithm == "auto" else {**config, "algorithm": self.algorithm}


@registry.register()
class DepthwiseConv2D(_Convolution):
    """Convolution of each channel with kernels of its own: nothing is summed over channels.

    ``y[n, i, j, c M + m] = b[c M + m] + sum over p, q of x[n, i SH + p DH, j SW + q DW, c] w[p, q, c, m]``
    with M = depth_multiplier (Sifre 2014, Rigid-motion scattering for image classification; Chollet 2017,
    Xception).

    Input (N, H, W, C), output (N, OH, OW, C M). Weights: kernel (KH, KW, C, M), bias (C M,).

    Args:
        kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias: as in `Conv2D`.
        depth_multiplier: M, kernels for each channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: of the kernel.
        bias_initializer, bias_regularizer, bias_constraint: of the bias.
    """

    kernel_word = "depthwise"

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ):
        super().__init__(
            window=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", self)

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        channels = self.check_channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.add_kernel_and_bias(shape, channels * self.depth_multiplier)

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute the grouped convolution with one group for each channel."""
        kh, kw, channels, multiplier = self.kernel.shape
        y = F.conv2d(
            self.to_nhwc(x),
            F.reshape(self.kernel, (kh, kw, 1, channels * multiplier)),
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=channels,
        )
        return self.from_nhwc(y)

    def output_channels(self, channels: int) -> int:
        """C M."""
        return channels * self.depth_multiplier

    def multiply_adds(self, input_shape: Any) -> int:
        """OH OW C M KH KW."""
        return product(self.compute_output_shape(input_shape)[1:]) * product(self.kernel_size)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}


@registry.register("Convolution2DTranspose")
class Conv2DTranspose(_Convolution):
    """Transposed convolution: every input pixel stamps its kernel onto the output; overlaps add.

    The adjoint of the convolution with the same kernel, strides and padding (Dumoulin & Visin 2016, section 4;
    Zeiler et al. 2010, Deconvolutional networks).

    Input (N, H, W, C), output (N, OH, OW, F). Weights: kernel (KH, KW, F, C), bias (F,). With "valid",
    OH = (H - 1) SH + max(K, SH), K = (KH - 1) DH + 1; with "same", OH = H SH; with ``output_padding`` O,
    OH = (H - 1) SH + K + O and (H - 1) SH + K mod 2 + O; with explicit padding, OH = (H - 1) SH + K - top -
    bottom + O.

    Args:
        filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer and so on: as in `Conv2D`.
        output_padding: rows and columns added at the bottom and the right, an int or a pair, below the strides.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ):
        super().__init__(
            window=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.filters = positive(filters, "filters", self)
        self.output_padding = None if output_padding is None else pair(output_padding, "output_padding", self, least=0)

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        channels = self.check_channels(input_shape)
        self.add_kernel_and_bias((*self.kernel_size, self.filters, channels), self.filters)

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where rank or channels do not fit."""
        SpatialLayer.check_input(self, input_shape)
        self.check_channels(input_shape)

    def pre_activation(self, x: Tensor, training: bool = False) -> Tensor:
        """Compute the transposed convolution and add the bias."""
        y = F.conv2d_transpose(
            self.to_nhwc(x),
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return self.from_nhwc(y)

    def windows(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        """Rows and columns of the output."""
        return self._stretch(height, 0), self._stretch(width, 1)

    def _stretch(self, size: int | None, axis: int) -> int | None:
        if size is None:
            return None
        kernel = self.kernel_size[axis]
        return transposed_axis(axis, size, kernel, self.strides, self.padding, self.output_padding, self.dilation_rate)[
            0
        ]

    def output_channels(self, channels: int) -> int:
        """Give the number of filters."""
        return self.filters

    def multiply_adds(self, input_shape: Any) -> int:
        """H W C KH KW F."""
        return product(input_shape[1:]) * product(self.kernel_size) * self.filters

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "filters": self.filters, "output_padding": self.output_padding}
