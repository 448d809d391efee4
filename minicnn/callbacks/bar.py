"""The progress that `verbose` prints, as a callback."""

from __future__ import annotations

from minicnn.progress import ProgressLine

from .base import Callback, Logs


class ProgressBar(Callback):
    """What `fit(verbose=1)` and `fit(verbose=2)` print; see `minicnn.progress`."""

    reads_only_logs = True

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self.verbose = verbose
        self._line: ProgressLine | None = None
        self._steps = 0
        self._training = False

    def wants_batch(self, hook: str) -> bool:
        """Count the batch, and say whether the line is due for a redraw."""
        if self._training and hook != "on_train_batch_end":
            return False
        self._steps += 1
        return self._line is not None and self._line.due()

    def _start(self, total: int | None, prefix: str = "") -> None:
        self._steps = 0
        self._line = ProgressLine(total, prefix=prefix, live=False if self.verbose == 2 else None)

    def _finish(self, logs: Logs | None) -> None:
        if self._line is not None:
            self._line.finish(self._steps, logs or {})
        self._line = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Note that evaluations are validations from here on, which print nothing of their own."""
        self._training = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the epoch's line."""
        epochs = self.params.get("epochs")
        self._start(self.params.get("steps"), f"Epoch {epoch + 1}/{epochs}:")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Redraw the line."""
        self._update(logs)

    def _update(self, logs: Logs | None) -> None:
        if self._line is not None:
            self._line.update(self._steps, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Finish the epoch's line with the means of training and validation."""
        self._finish(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """End a line that an interruption left unfinished."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._training = False

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Start the evaluation's line, unless it is a validation within an epoch."""
        if not self._training:
            self._start(self.params.get("steps"))

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Redraw the line."""
        if not self._training:
            self._update(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Finish the evaluation's line."""
        if not self._training:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Start the prediction's line."""
        self._start(self.params.get("steps"))

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Redraw the line."""
        self._update(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Finish the prediction's line."""
        self._finish(None)
