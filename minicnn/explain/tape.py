"""The loss of one sample, and its derivative by every number on the sample's way through a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn
import minicnn.functional as F
from minicnn.autograd import Tensor, no_grad
from minicnn.device import native, place, to_host
from minicnn.kernels import use_tf32
from minicnn.models.graph import Step, activation_of, run_to_logits
from minicnn.parameter import Parameter
from minicnn.training.outputs import loss_of

from .trace import Trace

if TYPE_CHECKING:
    from minicnn.models import Model


class Tape(Trace):
    """A `Trace` that autograd has walked back from the loss.

    Args:
        model, x, operation: as for `Trace`.
        y: the sample's target as the loss takes it, with or without a batch axis of 1.
        loss: name or function; None takes the one that the model was compiled with.

    Attributes:
        loss: the loss' value. loss_name: what it is called.
        gradients: by slot, the loss' derivative by what stands there, with the batch axis.
        own: by the slot of the output, the derivative of the loss alone: without what reads the output behind it.

    Raises:
        ValueError: there is no loss, or the model has several outputs.
    """

    def __init__(self, model: Model, x: Any, y: Any, loss: Any, operation: str) -> None:
        super().__init__(model, x, operation, taped=True)
        if len(self.outputs) != 1:
            raise ValueError(f"{operation}: {model.describe()} has {len(self.outputs)} outputs, expected one")
        target = native(y)
        if target.ndim == 0 or target.shape[0] != 1:
            target = target[np.newaxis]
        target = place(target, model.device)
        (output,) = self.outputs
        measure = loss_of(model, loss, target.shape, self.tensors[output].shape)
        if measure is None:
            raise ValueError(f"{operation}: {model.describe()} is not compiled with a loss, so loss must be given")
        self.loss_name = measure.name
        self._value = _scalar(measure(target, self.tensors[output]))
        self.loss = float(self._value.numpy())
        with use_tf32(False):
            found = minicnn.grad(self._value, list(self.tensors.values()), retain_graph=True)
        self.gradients = dict(zip(self.tensors, found, strict=True))
        alone = Tensor(self.tensors[output].data, requires_grad=True)
        self.own = {output: minicnn.grad(_scalar(measure(target, alone)), [alone])[0]}

    def gradient(self, slot: int) -> np.ndarray:
        """The loss' derivative by the values in a slot, without the batch axis, float64."""
        return to_host(self.gradients[slot].data)[0].astype(np.float64)

    @property
    def dtype(self) -> np.dtype:
        """The coarsest dtype on the way, which decides how exact a derivative is."""
        return min((np.dtype(tensor.dtype) for tensor in self.tensors.values()), key=lambda dtype: dtype.itemsize)

    def by_weight(self, weight: Parameter) -> Tensor:
        """The loss' derivative by a weight."""
        with use_tf32(False):
            return minicnn.grad(self._value, [weight], retain_graph=True)[0]

    def before_activation(self, step: Step) -> np.ndarray:
        """The loss' derivative by what a layer computes before its own activation, as `gradient` gives it.

        A layer that is nothing but an activation has none of its own here.
        """
        (slot,) = step.outputs
        activation = activation_of(step.layer) if hasattr(step.layer, "kernel") else None
        if activation is None:
            return self.gradient(slot)
        with no_grad(), use_tf32(False):
            logits = run_to_logits(step.layer, self.tensors[step.inputs[0]], False)
        z = Tensor(logits.data, requires_grad=True)
        # A tensor of its own where the activation hands z on.
        y = activation(F.reshape(z, z.shape))
        return to_host(minicnn.grad(y, [z], [self.gradients[slot]])[0].data)[0].astype(np.float64)


def _scalar(value: Any) -> Any:
    return F.mean(value) if value.ndim else value
