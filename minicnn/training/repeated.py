"""The recorded kernels of a training step, for batches of one shape: see `replay`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor, as_array
from minicnn.kernels import current_kernels, get_num_threads
from minicnn.kernels.noting import noted_by
from minicnn.kernels.recording import Recording, record
from minicnn.kernels.samples import one_hot
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.training.layer_states import LayerStates, moving_averages, next_masks
from minicnn.training.update import Update, settings

if TYPE_CHECKING:
    from minicnn.models import Model
    from minicnn.training.executions import Execution
    from minicnn.training.outputs import Output

# A recording keeps the memory of its step, which is then not there for anything else.
MOST_BYTES = 256 * 2**20


class Repeated:
    """What is recorded of a model's training, for batches of one shape.

    Args:
        model: what is trained.
        optimizer: what trains it.
        logits: as for `Model.run_with_logits`, or nothing where the loss takes the model's output.

    Attributes:
        trusted: whether it has been compared with the real thing and found equal.
        failed: whether it differed, or would keep too much memory.
        nbytes: of the memory that it keeps.
        x: the array that the recording reads its batch from.
        labels: and the class numbers, where it makes targets of them itself.
        checked: the generation in which it was last seen to fit.
        updater: makes the optimizer's step.
    """

    x: np.ndarray
    labels: np.ndarray | None = None
    nbytes = 0
    checked = 0

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...]) -> None:
        self.model = model
        self.logits = logits
        self.trusted = False
        self.failed = False
        self.updater = Update(optimizer)
        self._parameters = list(model.trainable_weights)
        self._moved = moving_averages(model.layers)
        moved = {id(parameter) for parameter in self._moved}
        self._weights = [weight for weight in model.weights if id(weight) not in moved]
        self._circumstances = self._observe()

    def _observe(self) -> list[Any]:
        """What a recording depends on."""
        model = self.model
        found = [model.graph, model.fused, current_kernels(), get_num_threads(), *settings(self.updater.optimizer)]
        for parameter in self._parameters:
            found += [parameter.gradient_buffer, parameter.trainable, parameter.constraint]
        found += [parameter.data for parameter in (*self._weights, *self._moved)]
        return found + [state["key"] for _, state in next_masks(model.layers)]

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

    def _test(
        self,
        before: LayerStates,
        in_full: Callable[[], Sequence[np.ndarray]],
        record_other: Callable[[], Sequence[Recording]],
        replay: Callable[[], Sequence[np.ndarray]],
    ) -> None:
        """Trust a recording, made of other numbers, if it is whole and gives what the step in full gives, bit for bit.

        All weights are other ones meanwhile: where they make gradients zero, a wrong recording would seem right. The
        memory of the step is free again by now, so that the recording takes no more.

        Args:
            before: the layers' states before the step, whose gradients the parameters hold.
            in_full: makes the step.
            record_other: makes the recordings.
            replay: makes the step by them; gives the same arrays as `in_full`.
        """
        gradients = [np.array(parameter.grad) for parameter in self._parameters]
        after = LayerStates(self.model.layers)
        weights = [(weight.data, weight.data.copy()) for weight in self._weights]
        for array, _ in weights:
            array += 0.05 * noise_like(array)
        try:
            before.restore()
            self._forget_gradients()
            real = [*in_full(), *(np.array(parameter.grad) for parameter in self._parameters)]
            real += [array.copy() for array in after.averages]
            self._forget_gradients()
            recordings = record_other()
            owners = {key: owner for recording in recordings for key, owner in recording.owners().items()}
            self.nbytes = sum(owner.nbytes for owner in owners.values())
            if self.nbytes <= MOST_BYTES:
                before.restore()
                found = [*replay(), *(parameter.gradient_buffer for parameter in self._parameters), *after.averages]
                self.trusted = all([recording.is_whole for recording in recordings]) and _same_bits(found, real)
        finally:
            for array, kept in weights:
                np.copyto(array, kept)
            after.restore()
            self.failed = not self.trusted
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            buffer = parameter.gradient_buffer
            if self.trusted and buffer is not None:
                np.copyto(buffer, gradient)
                gradient = buffer
            parameter.grad = Tensor.wrap(gradient, False)

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def update(self) -> None:
        """Make the optimizer's step, once the gradients are there."""
        if self.trusted and not self.updater.trusted:
            for parameter in self._parameters:
                parameter.grad = Tensor.wrap(parameter.gradient_buffer, False)
        self.updater.step()
        self.note()

    def note(self) -> None:
        """Say of moving averages that they have changed."""
        for parameter in self._moved:
            parameter.bump_version()


class WholeStep(Repeated):
    """The way forward, the cross-entropy and the way back of a training step.

    Args:
        model, optimizer, logits: as for `Repeated`.
        output: the model's one output, whose loss is a cross-entropy of logits.

    Attributes:
        recording: its kernels, once it is trusted.
        predicted, losses: where they leave the logits (N, K), and the loss of each sample.
        replayed: how often they have been called.
        seconds: how long that took when it took least.
        execution: makes several such steps at once.
        is_single: whether that cannot be.
    """

    recording: Recording
    predicted: Tensor
    losses: Tensor
    replayed = 0
    seconds = math.inf
    execution: Execution | None = None
    is_single = False

    def __init__(self, model: Model, optimizer: Any, logits: tuple[int, ...], output: Output) -> None:
        super().__init__(model, optimizer, logits)
        self._output = output
        self._outside = np.zeros(1, np.int64)

    def run(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, float]:
        """Fill the parameters' gradients.

        Args:
            x: the batch.
            y: its targets, as the loss takes them.

        Returns:
            The logits (N, K), in memory that the next step uses again, and the loss.
        """
        if not self.trusted:
            return self._in_full_and_recorded(x, y)
        begin = time.perf_counter()
        self._replay(x, y)
        self.seconds = min(self.seconds, time.perf_counter() - begin)
        self.replayed += 1
        if self.saw_no_class():
            self._targets_of(y)  # says which label it is
        return self.predicted, self.loss_of(self.losses.data).tolist()

    def _replay(self, x: np.ndarray, y: np.ndarray) -> None:
        self._take(x)
        self.take_targets(y, self.targets)
        self.recording.replay()

    @property
    def targets(self) -> np.ndarray:
        """Where the recording reads the targets from: class numbers, or what the loss makes of others."""
        return self._targets if self.labels is None else self.labels

    def take_targets(self, y: np.ndarray, room: np.ndarray) -> None:
        """Bring targets, as the loss takes them, to where they are read from, unless they were gathered there."""
        if y is not room:
            np.copyto(room, self._targets_of(y) if self.labels is None else y)

    def saw_no_class(self) -> bool:
        """Whether a label since the last such question was the number of no class."""
        outside = bool(self._outside[0])
        self._outside[0] = 0
        return outside

    def _targets_of(self, y: np.ndarray) -> np.ndarray:
        (symbol,) = self.model.outputs
        targets, _ = self._output.loss.targets(y, np.empty((len(y), symbol.shape[-1] or 0), symbol.dtype))
        return np.asarray(targets)

    def _in_full_and_recorded(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, float]:
        targets, before = self._targets_of(y), LayerStates(self.model.layers)
        logits, losses = self._in_full(x, targets)
        loss = float(as_array(self._output.reduce(losses)))

        def in_full() -> list[np.ndarray]:
            logits, losses = self._in_full(x, targets)
            return [logits.data, losses.data, targets, as_array(self._output.reduce(losses))]

        def replayed() -> list[np.ndarray]:
            self._replay(x, y)
            return [self.predicted.data, self.losses.data, self._targets, self.loss_of(self.losses.data)]

        self._test(before, in_full, partial(self._record, noise_like(x), np.roll(y, 1, 0)), replayed)
        return logits, loss

    def _record(self, x: np.ndarray, y: np.ndarray) -> list[Recording]:
        self.x, self._targets = x, np.array(self._targets_of(y))
        if type(self._output.loss) is SparseCategoricalCrossentropy and np.can_cast(y.dtype, np.int64):
            self.labels = np.array(y, np.int64)
        with record() as self.recording:
            if self.labels is not None:
                one_hot(self.labels.reshape(-1), self._targets, self._outside)
            self.predicted, self.losses = self._in_full(x, self._targets)
        return [self.recording]

    def _in_full(self, x: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        logits = self._run(x)
        losses = F.softmax_cross_entropy(logits, targets)
        with noted_by(None):
            # Which is the same for all losses, so that a replay need not work it out again.
            leaf = Tensor(losses.data, requires_grad=True)
            self._output.reduce(leaf).backward()
        losses.backward(leaf.grad)
        return logits.detach(), losses.detach()

    def loss_of(self, losses: np.ndarray) -> Any:
        """What reducing the losses of a batch, in the last axis, gives, with less Python."""
        total = np.add.reduce(losses, -1)
        return total if self._output.loss.reduction == "sum" else total / losses.shape[-1]


class Replay(Repeated):
    """The way forward and back of one training step, between which the loss is computed.

    Args:
        model, optimizer, logits: as for `Repeated`.
    """

    _forward: Recording
    _backward: Recording

    def forward(self, x: np.ndarray) -> Tensor:
        """The output, as a leaf: `backward` goes on from the gradient that the loss leaves there."""
        if self.trusted:
            self._take(x)
            self._forward.replay()
        else:
            self._batch, self._before = x, LayerStates(self.model.layers)
            self._output = self._run(x)
        self._leaf = Tensor(self._output.data, requires_grad=True)
        return self._leaf

    def backward(self) -> None:
        """Fill the parameters' gradients."""
        gradient: Any = self._leaf.grad
        if self.trusted:
            np.copyto(self._gradient.data, gradient.data)
            self._backward.replay()
        else:
            self._in_full_and_recorded(self._batch, gradient)

    def _in_full_and_recorded(self, x: np.ndarray, gradient: Tensor) -> None:
        self._output.backward(gradient)
        self._gradient = Tensor(noise_like(gradient.data))

        def in_full() -> list[np.ndarray]:
            output = self._run(x)
            output.backward(gradient)
            return [output.data]

        def replayed() -> list[np.ndarray]:
            self._take(x)
            self._forward.replay()
            np.copyto(self._gradient.data, gradient.data)
            self._backward.replay()
            return [self._output.data]

        self._test(self._before, in_full, partial(self._record, noise_like(x)), replayed)
        del self._batch, self._before

    def _record(self, x: np.ndarray) -> list[Recording]:
        self.x = x
        with record() as self._forward:
            self._output = self._run(x)
        with record() as self._backward:
            self._output.backward(self._gradient)
        return [self._forward, self._backward]


def noise_like(x: np.ndarray) -> np.ndarray:
    """Numbers unlike those of any batch, of the same shape and dtype."""
    return np.random.default_rng(0).standard_normal(x.shape, np.float32).astype(x.dtype)


def _same_bits(some: Sequence[np.ndarray | None], others: Sequence[np.ndarray]) -> bool:
    return all(one is not None and one.tobytes() == other.tobytes() for one, other in zip(some, others, strict=True))


def alike(now: Sequence[Any], then: Sequence[Any]) -> bool:
    """Whether two lists hold the very same objects."""
    return len(now) == len(then) and all([one is other for one, other in zip(now, then, strict=True)])
