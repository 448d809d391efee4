"""From what a user writes for strides, padding and windows to what the kernels take; every mistake gets its name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from minicnn.kernels import Padding, Pair
from minicnn.kernels.geometry import effective_size, output_size

# "valid", "same", rows and columns on every side, a pair of them, or ((top, bottom), (left, right)).
PaddingLike: TypeAlias = Any
PairLike: TypeAlias = int | tuple[int, int]


def is_whole(value: Any) -> bool:
    """Whether this is a whole number, of Python's or NumPy's; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole(value: Any, name: str, operation: str, least: int = 1) -> int:
    """`value` as an int of at least `least`.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small.
    """
    if not is_whole(value):
        raise TypeError(f"{operation}: {name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{operation}: {name} must be at least {least}, got {value!r}")
    return int(value)


def pair(value: Any, name: str, operation: str, least: int = 1) -> Pair:
    """An int or a pair as (rows, columns).

    Raises:
        TypeError: it holds something else than whole numbers.
        ValueError: it holds another number of them, or one below `least`.

    >>> pair(3, "strides", "conv2d"), pair((1, 3), "kernel_size", "conv2d")
    ((3, 3), (1, 3))
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{operation}: {name} must be a whole number or a pair of them, got {value!r}")
        return whole(value[0], name, operation, least), whole(value[1], name, operation, least)
    number = whole(value, name, operation, least)
    return number, number


def resolve_padding(
    padding: PaddingLike, input_size: Pair, kernel_size: Pair, strides: Pair, dilation: Pair, operation: str
) -> Padding:
    """Any of the ways to say padding as ((top, bottom), (left, right)).

    "same" is TensorFlow's rule: as many rows as the output of ceil(H / SH) rows needs, the odd one at the bottom and
    the right. (PyTorch pads evenly: with stride 2 its results are shifted by a pixel.)

    Raises:
        TypeError: it holds something else than whole numbers.
        ValueError: it is none of the ways, or negative.

    >>> resolve_padding("same", (28, 28), (5, 5), (1, 1), (1, 1), "conv2d")
    ((2, 2), (2, 2))
    >>> resolve_padding("same", (28, 28), (3, 3), (2, 2), (1, 1), "conv2d")
    ((0, 1), (0, 1))
    """
    if isinstance(padding, str):
        mode = padding.lower()
        if mode == "valid":
            return (0, 0), (0, 0)
        if mode == "same":
            rows, columns = (_same(*axis) for axis in zip(input_size, kernel_size, strides, dilation, strict=True))
            return rows, columns
    elif isinstance(padding, (tuple, list)) and len(padding) == 2:
        rows, columns = (_sides(sides, operation) for sides in padding)
        return rows, columns
    elif is_whole(padding):
        return _sides(padding, operation), _sides(padding, operation)
    raise ValueError(
        f'{operation}: padding must be "valid", "same", a whole number, a pair (height, width) or '
        f"((top, bottom), (left, right)), got {padding!r}"
    )


def _same(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    total = max(0, (-(-size // stride) - 1) * stride + effective_size(kernel, dilation) - size)
    return total // 2, total - total // 2


def _sides(value: Any, operation: str) -> Pair:
    return pair(value, "padding", operation, least=0)


def check_fits(input_size: Pair, kernel_size: Pair, padding: Padding, dilation: Pair, operation: str) -> None:
    """Refuse a window that is larger than the padded picture.

    Raises:
        ValueError: with both sizes.
    """
    padded = tuple(size + sum(pads) for size, pads in zip(input_size, padding, strict=True))
    window = tuple(effective_size(*axis) for axis in zip(kernel_size, dilation, strict=True))
    if any(w > p for w, p in zip(window, padded, strict=True)):
        dilated = f" (dilated {dilation[0]}x{dilation[1]})" if dilation != (1, 1) else ""
        raise ValueError(
            f"{operation}: a window of {window[0]}x{window[1]}{dilated} does not fit into a picture of "
            f'{padded[0]}x{padded[1]} pixels, padding included; use a smaller window, more padding ("same") or '
            "fewer pooling layers before it"
        )


def check_rank(x: Any, name: str, axes: str, operation: str) -> None:
    """Refuse an array whose number of axes is not that of `axes`, such as "(N, H, W, C)".

    Raises:
        ValueError: with the shape that came.
    """
    expected = axes.count(",") + 1
    if x.ndim != expected:
        raise ValueError(f"{operation}: {name} must have {expected} axes {axes}, got shape {tuple(x.shape)}")


__all__ = [
    "PaddingLike",
    "PairLike",
    "check_fits",
    "check_rank",
    "is_whole",
    "output_size",
    "pair",
    "resolve_padding",
    "whole",
]
