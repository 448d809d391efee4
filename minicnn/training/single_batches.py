"""One batch at a time, for loops of the user's own: `Model.train_on_batch`, `test_on_batch`, `predict_on_batch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import as_array, no_grad
from minicnn.device import to_host
from minicnn.training import checks
from minicnn.training.array_feed import whole_batch
from minicnn.training.layout import arrange, make_layout
from minicnn.training.recorded_predictions import predictions_of

if TYPE_CHECKING:
    from minicnn.models import Model


def train_on_batch(
    model: Model, x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None
) -> dict[str, float]:
    """Make one step; see `Model.train_on_batch`."""
    trainer = model.trainer
    batch = whole_batch(make_layout(model, "train_on_batch"), x, y, sample_weight, class_weight)
    trainer.prepare(batch)
    trainer.bind()
    checks.check_batch("train_on_batch", batch, 0)
    trainer.reset()
    trainer.train_step(batch)
    return trainer.logs()


def test_on_batch(model: Model, x: Any, y: Any, sample_weight: Any) -> dict[str, float]:
    """Measure on one batch; see `Model.test_on_batch`."""
    trainer = model.trainer
    batch = whole_batch(make_layout(model, "test_on_batch"), x, y, sample_weight)
    trainer.prepare(batch)
    trainer.note_regularizers()
    trainer.reset()
    trainer.begin_tests()
    trainer.test_step(batch)
    return trainer.logs()


def predict_on_batch(model: Model, x: Any) -> Any:
    """Compute the outputs of one batch; see `Model.predict_on_batch`."""
    batch = whole_batch(make_layout(model, "predict_on_batch"), x)
    with no_grad():
        computed = predictions_of(model).compute(model, batch.x)
        if computed is not None:
            return computed
        results = model(arrange(model, batch.x), training=False)
    if isinstance(results, (list, tuple)):
        return [np.array(to_host(as_array(result))) for result in results]
    return np.array(to_host(as_array(results)))
