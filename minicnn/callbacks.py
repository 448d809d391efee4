"""Callbacks: code that `fit`, `evaluate` and `predict` call at fixed moments, under Keras' names and with its meaning.

A callback sees the model as `self.model`, the run's facts as `self.params` (`epochs`, `steps`, `verbose`,
`validation`), and gets `logs`, the running means so far. What a callback adds to the `logs` of `on_epoch_end` reaches
the callbacks after it, the history last of all.
"""

from __future__ import annotations

import csv
import inspect
import io
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.progress import ProgressLine, format_value

if TYPE_CHECKING:
    from minicnn.layers import Layer
    from minicnn.models import Model

Logs = dict[str, float]

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "WeightHistory",
]


class Callback:
    """The base of all callbacks: override the moments of interest.

    `on_batch_begin` and `on_batch_end` are other names of `on_train_batch_begin` and `on_train_batch_end`.
    """

    model: Model

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def set_model(self, model: Model) -> None:
        """Remember the model that is being trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Remember the facts of the run."""
        self.params = params

    def wants_batch_logs(self, hook: str) -> bool:
        """Say whether `hook` ("on_train_batch_end", ...) is worth computing the running means for at this batch."""
        return True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, also when an error or Ctrl-C ended the training."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation; `logs` holds the means of both."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a training step, counted from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a training step; `logs` holds the running means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation, also one within `fit`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of a prediction; `logs` is empty."""


class CallbackList:
    """Several callbacks called in order.

    The batch hooks run once per step, so only callbacks that override one are called there, and the running means are
    computed only when one of them asks.
    """

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be Callback objects, got {type(callback).__name__}: {callback!r}")
            callback.set_params(params)
            callback.set_model(model)
        self._overriding = {
            name: [callback for callback in self.callbacks if _overrides(callback, names)]
            for name, names in _BATCH_HOOKS.items()
        }

    def call(self, hook: str, *arguments: Any) -> None:
        """Call `hook` ("on_epoch_begin", ...) of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def call_batch(self, hook: str, batch: int, make_logs: Callable[[], Logs] | None = None) -> None:
        """Call a batch hook of the callbacks that override it, with the logs that `make_logs` computes."""
        callbacks = self._overriding[hook]
        if not callbacks:
            return
        wanting = [callback for callback in callbacks if callback.wants_batch_logs(hook)]
        if not wanting:
            return
        logs = make_logs() if make_logs is not None else {}
        for callback in wanting:
            getattr(callback, hook)(batch, logs)


_BATCH_HOOKS = {
    "on_train_batch_begin": ("on_train_batch_begin", "on_batch_begin"),
    "on_train_batch_end": ("on_train_batch_end", "on_batch_end"),
    "on_test_batch_begin": ("on_test_batch_begin",),
    "on_test_batch_end": ("on_test_batch_end",),
    "on_predict_batch_begin": ("on_predict_batch_begin",),
    "on_predict_batch_end": ("on_predict_batch_end",),
}


def _overrides(callback: Callback, names: Sequence[str]) -> bool:
    return any(getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name) for name in names)


class History(Callback):
    """What `fit` returns: `history` maps each name to its value after every epoch, `epoch` lists the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training's epochs."""
        self.history = {}
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch's means."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))`.

    Any hook of `Callback` is a keyword. Raises TypeError for a name that is no hook or a value that is no function.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(sorted(hook for hook in vars(Callback) if hook.startswith("on_")))
                raise TypeError(f"LambdaCallback: {name!r} is no hook; the hooks are {known}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name} must be a function, got {type(function).__name__}")
            setattr(self, name, function)


class _Monitor:
    """Reads one value out of the logs and says whether it improved; NaN never improves on anything."""

    def __init__(self, owner: str, name: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{owner}: mode must be "auto", "min" or "max", got {mode!r}')
        self.owner = owner
        self.name = name
        self.maximise = mode == "max" or (mode == "auto" and _grows_when_better(name))
        self.min_delta = abs(min_delta)
        self._warned = False

    def read(self, logs: Mapping[str, float] | None) -> float | None:
        if logs and self.name in logs:
            return float(logs[self.name])
        if not self._warned:
            self._warned = True
            available = ", ".join(logs or {}) or "nothing"
            hint = "; give fit validation_data or validation_split" if self.name.startswith("val_") else ""
            warnings.warn(f"{self.owner} monitors {self.name!r}, but the logs hold {available}{hint}", stacklevel=4)
        return None

    def improved(self, current: float, reference: float | None) -> bool:
        if math.isnan(current):
            return False
        if reference is None or math.isnan(reference):
            return True
        if self.maximise:
            return current - self.min_delta > reference
        return current + self.min_delta < reference


def _grows_when_better(name: str) -> bool:
    growing = ("acc", "auc", "precision", "recall", "f1", "correlation", "top_k")
    return any(part in name.lower() for part in growing)


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    With `restore_best_weights` the weights of the best epoch (`best_epoch`) come back when the training ends, whether
    this callback ended it or not. With `baseline` an epoch only resets the patience when it beats the baseline too.
    The first `start_from_epoch` epochs are not looked at. Every training starts afresh.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._monitor = _Monitor("EarlyStopping", monitor, mode, min_delta)
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch with the best one and stop when the patience is spent."""
        current = self._monitor.read(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._monitor.improved(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._monitor.improved(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Bring the best weights back, if asked."""
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(Callback):
    """Save the model after every epoch, or after every `save_freq` training steps.

    `filepath` may hold the epoch, counted from 1, the batch and any name of the logs:
    `"net-{epoch:02d}-{val_loss:.2f}.minicnn"`. With `save_best_only` only an improvement of `monitor` (over
    `initial_value_threshold` at first, if given) is saved; with `save_weights_only` only the weights are.
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
        self.filepath = str(filepath)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._monitor = _Monitor("ModelCheckpoint", monitor, mode)
        self._epoch = 0
        self._steps_since_save = 0

    def wants_batch_logs(self, hook: str) -> bool:
        """Say whether the step just done is one to save after."""
        if self.save_freq == "epoch":
            return False
        self._steps_since_save += 1
        return self._steps_since_save >= int(self.save_freq)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch for the file's name."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, as `wants_batch_logs` found this step to be due."""
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


class CSVLogger(Callback):
    """Write one row per epoch to a CSV file: the epoch, counted from 0, and every mean; "NA" where there is none.

    With `append` an existing file is continued, without a second heading.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._file: io.TextIOWrapper | None = None
        self._writer: csv.DictWriter[str] | None = None
        self._continued = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        self._continued = self.append and self.filename.exists() and self.filename.stat().st_size > 0
        self._file = self.filename.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's row, so that it is in the file whatever happens next."""
        if self._file is None:
            raise RuntimeError("CSVLogger: on_epoch_end came without on_train_begin; the file is not open")
        row: dict[str, Any] = {"epoch": epoch, **(logs or {})}
        if self._writer is None:
            self._writer = self._make_writer(self._file, row)
        self._writer.writerow(row)
        self._file.flush()

    def _make_writer(self, file: io.TextIOWrapper, row: Mapping[str, Any]) -> csv.DictWriter[str]:
        names = list(row)
        if self._continued:
            with self.filename.open(newline="", encoding="utf-8") as existing:
                names = next(csv.reader(existing, delimiter=self.separator))
        elif self.params.get("validation"):
            # With validation_freq above 1 the first row has no validation values, but later ones have.
            names += [f"val_{name}" for name in row if self._is_validated(name) and f"val_{name}" not in row]
        writer = csv.DictWriter(file, names, restval="NA", extrasaction="ignore", delimiter=self.separator)
        if not self._continued:
            writer.writeheader()
        return writer

    @staticmethod
    def _is_validated(name: str) -> bool:
        return name not in ("epoch", "learning_rate") and not name.startswith("val_")

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._writer = None


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
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._monitor = _Monitor("ReduceLROnPlateau", monitor, mode, min_delta)
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


class TerminateOnNaN(Callback):
    """Stop the training at the first step after which the loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: the loss is {loss}; training stops")
            self.model.stop_training = True


class WeightHistory(Callback):
    """Keep a copy of a layer's weights before the training and after every epoch.

    `layer` is a layer or its name. `weights[t]` is `layer.get_weights()` after t epochs of this training (t = 0: before
    it), `epochs[t]` the epoch's number, `None` for t = 0. `values(i)` stacks the i-th weight into one array of shape
    (epochs + 1, *shape).
    """

    def __init__(self, layer: Layer | str) -> None:
        super().__init__()
        self.layer = layer
        self.weights: list[list[np.ndarray]] = []
        self.epochs: list[int | None] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Keep the weights from before the training."""
        self.weights = []
        self.epochs = []
        self._keep(None)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the weights after the epoch."""
        self._keep(epoch)

    def _keep(self, epoch: int | None) -> None:
        layer = self.model.get_layer(self.layer) if isinstance(self.layer, str) else self.layer
        # A layer that is not built yet has no weights to keep before the first epoch.
        if layer.built:
            self.weights.append([np.array(weight) for weight in layer.get_weights()])
            self.epochs.append(epoch)

    def values(self, index: int = 0) -> np.ndarray:
        """Return the weight at `index` over time, (epochs + 1, *shape)."""
        if not self.weights:
            raise ValueError("WeightHistory: no weights kept yet; give it to fit(callbacks=[...]) first")
        if not -len(self.weights[0]) <= index < len(self.weights[0]):
            raise ValueError(f"WeightHistory: the layer has {len(self.weights[0])} weights, there is none at {index}")
        return np.stack([weights[index] for weights in self.weights])


class ProgressBar(Callback):
    """What `fit(verbose=1)` and `fit(verbose=2)` print; see `minicnn.progress`."""

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self.verbose = verbose
        self._line: ProgressLine | None = None
        self._steps = 0
        self._training = False

    def wants_batch_logs(self, hook: str) -> bool:
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
