"""What the adapters have in common on a GPU: whether there is one, waiting for it, counting its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def require_torch_gpu() -> None:
    """Raise ImportError, as for a missing engine, where PyTorch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError("this PyTorch sees no GPU")


def count_kernels(run: Callable[[], Any]) -> int | None:
    """How many kernels and copies a GPU does while `run` runs, whoever asks for them; None where nobody can tell.

    PyTorch's profiler sees all of the process, those of CUDA graphs one by one.
    """
    try:
        require_torch_gpu()
    except ImportError:
        return None
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
