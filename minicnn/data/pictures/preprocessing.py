"""What is done to 8-bit pictures before a network sees them, as a small thing that a model's file can carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LAYOUTS = ("channels_last", "channels_first")
_ORDERS = ("rgb", "bgr")


class Preprocessing:
    """Turn pictures into a network's input: y = (x · factor - mean) / std, in the network's layout.

    Args:
        factor: what brightness 0..255 is multiplied with; 1 leaves it as it is.
        mean: subtracted after that; a number, or one for each channel.
        std: divided by last; a number, or one for each channel; not 0.
        layout: ``"channels_last"`` gives (N, H, W, C), ``"channels_first"`` (N, C, H, W).
        order: of the channels that the network, `mean` and `std` see: ``"rgb"``, as pictures come, or ``"bgr"``, as
            networks trained with Caffe want them.
        shape: the network's input shape without the batch, (H, W, C) or (C, H, W) as `layout` says, or (H, W) for a
            network that takes pictures without a channel axis; None accepts any size.

    Raises:
        ValueError: an argument does not fit.

    >>> scale = Preprocessing(factor=1 / 255, shape=(28, 28, 1))
    >>> x = scale(np.full((2, 28, 28), 255, np.uint8))
    >>> x.shape, x.dtype, float(x.max())
    ((2, 28, 28, 1), dtype('float32'), 1.0)
    """

    def __init__(
        self,
        factor: float = 1.0,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        layout: str = "channels_last",
        shape: Sequence[int] | None = None,
        order: str = "rgb",
    ) -> None:
        if layout not in _LAYOUTS:
            raise ValueError(f"Preprocessing: expected layout {_LAYOUTS[0]!r} or {_LAYOUTS[1]!r}, got {layout!r}")
        if order not in _ORDERS:
            raise ValueError(f"Preprocessing: expected order {_ORDERS[0]!r} or {_ORDERS[1]!r}, got {order!r}")
        self.order = order
        self.factor = _finite("factor", factor)
        self.layout = layout
        self.shape = _checked_shape(shape)
        self.mean, self.std = (self._per_channel(n, v) for n, v in (("mean", mean), ("std", std)))
        if not np.all(np.asarray(self.std)):
            raise ValueError(f"Preprocessing: expected std other than 0, got {std}")

    @property
    def channels(self) -> int | None:
        """Channels of the network's input; None where any number will do."""
        if self.shape is None:
            return None
        if len(self.shape) == 2:
            return 1
        return self.shape[2 if self.layout == "channels_last" else 0]

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the network's input; None where any will do."""
        if self.shape is None:
            return None
        if len(self.shape) == 2 or self.layout == "channels_last":
            return self.shape[0], self.shape[1]
        return self.shape[1], self.shape[2]

    def __call__(self, pictures: ArrayLike) -> NDArray[np.float32]:
        """Prepare a batch.

        Args:
            pictures: (N, H, W) for grey ones, or (N, H, W, C); brightness 0..255, usually uint8.

        Returns:
            float32, (N, *shape).

        Raises:
            ValueError: the pictures do not have the network's size.
        """
        x = np.asarray(pictures)
        if x.ndim == 3:
            x = x[..., None]
        self._check(x, np.shape(pictures))
        y = (x if self.order == "rgb" else x[..., ::-1]).astype(np.float32)
        y *= np.float32(self.factor)
        if self.mean != 0:
            y -= np.asarray(self.mean, np.float32)
        if self.std != 1:
            y /= np.asarray(self.std, np.float32)
        if self.shape is not None and len(self.shape) == 2:
            return y[..., 0]
        return y if self.layout == "channels_last" else np.ascontiguousarray(y.transpose(0, 3, 1, 2))

    def get_config(self) -> dict[str, Any]:
        """Everything that makes it, as JSON can hold it."""
        return {
            "kind": "scale",
            "factor": self.factor,
            "mean": self.mean,
            "std": self.std,
            "layout": self.layout,
            "shape": None if self.shape is None else list(self.shape),
            "order": self.order,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Make it from what `get_config` gave; what a config leaves out has its default.

        Raises:
            ValueError: it is of another kind, or has entries of other names.
        """
        arguments = dict(config)
        kind = arguments.pop("kind", "scale")
        if kind != "scale":
            raise ValueError(f"Preprocessing: expected kind 'scale', got {kind!r}")
        unknown = arguments.keys() - {"factor", "mean", "std", "layout", "shape", "order"}
        if unknown:
            raise ValueError(f"Preprocessing: unknown entries {sorted(map(str, unknown))} in its configuration")
        return cls(**arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Preprocessing) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(repr(self.get_config()))

    def __repr__(self) -> str:
        return f"Preprocessing({', '.join(f'{k}={v!r}' for k, v in self.get_config().items() if k != 'kind')})"

    def _per_channel(self, name: str, value: float | Sequence[float]) -> float | list[float]:
        if isinstance(value, int | float):
            return _finite(name, value)
        values = [_finite(name, item) for item in value]
        if not values or (self.channels is not None and len(values) != self.channels):
            wanted = "one for each channel" if self.channels is None else f"{self.channels}, one for each channel"
            raise ValueError(f"Preprocessing: {name}: expected a number or {wanted}, got {len(values)} numbers")
        return values

    def _check(self, x: NDArray[Any], came: tuple[int, ...]) -> None:
        if x.ndim != 4 or x.dtype.kind not in "buif":
            raise ValueError(f"Preprocessing: expected pictures (N, H, W) or (N, H, W, C), got {came}, {x.dtype}")
        if self.size is not None and x.shape[1:] != (*self.size, self.channels):
            height, width = self.size
            raise ValueError(f"Preprocessing: expected pictures (N, {height}, {width}, {self.channels}), got {came}")
        lengths = {len(v) for v in (self.mean, self.std) if isinstance(v, list)}
        if lengths - {x.shape[3]}:
            raise ValueError(f"Preprocessing: mean and std are for {sorted(lengths)} channels, got pictures {came}")


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"Preprocessing: expected {name} to be a finite number, got {value!r}")
    return float(value)


def _checked_shape(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sizes = tuple(shape)
    if len(sizes) not in (2, 3) or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"Preprocessing: expected a shape of 2 or 3 positive sizes, got {shape!r}")
    return sizes
