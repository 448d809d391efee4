"""The loops over epochs and batches."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import as_array, no_grad
from minicnn.callbacks import Callback, CallbackList, History, ProgressBar
from minicnn.device import to_host
from minicnn.functional.geometry import whole
from minicnn.progress import resolve_verbosity
from minicnn.training import checks
from minicnn.training.batch import Batch
from minicnn.training.batches import ArrayFeed
from minicnn.training.feeds import Feed, make_feed, split_validation, warn_exhausted
from minicnn.training.prediction import predictions_of
from minicnn.training.streams import StreamFeed, unpack
from minicnn.training.trainer import Trainer, arrange, make_layout

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
    layout = trainer.layout("fit")
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
        trainer, validation_data, batch_size if validation_batch_size is None else validation_batch_size
    )
    _prepare(trainer, feed)
    if validation is not None and trainer.outputs is not None:
        _check_arrays(trainer, validation)
    history = History()
    bars = [ProgressBar(verbosity)] if verbosity else []
    params = {
        "epochs": epochs,
        "steps": steps_per_epoch or feed.steps,
        "verbose": verbosity,
        "validation": validation is not None,
    }
    hooks = CallbackList([*_listed(callbacks), *bars, history], model, params)
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
                    self.trainer.look_again()
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
                        trainer.doubt()
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
        checks.check_batch(self.feed.layout.operation, batch, step)

    def _validate(self, epoch: int) -> dict[str, float]:
        if self.validation is None or not _is_due(epoch, self.validation_freq):
            return {}
        logs = _measure(self.trainer, self.hooks, self.validation, self.validation_steps, check=not self.validated)
        self.validated = True
        return {f"val_{name}": value for name, value in logs.items()}


def _checked_frequency(frequency: Any) -> int | Collection[int]:
    if isinstance(frequency, str) or not isinstance(frequency, Iterable):
        return whole(frequency, "validation_freq", "fit")
    return {whole(epoch, "validation_freq", "fit") for epoch in frequency}


def _is_due(epoch: int, frequency: int | Collection[int]) -> bool:
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency


def _validation_feed(trainer: Trainer, data: Any, batch_size: int | None) -> Feed | None:
    if data is None:
        return None
    layout = trainer.layout("validation")
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
    _check_arrays(trainer, feed)
    feed.room = trainer.room


def _bind(trainer: Trainer, batch: Batch) -> None:
    trainer.prepare(batch)
    trainer.bind()
    trainer.bound = True


def _check_arrays(trainer: Trainer, feed: Feed) -> None:
    if isinstance(feed, ArrayFeed):
        trainer.check_arrays(Batch(feed.x, feed.y, None, feed.size))


def _measure(
    trainer: Trainer, hooks: CallbackList, feed: Feed, steps: int | None, check: bool = True
) -> dict[str, float]:
    trainer.reset()
    hooks.call("on_test_begin", {})
    trainer.begin_tests()
    is_watched = hooks.watches_batches("test")
    step = 0
    with closing(_from_the_start(feed, steps)) as batches:
        for batch in batches:
            if check:
                checks.check_batch(feed.layout.operation, batch, step)
            hooks.call_batch("on_test_batch_begin", step)
            trainer.prepare(batch)
            if is_watched:
                trainer.begin_tests()
            trainer.test_step(batch)
            hooks.call_batch("on_test_batch_end", step, trainer.logs)
            step += 1
    if step == 0:
        raise ValueError(f"{feed.layout.operation}: there are no batches")
    logs = trainer.logs()
    hooks.call("on_test_end", logs)
    return logs


def _from_the_start(feed: Feed, steps: int | None) -> Generator[Batch, None, None]:
    if isinstance(feed, StreamFeed):
        feed.rewind()
    return feed.batches(0, steps)


def evaluate(
    model: Model,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    verbose: int | str,
    sample_weight: Any,
    steps: int | None,
    callbacks: Callback | Sequence[Callback] | None,
) -> dict[str, float]:
    """Measure; see `Model.evaluate`."""
    trainer = model.trainer
    verbosity = resolve_verbosity(verbose)
    checks.check_counts("evaluate", steps=steps)
    feed = make_feed(trainer.layout("evaluate"), x, y, sample_weight, batch_size=batch_size)
    if isinstance(feed, ArrayFeed):
        trainer.prepare(feed.head())
        _check_arrays(trainer, feed)
    trainer.note_regularizers()
    hooks = _hooks(model, callbacks, verbosity, steps or feed.steps)
    return _measure(trainer, hooks, feed, steps)


def predict(
    model: Model,
    x: Any,
    *,
    batch_size: int | None,
    verbose: int | str,
    steps: int | None,
    callbacks: Callback | Sequence[Callback] | None,
) -> Any:
    """Compute the outputs; see `Model.predict`."""
    checks.check_counts("predict", steps=steps)
    feed = make_feed(make_layout(model, "predict"), x, batch_size=batch_size)
    hooks = _hooks(model, callbacks, resolve_verbosity(verbose), steps or feed.steps)
    hooks.call("on_predict_begin", {})
    size = feed.size if isinstance(feed, ArrayFeed) and steps is None else None
    gathered = _Gathered(size)
    several = False
    predictions, is_watched = predictions_of(model), hooks.watches_batches("predict")
    with no_grad(), closing(_from_the_start(feed, steps)) as batches:
        for step, batch in enumerate(batches):
            hooks.call_batch("on_predict_batch_begin", step)
            if is_watched:
                predictions.begin(model)
            results = predictions.compute(model, batch.x)
            if results is None:
                results = model(arrange(model, batch.x), training=False)
            several = isinstance(results, (list, tuple))
            gathered.add([to_host(as_array(result)) for result in (results if several else [results])])
            hooks.call_batch("on_predict_batch_end", step)
    hooks.call("on_predict_end", {})
    arrays = gathered.arrays(feed.layout.operation)
    return arrays if several else arrays[0]


class _Gathered:
    """The outputs of all batches, written to their place at once where the number of samples is known."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._pieces: list[list[np.ndarray]] = []
        self._whole: list[np.ndarray] | None = None
        self._filled = 0

    def add(self, outputs: list[np.ndarray]) -> None:
        if self._size is None or any(not output.ndim for output in outputs):
            self._pieces.append([np.array(output) for output in outputs])
            return
        if self._whole is None:
            self._whole = [np.empty((self._size, *output.shape[1:]), output.dtype) for output in outputs]
        for place, output in zip(self._whole, outputs, strict=True):
            place[self._filled : self._filled + len(output)] = output
        self._filled += len(outputs[0])

    def arrays(self, operation: str) -> list[np.ndarray]:
        if self._whole is not None:
            return self._whole
        if not self._pieces:
            raise ValueError(f"{operation}: there are no batches")
        return [np.concatenate(pieces) for pieces in zip(*self._pieces, strict=True)]


def _hooks(
    model: Model, callbacks: Callback | Sequence[Callback] | None, verbosity: int, steps: int | None
) -> CallbackList:
    bars = [ProgressBar(verbosity)] if verbosity else []
    return CallbackList([*_listed(callbacks), *bars], model, {"steps": steps, "verbose": verbosity})


def _listed(callbacks: Callback | Sequence[Callback] | None) -> Sequence[Callback]:
    if callbacks is None:
        return ()
    return [callbacks] if isinstance(callbacks, Callback) else callbacks


def _whole_batch(
    model: Model, operation: str, x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None = None
) -> Batch:
    layout = make_layout(model, operation)
    return ArrayFeed(layout, x, y, sample_weight, batch_size=2**62, class_weight=class_weight).head()


def train_on_batch(
    model: Model, x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None
) -> dict[str, float]:
    """Make one step; see `Model.train_on_batch`."""
    trainer = model.trainer
    batch = _whole_batch(model, "train_on_batch", x, y, sample_weight, class_weight)
    trainer.prepare(batch)
    trainer.bind()
    checks.check_batch("train_on_batch", batch, 0)
    trainer.reset()
    trainer.train_step(batch)
    return trainer.logs()


def test_on_batch(model: Model, x: Any, y: Any, sample_weight: Any) -> dict[str, float]:
    """Measure on one batch; see `Model.test_on_batch`."""
    trainer = model.trainer
    batch = _whole_batch(model, "test_on_batch", x, y, sample_weight)
    trainer.prepare(batch)
    trainer.note_regularizers()
    trainer.reset()
    trainer.begin_tests()
    trainer.test_step(batch)
    return trainer.logs()


def predict_on_batch(model: Model, x: Any) -> Any:
    """Compute the outputs of one batch; see `Model.predict_on_batch`."""
    batch = _whole_batch(model, "predict_on_batch", x, None, None)
    with no_grad():
        computed = predictions_of(model).compute(model, batch.x)
        if computed is not None:
            return computed
        results = model(arrange(model, batch.x), training=False)
    if isinstance(results, (list, tuple)):
        return [np.array(to_host(as_array(result))) for result in results]
    return np.array(to_host(as_array(results)))
