"""The steps of a training, and of measuring: what `Model.compile` makes.

A step goes the shortest way there is: on a GPU as one graph (`step_graphs`); elsewhere several at once (`executions`),
or by the recorded kernels of the one before (`replay`); else forward, loss, backward and the optimizer's step in full.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import losses, optimizers
from minicnn.autograd import Tensor, no_grad
from minicnn.device import array_module, device_of
from minicnn.registry import map_leaves
from minicnn.training import checks
from minicnn.training.batch import Batch, BatchRun, Selection
from minicnn.training.layout import ON_THE_WAY, arrange
from minicnn.training.ours import is_our_metric
from minicnn.training.outputs import Output, known_loss, known_metric, make_outputs, serialize
from minicnn.training.recorded_predictions import Predictions
from minicnn.training.replay import Replays, WholeStep
from minicnn.training.running_means import RunningMeans, number, total_of, widened
from minicnn.training.step_graphs import StepGraphs

if TYPE_CHECKING:
    from minicnn.layers import Layer
    from minicnn.models import Model

# Whose `targets` are rows of probabilities, for one kernel.
_CROSS_ENTROPIES = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)


class Trainer:
    """Steps, losses and metrics of a model.

    Args:
        model: what is trained.
        optimizer, loss, metrics, loss_weights, clip_probabilities: as `Model.compile` takes them.

    Raises:
        ValueError: an unknown name.
        TypeError: the model overrides a method that would never be called.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any,
        loss: Any,
        metrics: Any,
        *,
        loss_weights: Any = None,
        clip_probabilities: bool = False,
    ) -> None:
        checks.check_hooks(model)
        self.model = model
        self.optimizer = _scaling(optimizers.get(optimizer), model)
        self.loss = map_leaves(loss, known_loss)
        self.metrics = map_leaves(metrics, known_metric)
        self.loss_weights = loss_weights
        self.clip_probabilities = bool(clip_probabilities)
        self.outputs: list[Output] | None = None
        self._joined: tuple[int, ...] = ()
        self._regularised: list[Any] = []
        self._warned_of_loss = False
        self._replays: Replays | None = None
        self._graphs: StepGraphs | None = None
        self._beginning: Tensor | None = None
        self._tests: Predictions | None = None
        #: What logs are made of.
        self.means = RunningMeans()
        #: Whether the optimizer has been given the weights in this call of `fit`.
        self.bound = False

    def forget(self) -> None:
        """Drop what was derived from the model's outputs, which have changed."""
        self.outputs = None
        self.means = RunningMeans()
        self._replays = self._graphs = None

    def __getstate__(self) -> dict[str, Any]:
        derived = ("outputs", "_replays", "_graphs", "_beginning", "_tests")
        return {**self.__dict__, **dict.fromkeys(derived), "means": RunningMeans(), "_joined": (), "_regularised": []}

    @property
    def graph_bytes(self) -> int:
        """Bytes of a GPU's memory that its steps as graphs keep beside what CuPy's own pool has."""
        return 0 if self._graphs is None else self._graphs.nbytes

    # -------------------------------------------------------------------- preparing

    def prepare(self, batch: Batch) -> None:
        """Find out, with the first batch or all arrays at hand, what each output is compared with and how."""
        if self.outputs is not None:
            return
        self.outputs = make_outputs(
            self.model,
            batch,
            loss=self.loss,
            loss_weights=self.loss_weights,
            metrics=self.metrics,
            clip_probabilities=self.clip_probabilities,
        )
        self._joined = tuple(i for i, output in enumerate(self.outputs) if output.activation is not None)
        self.means = RunningMeans(self.outputs)

    def bind(self) -> None:
        """Hand the model's weights to the optimizer, and note which are regularised."""
        halves = half_types(self.model)
        if self.model.device == "cpu" and halves:
            policies = " and ".join(f"mixed_{name}" for name in sorted(halves))
            warnings.warn(
                f"{self.model.describe()}: layers of {policies} compute in float32 on a CPU, and nothing is gained; "
                'model.to("cuda") brings the model to a GPU',
                stacklevel=4,
            )
        is_frozen = not self.model.trainable_weights
        if is_frozen:
            warnings.warn(
                f"{self.model.describe()} has no trainable weights: the loss is computed, and nothing is learned",
                stacklevel=4,
            )
        # All of them: freezing and thawing a layer later must not cost the others their momentum.
        self.optimizer.bind(self.model.weights)
        self.optimizer.zero_grad()
        self._warned_of_loss = False
        self.refresh()
        self._graphs = None if self.model.device == "cpu" or is_frozen else self._graphs or StepGraphs(self)

    def refresh(self) -> None:
        """Note, where a training or an epoch begins, which layers and regularizers there are."""
        self.note_regularizers()
        # The way back would overwrite what a regularizer adds to the gradients.
        # It begins with the loss itself, too.
        in_full = self._regularised or isinstance(self.optimizer, optimizers.LossScaleOptimizer)
        in_full = in_full or not self.model.trainable_weights
        self._replays = None if in_full else self._replays or self._new_replays()
        if self._replays is not None:
            self._replays.invalidate()
        if self._graphs is not None:
            self._graphs.invalidate()

    def invalidate(self) -> None:
        """Expect changes by whoever was called since the last step."""
        for steps in (self._replays, self._graphs):
            if steps is not None:
                steps.invalidate()

    def _new_replays(self) -> Replays:
        return Replays(self.model, self.optimizer, self._joined, self._cross_entropy())

    def _cross_entropy(self) -> Output | None:
        """The one output, if its loss consists of the cross-entropies of rows of logits; else None."""
        outputs, graph = self.outputs or [], self.model.graph
        if graph is None or len(outputs) != 1 or len(graph.outputs[0].shape) != 2:
            return None
        (output,) = outputs
        is_joined = output.activation is not None and output.weight == 1.0
        return output if is_joined and type(output.loss) in _CROSS_ENTROPIES else None

    def note_regularizers(self) -> None:
        """Note which weights add to the loss."""
        self._regularised = [weight for weight in self.model.trainable_weights if weight.regularizer is not None]

    def check_arrays(self, owner: str, batch: Batch) -> None:
        """Look through targets, which messages call their owner's: class numbers out of range, NaN."""
        outputs = self.outputs or ()
        for index, output in enumerate(outputs):
            if batch.y is not None and output.loss is not None:
                name = f"y[{index}]" if len(outputs) > 1 else "y"
                checks.check_labels(owner, name, output.loss, batch.y[index], self._classes(index))

    def _classes(self, index: int) -> int | None:
        graph = self.model.graph
        return None if graph is None else graph.outputs[index].shape[-1]

    # ------------------------------------------------------------------------ steps

    def train_step(self, batch: Batch) -> None:
        """Make one step of the optimizer and add to the running means.

        On a GPU nothing is waited for: a loss that is not finite shows when somebody asks for the running means.
        """
        if self._graphs is None:
            self.full_step(self._placed(batch))
            return
        self._check_before_sending(batch)
        self._graphs.step(batch)

    def room(self, size: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The arrays in which the next step looks for so many samples and their labels, None where it takes any."""
        return (None, None) if self._replays is None else self._replays.room(size)

    def ahead(self, size: int) -> int:
        """How many batches of so many samples are wanted in one piece (`BatchRun`)."""
        if self._replays is None or not all(map(is_our_metric, self._measures())):
            return 1
        return self._replays.ahead(size)

    def _measures(self) -> list[Any]:
        return [metric for output in self.outputs or () for _, metric in output.metrics]

    def steps(self, batch: Batch) -> list[Callable[[], None]]:
        """What trains on a batch, to be called once: one function for each step.

        Of several batches the steps may have been made already, all at once; then the functions only measure them.
        """
        made = None
        if isinstance(batch, BatchRun):
            execution = None if self._replays is None else self._replays.find_run(batch)
            made = None if execution is None else execution.run(batch)
        if made is None:
            return [partial(self.train_step, each) for each in batch.split()]
        return [partial(self.means.add, *each) for each in made]

    def full_step(self, batch: Batch) -> None:
        """Make a training step on a batch that lies where the model does."""
        with checks.explained_memory(self.model, "the loss, a metric or the optimizer's step", batch.size):
            self._make_step(batch)

    def _make_step(self, batch: Batch) -> None:
        replay = None if self._replays is None else self._replays.find(batch)
        if isinstance(replay, WholeStep):
            logits, value = replay.run(batch.x[0], batch.y[0])  # type: ignore[index]
            predictions = [logits]
        else:
            predictions = self._forward(batch.x, training=True) if replay is None else [replay.forward(batch.x[0])]
            loss = self._loss(batch, predictions)
            value = number(loss)
            if not loss.requires_grad and not self.model.trainable_weights:
                self.means.add(batch, predictions, value)
                return
            self._backward(self.optimizer.scale_loss(loss), batch)
            if replay is not None:
                replay.backward()
        if isinstance(value, float) and not math.isfinite(value):
            self._warn_of_loss(value, batch)
        if replay is None:
            self.optimizer.step()
        else:
            replay.update()
        self.optimizer.zero_grad()
        self.means.add(batch, predictions, value)

    def _backward(self, loss: Tensor, batch: Batch) -> None:
        with checks.explained_memory(self.model, "the way back", batch.size):
            loss.backward(self._one(loss))

    def _one(self, loss: Tensor) -> Tensor | None:
        """What the way back begins with, kept on a GPU, where each step would have to make it anew."""
        xp = array_module(loss.data)
        if xp is np:
            return None
        if self._beginning is None or self._beginning.dtype != loss.dtype:
            self._beginning = Tensor(xp.ones_like(loss.data))
        return self._beginning

    def begin_tests(self) -> None:
        """Note, before anything is measured, what the model is now; again after anybody may have changed it."""
        self._tests = self._tests or Predictions(self._first_prediction)
        self._tests.begin(self.model)

    def _first_prediction(self, _: Model, x: Any) -> Tensor:
        return self._forward([x], training=False)[0]

    def test_step(self, batch: Batch) -> None:
        """Add a batch to the running means without training on it."""
        batch = self._placed(batch)
        with no_grad():
            output = None if self._tests is None else self._tests.compute(self.model, batch.x)
            predictions = self._forward(batch.x, training=False) if output is None else [Tensor(output)]
            with checks.explained_memory(self.model, "the loss or a metric", batch.size):
                value = number(self._loss(batch, predictions))
                self.means.add(batch, predictions, value)

    def _placed(self, batch: Batch) -> Batch:
        """The batch where the model lives."""
        if self.model.device == "cpu":
            return batch
        self._check_before_sending(batch)
        with checks.explained_memory(self.model, ON_THE_WAY, batch.size):
            return batch.to(self.model.device)

    def _check_before_sending(self, batch: Batch) -> None:
        """Look at targets before they leave the host."""
        if not isinstance(batch, Selection) and all(device_of(y) == "cpu" for y in batch.y or ()):
            self.check_arrays(self.model.describe(), batch)

    def _forward(self, arrays: list[Any], training: bool) -> list[Tensor]:
        x = arrange(self.model, arrays)
        if self._joined:
            return self.model.run_with_logits(x, training, self._joined)
        results = self.model(x, training=training)
        return list(results) if isinstance(results, (list, tuple)) else [results]

    def _loss(self, batch: Batch, predictions: list[Tensor]) -> Tensor:
        if batch.y is None:
            raise ValueError(f"{self.model.describe()}: y is missing; training and evaluating need targets")
        outputs = self.outputs or []
        total: Any = None
        for index, output in enumerate(outputs):
            if output.loss is None:
                continue
            weights = None if batch.weights is None else batch.weights[index]
            value = output.loss_of(batch.y[index], widened(predictions[index]), weights)
            if len(outputs) > 1:
                output.total = output.total + total_of(number(value), batch.size)
            if output.weight != 1.0:
                value = value * output.weight
            total = value if total is None else total + value
        for weight in self._regularised:
            total = total + weight.regularizer(weight)
        return total

    # ---------------------------------------------------------------- running means

    def reset(self) -> None:
        """Start the running means anew."""
        self.means.reset()

    def logs(self) -> dict[str, float]:
        """Give the running means by name, the loss first."""
        means = self.means
        if means.wait_for_loss() and not math.isfinite(means.loss_total) and means.last is not None:
            self._warn_of_loss(means.loss_total, means.last)
        return means.logs()

    def names(self) -> list[str]:
        """Give the names of the running means."""
        return list(self.logs())

    def _warn_of_loss(self, value: float, batch: Batch) -> None:
        if self._warned_of_loss:
            return
        self._warned_of_loss = True
        cause = checks.explain_loss(self.model, batch)
        warnings.warn(
            f"{self.model.describe()}: the loss is {value} at step {self.optimizer.iterations + 1}: {cause}. A smaller "
            f"learning rate (now {self.optimizer.learning_rate:g}), clipnorm, or inputs scaled to 0..1 may help; "
            "callbacks.TerminateOnNaN() ends such a training",
            RuntimeWarning,
            stacklevel=6,
        )

    # ---------------------------------------------------------------------- files

    def optimizer_state(self) -> dict[str, Any]:
        """Give the optimizer's state for this model's weights; it may have followed another model's since."""
        bound = self.optimizer.parameters
        if not bound:
            return self.optimizer.get_state()
        state = self.optimizer.bind(self.model.weights).get_state()
        # Somebody may be looking while the other one is trained.
        self.optimizer.bind(bound)
        return state

    def get_config(self) -> dict[str, Any]:
        """Give what `compile` was called with, as files hold it."""
        return {
            "optimizer": {"class_name": type(self.optimizer).__name__, "config": self.optimizer.get_config()},
            "loss": map_leaves(self.loss, serialize),
            "metrics": map_leaves(self.metrics, serialize),
            "loss_weights": self.loss_weights,
            "clip_probabilities": self.clip_probabilities,
        }


def _scaling(optimizer: Any, model: Model) -> Any:
    """The optimizer, with loss scaling where layers of the model compute in float16, as Keras' compile has it."""
    if optimizer is None or "float16" not in half_types(model) or isinstance(optimizer, optimizers.LossScaleOptimizer):
        return optimizer
    return optimizers.LossScaleOptimizer(optimizer)


def half_types(layer: Layer) -> set[str]:
    """The types of 16 bits, "float16" and "bfloat16", that a layer, and those within it, compute in on a GPU."""
    own = {layer.compute_dtype} & {"float16", "bfloat16"}
    return own.union(*map(half_types, getattr(layer, "layers", layer.sublayers)))
