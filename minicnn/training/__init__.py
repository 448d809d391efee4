"""The loops behind `Model.fit`, `evaluate` and `predict`: batches in, steps, running means, callbacks."""

from __future__ import annotations

from minicnn.training.evaluating import evaluate
from minicnn.training.fitting import fit
from minicnn.training.predicting import predict
from minicnn.training.single_batches import predict_on_batch, test_on_batch, train_on_batch
from minicnn.training.trainer import Trainer

__all__ = ["Trainer", "evaluate", "fit", "predict", "predict_on_batch", "test_on_batch", "train_on_batch"]
