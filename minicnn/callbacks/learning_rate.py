"""Callbacks that set the learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.functional.geometry import whole
from minicnn.progress import format_value

from .base import Callback, Logs
from .monitor import Monitor


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch to `schedule(epoch, learning_rate)`, or to `schedule(epoch)`.

    The logs get it as "learning_rate".
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _positional_count(schedule) >= 2

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Ask the schedule and set the rate."""
        optimizer = _optimizer_of(self)
        rate = self.schedule(epoch, float(optimizer.learning_rate)) if self._takes_rate else self.schedule(epoch)
        if not isinstance(rate, (float, int, np.floating, np.integer)) or isinstance(rate, bool):
            raise TypeError(f"LearningRateScheduler: schedule must return a number, got {rate!r}")
        optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {format_value(float(rate))}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(_optimizer_of(self).learning_rate)


def _positional_count(function: Callable[..., Any]) -> int:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 2
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)


def _optimizer_of(callback: Callback) -> Any:
    optimizer = callback.model.optimizer
    if optimizer is None:
        raise RuntimeError(f"{type(callback).__name__}: the model has no optimizer; compile it first")
    return optimizer


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    After a reduction `cooldown` epochs pass before waiting starts again; the rate never goes below `min_lr`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be at least 0 and below 1, got {factor}")
        self.monitor = monitor
        self.factor = factor
        self.patience = whole(patience, "patience", "ReduceLROnPlateau", least=0)
        self.verbose = verbose
        self.cooldown = whole(cooldown, "cooldown", "ReduceLROnPlateau", least=0)
        self.min_lr = min_lr
        self._monitor = Monitor("ReduceLROnPlateau", monitor, mode, min_delta)
        self._reset()

    def _reset(self) -> None:
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Reduce the rate if the plateau is long enough, and add it to the logs."""
        optimizer = _optimizer_of(self)
        if logs is not None:
            logs["learning_rate"] = float(optimizer.learning_rate)
        current = self._monitor.read(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._monitor.improved(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(optimizer, epoch)

    def _reduce(self, optimizer: Any, epoch: int) -> None:
        old = float(optimizer.learning_rate)
        if old <= self.min_lr:
            return
        optimizer.learning_rate = max(old * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate reduced to {format_value(float(optimizer.learning_rate))}")
