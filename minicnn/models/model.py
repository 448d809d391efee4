"""`Model`: layers joined to a network that can be trained, asked and saved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import random as seeds
from minicnn.autograd import Tensor
from minicnn.errors import unknown_name
from minicnn.layers import Layer, SymbolicTensor, registry
from minicnn.models.diagnosis import explain_input, fits
from minicnn.models.graph import Graph, from_wiring
from minicnn.models.summary import print_summary

if TYPE_CHECKING:
    from minicnn.callbacks import Callback, History
    from minicnn.training import Trainer


@registry.register("Functional")
class Model(Layer):
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

    #: Each input is cast to its own dtype, by the graph.
    autocast = False

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
        self.seed_sequence = seeds.spawn()
        # Spawned before any layer gets its seed, so that the order of pictures does not depend on the layers.
        self._shuffler = seeds.generator(self.seed_sequence.spawn(1)[0])
        self._graph: Graph | None = None
        self._layers: list[Layer] = []
        self._takes_list = False
        self._gives_list = False
        self._trainer: Trainer | None = None
        self.history: History | None = None
        self.stop_training = False
        self.epoch = 0
        self.class_names: list[str] | None = None
        self.preprocessing: Any = None
        #: Whether layers that can run as one block do so (`minicnn.fusion`); results agree up to rounding.
        self.fused = True
        if (inputs is None) != (outputs is None):
            raise TypeError("Model: inputs and outputs belong together; give both, or neither in a subclass")
        if inputs is not None:
            self._draw(inputs, outputs)
            if not trainable:
                self.trainable = False

    def _draw(self, inputs: Any, outputs: Any) -> None:
        self._takes_list = isinstance(inputs, (list, tuple))
        self._gives_list = isinstance(outputs, (list, tuple))
        entries = _checked_tensors("inputs", inputs if self._takes_list else [inputs])
        results = _checked_tensors("outputs", outputs if self._gives_list else [outputs])
        self._use_graph(Graph(entries, results, self.describe()))

    def _use_graph(self, graph: Graph) -> None:
        _check_names(graph.layers, self.describe())
        self._graph = graph
        self._layers = graph.layers
        self.built = True
        shapes = [tensor.shape for tensor in graph.inputs]
        self._build_shape = shapes if self._takes_list else shapes[0]

    # ------------------------------------------------------------------ structure

    @property
    def graph(self) -> Graph | None:
        """The walk through the model; None for a subclass with a `call` of its own, and before the input is known."""
        return self._graph

    @property
    def layers(self) -> list[Layer]:
        """The model's layers, each once, in the order in which they run."""
        return list(self._layers) if self.graph is not None else self.sublayers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Give the layer of that name, or at that place among `layers`.

        Raises:
            ValueError: there is none; the message names those there are.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError(f"{self.describe()}: get_layer needs either a name or an index")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"{self.describe()} has {len(layers)} layers, there is none at {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{self.describe()}: {unknown_name('layer', str(name), [layer.name for layer in layers])}")

    def _known_graph(self, what: str) -> Graph:
        graph = self.graph
        if graph is None:
            reason = "it defines call instead of being drawn with Input" if self.built else "its input is not known yet"
            raise AttributeError(f"{self.describe()} has no {what}: {reason}")
        return graph

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs."""
        return self._known_graph("inputs").inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        return self._known_graph("outputs").outputs

    @property
    def input(self) -> Any:
        """The symbolic input, or the list of them where the model takes a list."""
        return self.inputs if self._takes_list else self.inputs[0]

    @property
    def output(self) -> Any:
        """The symbolic output, or the list of them where the model gives a list."""
        return self.outputs if self._gives_list else self.outputs[0]

    @property
    def input_names(self) -> list[str]:
        """The inputs' names, the keys of dictionaries of arrays."""
        return _distinct(tensor.name for tensor in self.inputs)

    @property
    def output_names(self) -> list[str]:
        """The outputs' names: those of the layers that make them."""
        return _distinct(tensor.name for tensor in self.outputs)

    # -------------------------------------------------------------------- running

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply the model to arrays or tensors (also in a dictionary by input name), or draw it into a larger model."""
        if isinstance(inputs, Mapping):
            inputs = self.order_inputs(inputs)
        return super().__call__(inputs, training)

    def order_inputs(self, inputs: Mapping[str, Any]) -> Any:
        """Turn a dictionary of arrays by input name into what the model takes."""
        names = self.input_names
        if set(names) != set(inputs):
            raise ValueError(f"{self.describe()}: the inputs are {names}, but {list(inputs)} came")
        listed = [inputs[name] for name in names]
        return listed if self._takes_list else listed[0]

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Run the graph; a subclass without one defines what happens here."""
        graph = self.graph
        if graph is None:
            raise NotImplementedError(
                f"{self.describe()} has no layers drawn from inputs to outputs and does not define "
                "call(x, training=False)"
            )
        results = graph.run(self._listed(inputs), training, fused=self.fused)
        return results if self._gives_list else results[0]

    @property
    def takes_list(self) -> bool:
        """Whether the model is called on a list of inputs."""
        return self._takes_list

    @property
    def runs_graph(self) -> bool:
        """Whether `call` is the walk through the graph, and not a subclass's own."""
        return self.graph is not None and type(self).call is Model.call

    def run_with_logits(self, inputs: Any, training: bool, logits: Collection[int]) -> list[Tensor]:
        """Run the graph like `call`, but leave out the last activation of the outputs whose indices are in `logits`."""
        graph = self._known_graph("logits")
        tensors = [self._receive(x) for x in self._listed(inputs)]
        shapes = [x.shape[1:] for x in tensors]
        admitted: Any = shapes if self._takes_list else shapes[0]
        if admitted != self._admitted_shape:
            self.check_input([(None, *shape) for shape in shapes])
            self._admitted_shape = admitted
        return graph.run(tensors, training, logits, fused=self.fused)

    def run_to_logits(self, inputs: Any, training: bool) -> Tensor:
        """Run a model of one output up to `final_activation`."""
        return self.run_with_logits(inputs, training, (0,))[0]

    def final_activation(self) -> Callable[[Any], Any] | None:
        """Give the function that makes the model's only output of its logits, None where there is none."""
        graph = self.graph
        return None if graph is None or not self.runs_graph or self._gives_list else graph.output_activation(0)

    def _listed(self, inputs: Any) -> list[Tensor]:
        return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]

    def check_input(self, input_shape: Any) -> None:
        """Raise ValueError where inputs of this shape do not fit, saying what would make them fit."""
        graph = self.graph
        if graph is None:
            return
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        if len(shapes) != len(graph.inputs):
            raise ValueError(
                f"{self.describe()}: {len(graph.inputs)} inputs are expected ({', '.join(self.input_names)}), "
                f"but {len(shapes)} came, of shapes {shapes}"
            )
        for tensor, shape in zip(graph.inputs, shapes, strict=True):
            if not fits((None, *tensor.shape[1:]), shape):
                raise ValueError(explain_input(self.describe(), tensor.name, tensor.shape, shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the output's shape, or the list of them, for inputs of this shape."""
        graph = self.graph
        if graph is None:
            return super().compute_output_shape(input_shape)
        shapes = input_shape if isinstance(input_shape, list) else [tuple(input_shape)]
        results = graph.compute_output_shapes(shapes)
        return results if self._gives_list else results[0]

    def multiply_adds(self, input_shape: Any) -> int:
        """Multiply-adds of one sample, over all layers."""
        graph = self.graph
        if graph is None:
            return super().multiply_adds(input_shape)
        return sum(step.layer.multiply_adds(step_input_shape(step)) for step in graph.steps)

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (batch axis included) without data."""
        if self._graph is None and not self.built:
            self.built = True
            # Running once on zeros makes every layer that `call` reaches build itself.
            self.compute_output_shape(input_shape)

    def _build_for(self, shape: Any) -> None:
        # Called with data at hand: the layers build themselves as it reaches them.
        self.built = True
        self._build_shape = shape

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        fused: bool = False,
    ) -> None:
        """Print each layer's output shape, parameters, bytes of output and multiply-adds, for one sample.

        Args:
            line_length: width in characters; as wide as needed where None.
            print_fn: called with each line instead of `print`.
            expand_nested: show the layers of models within the model.
            fused: show the blocks of layers that run as one (`minicnn.fusion`).
        """
        print_summary(self, line_length, print_fn or print, expand_nested, fused)

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

    # --------------------------------------------------------------- files, copies

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
            return cls(**config)
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

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # The nodes hold each other in a chain as long as the network is deep; a table of numbers does not.
        graph = state.pop("_graph")
        state["_wiring"] = None if graph is None else graph.wiring()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        wiring = state.pop("_wiring")
        self.__dict__.update(state)
        self.__dict__["_graph"] = None
        if wiring is not None:
            self._restore_graph(wiring)

    def _restore_graph(self, wiring: dict[str, Any]) -> None:
        inputs, outputs = from_wiring(wiring, self._layers, connect=False)
        self._graph = Graph(inputs, outputs, self.describe())


def serialize_layer(layer: Layer) -> dict[str, Any]:
    """Give the class and the configuration of a layer, as files hold them."""
    try:
        class_name = registry.name_of(type(layer))
    except ValueError:
        # A user's own class: loading finds it among the custom objects.
        class_name = type(layer).__name__
    return {"class_name": class_name, "config": layer.get_config()}


def deserialize_layer(description: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Make a layer, or a model within a model, of what `serialize_layer` gave."""
    found = registry.find(str(description["class_name"]), custom_objects)
    if isinstance(found, type) and issubclass(found, Model):
        return found.from_config(dict(description["config"]), custom_objects)
    layer = registry.get(description, custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"{description['class_name']!r} is no layer, but {type(layer).__name__}")
    return layer


def step_input_shape(step: Any) -> Any:
    """Give the shape, or the list of shapes, that a step's layer sees."""
    shapes = [tensor.shape for tensor in step.node.inputs]
    return shapes if step.takes_list else shapes[0]


def _checked_tensors(what: str, tensors: Iterable[Any]) -> list[SymbolicTensor]:
    listed = list(tensors)
    for tensor in listed:
        if not isinstance(tensor, SymbolicTensor):
            raise TypeError(
                f"Model: {what} must be symbolic tensors (from Input, or from layers called on them), "
                f"but {type(tensor).__name__} came"
            )
    if not listed:
        raise ValueError(f"Model: {what} must not be empty")
    return listed


def _check_names(layers: Iterable[Layer], owner: str) -> None:
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            raise ValueError(f"{owner}: two layers are called '{layer.name}'; names must differ within a model")
        seen.add(layer.name)


def _distinct(names: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    distinct = []
    for name in names:
        count = counts.get(name, 0)
        counts[name] = count + 1
        distinct.append(f"{name}_{count}" if count else name)
    return distinct


def _plain(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
