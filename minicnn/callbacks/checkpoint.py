"""Saving the model while it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minicnn.saving import check_filepath, check_savable

from .base import Callback, Logs
from .monitor import Monitor


class ModelCheckpoint(Callback):
    """Save the model after every epoch, or after every `save_freq` training steps.

    `filepath` may hold the epoch, counted from 1, the batch and any name of the logs:
    `"net-{epoch:02d}-{val_loss:.2f}.minicnn"`. With `save_best_only` only an improvement of `monitor` (over
    `initial_value_threshold` at first, if given) is saved; with `save_weights_only` only the weights are. The ending
    chooses the format, see `minicnn.saving`; ValueError for one that there is not. A model that cannot be saved is
    found out before the first epoch, unless it is built by the first batch only.
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(f'ModelCheckpoint: save_freq must be "epoch" or a number of steps, got {save_freq!r}')
        # Now, and not after the first epoch, which may have taken an hour.
        check_filepath(filepath, "ModelCheckpoint", save_weights_only)
        self.filepath = str(filepath)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._monitor = Monitor("ModelCheckpoint", monitor, mode)
        # Nothing is done between steps then; what a class derived from this one does, nobody knows.
        self.reads_only_logs = save_freq == "epoch" and type(self) is ModelCheckpoint
        self._epoch = 0
        self._steps_since_save = 0

    def wants_batch(self, hook: str) -> bool:
        """Say whether there are steps to count, and whether the step just done is one to save after."""
        if self.save_freq == "epoch":
            return False
        return hook == "on_train_batch_begin" or self._steps_since_save >= int(self.save_freq)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise what saving the model would raise."""
        if self.model.built and not self.save_weights_only:
            check_savable(self.model, self.filepath)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch for the file's name."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Count the step: here, since no running means are computed before it."""
        self._steps_since_save += 1

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, as `wants_batch` found this step to be due."""
        self._steps_since_save = 0
        self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if epochs are what is counted."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        if self.save_best_only:
            current = self._monitor.read(logs)
            if current is None or not self._monitor.improved(current, self.best):
                return
            self.best = current
        path = self._path(epoch, batch, logs)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saving the model to {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> Path:
        fields: dict[str, Any] = {**logs, "epoch": epoch + 1}
        if batch is not None:
            fields["batch"] = batch + 1
        try:
            return Path(self.filepath.format(**fields))
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: filepath {self.filepath!r} asks for {error}, but there is only {', '.join(fields)}"
            ) from None
