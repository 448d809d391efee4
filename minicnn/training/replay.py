"""Training steps without the Python between the kernels.

In a small network most of a step's time goes into finding out, layer by layer, what the step before found out: shapes,
paddings, which kernel on which memory. So the kernels of one step are recorded and then called again, on the same
memory, for every further batch of that shape; loss, metrics and optimizer stay as they are. The same kernels on the
same numbers give the same bits.

This is done only where a step is nothing but kernels: layers without state or chance (exactly the classes below), one
input, one output, no regularizer, the "cpu" kernels. And it is tested before it is trusted: the second step runs both
ways, and a recording whose outputs or gradients differ in a single bit is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.kernels import current_kernels, get_num_threads
from minicnn.kernels.recording import Recording, record
from minicnn.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
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
# A recording keeps all arrays of its step. Where they are large, the kernels take so long that Python does not matter.
MOST_BYTES = 64 * 2**20


class Replays:
    """The recorded steps of a model's training, one for each shape of batch.

    Args:
        model: what is trained.
        logits: as for `Model.run_with_logits`, or nothing where the loss takes the model's output.
    """

    def __init__(self, model: Model, logits: tuple[int, ...]) -> None:
        self.model = model
        self.logits = logits
        self.possible = is_repeatable(model) and model.device == "cpu" and current_kernels() == "cpu"
        self._by_shape: dict[tuple[int, ...], Replay | None] = {}

    def find(self, arrays: Sequence[np.ndarray]) -> Replay | None:
        """The replay that serves a batch, None where the step has to be made in full.

        The first batch of a shape gets none: shapes that come once are not worth recording, and only after the first
        step are the weights where the optimizer keeps them.
        """
        if not self.possible:
            return None
        (x,) = arrays
        if x.shape not in self._by_shape:
            self._by_shape[x.shape] = None
            return None
        replay = self._by_shape[x.shape]
        if replay is None or not replay.fits():
            replay = self._by_shape[x.shape] = Replay(self.model, self.logits)
        self.possible = not replay.failed
        return replay if self.possible else None


class Replay:
    """The way forward and back of one training step, for batches of one shape.

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
        self._forward: Recording | None = None
        self._backward: Recording | None = None

    def _observe(self) -> list[Any]:
        """What a recording depends on."""
        model = self.model
        settings = [model.graph, model.fused, current_kernels(), get_num_threads()]
        for parameter in self._parameters:
            settings += [parameter.data, parameter.gradient_buffer, parameter.trainable]
        return settings

    def fits(self) -> bool:
        """Whether nothing that the recording depends on has changed."""
        return all([now is then for now, then in zip(self._observe(), self._circumstances, strict=True)])

    def forward(self, x: np.ndarray) -> Tensor:
        """The output, as a leaf: `backward` goes on from the gradient that the loss leaves there."""
        if self._forward is None:
            self._x = np.array(x)
            with record() as self._forward:
                self._output = self._run()
            return self._as_leaf(self._output)
        np.copyto(self._x, x)
        self._forward.replay()
        if self.trusted:
            return self._as_leaf(self._output)
        self._real_output = self._run()
        return self._as_leaf(self._real_output)

    def _as_leaf(self, output: Tensor) -> Tensor:
        self._leaf = Tensor(output.data, requires_grad=True)
        return self._leaf

    def _run(self) -> Tensor:
        if self.logits:
            return self.model.run_with_logits(self._x, True, self.logits)[0]
        output: Tensor = self.model(self._x, training=True)
        return output

    def backward(self) -> None:
        """Fill the parameters' gradients."""
        gradient: Any = self._leaf.grad
        if self._backward is None:
            self._gradient = gradient
            with record() as self._backward:
                self._output.backward(gradient)
            self.failed = self._bytes() > MOST_BYTES
            return
        np.copyto(self._gradient.data, gradient.data)
        if not self.trusted:
            self._compare(gradient)
            return
        self._backward.replay()
        for parameter in self._parameters:
            parameter.grad = Tensor.wrap(parameter.gradient_buffer, False)

    def _compare(self, gradient: Tensor) -> None:
        """Go back both ways, and leave the real gradients."""
        if self._backward is None:
            raise RuntimeError("Replay: backward has not been recorded yet")
        self._real_output.backward(gradient)
        real = [(parameter, np.array(parameter.grad)) for parameter in self._parameters]
        self._backward.replay()
        same = self._output.data.tobytes() == self._real_output.data.tobytes()
        for parameter, expected in real:
            buffer = parameter.gradient_buffer
            same = same and buffer is not None and buffer.tobytes() == expected.tobytes()
            if buffer is not None:
                np.copyto(buffer, expected)
        del self._real_output
        self.trusted, self.failed = same, not same

    def _bytes(self) -> int:
        recorded = [recording for recording in (self._forward, self._backward) if recording is not None]
        roots = {key: root for recording in recorded for key, root in recording.roots().items()}
        return sum(root.nbytes for root in roots.values())


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
