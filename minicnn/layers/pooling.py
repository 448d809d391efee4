"""Pooling: what is in a window, or in the whole picture, becomes one number a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.layers.base import registry
from minicnn.layers.shapes import Shape
from minicnn.layers.spatial import SpatialLayer, WindowLayer, border_of


class _Pooling(WindowLayer):
    window_argument = "pool_size"

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: Any = "valid",
        data_format: str | None = None,
        **options: Any,
    ):
        strides = pool_size if strides is None else strides
        super().__init__(window=pool_size, strides=strides, padding=padding, data_format=data_format, **options)
        if not isinstance(self.padding, str):
            for size, sides in zip(self.pool_size, self.padding, strict=True):
                if max(sides) >= size:
                    raise ValueError(
                        f"{self.describe()}: padding must be smaller than pool_size {self.pool_size}, lest a window "
                        f"see nothing but padding, but {self.padding} came"
                    )

    @property
    def pool_size(self) -> tuple[int, int]:
        """(PH, PW)."""
        return self._window

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, OH, OW, C) in the layer's data format."""
        self.check_input(input_shape)
        n, height, width, channels = self.split_shape(input_shape)
        return self.join_shape(n, *self.windows(height, width), channels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@registry.register("MaxPool2D")
class MaxPooling2D(_Pooling):
    """The largest value in each window: ``y[n, i, j, c] = max over p, q of x[n, i SH + p, j SW + q, c]``.

    The gradient goes to the winner, the first among equals. Padding is minus infinity, so it wins only where all of a
    window's cells are minus infinity, and that gradient is lost; NaN propagates. (Riesenhuber & Poggio 1999; Scherer et
    al. 2010, Evaluation of pooling operations.)

    Input (N, H, W, C), output (N, OH, OW, C).

    Args:
        pool_size: PH, PW: an int or a pair.
        strides: SH, SW; None means pool_size.
        padding: as in `Conv2D`; explicit padding must be smaller than the window.
        data_format: "channels_last" (default) or "channels_first".
    """

    def call(self, x: Tensor) -> Tensor:
        """Take the maximum of each window."""
        y = F.max_pool2d(self.to_nhwc(x), self.pool_size, strides=self.strides, padding=self.padding)
        return self.from_nhwc(y)


@registry.register("AvgPool2D")
class AveragePooling2D(_Pooling):
    """The mean of each window, padding not counted: a window at the border divides by what lies inside.

    (LeCun et al. 1990, Handwritten digit recognition with a back-propagation network.)

    Input (N, H, W, C), output (N, OH, OW, C). Arguments as `MaxPooling2D`'s.
    """

    def call(self, x: Tensor) -> Tensor:
        """Take the mean of each window."""
        y = F.avg_pool2d(self.to_nhwc(x), self.pool_size, strides=self.strides, padding=self.padding)
        return self.from_nhwc(y)


class _GlobalPooling(SpatialLayer):
    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any):
        super().__init__(data_format=data_format, **options)
        self.keepdims = bool(keepdims)

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """The axes of height and width."""
        return (2, 3) if self._channels_first else (1, 2)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, C); with keepdims (N, 1, 1, C) in the layer's data format."""
        self.check_input(input_shape)
        n, _, _, channels = self.split_shape(input_shape)
        return self.join_shape(n, 1, 1, channels) if self.keepdims else (n, channels)

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError for a wrong rank or a picture without pixels."""
        super().check_input(input_shape)
        if 0 in self.split_shape(input_shape)[1:3]:
            raise ValueError(f"{self.describe()}: x must have pixels, but its shape is {input_shape}")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "keepdims": self.keepdims}


@registry.register("GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel over the whole picture.

    Input (N, H, W, C), output (N, C), or (N, 1, 1, C) with ``keepdims=True``.

    Args:
        data_format: "channels_last" (default) or "channels_first".
        keepdims: keep height and width, as 1.
    """

    def call(self, x: Tensor) -> Tensor:
        """Take the maximum over height and width."""
        return F.max(x, axis=self.spatial_axes, keepdims=self.keepdims)


@registry.register("GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel over the whole picture (Lin et al. 2014, Network in network, section 3.2).

    Input (N, H, W, C), output (N, C), or (N, 1, 1, C) with ``keepdims=True``. Arguments as
    `GlobalMaxPooling2D`'s.
    """

    def call(self, x: Tensor) -> Tensor:
        """Take the mean over height and width."""
        if self._channels_first or not isinstance(x.data, np.ndarray):
            return F.mean(x, axis=self.spatial_axes, keepdims=self.keepdims)
        # The one window that is the picture: a kernel, which a recorded step can hold.
        y = F.avg_pool2d(x, (x.shape[1], x.shape[2]))
        return y if self.keepdims else F.reshape(y, (len(y), y.shape[-1]))


@registry.register()
class ZeroPadding2D(SpatialLayer):
    """A border of zeros around the picture.

    Input (N, H, W, C), output (N, top + H + bottom, left + W + right, C).

    Args:
        padding: an int, a pair (height, width), or ((top, bottom), (left, right)).
        data_format: "channels_last" (default) or "channels_first".
    """

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **options: Any):
        super().__init__(data_format=data_format, **options)
        self.padding = border_of(padding, self)

    def call(self, x: Tensor) -> Tensor:
        """Pad."""
        return self.from_nhwc(F.pad(self.to_nhwc(x), ((0, 0), *self.padding, (0, 0))))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """(N, top + H + bottom, left + W + right, C) in the layer's data format."""
        self.check_input(input_shape)
        n, height, width, channels = self.split_shape(input_shape)
        (top, bottom), (left, right) = self.padding
        return self.join_shape(
            n,
            None if height is None else height + top + bottom,
            None if width is None else width + left + right,
            channels,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "padding": self.padding}
