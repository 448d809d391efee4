"""Reverse-mode differentiation: `Tensor`, `Function` and the walk back from an output to what it was made of.

Define by run: every `Function` that is called on a tensor with `requires_grad` leaves a node behind, which knows where
its inputs came from and what it saved. `backward` visits the nodes from last to first, hands each the gradients of its
outputs and passes on what it returns (the chain rule; Linnainmaa 1970, as reverse mode Speelpenning 1980).

::

    x = Tensor([1.0, 2.0], requires_grad=True)
    y = F.sum(x * x)     # nodes: Multiply -> Sum
    y.backward()         # Sum hands ones to Multiply, Multiply hands 2x to x
    x.grad               # Tensor([2., 4.])

Nothing here knows any operation but the addition that accumulates gradients.
"""

from __future__ import annotations

from .backward import grad
from .function import Accumulate, Function
from .gradient_check import GradientError, gradcheck
from .modes import enable_grad, is_grad_enabled, no_grad
from .tensor import Array, Tensor, TensorLike, as_array, from_dlpack, plain_index

__all__ = [
    "Accumulate",
    "Array",
    "Function",
    "GradientError",
    "Tensor",
    "TensorLike",
    "as_array",
    "enable_grad",
    "from_dlpack",
    "grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "plain_index",
]
