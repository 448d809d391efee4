"""The loop that computes outputs: `Model.predict`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import as_array, no_grad
from minicnn.callbacks import Callback
from minicnn.device import to_host
from minicnn.progress import resolve_verbosity
from minicnn.training import checks
from minicnn.training.array_feed import ArrayFeed
from minicnn.training.feeds import from_the_start, make_feed, steps_there_are, warn_of_fewer
from minicnn.training.hooks import make_hooks
from minicnn.training.layout import arrange, make_layout
from minicnn.training.recorded_predictions import predictions_of

if TYPE_CHECKING:
    from minicnn.models import Model


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
    verbosity = resolve_verbosity(verbose)
    feed = make_feed(make_layout(model, "predict"), x, batch_size=batch_size)
    hooks = make_hooks(model, callbacks, verbosity, {"steps": steps_there_are(feed, steps), "verbose": verbosity})
    hooks.call("on_predict_begin", {})
    size = feed.size if isinstance(feed, ArrayFeed) and steps is None else None
    gathered = _Gathered(size)
    several, step = False, 0
    predictions, is_watched = predictions_of(model), hooks.watches_batches("predict")
    with no_grad(), closing(from_the_start(feed, steps)) as batches:
        for batch in batches:
            hooks.call_batch("on_predict_batch_begin", step)
            if is_watched:
                predictions.begin(model)
            results = predictions.compute(model, batch.x)
            if results is None:
                results = model(arrange(model, batch.x), training=False)
            several = isinstance(results, (list, tuple))
            gathered.add([to_host(as_array(result)) for result in (results if several else [results])])
            hooks.call_batch("on_predict_batch_end", step)
            step += 1
    hooks.call("on_predict_end", {})
    arrays = gathered.arrays(feed.layout.operation)
    warn_of_fewer(feed.layout.operation, steps, step, stacklevel=4)
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
