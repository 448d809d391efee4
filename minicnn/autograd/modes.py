"""Whether operations are taped, for each thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class Mode(threading.local):
    """One switch for each thread."""

    taping = True
    # Whether a backward is under way whose gradients go straight to the leaves.
    filling_leaves = False


mode = Mode()


class _Taping(ContextDecorator):
    """Sets whether operations are taped, for the thread that enters it; also usable as a decorator."""

    taping: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.taping)
        mode.taping = self.taping

    def __exit__(self, *exception: object) -> None:
        mode.taping = self._before.pop()

    def _recreate_cm(self) -> _Taping:
        return type(self)()


class no_grad(_Taping):  # noqa: N801 - reads as a function
    """Within this block (or decorated function) nothing is taped: faster, and nothing is kept for backward."""

    taping = False


class enable_grad(_Taping):  # noqa: N801 - reads as a function
    """Within this block operations are taped again, inside a `no_grad`."""

    taping = True


def is_grad_enabled() -> bool:
    """Whether operations are being taped in this thread."""
    return mode.taping
