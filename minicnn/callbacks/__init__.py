"""Callbacks: code that `fit`, `evaluate` and `predict` call at fixed moments, under Keras' names and with its meaning.

A callback sees the model as `self.model`, the run's facts as `self.params` (`epochs`, `steps`, `verbose`,
`validation`), and gets `logs`, the running means so far. What a callback adds to the `logs` of `on_epoch_end` reaches
the callbacks after it, the history last of all.
"""

from __future__ import annotations

from .bar import ProgressBar
from .base import Callback, CallbackList, LambdaCallback
from .checkpoint import ModelCheckpoint
from .learning_rate import LearningRateScheduler, ReduceLROnPlateau
from .records import CSVLogger, History, WeightHistory
from .stopping import EarlyStopping, TerminateOnNaN

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
