"""The methods of models that Keras dropped or renamed, put on minicnn's models while a script runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.callbacks import Callback, History
from minicnn.models import Model

from .files import any_name
from .freezing import as_settled, settling
from .notes import note
from .versions import Rules

# Keras took these to say how batches are prepared beside the training; minicnn decides that by itself.
_IGNORED = ("workers", "nb_worker", "use_multiprocessing", "pickle_safe", "max_queue_size", "max_q_size")
_OTHER = {"acc": "accuracy", "accuracy": "acc", "val_acc": "val_accuracy", "val_accuracy": "val_acc"}


class BothNames(dict[str, Any]):
    """Logs that answer to `acc` and to `accuracy`, whichever of them is there.

    >>> BothNames(accuracy=[0.5])["acc"]
    [0.5]
    """

    def __missing__(self, name: str) -> Any:
        other = _OTHER.get(name)
        if other is None or not dict.__contains__(self, other):
            raise KeyError(name)
        return self[other]

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or dict.__contains__(self, _OTHER.get(name))  # type: ignore[call-overload]

    def get(self, name: str, default: Any = None) -> Any:
        """The value under either name."""
        try:
            return self[name]
        except KeyError:
            return default


class _AddNames(Callback):
    """Lets the callbacks after it read both names."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the other name."""
        for name in [name for name in _OTHER if name in logs]:
            logs.setdefault(_OTHER[name], logs[name])


class _DropNames(Callback):
    """Takes away what `_AddNames` added, so that nothing is printed or kept twice."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Drop the name that the model does not use."""
        for name in _OTHER:
            if _OTHER[name] in logs and name.removeprefix("val_") not in self.model.metrics_names:
                logs.pop(name, None)


def _rename(method: str, arguments: dict[str, Any], names: dict[str, str]) -> None:
    for old, new in names.items():
        if old in arguments:
            note(f"{method}({old}=)", f"{new}=")
            arguments.setdefault(new, arguments.pop(old))
    for name in _IGNORED:
        arguments.pop(name, None)


def _steps(samples: int, batches: Any) -> int:
    """Keras 1 counted an epoch in samples; how many batches of the generator these are."""
    size = getattr(batches, "batch_size", None)
    if not isinstance(size, int):
        raise ValueError("samples_per_epoch: the generator does not tell its batch_size; give steps_per_epoch instead")
    return -(-samples // size)


def _steps_of(method: str, old: str, new: str, arguments: dict[str, Any], batches: Any) -> None:
    if old in arguments:
        note(f"{method}({old}=)", f"{new}=, counted in batches")
        arguments[new] = _steps(arguments.pop(old), batches)


def _fit(original: Callable[..., History]) -> Callable[..., History]:
    def fit(self: Model, x: Any = None, y: Any = None, *args: Any, **arguments: Any) -> History:
        _rename("fit", arguments, {"nb_epoch": "epochs"})
        given: Callback | Sequence[Callback] | None = arguments.pop("callbacks", None)
        listed = [given] if isinstance(given, Callback) else list(given or ())
        history = original(self, x, y, *args, callbacks=[_AddNames(), *listed, _DropNames()], **arguments)
        history.history = BothNames(history.history)
        return history

    return fit


def _predict(original: Callable[..., Any]) -> Callable[..., Any]:
    def predict(self: Model, x: Any, batch_size: int | None = None, *args: Any, **arguments: Any) -> Any:
        if arguments.get("steps") and batch_size is None and isinstance(x, np.ndarray):
            # Keras 2 divided an array into so many steps; Keras 3 takes so many batches of 32.
            batch_size = -(-len(x) // arguments.pop("steps"))
        return original(self, x, batch_size, *args, **arguments)

    return predict


def fit_generator(self: Model, generator: Any, steps_per_epoch: int | None = None, **arguments: Any) -> History:
    """Train on a generator's batches: `fit` does that today."""
    note("fit_generator()", "fit()")
    if steps_per_epoch is not None:
        arguments["steps_per_epoch"] = steps_per_epoch
    _steps_of("fit_generator", "samples_per_epoch", "steps_per_epoch", arguments, generator)
    _steps_of("fit_generator", "nb_val_samples", "validation_steps", arguments, arguments.get("validation_data"))
    return self.fit(generator, **arguments)


def predict_generator(self: Model, generator: Any, steps: int | None = None, **arguments: Any) -> Any:
    """Predict for a generator's batches: `predict` does that today."""
    note("predict_generator()", "predict()")
    _steps_of("predict_generator", "val_samples", "steps", arguments, generator)
    _rename("predict_generator", arguments, {})
    return self.predict(generator, **{"steps": steps, **arguments})


def evaluate_generator(self: Model, generator: Any, steps: int | None = None, **arguments: Any) -> Any:
    """Measure on a generator's batches: `evaluate` does that today."""
    note("evaluate_generator()", "evaluate()")
    _steps_of("evaluate_generator", "val_samples", "steps", arguments, generator)
    _rename("evaluate_generator", arguments, {})
    return self.evaluate(generator, **{"steps": steps, **arguments})


def predict_classes(self: Model, x: Any, **arguments: Any) -> np.ndarray:
    """The most probable class of each sample, or 0 and 1 of a single output."""
    note("predict_classes()", "predict() and argmax")
    predictions = self.predict(x, **arguments)
    return predictions.argmax(-1) if predictions.shape[-1] > 1 else (predictions > 0.5).astype("int32")


def predict_proba(self: Model, x: Any, **arguments: Any) -> np.ndarray:
    """The outputs themselves."""
    note("predict_proba()", "predict()")
    return self.predict(x, **arguments)


@contextmanager
def old_methods(rules: Rules) -> Iterator[None]:
    """Give every model Keras 2's methods for a while, and where the rules say so its names of files."""
    added = (fit_generator, predict_generator, evaluate_generator, predict_classes, predict_proba)
    replaced: dict[str, Callable[..., Any]] = {"fit": _fit(Model.fit), "predict": _predict(Model.predict)}
    if rules.files_of_any_name:
        replaced["save"] = any_name(Model.save)
    if rules.frozen_when_compiled:
        replaced["compile"] = settling(Model.compile)
        replaced |= {"fit": as_settled(replaced["fit"]), "train_on_batch": as_settled(Model.train_on_batch)}
    originals = {name: getattr(Model, name) for name in replaced}
    for name, method in ({method.__name__: method for method in added} | replaced).items():
        setattr(Model, name, method)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Model, name, original)
        for method in added:
            delattr(Model, method.__name__)
