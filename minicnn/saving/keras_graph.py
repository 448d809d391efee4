"""Models as Keras' files describe them: chains, and graphs whose nodes name the tensors that they read.

A tensor is (layer, node, output): what the layer's n-th call gave. Keras 1 and 2 write it as a list
``[layer, node, output, arguments]``, Keras 3 as a ``__keras_tensor__`` among the arguments of a call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from minicnn.layers import Layer
from minicnn.models import Model, Sequential
from minicnn.models.serialization import serialize_layer
from minicnn.saving.errors import ModelFileError
from minicnn.saving.keras_objects import Custom, Description, class_name, from_keras, plain, to_keras
from minicnn.saving.keras_order import keras_layers
from minicnn.saving.making import check_size

Tensor = tuple[str, int, int]
#: Models within models; Python's stack ends somewhere.
_DEEPEST = 50
#: Keras 1 and 2 count the walk of a model of these classes as its first call.
_MODELS = ("Sequential", "Functional")


# ------------------------------------------------------------------------------------------- to Keras


def describe_layer(layer: Layer) -> Description:
    """Describe a layer, or a model and all in it, as Keras 3 does.

    Raises:
        ValueError: it has something that Keras does not have.
    """
    if "/" in layer.name:
        raise ValueError(f"save: Keras takes no names with '/', but there is {layer.describe()}; save as .minicnn")
    if type(layer) is Sequential:
        return {"module": "keras", "class_name": "Sequential", "config": _chain(layer), "registered_name": None}
    if type(layer) is Model and layer.graph is not None:
        return {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": _graph(layer),
            "registered_name": "Functional",
        }
    return to_keras(serialize_layer(layer), "layer")


def legacy(description: Any) -> Any:
    """Turn Keras 3's description of a model into that of its HDF5 files, where layers are named by class alone."""
    config = description["config"]
    if description["class_name"] in ("Sequential", "Functional"):
        config = {**config, "layers": [legacy(layer) for layer in config["layers"]]}
    rest = {key: value for key, value in description.items() if key not in ("module", "registered_name", "config")}
    return {**rest, "config": config}


def _chain(model: Sequential) -> Description:
    inputs = [tensor.node.layer for tensor in model.inputs]
    described = [describe_layer(layer) for layer in [*inputs, *model.layers]]
    return {"name": model.name, "trainable": model.trainable, "dtype": model.dtype, "layers": described}


def _graph(model: Model) -> Description:
    wiring = _Wiring(model)
    described = []
    for layer in keras_layers(model):
        described.append({**describe_layer(layer), "name": layer.name, "inbound_nodes": list(wiring.calls_of(layer))})
    inputs, outputs = [wiring.edge(t) for t in model.inputs], [wiring.edge(t) for t in model.outputs]
    config: Description = {
        "name": model.name,
        "layers": described,
        "input_layers": inputs if model.takes_list else inputs[0],
        "output_layers": outputs if isinstance(model.output, list) else outputs[0],
    }
    # Keras applies the flag to all layers when it makes the model, which would thaw those that are frozen.
    if not model.trainable or all(layer.trainable for layer in _all_layers(model)):
        config["trainable"] = model.trainable
    return config


def _all_layers(layer: Layer) -> Iterator[Layer]:
    for child in keras_layers(layer):
        yield child
        yield from _all_layers(child)


class _Wiring:
    """The calls of a model's layers, numbered within the model."""

    def __init__(self, model: Model) -> None:
        self._steps = [] if model.graph is None else model.graph.steps
        self._describe = model.describe()
        self._numbers: dict[int, int] = {}
        counts: dict[int, int] = {}
        for step in self._steps:
            self._numbers[id(step.node)] = counts.get(id(step.layer), 0)
            counts[id(step.layer)] = self._numbers[id(step.node)] + 1

    def tensor(self, tensor: Any) -> list[Any]:
        if tensor.node.inputs and id(tensor.node) not in self._numbers:
            raise ValueError(
                f"save: {self._describe} begins in the middle of another model, which Keras' files cannot say; give "
                "it an Input of its own, or save as .minicnn"
            )
        return [tensor.node.layer.name, self._numbers.get(id(tensor.node), 0), tensor.index]

    def edge(self, tensor: Any) -> list[Any]:
        """Name a tensor at the model's edge; there, Keras counts a graph's own walk as its first call."""
        name, node, index = self.tensor(tensor)
        layer = tensor.node.layer
        return [name, node + (isinstance(layer, Model) and not isinstance(layer, Sequential)), index]

    def calls_of(self, layer: Layer) -> Iterator[Description]:
        for step in self._steps:
            if step.layer is not layer:
                continue
            read = [
                {
                    "class_name": "__keras_tensor__",
                    "config": {"shape": list(t.shape), "dtype": t.dtype, "keras_history": self.tensor(t)},
                }
                for t in step.node.inputs
            ]
            options = {} if step.training is None else {"training": step.training}
            yield {"args": [read if step.takes_list else read[0]], "kwargs": options}


# ----------------------------------------------------------------------------------------- from Keras


def read_layer(description: Any, custom: Custom, depth: int = 0) -> Description:
    """Turn Keras' description of a layer or a model into that of `minicnn.models.serialization.serialize_layer`.

    Raises:
        ModelFileError: it is damaged, or has something that minicnn does not have.
    """
    if depth == 0:
        check_size(description)
    if not isinstance(description, Mapping) or not isinstance(description.get("config"), (Mapping, list)):
        raise ModelFileError(f"a layer must be described by class_name and config, but {description!r:.80} came")
    if depth > _DEEPEST:
        raise ModelFileError(f"models are nested more than {_DEEPEST} deep")
    name, config = class_name(description, custom), description["config"]
    if name not in custom:
        if name == "Sequential":
            return {"class_name": name, "config": _read_chain(config, custom, depth)}
        if name == "Functional" and isinstance(config, Mapping) and "input_layers" in config:
            return {"class_name": name, "config": _read_graph(config, custom, depth)}
    return from_keras(description, "layer", custom)


def _read_chain(config: Any, custom: Custom, depth: int) -> Description:
    # Until Keras 2.2.3 the list of the layers was all there was.
    config = {"layers": config} if isinstance(config, list) else config
    described = [read_layer(layer, custom, depth + 1) for layer in _list(config.get("layers"), "layers")]
    chain: Description = {"name": config.get("name"), "trainable": config.get("trainable", True) is not False}
    shape = None
    if described and described[0]["class_name"] == "InputLayer":
        entry = described.pop(0)["config"]
        shape = [entry.get("batch_size"), *_list(entry.get("shape"), "shape")]
        chain.update(input_dtype=entry.get("dtype"), input_name=entry.get("name"))
    elif described and described[0]["config"].get("input_shape") is not None:
        shape = [None, *_list(described[0]["config"]["input_shape"], "input_shape")]
    elif config.get("build_input_shape") is not None:
        shape = _list(plain(config["build_input_shape"]), "build_input_shape")
    if shape is not None:
        chain["input_shape"] = shape
    return {**chain, "layers": described}


def _read_graph(config: Mapping[str, Any], custom: Custom, depth: int) -> Description:
    entries = _list(config.get("layers"), "layers")
    described = [read_layer(entry, custom, depth + 1) for entry in entries]
    network = _Network(entries, described)
    inputs = [network.enter(_tensor(item)) for item in _edges(config["input_layers"])]
    nodes = inputs + network.connect()
    return {
        "name": config.get("name"),
        "trainable": config.get("trainable", True) is not False,
        "layers": described,
        "takes_list": _is_list(config["input_layers"]),
        "gives_list": _is_list(config.get("output_layers")),
        "nodes": nodes,
        "outputs": [network.leave(_tensor(item)) for item in _edges(config.get("output_layers"))],
    }


class _Network:
    """From tensors by name to nodes by number, as `minicnn.models.graph.from_wiring` takes them.

    Args:
        entries: the layers as the file describes them, with their calls.
        described: the same layers as minicnn describes them.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], described: Sequence[Description]) -> None:
        self._described = described
        names = [_name(entry, layer) for entry, layer in zip(entries, described, strict=True)]
        self._places = {name: place for place, name in enumerate(names)}
        if len(self._places) != len(names):
            raise ModelFileError("two layers of a model have the same name")
        self._calls = {
            (place, number): call for place, entry in enumerate(entries) for number, call in enumerate(_calls(entry))
        }
        self._old = any(call.old for call in self._calls.values())
        # The number of the node that a layer's n-th call became.
        self._made: dict[tuple[int, int], int] = {}

    def _locate(self, tensor: Tensor, shifted: Collection[str]) -> tuple[int, int]:
        """Give a layer's place and which of its calls is meant; models of the classes `shifted` count from 1."""
        name, call, _ = tensor
        if name not in self._places:
            raise ModelFileError(f"there is no layer {name!r:.80}")
        place = self._places[name]
        return place, call - (call > 0 and self._described[place]["class_name"] in shifted)

    def enter(self, tensor: Tensor) -> Description:
        """Make the node of an input."""
        place, _ = self._locate(tensor, ())
        layer = self._described[place]
        if layer["class_name"] != "InputLayer":
            raise ModelFileError(f"the input {tensor[0]!r} is no InputLayer")
        if (place, 0) in self._made:
            raise ModelFileError(f"the input {tensor[0]!r} is there twice")
        self._made[place, 0] = len(self._made)
        entry = layer["config"]
        shape = [entry.get("batch_size"), *_list(entry.get("shape"), "shape")]
        return {"layer": place, "shape": shape, "dtype": entry.get("dtype") or "float32", "name": tensor[0]}

    def connect(self) -> list[Description]:
        """Make the nodes of all calls, each after those that it reads."""
        reads = {
            key: [self._locate(tensor, _MODELS if call.old else ()) for tensor in call.tensors]
            for key, call in self._calls.items()
        }
        nodes = []
        for key in _sorted(reads, self._made):
            call = self._calls[key]
            read = [[self._made[source], t[2]] for source, t in zip(reads[key], call.tensors, strict=True)]
            self._made[key] = len(self._made)
            nodes.append({"layer": key[0], "inputs": read, "takes_list": call.takes_list, "training": call.training})
        return nodes

    def leave(self, tensor: Tensor) -> list[int]:
        """Find an output among the nodes."""
        # At the model's edge Keras 3, too, counts the walk of a graph, but not of a chain, as its first call.
        key = self._locate(tensor, _MODELS if self._old else ("Functional",))
        if key not in self._made:
            raise ModelFileError(f"the output of {tensor[0]!r} depends on nothing that the model is given")
        return [self._made[key], tensor[2]]


def _sorted(
    reads: Mapping[tuple[int, int], Sequence[tuple[int, int]]], known: Mapping[tuple[int, int], Any]
) -> list[tuple[int, int]]:
    """Put calls into an order in which each comes after those that it reads; a layer's own calls stay in theirs."""
    waiting = {key: {source for source in sources if source not in known} for key, sources in reads.items()}
    for place, number in reads:
        if number:
            waiting[place, number].add((place, number - 1))
    readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for key, sources in waiting.items():
        for source in sources:
            readers.setdefault(source, []).append(key)
    ready = [key for key, sources in waiting.items() if not sources]
    done: list[tuple[int, int]] = []
    while ready:
        key = ready.pop(0)
        done.append(key)
        for reader in readers.get(key, ()):
            waiting[reader].discard(key)
            if not waiting[reader]:
                ready.append(reader)
    if len(done) != len(reads):
        raise ModelFileError("the graph goes in circles, or a layer reads what no layer gives")
    return done


class _Call:
    """One call of a layer.

    Attributes:
        tensors: what it reads.
        takes_list: whether they came in a list.
        training: True or False where the author fixed it.
        old: whether Keras 1 or 2 wrote it.
    """

    def __init__(self, tensors: list[Tensor], takes_list: bool, options: Any, old: bool) -> None:
        self.tensors, self.takes_list, self.old = tensors, takes_list, old
        options = options if isinstance(options, Mapping) else {}
        self.training = options.get("training")
        unknown = {
            key: value for key, value in options.items() if key not in ("training", "mask") and value is not None
        }
        if unknown or options.get("mask") is not None or self.training not in (None, True, False):
            raise ModelFileError(f"a layer is called with {dict(options)!r:.80}, which minicnn's layers do not take")


def _calls(entry: Mapping[str, Any]) -> Iterator[_Call]:
    for node in _list(entry.get("inbound_nodes", []), "inbound_nodes"):
        if isinstance(node, Mapping):
            arguments = _list(node.get("args"), "args")
            if len(arguments) != 1:
                raise ModelFileError(f"a layer is called with {len(arguments)} arguments, not with one")
            several = isinstance(arguments[0], list)
            read = arguments[0] if several else arguments
            yield _Call([_keras_tensor(item) for item in read], several, node.get("kwargs"), old=False)
        else:
            node = [node] if isinstance(node, list) and node and isinstance(node[0], str) else _list(node, "node")
            options = node[0][3] if node and isinstance(node[0], list) and len(node[0]) > 3 else {}
            yield _Call([_tensor(item) for item in node], len(node) > 1, options, old=True)


def _keras_tensor(item: Any) -> Tensor:
    if (
        isinstance(item, Mapping)
        and item.get("class_name") == "__keras_tensor__"
        and isinstance(item.get("config"), Mapping)
    ):
        return _tensor(item["config"].get("keras_history"))
    raise ModelFileError(f"a layer is called on {item!r:.80}, which is no tensor of the model")


def _tensor(item: Any) -> Tensor:
    if isinstance(item, list) and len(item) >= 3:
        name, node, index = item[:3]
        if isinstance(name, str) and type(node) is int and type(index) is int and node >= 0 and index >= 0:
            return name, node, index
    raise ModelFileError(f"a tensor must be [layer, node, output], but {item!r:.80} came")


def _edges(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        raise ModelFileError("inputs or outputs in a dictionary, which minicnn's models do not have")
    listed = _list(value, "input_layers or output_layers")
    if not listed:
        raise ModelFileError("a model without inputs or outputs")
    return listed if isinstance(listed[0], list) else [listed]


def _is_list(value: Any) -> bool:
    # Keras 1 and 2 wrote a list for one tensor, too.
    return isinstance(value, list) and len(value) > 1 and isinstance(value[0], list)


def _name(entry: Mapping[str, Any], layer: Description) -> str:
    name = entry.get("name", layer["config"].get("name"))
    if not isinstance(name, str):
        raise ModelFileError(f"a layer must have a name, but {name!r:.80} came")
    return name


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ModelFileError(f"{what} must be a list, but it is {type(value).__name__}")
    return value
