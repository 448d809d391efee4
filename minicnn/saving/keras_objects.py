"""Layers, initializers, losses and the rest as Keras' files describe them, and back.

Both sides describe an object by its class and the arguments of its constructor, and the arguments have the same names;
what differs is written down here. Descriptions are translated as dictionaries, before any object is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import minicnn.functional as F
from minicnn import constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules
from minicnn.registry import Registry, arguments_of
from minicnn.saving.errors import ModelFileError

Description = dict[str, Any]
Custom = Mapping[str, Any]

_REGISTRIES: dict[str, tuple[Registry, str]] = {
    "layer": (layers.registry, "keras.layers"),
    "initializer": (initializers.registry, "keras.initializers"),
    "regularizer": (regularizers.registry, "keras.regularizers"),
    "constraint": (constraints.registry, "keras.constraints"),
    "activation": (layers.registry, "keras.layers"),
    "schedule": (schedules.registry, "keras.optimizers.schedules"),
    "optimizer": (optimizers.registry, "keras.optimizers"),
    "loss": (losses.registry, "keras.losses"),
    "metric": (metrics.registry, "keras.metrics"),
}
#: What Keras does not have; there, these are custom objects.
OURS_ALONE = frozenset({"LocalResponseNormalization", "ConfusionMatrix"})
#: Arguments of Keras' that change nothing here, whatever they are.
_IDLE = frozenset(
    {
        "dtype", "synchronized", "renorm_clipping", "renorm_momentum", "ema_momentum", "ema_overwrite_frequency",
        "jit_compile", "is_legacy_optimizer", "fn", "build_input_shape", "quantization_config", "lora_alpha",
        "input_dtype", "implementation", "module", "function_type", "output_shape_type", "output_shape_module",
    }
)  # fmt: skip
#: Arguments of Keras' that change nothing here as long as they have this value; None and False never do.
_NEUTRAL = {"axis": -1}
_OLD_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Model": "Functional",
}
_OLD_ARGUMENTS = {"lr": "learning_rate", "keep_dims": "keepdims"}


# ------------------------------------------------------------------------------------------- to Keras


def to_keras(description: Any, kind: str) -> Any:
    """Describe an object of a kind (a key of the registries) as Keras does.

    Args:
        description: a name, None, or `{"class_name": ..., "config": ...}` as `get_config` and `serialize` give it.
        kind: "layer", "initializer", "loss", ...

    Raises:
        ValueError: Keras has nothing like it.
    """
    if isinstance(description, str):
        return _function_to_keras(description, kind)
    if not isinstance(description, Mapping):
        return description
    name = description["class_name"]
    config = {}
    for key, value in description["config"].items():
        inner = kind_of(key)
        config[key] = value if inner is None else to_keras(value, inner)
    if kind in ("layer", "activation"):
        config = _layer_to_keras(name, config)
    registry, module = _REGISTRIES[kind]
    known = _is_ours(name, registry) and name not in OURS_ALONE
    return {
        "module": module if known else "minicnn",
        "class_name": name,
        "config": config,
        "registered_name": None if known else name,
    }


def _function_to_keras(name: str, kind: str) -> Any:
    if kind == "activation" and name == "exp":
        return "exponential"
    registry = layers.activations.registry if kind == "activation" else _REGISTRIES[kind][0]
    if kind not in ("activation", "initializer", "regularizer", "constraint") or _is_ours(name, registry):
        return name
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def _is_ours(name: str, registry: Registry) -> bool:
    # What users register is theirs in Keras, too.
    return name in registry and registry.find(name).__module__.startswith("minicnn.")


def kind_of(argument: str) -> str | None:
    """Give the kind of object that an argument of that name takes, None where it takes plain values."""
    last = argument.rpartition("_")[2]
    if last in ("initializer", "regularizer", "constraint"):
        return last
    return {"activation": "activation", "learning_rate": "schedule", "inner_optimizer": "optimizer"}.get(argument)


def _layer_to_keras(name: str, config: Description) -> Description:
    config = {key: value for key, value in config.items() if key != "input_shape"}
    if name == "InputLayer":
        shape, batch = config.pop("shape"), config.pop("batch_size")
        config.pop("trainable")
        return {"batch_shape": [batch, *shape], "sparse": False, **config}
    if name == "Lambda":
        function = config["function"]
        config["function"] = {
            "module": "minicnn.functional", "class_name": "function", "config": function, "registered_name": function
        }  # fmt: skip
        if config["output_shape"] is None:
            del config["output_shape"]
    elif name != "ZeroPadding2D" and not isinstance(config.get("padding", "same"), str):
        raise ValueError(
            f"layer '{config['name']}': Keras has no {name} with padding {config['padding']}; put a ZeroPadding2D "
            "before it, or save as .minicnn"
        )
    return config


# ----------------------------------------------------------------------------------------- from Keras


def from_keras(description: Any, kind: str, custom: Custom) -> Any:
    """Describe an object of Keras' as `Registry.get` takes it.

    Args:
        description: as it stands in the file.
        kind: "layer", "initializer", "loss", ...
        custom: the caller's own classes and functions by name.

    Raises:
        ModelFileError: an argument that minicnn does not have and that would change what the object does.
    """
    description = plain(description)
    if isinstance(description, str):
        # Functions, too, may stand there with their package.
        return description if description in custom else description.rpartition(">")[2]
    if not isinstance(description, Mapping):
        return description
    name = class_name(description, custom)
    config = description.get("config")
    if not isinstance(config, Mapping):
        raise ModelFileError(f"{name}: config must be a dictionary, but it is {type(config).__name__}")
    config = {_OLD_ARGUMENTS.get(key, key): value for key, value in config.items()}
    if "dtype" in config:
        config["dtype"] = _dtype(config["dtype"])
    if isinstance(config.get("seed"), Mapping):
        # A generator of Keras', whose numbers nobody else draws.
        config["seed"] = None
    if kind in ("layer", "activation"):
        config = _layer_from_keras(name, config, custom)
    if name in custom:
        return {"class_name": name, "config": config}
    for key, value in config.items():
        inner = kind_of(key)
        config[key] = value if inner is None else from_keras(value, inner, custom)
    return {"class_name": name, "config": _known_arguments(name, config, _REGISTRIES[kind][0])}


def class_name(description: Mapping[str, Any], custom: Custom) -> str:
    """Give the name of a described class: the caller's where it is one of theirs, else without its package."""
    name, registered = description.get("class_name"), description.get("registered_name")
    if not isinstance(name, str):
        raise ModelFileError(f"class_name must be a string, but it is {name!r:.80}")
    if isinstance(registered, str) and registered in custom:
        return registered
    name = name.rpartition(">")[2]
    return name if name in custom else _OLD_CLASSES.get(name, name)


def plain(value: Any) -> Any:
    """Take the wrappings off that Keras puts around tuples, arrays, shapes, dtypes and functions."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    name, config = value.get("class_name"), value.get("config")
    if name in ("__tuple__", "TensorShape"):
        return plain(value.get("items"))
    if name == "__numpy__" and isinstance(config, Mapping):
        return config.get("value")
    if name in ("DTypePolicy", "Policy") and isinstance(config, Mapping):
        return config.get("name")
    if name == "function":
        return config
    if set(value) == {"type", "value"}:
        # How Keras 2 wrote numbers of NumPy's.
        return value["value"]
    return {key: plain(item) for key, item in value.items()} if name != "__lambda__" else dict(value)


def _dtype(dtype: Any) -> Any:
    return "float32" if dtype is None else dtype


def _layer_from_keras(name: str, config: Description, custom: Custom) -> Description:
    batch_shape = config.pop("batch_shape", None) or config.pop("batch_input_shape", None)
    config.pop("batch_input_shape", None)
    if batch_shape is not None and not (isinstance(batch_shape, list) and batch_shape):
        raise ModelFileError(f"{name}: batch_shape must be a list, but it is {batch_shape!r:.80}")
    if name == "InputLayer" and batch_shape is not None:
        batch, *shape = batch_shape
        config.update(shape=shape, batch_size=batch)
        # Pictures and class numbers are cast to floats where they enter.
        if isinstance(config.get("dtype"), str) and config["dtype"].startswith(("int", "uint", "bool")):
            config["dtype"] = "float32"
    elif batch_shape is not None:
        config["input_shape"] = batch_shape[1:]
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]
    if name == "Lambda":
        config["function"] = _function(config, custom)
    return config


def _function(config: Description, custom: Custom) -> Callable[..., Any] | str:
    """Find the function of a Lambda: one of the caller's or of minicnn's, never one that the file spells out."""
    described, layer = config.get("function"), config.get("name")
    if isinstance(config.get("output_shape"), Mapping):
        # As code, too; `compute_output_shape` tries the function instead.
        del config["output_shape"]
    name = described if isinstance(described, str) else None
    for key in (name, layer):
        if isinstance(key, str) and key in custom:
            return custom[key]
    if name is not None and name in F.__all__:
        return name
    what = f"the function {name!r}" if name is not None else "Python code"
    raise ModelFileError(
        f"the Lambda layer {layer!r} asks for {what}, and no code of a file is run: give your own as "
        f"custom_objects={{{name or layer!r}: function}}"
    )


def _known_arguments(name: str, config: Description, registry: Registry) -> Description:
    if name not in registry:
        # Whoever makes the object says which names there are.
        return config
    known = arguments_of(registry.find(name))
    kept = {}
    for key, value in config.items():
        if key in known:
            kept[key] = value
        elif key not in _IDLE and value is not None and value is not False and _NEUTRAL.get(key, "") != value:
            raise ModelFileError(f"{name} has no {key}, which the file sets to {value!r:.80}")
    if "reduction" in kept and kept["reduction"] == "auto":
        kept["reduction"] = "sum_over_batch_size"
    if kept.get("epsilon", 0) is None:
        del kept["epsilon"]
    return kept
