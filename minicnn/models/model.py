"""`Model`: a network that can be drawn, trained, asked and saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import random as seeds
from minicnn.layers import registry
from minicnn.models.graph import from_wiring
from minicnn.models.network import Network
from minicnn.models.serialization import deserialize_layer, serialize_layer

if TYPE_CHECKING:
    from minicnn.callbacks import Callback, History
    from minicnn.training import Trainer


@registry.register("Functional")
class Model(Network):
    """A network.

    Either drawn with symbolic tensors, ``Model(inputs, outputs)``, where both are a tensor or a list of tensors
    (branches, layers used several times, models within models, and parts of other models are all fine), or subclassed:
    set layers in ``__init__`` and define ``call(x, training=False)``.

    Args:
        inputs: made by `Input`, or tensors inside a model.
        outputs: tensors that depend on the inputs alone.
        name: made from the class name where absent.
        trainable: False freezes every weight.

    Attributes:
        optimizer: what `compile` was given, as an object; None before.
        history: the `History` of the last `fit`; None before.
        stop_training: a callback that sets it True ends the training after the step or epoch it is in.
        epoch: how many epochs the model was trained for, over all calls of `fit`, and over saving and loading.
        class_names: what the outputs stand for, or None; files carry it.
        preprocessing: how pictures become inputs, an object with `get_config` or a dictionary, or None; files carry it.

    Raises:
        ValueError: an output depends on an `Input` that is not given, or two layers have the same name.

    >>> from minicnn.layers import Dense, Input
    >>> x = Input((4,))
    >>> hidden = Dense(8, activation="relu")(x)
    >>> Model(x, [Dense(3)(hidden), Dense(1)(hidden)]).count_params()
    76
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        # Spawned before any layer gets its seed, so that the order of pictures does not depend on the layers.
        self._shuffler = seeds.generator(self._take_seed().spawn(1)[0])
        self._trainer: Trainer | None = None
        self.history: History | None = None
        self.stop_training = False
        self.epoch = 0
        self.class_names: list[str] | None = None
        self.preprocessing: Any = None
        if (inputs is None) != (outputs is None):
            raise TypeError("Model: inputs and outputs belong together; give both, or neither in a subclass")
        if inputs is not None:
            self._draw(inputs, outputs)
            if not trainable:
                self.trainable = False

    # ------------------------------------------------------------------- training

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` was given, None before."""
        return None if self._trainer is None else self._trainer.optimizer

    @property
    def trainer(self) -> Trainer:
        """What trains the model; RuntimeError before `compile`."""
        if self._trainer is None:
            raise RuntimeError(f"{self.describe()} is not compiled: call compile(optimizer=..., loss=...) first")
        return self._trainer

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._trainer is not None

    @property
    def metrics_names(self) -> list[str]:
        """The names in the logs: "loss", and what `compile` asked for, once an output has been seen."""
        return self.trainer.names()

    @property
    def shuffler(self) -> np.random.Generator:
        """The generator that orders the samples of every epoch."""
        return self._shuffler

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        *,
        loss_weights: Any = None,
        clip_probabilities: bool = False,
    ) -> None:
        """Say how the model is trained.

        Args:
            optimizer: name or object.
            loss: name, object or function ``(y_true, y_pred) -> losses``; for several outputs a list of them or a
                dictionary by output name, one for all otherwise.
            metrics: list of names, objects or functions; for several outputs a list of lists, or a dictionary by output
                name.
            loss_weights: for several outputs, a number for each in the total loss.
            clip_probabilities: False joins a softmax or sigmoid with its cross-entropy, which is stabler and has
                gradients where a probability is 0 or 1; True clips the probabilities at 1e-7 instead, as Keras does.

        Raises:
            ValueError: an unknown name.
            TypeError: a subclass defines `train_step`, `test_step`, `predict_step` or `compute_loss`, which nobody
                would call.

        An optimizer may be given to several models: each weight keeps its own moments, and all steps are counted.
        """
        from minicnn.training import Trainer

        self._trainer = Trainer(
            self, optimizer, loss, metrics, loss_weights=loss_weights, clip_probabilities=clip_probabilities
        )

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callback | Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
    ) -> History:
        """Train the model.

        Args:
            x: array (N, ...) of inputs, a list or dictionary of them for several inputs; or a generator, an iterator or
                a sequence object that gives batches ``(x, y)`` or ``(x, y, sample_weight)``, tuples or lists. Pictures
                of whole numbers are cast batch by batch.
            y: array (N, ...) of targets, a list or dictionary of them for several outputs.
            batch_size: samples a step, 32 where None.
            epochs: number of the last epoch, so `initial_epoch` less are run.
            verbose: 0 silent, 1 or "auto" a live line, 2 a line per epoch.
            callbacks: one or several; see `minicnn.callbacks`.
            validation_split: share of the samples, the last ones before any shuffling, to measure on after each epoch.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)`` to measure on, or batches as for `x`.
            shuffle: draw a new order of the samples for each epoch.
            class_weight: weight of each class number in the loss, for targets that are class numbers, of samples or of
                each of their pixels, or rows with a number for each class.
            sample_weight: (N,) weight of each sample in the loss.
            initial_epoch: epochs done before; `model.epoch` goes on where a saved model stopped.
            steps_per_epoch: batches an epoch; all there are where None.
            validation_steps, validation_batch_size: the same for the validation, whose batches are as large as the
                others where None, and which takes no batch twice.
            validation_freq: validate every so many epochs, or after the epochs (counted from 1) in a collection.

        Returns:
            The `History` of this call, also in `history`.

        Raises:
            ValueError: the data do not fit the model or each other, hold NaN, or labels out of range; a number of
                epochs, steps or samples a batch that is too small.
            TypeError: such a number that is not whole; data that are no numbers.
            RuntimeError: the model is not compiled.

        On Ctrl-C (and on any error) the callbacks' `on_train_end` is called before it is passed on.
        """
        from minicnn.training import fit

        return fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Measure loss and metrics on data, as `fit` takes them, or on its first `steps` batches.

        Returns:
            The loss, or a list ``[loss, metrics...]`` where there are metrics, or with `return_dict` all by name.
        """
        from minicnn.training import evaluate

        logs = evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
        )
        return logs if return_dict else _plain(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Callback | Sequence[Callback] | None = None,
    ) -> Any:
        """Compute the outputs for inputs (N, ...), batch by batch and untaped; several threads may call it at once.

        With `steps`, only for so many batches of them.

        Returns:
            Array (N, ...), or a list of them for several outputs.
        """
        from minicnn.training import predict

        return predict(self, x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one training step with all of the data; returns its loss (and metrics) as `evaluate` does."""
        from minicnn.training import train_on_batch

        logs = train_on_batch(self, x, y, sample_weight, class_weight)
        return logs if return_dict else _plain(logs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Measure on all of the data at once; returns what `evaluate` does."""
        from minicnn.training import test_on_batch

        logs = test_on_batch(self, x, y, sample_weight)
        return logs if return_dict else _plain(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Compute the outputs for all of the data at once."""
        from minicnn.training import predict_on_batch

        return predict_on_batch(self, x)

    # ---------------------------------------------------------------------- files

    def save(self, filepath: str | Path) -> None:
        """Write the model, its training state included; the ending chooses the format, see `minicnn.saving`."""
        from minicnn.saving import save_model

        save_model(self, filepath)

    def export(self, filepath: str | Path) -> None:
        """Write what `predict` computes to an `.onnx` file, for onnxruntime and others; minicnn does not read it."""
        from minicnn.saving import export_model

        export_model(self, filepath)

    def save_weights(self, filepath: str | Path) -> None:
        """Write the weights alone; the ending chooses the format, see `minicnn.saving`."""
        from minicnn.saving import save_weights

        save_weights(self, filepath)

    def load_weights(self, filepath: str | Path, by_name: bool = False, skip_mismatch: bool = False) -> None:
        """Read weights from a file of `save_weights` or of Keras.

        Args:
            filepath: the file; its ending tells the format, see `minicnn.saving`.
            by_name: take only layers that have the same name in the file (`.h5`); otherwise their order pairs them.
            skip_mismatch: leave layers whose weights do not fit alone, with a warning.
        """
        from minicnn.saving import load_weights

        load_weights(self, filepath, by_name, skip_mismatch)

    def get_config(self) -> dict[str, Any]:
        """Give what makes the same network again, with fresh weights.

        Raises:
            NotImplementedError: for a subclass with a `call` of its own; it has to say which arguments make it.
        """
        graph = self.graph
        if graph is None or type(self) is not Model:
            raise NotImplementedError(
                f"{self.describe()}: a subclass of Model must define get_config() to be saved, and is loaded with "
                f"custom_objects={{'{type(self).__name__}': {type(self).__name__}}}"
            )
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": [serialize_layer(layer) for layer in graph.layers],
            "takes_list": self._takes_list,
            "gives_list": self._gives_list,
            **graph.wiring(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Model:
        """Make a network from `get_config`'s dictionary."""
        if "layers" not in config:
            return super().from_config(config)
        layers = [deserialize_layer(description, custom_objects) for description in config["layers"]]
        inputs, outputs = from_wiring(config, layers, connect=True)
        model = cls(
            inputs if config["takes_list"] else inputs[0],
            outputs if config["gives_list"] else outputs[0],
            name=config["name"],
        )
        # Not through the setter: the layers say for themselves whether they are frozen.
        model._trainable = config["trainable"]
        return model


def _plain(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
