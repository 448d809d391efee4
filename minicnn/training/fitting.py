"""The loop over epochs: a step on every batch, then what was trained is validated."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from minicnn.callbacks import Callback, CallbackList, History
from minicnn.functional.geometry import whole
from minicnn.progress import resolve_verbosity
from minicnn.training import checks
from minicnn.training.array_feed import ArrayFeed
from minicnn.training.batch import Batch
from minicnn.training.evaluating import check_arrays, check_batch, measure
from minicnn.training.feeds import Feed, make_feed, split_validation, warn_exhausted
from minicnn.training.hooks import make_hooks
from minicnn.training.layout import make_layout
from minicnn.training.stream_feed import unpack
from minicnn.training.trainer import Trainer

if TYPE_CHECKING:
    from minicnn.models import Model


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    epochs: int,
    verbose: int | str,
    callbacks: Callback | Sequence[Callback] | None,
    validation_split: float,
    validation_data: Any,
    shuffle: bool,
    class_weight: Mapping[int, float] | None,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: int | Collection[int],
) -> History:
    """Train; see `Model.fit`."""
    trainer = model.trainer
    layout = make_layout(model, "fit")
    verbosity = resolve_verbosity(verbose)
    whole(epochs, "epochs", "fit", least=0)
    whole(initial_epoch, "initial_epoch", "fit", least=0)
    checks.check_counts(
        "fit",
        steps_per_epoch=steps_per_epoch,
        validation_steps=validation_steps,
        validation_batch_size=validation_batch_size,
    )
    frequency = _checked_frequency(validation_freq)
    if validation_data is None and validation_split:
        (x, y, sample_weight), validation_data = split_validation(layout, x, y, sample_weight, validation_split)
    feed = make_feed(
        layout,
        x,
        y,
        sample_weight,
        batch_size=batch_size,
        generator=model.shuffler if shuffle else None,
        class_weight=class_weight,
    )
    validation = _validation_feed(
        model, validation_data, batch_size if validation_batch_size is None else validation_batch_size
    )
    _prepare(trainer, feed)
    if validation is not None and trainer.outputs is not None:
        check_arrays(trainer, validation)
    history = History()
    params = {
        "epochs": epochs,
        "steps": steps_per_epoch or feed.steps,
        "verbose": verbosity,
        "validation": validation is not None,
    }
    hooks = make_hooks(model, callbacks, verbosity, params, history)
    model.stop_training = False
    model.history = history
    run = _Run(model, trainer, hooks, feed, validation, validation_steps, frequency, steps_per_epoch)
    run.train(initial_epoch, epochs)
    return history


class _Run:
    """One call of `fit`, from its first epoch to its last."""

    def __init__(
        self,
        model: Model,
        trainer: Trainer,
        hooks: CallbackList,
        feed: Feed,
        validation: Feed | None,
        validation_steps: int | None,
        validation_freq: int | Collection[int],
        steps: int | None,
    ) -> None:
        self.model = model
        self.trainer = trainer
        self.hooks = hooks
        self.feed = feed
        self.validation = validation
        self.validation_steps = validation_steps
        self.validation_freq = validation_freq
        self.steps = steps
        self.exhausted = False
        self.validated = False

    def train(self, initial_epoch: int, epochs: int) -> None:
        logs: dict[str, float] = {}
        try:
            self.hooks.call("on_train_begin", {})
            for epoch in range(initial_epoch, epochs):
                self.hooks.call("on_epoch_begin", epoch, {})
                # Streams are bound to the model by their first batch.
                if self.trainer.bound:
                    self.trainer.refresh()
                if not self._run_batches(epoch, check=epoch == initial_epoch):
                    break
                logs = self.trainer.logs()
                self.model.epoch += 1
                logs.update(self._validate(epoch))
                self.hooks.call("on_epoch_end", epoch, logs)
                if self.model.stop_training or self.exhausted:
                    break
        finally:
            # Also after Ctrl-C: callbacks close their files here.
            self.hooks.call("on_train_end", logs)

    def _run_batches(self, epoch: int, check: bool) -> int:
        trainer, hooks, model = self.trainer, self.hooks, self.model
        trainer.reset()
        step = 0
        is_watched = hooks.watches_batches("train") or not isinstance(self.feed, ArrayFeed)
        if isinstance(self.feed, ArrayFeed):
            self.feed.ahead = None if is_watched else trainer.ahead
        # Closed however the epoch ends: threads that load ahead must not outlive it.
        with closing(self.feed.batches(epoch, self.steps)) as batches:
            for batch in batches:
                if check:
                    self._check(batch, step)
                for make in trainer.steps(batch):
                    hooks.call_batch("on_train_batch_begin", step)
                    if is_watched:
                        trainer.invalidate()
                    make()
                    hooks.call_batch("on_train_batch_end", step, trainer.logs)
                    step += 1
                    if model.stop_training:
                        return step
        if step == 0 or (self.steps is not None and step < self.steps):
            self.exhausted = True
            warn_exhausted(self.feed.layout.operation, self.steps)
        return step

    def _check(self, batch: Batch, step: int) -> None:
        if not self.trainer.bound:
            _bind(self.trainer, batch)
        check_batch(self.trainer, self.feed, batch, step)

    def _validate(self, epoch: int) -> dict[str, float]:
        if self.validation is None or not _is_due(epoch, self.validation_freq):
            return {}
        logs = measure(self.trainer, self.hooks, self.validation, self.validation_steps, check=not self.validated)
        self.validated = True
        if not logs:
            warnings.warn(
                f"{self.validation.layout.operation}: the batches ran out; the training goes on without validation. A "
                "generator needs to go on for as many batches as all validations take",
                stacklevel=5,
            )
            self.validation = None
        return {f"val_{name}": value for name, value in logs.items()}


def _checked_frequency(frequency: Any) -> int | Collection[int]:
    if isinstance(frequency, str) or not isinstance(frequency, Iterable):
        return whole(frequency, "validation_freq", "fit")
    return {whole(epoch, "validation_freq", "fit") for epoch in frequency}


def _is_due(epoch: int, frequency: int | Collection[int]) -> bool:
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency


def _validation_feed(model: Model, data: Any, batch_size: int | None) -> Feed | None:
    if data is None:
        return None
    layout = make_layout(model, "validation")
    if isinstance(data, (tuple, list)):
        if len(data) not in (2, 3):
            raise ValueError(
                f"fit: validation_data must be (x, y) or (x, y, sample_weight), but {len(data)} things came"
            )
        x, y, sample_weight = unpack("fit", tuple(data))
        return make_feed(layout, x, y, sample_weight, batch_size=batch_size)
    return make_feed(layout, data)


def _prepare(trainer: Trainer, feed: Feed) -> None:
    """Look at all arrays before the first step; streams are looked at batch by batch."""
    trainer.bound = False
    if not isinstance(feed, ArrayFeed):
        return
    _bind(trainer, feed.head())
    check_arrays(trainer, feed)
    feed.room = trainer.room


def _bind(trainer: Trainer, batch: Batch) -> None:
    trainer.prepare(batch)
    trainer.bind()
    trainer.bound = True
