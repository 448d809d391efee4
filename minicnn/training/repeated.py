"""The recorded kernels of a training step, for batches of one shape: see `replay`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Array, Tensor, as_array
from minicnn.kernels import current_kernels, get_num_threads
from minicnn.kernels.recording import Recording, record
from minicnn.kernels.samples import one_hot
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.training.update import Update, settings

if TYPE_CHECKING:
    from minicnn.models import Model
    from minicnn.training.outputs import Output

# A recording keeps all arrays of its step. Where they are large, the kernels take so long that Python does not matter.
MOST_BYTES = 64 * 2**20


class Repeated:
    """What is recorded of a model's training, for batches of one shape.

    Args:
        model: what is trained.
        optimizer: what trains it.
        logits: as for `Model.run_with_logits`, or nothing where the loss takes the model's output.

    Attributes:
        trusted: whether it has been compared with the real thing and found equal.
        failed: whether it differed, or would keep too much memory.
        x: the array that the recording reads its batch from.
        labels: and the class numbers, where it makes targets of them itself.
        looked: when it was last looked at whether it fits.
    """

    x: np.ndarray
    labels: np.ndarray | None = None
    looked = 0

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...]) -> None:
        self.model = model
        self.logits = logits
        self.trusted = False
        self.failed = False
        self._update = Update(optimizer)
        self._parameters = list(model.trainable_weights)
        self._circumstances = self._observe()

    def _observe(self) -> list[Any]:
        """What a recording depends on."""
        model = self.model
        found = [model.graph, model.fused, current_kernels(), get_num_threads(), *settings(self._update.optimizer)]
        for parameter in self._parameters:
            found += [parameter.data, parameter.gradient_buffer, parameter.trainable, parameter.constraint]
        return found

    def fits(self) -> bool:
        """Whether nothing that the recording depends on has changed."""
        return alike(self._observe(), self._circumstances)

    def _take(self, x: np.ndarray) -> None:
        """Bring a batch to where the recording reads it, unless it was gathered there."""
        if x is not self.x:
            np.copyto(self.x, x)

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

    def update(self) -> None:
        """Make the optimizer's step, once the gradients are there."""
        if self.trusted and not self._update.trusted:
            for parameter in self._parameters:
                parameter.grad = Tensor.wrap(parameter.gradient_buffer, False)
        self._update.step()


class WholeStep(Repeated):
    """The way forward, the cross-entropy and the way back of a training step.

    Args:
        model, optimizer, logits: as for `Repeated`.
        output: the model's one output, whose loss is a cross-entropy of logits.
    """

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...], output: Output) -> None:
        super().__init__(model, optimizer, logits)
        self._output = output
        self._recording: Recording | None = None
        self._outside = np.zeros(1, np.int64)

    def run(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, float]:
        """Fill the parameters' gradients.

        Args:
            x: the batch.
            y: its targets, as the loss takes them.

        Returns:
            The logits (N, K), in memory that the next step uses again, and the loss.
        """
        if self._recording is None:
            return self._record(x, y)
        self._take(x)
        if not self.trusted:
            return self._make_both_ways(self._recording, y)
        self._take_targets(y)
        self._recording.replay()
        if self._outside[0]:
            self._outside[0] = 0
            self._targets_of(y)  # says which label it is
        return self._logits, self._loss_of(self._losses.data)

    def _targets_of(self, y: np.ndarray) -> np.ndarray:
        (symbol,) = self.model.outputs
        targets, _ = self._output.loss.targets(y, np.empty((len(y), symbol.shape[-1] or 0), symbol.dtype))
        return np.asarray(targets)

    def _record(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, float]:
        self.x, self._targets = np.array(x), np.array(self._targets_of(y))
        if type(self._output.loss) is SparseCategoricalCrossentropy and np.can_cast(y.dtype, np.int64):
            self.labels = np.array(y, np.int64)
        with record() as self._recording:
            if self.labels is not None:
                one_hot(self.labels.reshape(-1), self._targets, self._outside)
            self._logits, self._losses = self._in_full(self._targets)
        self._keep(self._recording)
        return self._logits, self._real_loss_of(self._losses)

    def _make_both_ways(self, recording: Recording, y: np.ndarray) -> tuple[Tensor, float]:
        targets = self._targets_of(y)
        self._take_targets(y)
        logits, losses = self._in_full(targets)
        loss = self._real_loss_of(losses)
        pairs = [(self._logits, logits), (self._losses, losses)]
        arrays = [(one.data, other.data) for one, other in pairs]
        arrays += [(self._targets, targets), (np.array(self._loss_of(losses.data)), np.array(loss))]
        self._compare(recording.replay, arrays)
        return logits, loss

    def _take_targets(self, y: np.ndarray) -> None:
        if self.labels is None:
            np.copyto(self._targets, self._targets_of(y))
        elif y is not self.labels:
            np.copyto(self.labels, y)

    def _in_full(self, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        logits = self._run(self.x)
        losses = F.softmax_cross_entropy(logits, targets)
        self._output.reduce(losses).backward()
        return logits.detach(), losses.detach()

    def _real_loss_of(self, losses: Tensor) -> float:
        return float(as_array(self._output.reduce(losses)))

    def _loss_of(self, losses: np.ndarray) -> float:
        """The same number with less Python."""
        total = np.add.reduce(losses)
        return float(total if self._output.loss.reduction == "sum" else total / losses.size)


class Replay(Repeated):
    """The way forward and back of one training step, between which the loss is computed.

    Args:
        model, optimizer, logits: as for `Repeated`.
    """

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...]) -> None:
        super().__init__(model, optimizer, logits)
        self._forward: Recording | None = None
        self._backward: Recording | None = None

    def forward(self, x: np.ndarray) -> Tensor:
        """The output, as a leaf: `backward` goes on from the gradient that the loss leaves there."""
        if self._forward is None:
            self.x = np.array(x)
            with record() as self._forward:
                self._output = self._run(self.x)
            return self._as_leaf(self._output)
        self._take(x)
        self._forward.replay()
        if self.trusted:
            return self._as_leaf(self._output)
        self._real_output = self._run(self.x)
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
            return
        self._real_output.backward(gradient)
        self._compare(self._backward.replay, [(self._output.data, self._real_output.data)])
        del self._real_output


def alike(now: Sequence[Any], then: Sequence[Any]) -> bool:
    """Whether two lists hold the very same objects."""
    return len(now) == len(then) and all([one is other for one, other in zip(now, then, strict=True)])
