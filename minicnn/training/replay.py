"""Training steps without the Python between the kernels.

In a small network most of a step's time goes into finding out, layer by layer, what the step before found out: shapes,
paddings, which kernel on which memory. So the kernels of one step are recorded and then called again, on the same
memory, for every further batch of that shape; metrics and optimizer stay as they are. The same kernels on the same
numbers give the same bits.

This is done only where a step is nothing but kernels: layers without state or chance (exactly the classes below), one
input, one output, no regularizer, the "cpu" kernels. And it is tested before it is trusted: the second step runs both
ways, and a recording whose outputs or gradients differ in a single bit is thrown away.

The cross-entropy of a softmax consists of kernels, too: with it, a step is one recording (`WholeStep`). Other losses,
and weighted samples, are computed in between (`Replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Array, Tensor
from minicnn.kernels import current_kernels, get_num_threads
from minicnn.kernels.recording import Recording, record
from minicnn.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    ZeroPadding2D,
)

if TYPE_CHECKING:
    from minicnn.models import Model

_REPEATABLE = (
    InputLayer, ZeroPadding2D, Conv2D, MaxPooling2D, AveragePooling2D, Flatten, Reshape, Dense, Activation, ReLU,
    LeakyReLU, ELU, Softmax,
)  # fmt: skip
# What a layer keeps of its last call: nothing that its next one depends on.
_REMEMBERED = "_admitted_shape"
# A recording keeps all arrays of its step. Where they are large, the kernels take so long that Python does not matter.
MOST_BYTES = 64 * 2**20


class Replays:
    """The recorded steps of a model's training, one for each shape of batch.

    Args:
        model: what is trained.
        logits: as for `Model.run_with_logits`, or nothing where the loss takes the model's output.
        reduce: makes one loss of the cross-entropies (N,) of a batch; None where the loss is another one.
    """

    def __init__(self, model: Model, logits: tuple[int, ...], reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        self.model = model
        self.logits = logits
        self.reduce = reduce
        self.possible = False
        self._parts: list[Any] = []
        self._by_shape: dict[tuple[Any, ...], Replay | WholeStep | None] = {}

    def begin(self) -> None:
        """Forget, where a training begins, what was recorded of other layers than the model has now."""
        now = parts(self.model)
        if not alike(now, self._parts):
            self._parts = now
            self._by_shape.clear()
            self.possible = is_repeatable(self.model) and self.model.device == "cpu" and current_kernels() == "cpu"

    def find(self, arrays: Sequence[np.ndarray], is_weighted: bool) -> Replay | WholeStep | None:
        """The replay that serves a batch, None where the step has to be made in full.

        The first batch of a shape gets none: shapes that come once are not worth recording, and only after the first
        step are the weights where the optimizer keeps them.
        """
        if not self.possible:
            return None
        (x,) = arrays
        key = (x.shape, is_weighted)
        if key not in self._by_shape:
            self._by_shape[key] = None
            return None
        replay = self._by_shape[key]
        if replay is None or not replay.fits():
            replay = self._by_shape[key] = self._new(is_weighted)
        self.possible = not replay.failed
        return replay if self.possible else None

    def _new(self, is_weighted: bool) -> Replay | WholeStep:
        if is_weighted or self.reduce is None:
            return Replay(self.model, self.logits)
        return WholeStep(self.model, self.logits, self.reduce)


class _Repeated:
    """What is recorded of a model's training, for batches of one shape.

    Attributes:
        trusted: whether it has been compared with the real thing and found equal.
        failed: whether it differed, or would keep too much memory.
    """

    def __init__(self, model: Model, logits: tuple[int, ...]) -> None:
        self.model = model
        self.logits = logits
        self.trusted = False
        self.failed = False
        self._parameters = list(model.trainable_weights)
        self._circumstances = self._observe()

    def _observe(self) -> list[Any]:
        """What a recording depends on."""
        model = self.model
        settings = [model.graph, model.fused, current_kernels(), get_num_threads()]
        for parameter in self._parameters:
            settings += [parameter.data, parameter.gradient_buffer, parameter.trainable]
        return settings

    def fits(self) -> bool:
        """Whether nothing that the recording depends on has changed."""
        return alike(self._observe(), self._circumstances)

    def _run(self, x: np.ndarray) -> Tensor:
        if self.logits:
            return self.model.run_with_logits(x, True, self.logits)[0]
        output: Tensor = self.model(x, training=True)
        return output

    def _keep(self, *recordings: Recording) -> None:
        """Fail where the recordings keep too much memory."""
        roots = {key: root for recording in recordings for key, root in recording.roots().items()}
        self.failed = sum(root.nbytes for root in roots.values()) > MOST_BYTES

    def _compare(self, replay: Callable[[], None], pairs: Sequence[tuple[Array, Array]]) -> None:
        """Trust the recording if `replay` gives the gradients that are there, and all pairs are alike."""
        real = [(parameter.gradient_buffer, np.array(parameter.grad)) for parameter in self._parameters]
        replay()
        same = all(one.tobytes() == other.tobytes() for one, other in pairs)
        for buffer, expected in real:
            same = same and buffer is not None and buffer.tobytes() == expected.tobytes()
            if buffer is not None:
                np.copyto(buffer, expected)
        self.trusted, self.failed = same, not same

    def _leave_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = Tensor.wrap(parameter.gradient_buffer, False)


class WholeStep(_Repeated):
    """The way forward, the cross-entropy and the way back of a training step.

    Args:
        model, logits, reduce: as for `Replays`.
    """

    def __init__(self, model: Model, logits: tuple[int, ...], reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__(model, logits)
        self._reduce = reduce
        self._recording: Recording | None = None

    def run(self, x: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        """Fill the parameters' gradients.

        Args:
            x: the batch.
            targets: probabilities (N, K).

        Returns:
            The logits (N, K) and the losses (N,), in memory that the next step uses again.
        """
        if self._recording is None:
            self._x, self._targets = np.array(x), np.array(targets)
            with record() as self._recording:
                self._logits, self._losses = self._in_full()
            self._keep(self._recording)
            return self._logits, self._losses
        np.copyto(self._x, x)
        np.copyto(self._targets, targets)
        if self.trusted:
            self._recording.replay()
            self._leave_gradients()
            return self._logits, self._losses
        logits, losses = self._in_full()
        pairs = [(self._logits.data, logits.data), (self._losses.data, losses.data)]
        self._compare(self._recording.replay, pairs)
        return logits, losses

    def _in_full(self) -> tuple[Tensor, Tensor]:
        logits = self._run(self._x)
        losses = F.softmax_cross_entropy(logits, self._targets)
        self._reduce(losses).backward()
        return logits.detach(), losses.detach()


class Replay(_Repeated):
    """The way forward and back of one training step, between which the loss is computed.

    Args:
        model, logits: as for `Replays`.
    """

    def __init__(self, model: Model, logits: tuple[int, ...]) -> None:
        super().__init__(model, logits)
        self._forward: Recording | None = None
        self._backward: Recording | None = None

    def forward(self, x: np.ndarray) -> Tensor:
        """The output, as a leaf: `backward` goes on from the gradient that the loss leaves there."""
        if self._forward is None:
            self._x = np.array(x)
            with record() as self._forward:
                self._output = self._run(self._x)
            return self._as_leaf(self._output)
        np.copyto(self._x, x)
        self._forward.replay()
        if self.trusted:
            return self._as_leaf(self._output)
        self._real_output = self._run(self._x)
        return self._as_leaf(self._real_output)

    def _as_leaf(self, output: Tensor) -> Tensor:
        self._leaf = Tensor(output.data, requires_grad=True)
        return self._leaf

    def backward(self) -> None:
        """Fill the parameters' gradients."""
        gradient: Any = self._leaf.grad
        if self._forward is None:
            raise RuntimeError("Replay: the way forward has not been recorded yet")
        if self._backward is None:
            self._gradient = gradient
            with record() as self._backward:
                self._output.backward(gradient)
            self._keep(self._forward, self._backward)
            return
        np.copyto(self._gradient.data, gradient.data)
        if self.trusted:
            self._backward.replay()
            self._leave_gradients()
            return
        self._real_output.backward(gradient)
        self._compare(self._backward.replay, [(self._output.data, self._real_output.data)])
        del self._real_output


def parts(model: Model) -> list[Any]:
    """What a model's way through its layers is made of, as far as it is the same from call to call."""
    found = [model.graph, model.fused, model.device, current_kernels(), type(model).call]
    for layer in model.layers:
        # A dropout counts its masks.
        if type(layer) is not Dropout:
            found += [value for name, value in vars(layer).items() if name != _REMEMBERED]
    return found


def alike(now: Sequence[Any], then: Sequence[Any]) -> bool:
    """Whether two lists hold the very same objects."""
    return len(now) == len(then) and all([one is other for one, other in zip(now, then, strict=True)])


def is_repeatable(model: Model, besides: tuple[type, ...] = ()) -> bool:
    """Whether a model may be nothing but kernels: a graph with one input and one output, of layers known for it.

    Args:
        model: what shall be recorded.
        besides: classes of layers that are known for it in this case.
    """
    graph = model.graph
    return (
        graph is not None
        and model.runs_graph
        and len(graph.inputs) == len(graph.outputs) == 1
        and all(type(layer) in (*_REPEATABLE, *besides) for layer in graph.layers)
    )
