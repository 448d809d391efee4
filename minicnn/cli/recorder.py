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


class CtrlC:
    """Lets the first Ctrl-C only set `came`, and the second one stop at once, as usual.

    An exception raised wherever the program happens to be could leave a step half-done, or get lost in a compiler's
    callback; a flag cannot.
    """

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Wait for the first Ctrl-C as long as the context lasts."""
        elsewhere = threading.current_thread() is not threading.main_thread()
        # Started in the background, where shells switch Ctrl-C off: leave it off.
        if elsewhere or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            yield
            return
        before = signal.signal(signal.SIGINT, self._first)
        self._before = before
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check(self) -> None:
        """Raise `Interrupted` if Ctrl-C came."""
        if self.came:
            raise Interrupted

    def _first(self, *_: object) -> None:
        self.came = True
        signal.signal(signal.SIGINT, self._before)


class Patience(Callback):
    """Ends the training when its recorder has seen `patience` epochs in a row without a lower validation loss.

    What was recorded counts, so that a resumed training ends where an uninterrupted one does.
    """

    def __init__(self, recorder: Recorder, patience: int) -> None:
        super().__init__()
        self.recorder = recorder
        self.patience = patience

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """End the training if it is time."""
        if is_spent(self.recorder.epochs, self.patience):
            self.model.stop_training = True


def is_spent(epochs: list[dict[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs brought no lower validation loss than one before; None is never spent.

    >>> is_spent([{"val_loss": 0.3}, {"val_loss": 0.2}, {"val_loss": 0.4}, {"val_loss": 0.2}], 2)
    True
    """
    losses = [epoch["val_loss"] for epoch in epochs if "val_loss" in epoch]
    return patience is not None and bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def best_epoch(epochs: list[dict[str, float]]) -> dict[str, float] | None:
    """The epoch of the highest validation accuracy, the first of them; None where nothing was validated.

    >>> best_epoch([{"epoch": 1, "val_accuracy": 0.7}, {"epoch": 2, "val_accuracy": 0.8}])
    {'epoch': 2, 'val_accuracy': 0.8}
    """
    validated = [epoch for epoch in epochs if "val_accuracy" in epoch]
    return max(validated, key=lambda epoch: epoch["val_accuracy"], default=None)


class Recorder(Callback):
    """Notes each epoch, saves the state after it, and ends the training when Ctrl-C came.

    Args:
        results: where to.
        record: what the history says beside the epochs.
        earlier: the history of the training that is resumed, or None.
        finished: how many of its epochs are finished.
        ctrl_c: whether it came.
        keeps_best: save the model of the highest validation accuracy, too.

    Attributes:
        epochs: for each finished epoch its number, loss, metrics and seconds.
        steps: points within the epochs: where (in epochs), and the means since the point before.
        finished: how many epochs are finished.
    """

    reads_only_logs = True

    def __init__(
        self,
        results: Results,
        record: dict[str, Any],
        earlier: dict[str, Any] | None,
        finished: int,
        ctrl_c: CtrlC,
        keeps_best: bool,
    ) -> None:
        super().__init__()
        self.results = results
        self.keeps_best = keeps_best
        self.record = record
        self.finished = finished
        # The history is written before the checkpoint, so it may be one epoch ahead of it.
        self.epochs: list[dict[str, float]] = [] if earlier is None else earlier["epochs"][:finished]
        self.steps: list[dict[str, float]] = (
            [] if earlier is None else [point for point in earlier.get("steps", []) if point["epoch"] <= finished]
        )
        self._ctrl_c = ctrl_c

    def write(self, test: Logs | None = None) -> None:
        """Replace ``history.json`` by what is known now; the test result comes when the training is finished."""
        self.results.write_history(
            {**self.record, "finished": test is not None, "test": test, "epochs": self.epochs, "steps": self.steps}
        )

    def wants_batch(self, hook: str) -> bool:
        """Ask for the running means only where they become a point of the curve."""
        if hook != "on_train_batch_end":
            return self._ctrl_c.came
        self._batch += 1
        return self._ctrl_c.came or self._batch % self._stride == 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._epoch = epoch
        self._batch = 0
        self._seen, self._sums = 0, dict[str, float]()
        self._stride = max(1, (self.params.get("steps") or 1) * self.params.get("epochs", 1) // POINTS)
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Note a point of the curve; end the training if asked to."""
        self._ctrl_c.check()
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
        self._ctrl_c.check()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch and save the state after it."""
        seconds = time.perf_counter() - self._start
        self.epochs.append({"epoch": epoch + 1, **{n: float(v) for n, v in (logs or {}).items()}, "seconds": seconds})
        self.finished = epoch + 1
        self.write()
        # Before the checkpoint: killed in between, the training does this epoch again.
        if self.keeps_best and best_epoch(self.epochs) is self.epochs[-1]:
            self.model.save(self.results.best)
        self.model.save(self.results.checkpoint)
