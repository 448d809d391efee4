"""`Network`: layers joined from inputs to outputs, with their shapes, and how values run through them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from minicnn import random as seeds
from minicnn.autograd import Tensor
from minicnn.errors import unknown_name
from minicnn.layers import Layer, SymbolicTensor
from minicnn.models.diagnosis import explain_input, fits
from minicnn.models.graph import Graph, from_wiring
from minicnn.models.summary import print_summary

Self = TypeVar("Self", bound="Network")


class Network(Layer):
    """What a model computes; `Model` adds how it is trained and kept in files.

    A subclass gives it a `graph`, or defines ``call(x, training=False)``.

    Args:
        name: made from the class name where absent.
        trainable: False freezes every weight.
        dtype: of weights that a subclass makes for itself; layers have their own.
    """

    #: Each input is cast to its own dtype, by the graph.
    autocast = False

    def __init__(self, *, name: str | None = None, trainable: bool = True, dtype: Any = "float32") -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.seed_sequence = seeds.spawn()
        self._graph: Graph | None = None
        self._layers: list[Layer] = []
        self._takes_list = False
        self._gives_list = False
        #: Whether layers that can run as one block do so (`minicnn.fusion`); results agree up to rounding.
        self.fused = True

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
        return self.graph is not None and type(self).call is Network.call

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

    # ------------------------------------------------------- configuration, copies

    @classmethod
    def from_config(cls: type[Self], config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make a network from `get_config`'s dictionary, the arguments of its class.

        Args:
            config: what `get_config` gave.
            custom_objects: for subclasses whose dictionary describes layers: the caller's own classes by name.
        """
        return cls(**config)

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
