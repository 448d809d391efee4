"""`Sequential`: a chain of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minicnn.layers import Input, InputLayer, Layer, SymbolicTensor, registry
from minicnn.models.diagnosis import explain_failure
from minicnn.models.graph import Graph, from_wiring
from minicnn.models.model import Model
from minicnn.models.serialization import deserialize_layer, serialize_layer


@registry.register()
class Sequential(Model):
    """Layers in a chain, each fed with what the one before gives.

    The shape of the input comes from an `Input` as first element, from ``input_shape=`` of the first layer, from
    `build`, or from the first data; the weights exist from then on.

    Args:
        layers: to `add` in this order.
        name: made from the class name where absent.
        trainable: False freezes every weight.

    Raises:
        ValueError: a layer does not fit the one before it; the message lists all shapes up to there.

    >>> from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
    >>> model = Sequential([Conv2D(8, 3, activation="relu", input_shape=(28, 28, 1)), MaxPooling2D(), Flatten()])
    >>> model.add(Dense(10, activation="softmax"))
    >>> model.output_shape, model.count_params()
    ((None, 10), 13610)
    """

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        # The input and every layer's output, once the input's shape is known.
        self._tensors: list[SymbolicTensor] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Put a layer at the end; an `Input` may only come first."""
        if isinstance(layer, InputLayer):
            layer = layer.inbound_nodes[0].outputs[0]
        if isinstance(layer, SymbolicTensor):
            self._start(layer)
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"{self.describe()}: add expects a layer, but {type(layer).__name__} came: {layer!r}")
        if any(other.name == layer.name for other in self._layers):
            raise ValueError(
                f"{self.describe()}: a layer called '{layer.name}' is there already; names must differ within a model"
            )
        if not self._layers and not self._tensors:
            self._start_from(layer)
        self._settle(layer)
        if not self.trainable:
            layer.trainable = False
        if self._tensors:
            self._connect_layer(layer)
        self._layers.append(layer)
        self._forget_graph()

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self._layers:
            raise ValueError(f"{self.describe()} has no layer to take away")
        layer = self._layers.pop()
        if self._tensors:
            tensor = self._tensors.pop()
            layer.inbound_nodes = [node for node in layer.inbound_nodes if node is not tensor.node]
        self._forget_graph()
        return layer

    def _start(self, tensor: SymbolicTensor) -> None:
        if self._layers or self._tensors:
            raise ValueError(f"{self.describe()}: an Input can only be the first element")
        if not isinstance(tensor.node.layer, InputLayer):
            raise TypeError(f"{self.describe()}: add expects a layer or an Input, but the output of a layer came")
        self._tensors = [tensor]
        self._build_shape = tensor.shape
        self.built = True

    def _start_from(self, layer: Layer) -> None:
        if layer.sample_shape is not None:
            self._start(Input(layer.sample_shape, dtype=layer.dtype))
        elif isinstance(layer, Model) and layer.graph is not None and len(layer.inputs) == 1:
            inner = layer.inputs[0]
            self._start(Input(inner.shape[1:], batch_size=inner.shape[0], dtype=inner.dtype))

    def _connect_layer(self, layer: Layer) -> None:
        try:
            result = layer(self._tensors[-1])
        except (ValueError, TypeError) as error:
            names = [tensor.name for tensor in self._tensors]
            trace = [(name, tensor.shape) for name, tensor in zip(names, self._tensors, strict=True)]
            raise explain_failure(error, self.describe(), trace, layer) from error
        if isinstance(result, list):
            raise ValueError(
                f"{self.describe()}: {layer.describe()} has {len(result)} outputs; a chain needs layers of one output, "
                "Model(inputs, outputs) takes any"
            )
        self._tensors.append(result)

    def _forget_graph(self) -> None:
        self._graph = None
        if self._trainer is not None:
            self._trainer.forget()

    @property
    def graph(self) -> Graph | None:
        """The walk through the layers, None before the input's shape is known."""
        if self._graph is None and self._tensors:
            self._graph = Graph([self._tensors[0]], [self._tensors[-1]], self.describe())
        return self._graph

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input."""
        return list(self._layers)

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, batch axis included."""
        if not self._tensors:
            self._set_input(input_shape)

    def _build_for(self, shape: Any) -> None:
        self._set_input(shape)

    def _set_input(self, input_shape: Any) -> None:
        if isinstance(input_shape, list):
            raise ValueError(f"{self.describe()}: a chain has one input, but shapes {input_shape} came")
        dtype = self._layers[0].dtype if self._layers else self.dtype
        tensors = [Input(input_shape[1:], batch_size=input_shape[0], dtype=dtype)]
        self._tensors = tensors
        try:
            for layer in self._layers:
                self._connect_layer(layer)
        except Exception:
            # The next data may have a shape that fits.
            self._tensors = []
            raise
        self.built = True
        self._build_shape = tuple(input_shape)
        self._forget_graph()

    def get_config(self) -> dict[str, Any]:
        """Give what makes the same chain again, with fresh weights."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "layers": [serialize_layer(layer) for layer in self._layers],
        }
        if self._tensors:
            config["input_shape"] = list(self._tensors[0].shape)
            config["input_dtype"] = self._tensors[0].dtype
            config["input_name"] = self._tensors[0].name
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Sequential:
        """Make a chain from `get_config`'s dictionary."""
        model = cls(name=config["name"])
        shape = config.get("input_shape")
        if shape is not None:
            model.add(
                Input(shape[1:], batch_size=shape[0], dtype=config.get("input_dtype"), name=config.get("input_name"))
            )
        for description in config["layers"]:
            model.add(deserialize_layer(description, custom_objects))
        # Not through the setter: the layers say for themselves whether they are frozen.
        model._trainable = config.get("trainable", True)
        return model

    def __getstate__(self) -> dict[str, Any]:
        graph = self.graph
        state = super().__getstate__()
        del state["_tensors"]
        state["_graph_layers"] = [] if graph is None else graph.layers
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__["_tensors"] = []
        super().__setstate__(state)
        del self.__dict__["_graph_layers"]

    def _restore_graph(self, wiring: dict[str, Any]) -> None:
        inputs, outputs = from_wiring(wiring, self.__dict__["_graph_layers"], connect=False)
        self._graph = Graph(inputs, outputs, self.describe())
        self._tensors = [*inputs, *(step.node.outputs[0] for step in self._graph.steps)]
