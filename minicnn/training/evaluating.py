"""The loop that measures: `Model.evaluate`, and the validation after an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from minicnn.callbacks import Callback, CallbackList
from minicnn.device import device_of
from minicnn.progress import resolve_verbosity
from minicnn.training import checks
from minicnn.training.array_feed import ArrayFeed
from minicnn.training.batch import Batch
from minicnn.training.feeds import Feed, from_the_start, make_feed, steps_there_are, warn_of_fewer
from minicnn.training.hooks import make_hooks
from minicnn.training.layout import make_layout
from minicnn.training.trainer import Trainer

if TYPE_CHECKING:
    from minicnn.models import Model


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
    feed = make_feed(make_layout(model, "evaluate"), x, y, sample_weight, batch_size=batch_size)
    if isinstance(feed, ArrayFeed):
        trainer.prepare(feed.head())
        check_arrays(trainer, feed)
    trainer.note_regularizers()
    hooks = make_hooks(model, callbacks, verbosity, {"steps": steps_there_are(feed, steps), "verbose": verbosity})
    logs = measure(trainer, hooks, feed, steps)
    if not logs:
        raise ValueError(f"{feed.layout.operation}: there are no batches")
    return logs


def measure(
    trainer: Trainer, hooks: CallbackList, feed: Feed, steps: int | None, check: bool = True
) -> dict[str, float]:
    """Give the means over a feed, or over its first `steps` batches; none where there are no batches.

    Args:
        check: whether these batches are to be looked at for what is not finite.
    """
    trainer.reset()
    hooks.call("on_test_begin", {})
    trainer.begin_tests()
    is_watched = hooks.watches_batches("test")
    step = 0
    with closing(from_the_start(feed, steps)) as batches:
        for batch in batches:
            trainer.prepare(batch)
            if check:
                check_batch(trainer, feed, batch, step)
            hooks.call_batch("on_test_batch_begin", step)
            if is_watched:
                trainer.begin_tests()
            trainer.test_step(batch)
            hooks.call_batch("on_test_batch_end", step, trainer.logs)
            step += 1
    if step:
        warn_of_fewer(feed.layout.operation, steps, step, stacklevel=5)
    logs = trainer.logs() if step else {}
    hooks.call("on_test_end", logs)
    return logs


def check_arrays(trainer: Trainer, feed: Feed) -> None:
    """Look through the targets of a feed of arrays before the first step; streams are looked at batch by batch."""
    if isinstance(feed, ArrayFeed):
        trainer.check_arrays(feed.layout.operation, Batch(feed.x, feed.y, None, feed.size))


def check_batch(trainer: Trainer, feed: Feed, batch: Batch, step: int) -> None:
    """Look at a batch before its step: at its targets, too, if it comes from a stream."""
    operation = feed.layout.operation
    checks.check_batch(operation, batch, step)
    if not isinstance(feed, ArrayFeed) and all(device_of(y) == "cpu" for y in batch.y or ()):
        trainer.check_arrays(f"{operation}, batch {step}", batch)
