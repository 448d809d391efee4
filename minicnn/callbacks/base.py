"""What every callback is, and how several are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.models import Model

Logs = dict[str, float]


class Callback:
    """The base of all callbacks: override the moments of interest.

    `on_batch_begin` and `on_batch_end` are other names of `on_train_batch_begin` and `on_train_batch_end`.
    """

    model: Model
    #: Whether its batch hooks look at nothing but what they are given: then the model may be some steps ahead of them.
    #: Not inherited: a class that overrides hooks says it for itself, or each of its objects does.
    reads_only_logs = False

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def set_model(self, model: Model) -> None:
        """Remember the model that is being trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Remember the facts of the run."""
        self.params = params

    def wants_batch(self, hook: str) -> bool:
        """Say whether to call `hook` ("on_train_batch_end", ...) at this batch: then running means are computed for it.

        Asked once at every batch, for each hook that is overridden.
        """
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


def _reads_only_logs(callback: Callback) -> bool:
    return bool(vars(callback).get("reads_only_logs", vars(type(callback)).get("reads_only_logs", False)))


class CallbackList:
    """Several callbacks called in order.

    The batch hooks run once per step, so only callbacks that override one, and want this batch, are called there, and
    the running means are computed only where there are such.
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

    def watches_batches(self, stage: str) -> bool:
        """Whether a callback is called between two batches that may look at the model, or change it.

        Args:
            stage: "train", "test" or "predict".
        """
        called = self._overriding[f"on_{stage}_batch_begin"] + self._overriding[f"on_{stage}_batch_end"]
        return not all(_reads_only_logs(callback) for callback in called)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call `hook` ("on_epoch_begin", ...) of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def call_batch(self, hook: str, batch: int, make_logs: Callable[[], Logs] | None = None) -> None:
        """Call a batch hook of the callbacks that override it, with the logs that `make_logs` computes."""
        callbacks = self._overriding[hook]
        if not callbacks:
            return
        wanting = [callback for callback in callbacks if callback.wants_batch(hook)]
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
