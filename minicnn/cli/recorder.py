"""What `train` notes while it runs, and how Ctrl-C ends it between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.callbacks import Callback

from .results import Results

Logs = dict[str, float]
# Points of the training curve: as fine as a picture can show, however many epochs there are.
POINTS = 100


class Interrupted(Exception):
    """Ctrl-C came; raised between two steps, where the model is whole."""


class Recorder(Callback):
    """Notes each epoch, saves the state after it, and ends the training when `interrupted` is set.

    Attributes:
        epochs: for each finished epoch its number, loss, metrics and seconds.
        steps: points within the epochs: where (in epochs), and the means since the point before.
        interrupted: set it, and the training ends after the current step.
    """

    def __init__(
        self, results: Results, record: dict[str, Any], earlier: dict[str, Any] | None, finished: int
    ) -> None:
        super().__init__()
        self.results = results
        self.record = record
        self.finished = finished
        # The history is written before the checkpoint, so it may be one epoch ahead of it.
        self.epochs: list[dict[str, float]] = [] if earlier is None else earlier["epochs"][:finished]
        self.steps: list[dict[str, float]] = (
            [] if earlier is None else [point for point in earlier.get("steps", []) if point["epoch"] <= finished]
        )
        self.interrupted = False

    def write(self, test: Logs | None = None) -> None:
        """Replace ``history.json`` by what is known now; the test result comes when the training is finished."""
        self.results.write_history(
            {**self.record, "finished": test is not None, "test": test, "epochs": self.epochs, "steps": self.steps}
        )

    def wants_batch_logs(self, hook: str) -> bool:
        """Ask for the running means only where they become a point of the curve."""
        if hook != "on_train_batch_end":
            return self.interrupted
        self._batch += 1
        return self.interrupted or self._batch % self._stride == 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._epoch = epoch
        self._batch = 0
        self._seen, self._sums = 0, dict[str, float]()
        self._stride = max(1, (self.params.get("steps") or 1) * self.params.get("epochs", 1) // POINTS)
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Note a point of the curve; end the training if asked to."""
        if self.interrupted:
            raise Interrupted
        count, steps = batch + 1, self.params.get("steps")
        if not logs or not steps:
            return
        # The logs are means since the epoch's beginning; the curve shows those since the last point.
        sums = {name: value * count for name, value in logs.items()}
        point = {name: (total - self._sums.get(name, 0.0)) / (count - self._seen) for name, total in sums.items()}
        self.steps.append({"epoch": self._epoch + count / steps, **point})
        self._seen, self._sums = count, sums

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """End the training if asked to."""
        if self.interrupted:
            raise Interrupted

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch and save the state after it."""
        seconds = time.perf_counter() - self._start
        self.epochs.append({"epoch": epoch + 1, **{n: float(v) for n, v in (logs or {}).items()}, "seconds": seconds})
        self.finished = epoch + 1
        self.write()
        self.model.save(self.results.checkpoint)


@contextmanager
def deferred_interrupt(recorder: Recorder) -> Iterator[None]:
    """Let the first Ctrl-C set `recorder.interrupted`, and the second one stop at once, as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(*_: object) -> None:
        recorder.interrupted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
