"""Where arrays live: NumPy's on the processor, CuPy's on the GPU."""

from __future__ import annotations

from .kernels.dispatch import array_module

__all__ = ["array_module"]
