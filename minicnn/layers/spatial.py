"""Pictures: which axis holds the channels, and how windows slide over the other two.

Kernels know NHWC only. A channels-first layer sees its input through a transposed view, computes in NHWC and
returns a transposed view of the result; two such layers in a row hand over one NHWC buffer, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional.geometry import is_whole
from minicnn.kernels.geometry import effective_size, output_size
from minicnn.layers.base import Layer
from minicnn.layers.shapes import Shape

Pair = tuple[int, int]
Padding = str | tuple[Pair, Pair]


def pair(value: Any, argument: str, layer: Layer, *, least: int = 1) -> Pair:
    """An int, or a pair of ints for height and width, as a pair; ValueError for anything else."""
    values = [value, value] if is_whole(value) else value
    if not isinstance(values, (list, tuple)) or len(values) != 2 or not all(is_whole(v) and v >= least for v in values):
        raise ValueError(
            f"{layer.describe()}: {argument} must be an int or a pair of ints of at least {least}, but {value!r} came"
        )
    return int(values[0]), int(values[1])


def padding_of(value: Any, layer: Layer) -> Padding:
    """``"valid"``, ``"same"``, or ((top, bottom), (left, right)) from an int, a pair or pairs."""
    if isinstance(value, str) and value.lower() in ("valid", "same"):
        return value.lower()
    return border_of(value, layer, "'valid', 'same', ")


def border_of(value: Any, layer: Layer, also: str = "") -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) from an int, a pair (height, width) or pairs; ValueError for anything else."""
    try:
        height, width = [value, value] if is_whole(value) else value
        return pair(height, "padding", layer, least=0), pair(width, "padding", layer, least=0)
    except (TypeError, ValueError):
        raise ValueError(
            f"{layer.describe()}: padding must be {also}an int, a pair (height, width) "
            f"or ((top, bottom), (left, right)), none of it negative, but {value!r} came"
        ) from None


def data_format_of(value: str | None, layer: Layer) -> str:
    """The data format under its full name; None means channels last, as Keras has it."""
    if value is None:
        return "channels_last"
    if value not in ("channels_first", "channels_last"):
        raise ValueError(
            f"{layer.describe()}: data_format must be 'channels_last' or 'channels_first', but {value!r} came"
        )
    return value


def slide(size: int | None, window: int, stride: int, padding: str | Pair) -> int | None:
    """How many windows fit along one axis: floor((size + padding - window) / stride) + 1, at most 0 where none."""
    if size is None:
        return None
    if padding == "same":
        return -(-size // stride)
    return max(output_size(size, window, stride, (0, 0) if isinstance(padding, str) else padding), 0)


def axis_padding(padding: Padding, axis: int) -> str | Pair:
    """The padding of the height (0) or the width (1)."""
    return padding if isinstance(padding, str) else padding[axis]


class SpatialLayer(Layer):
    """A layer on pictures (N, H, W, C), or (N, C, H, W) with ``data_format="channels_first"``."""

    one_input = True
    input_rank = 4

    def __init__(self, *, data_format: str | None = None, **options: Any):
        super().__init__(**options)
        self.data_format = data_format_of(data_format, self)

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    def to_nhwc(self, x: Tensor) -> Tensor:
        """View the layer's input as NHWC."""
        return F.transpose(x, (0, 2, 3, 1)) if self._channels_first else x

    def from_nhwc(self, y: Tensor) -> Tensor:
        """View an NHWC result in the layer's own layout."""
        return F.transpose(y, (0, 3, 1, 2)) if self._channels_first else y

    def split_shape(self, shape: Shape) -> tuple[int | None, int | None, int | None, int | None]:
        """(N, H, W, C) of a shape in the layer's own layout."""
        if self._channels_first:
            return shape[0], shape[2], shape[3], shape[1]
        return shape[0], shape[1], shape[2], shape[3]

    def join_shape(self, n: int | None, h: int | None, w: int | None, c: int | None) -> Shape:
        """The shape in the layer's own layout of (N, H, W, C)."""
        return (n, c, h, w) if self._channels_first else (n, h, w, c)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "data_format": self.data_format}

    def _axes_text(self) -> str:
        return "(N, C, H, W)" if self._channels_first else "(N, H, W, C)"

    def _rank_hint(self, rank: int) -> str:
        if rank == 3:
            return "; give pictures a channel axis, with Reshape or x[..., None]"
        return "; make pictures of vectors with Reshape" if rank == 2 else ""

    def _other_layout_hint(self) -> str:
        other = "channels_last" if self._channels_first else "channels_first"
        return f"; if the channels are on the other side, pass data_format='{other}'"


class WindowLayer(SpatialLayer):
    """A layer whose windows slide over the picture."""

    #: What the window is called in messages.
    window_argument = "window"

    def __init__(self, window: Any, strides: Any, padding: Any, dilation_rate: Any = 1, **options: Any):
        super().__init__(**options)
        self._window = pair(window, self.window_argument, self)
        self.strides = pair(strides, "strides", self)
        self.padding = padding_of(padding, self)
        self.dilation_rate = pair(dilation_rate, "dilation_rate", self)

    @property
    def span(self) -> Pair:
        """Rows and columns that a window reaches over, dilation included."""
        rows, columns = (effective_size(*axis) for axis in zip(self._window, self.dilation_rate, strict=True))
        return rows, columns

    def windows(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        """How many windows fit along the height and the width."""
        oh, ow = (
            slide(size, span, stride, axis_padding(self.padding, axis))
            for axis, (size, span, stride) in enumerate(zip((height, width), self.span, self.strides, strict=True))
        )
        return oh, ow

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where no window fits into the padded picture."""
        super().check_input(input_shape)
        _, height, width, _ = self.split_shape(input_shape)
        if 0 in self.windows(height, width):
            kh, kw = self.span
            dilated = f" with dilation_rate {self.dilation_rate}" if self.dilation_rate != (1, 1) else ""
            raise ValueError(
                f"{self.describe()}: {self.window_argument} {self._window}{dilated} reaches over {kh}x{kw}, more than "
                f"the picture of {height}x{width} with padding {self.padding!r} (input shape {input_shape})"
                f"{self._other_layout_hint()}"
            )


def product(sizes: Sequence[int | None]) -> int:
    """The product of sizes; an open one (None) counts as 1."""
    result = 1
    for size in sizes:
        result *= 1 if size is None else size
    return result
