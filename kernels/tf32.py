"""Whether float32 may be rounded to TF32 on a GPU."""

from __future__ import annotations

import os

# None: as the environment says.
_allowed: bool | None = None


class use_tf32:  # noqa: N801 - reads as a function, and as a context manager
    """Choose the arithmetic of float32 convolutions and matrix products on a GPU, for the whole process.

    Args:
        allowed: True: operands are rounded to TF32, whose mantissa has 10 bits, and multiplied on the tensor cores,
            many times as fast; sums stay float32. That is the default, as it is PyTorch's for convolutions. False:
            float32 throughout.

    A plain call switches; as a context manager it switches back at the end. The environment variable ``MINICNN_TF32``
    (0 or 1) makes the first choice. Devices before compute capability 8.0 have no TF32 and are always exact.

    >>> with use_tf32(False):
    ...     tf32_is_used()
    False
    """

    def __init__(self, allowed: bool) -> None:
        global _allowed
        self._previous = _allowed
        _allowed = bool(allowed)

    def __enter__(self) -> use_tf32:
        return self

    def __exit__(self, *exception: object) -> None:
        global _allowed
        _allowed = self._previous


def tf32_is_used() -> bool:
    """Whether float32 convolutions and matrix products on a GPU may round their operands to TF32.

    Raises:
        ValueError: ``MINICNN_TF32`` is neither 0 nor 1.
    """
    if _allowed is not None:
        return _allowed
    wanted = os.environ.get("MINICNN_TF32", "1")
    if wanted not in ("0", "1"):
        raise ValueError(f"MINICNN_TF32: expected 0 or 1, got {wanted!r}")
    return wanted == "1"
