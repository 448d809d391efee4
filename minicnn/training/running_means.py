"""The means of losses and metrics over all samples so far, which logs are made of.

On a GPU nobody waits for a loss: it stays an array, and is added to one, until somebody asks for the means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor, as_array
from minicnn.device import array_module, to_host
from minicnn.kernels.floats import is_half
from minicnn.training.batch import Batch
from minicnn.training.ours import is_our_metric
from minicnn.training.outputs import Output


class RunningMeans:
    """The loss of a model, that of each of its outputs, and their metrics, over all samples so far.

    Args:
        outputs: the model's; none as long as they are not known.

    Attributes:
        loss_total: the sum of the losses of all samples: a number, or an array on a GPU that nobody has waited for.
        samples: how many these were.
        last: the batch that was added last.
    """

    def __init__(self, outputs: Sequence[Output] = ()) -> None:
        self._outputs = outputs
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.loss_total: Any = 0.0
        self.samples = 0
        self.last: Batch | None = None
        for output in self._outputs:
            output.total = 0.0
            for _, metric in output.metrics:
                metric.reset_state()

    def add(self, batch: Batch, predictions: list[Tensor], loss: Any) -> None:
        """Add a batch.

        Args:
            batch: the samples, with their targets.
            predictions: of each output; logits where loss and activation are joined.
            loss: the mean over the samples, as `number` gives it.
        """
        self.last = batch
        self.loss_total = self.loss_total + total_of(loss, batch.size)
        self.samples += batch.size
        for index, output in enumerate(self._outputs):
            if not output.metrics or batch.y is None:
                continue
            prediction = as_array(widened(predictions[index]))
            if output.activation is not None:
                prediction = output.activation(prediction)
            y = batch.y[index]
            for _, metric in output.metrics:
                metric.update_state(*_for_metric(metric, y, prediction))

    def wait_for_loss(self) -> bool:
        """Make the loss a number; gives whether it was none yet."""
        if isinstance(self.loss_total, float):
            return False
        # The one copy from the GPU, and the wait for all that was asked of it.
        self.loss_total = float(self.loss_total)
        return True

    def logs(self) -> dict[str, float]:
        """Give the means by name, the loss first."""
        outputs, count = self._outputs, max(self.samples, 1)
        logs = {"loss": self.loss_total / count}
        if len(outputs) > 1:
            logs.update({f"{o.name}_loss": float(o.total) / count for o in outputs if o.loss is not None})
        for output in outputs:
            for name, metric in output.metrics:
                logs[name] = metric.result()
        return logs


def _for_metric(metric: Any, *arrays: Any) -> list[Any]:
    """Targets and predictions where a metric takes them; copies for the user's own, which may keep them.

    The next batch may lie in the same memory.
    """
    there = arrays if metric.on_device else [to_host(array) for array in arrays]
    return list(there) if is_our_metric(metric) else [array.copy() for array in there]


def number(loss: Any) -> Any:
    """A loss as a number; on a GPU an array of no axes, which nobody has to wait for."""
    array = as_array(loss)
    return float(array) if array_module(array) is np else array


def total_of(loss: Any, size: int) -> Any:
    """The sum of the losses of so many samples, given their mean as `number` gives it, in float64."""
    return loss * size if isinstance(loss, float) else array_module(loss).multiply(loss, size, dtype=np.float64)


def widened(prediction: Tensor) -> Tensor:
    """Predictions as losses and metrics take them: those of 16 bits as float32."""
    return F.cast(prediction, np.float32) if is_half(prediction.dtype) else prediction
