"""The loops behind `Model.fit`, `evaluate` and `predict`: batches in, steps, running means, callbacks.

- The loops are `fitting`, `evaluating`, `predicting` and, for loops of the user's own, `single_batches`.
- Each takes a `batch` at a time from one of the `feeds`, `array_feed` or `stream_feed`, which read what the user gives
  by the model's `layout`, and hands it to the `trainer`.
- The trainer measures each of the model's `outputs` by its loss and metrics, and keeps `running_means`.
- The rest makes steps shorter, with the same bits: `replay` and what it is made of, `recorded_predictions`, and, on a
  GPU, `step_graphs`.
"""

from __future__ import annotations

from minicnn.training.evaluating import evaluate
from minicnn.training.fitting import fit
from minicnn.training.predicting import predict
from minicnn.training.single_batches import predict_on_batch, test_on_batch, train_on_batch
from minicnn.training.trainer import Trainer

__all__ = ["Trainer", "evaluate", "fit", "predict", "predict_on_batch", "test_on_batch", "train_on_batch"]
