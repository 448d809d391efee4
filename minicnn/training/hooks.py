"""The callbacks of one call of `fit`, `evaluate` or `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicnn.callbacks import Callback, CallbackList, ProgressBar

if TYPE_CHECKING:
    from minicnn.models import Model


def make_hooks(
    model: Model,
    callbacks: Callback | Sequence[Callback] | None,
    verbosity: int,
    params: dict[str, Any],
    *behind: Callback,
) -> CallbackList:
    """Join the user's callbacks, a bar where progress is to be seen, and what comes behind them."""
    users: Sequence[Callback] = [callbacks] if isinstance(callbacks, Callback) else callbacks or ()
    bars = [ProgressBar(verbosity)] if verbosity else []
    return CallbackList([*users, *bars, *behind], model, params)
