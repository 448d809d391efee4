"""Which modules and names of Keras, and of what stands beside it in scripts, are answered, and by what."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from minicnn import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
    utils,
)
from minicnn.data.labels import to_categorical

from . import arguments, backend, files, merging, pictures, precision, progress, tensorflow
from .renaming import Renamed
from .versions import Rules

Names = dict[str, Any]


def table(rules: Rules) -> dict[str, Names]:
    """Names of every answered module, by the module's full name."""
    keras = _keras(rules)
    found = {"keras": keras.pop("")}
    found.update({f"keras.{name}": names for name, names in keras.items()})
    found.update(tensorflow.modules(rules.version))
    found.update({f"tensorflow.{name}": names for name, names in list(found.items()) if name.startswith("keras")})
    found["keras_tqdm"] = {
        "TQDMCallback": progress.TQDMCallback,
        "TQDMNotebookCallback": progress.TQDMNotebookCallback,
    }
    found.update(_missing_packages())
    return found


def _public(module: ModuleType) -> Names:
    """The names of a module, classes and functions of its own."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def _named(registry: Any) -> Names:
    """Everything under the names that a registry knows."""
    return {name: registry.find(name) for name in registry.names() if name.isidentifier()}


def _layers(rules: Rules) -> Names:
    found = {name: value for name, value in _public(layers).items() if name not in ("activations", "registry", "Node")}
    return {**found, **arguments.layer_names(rules, backend.data_format), **merging.names()}


def _losses() -> Names:
    found = _public(losses)
    functions = {name: _loss_function(found[_class_of(name)]) for name in _LOSSES}
    return {**found, **functions, "mse": functions["mean_squared_error"], "mae": functions["mean_absolute_error"]}


_LOSSES = (
    "mean_squared_error", "mean_absolute_error", "binary_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "hinge", "squared_hinge", "poisson",
)  # fmt: skip


def _class_of(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _loss_function(loss: Callable[..., Any]) -> Callable[..., Any]:
    def function(y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        return loss(reduction=None)(y_true, y_pred)

    return function


def _regularizers() -> Names:
    return {**_public(regularizers), "l1l2": regularizers.l1_l2}


def _constraints() -> Names:
    maxnorm = Renamed(constraints.MaxNorm, {"m": "max_value"}, name="maxnorm")
    return {
        **_public(constraints),
        "max_norm": maxnorm,
        "maxnorm": maxnorm,
        "nonneg": constraints.NonNeg,
        "non_neg": constraints.NonNeg,
        "unitnorm": constraints.UnitNorm,
        "unit_norm": constraints.UnitNorm,
    }


def _utils() -> Names:
    return {
        "image_dataset_from_directory": "minicnn.preprocessing:image_dataset_from_directory",
        "plot_model": "minicnn.plots:plot_model",
        "set_random_seed": utils.set_random_seed,
        "to_categorical": Renamed(to_categorical, {"nb_classes": "num_classes"}),
    }


def _pictures(rules: Rules) -> Names:
    module = importlib.import_module("minicnn.preprocessing.image")
    return {**_public(module), **arguments.picture_names(rules)}


def _applications() -> dict[str, Names]:
    classes = {"vgg16": "VGG16", "resnet50": "ResNet50"}
    return {
        "applications": {name: f"minicnn.applications:{name}" for name in classes.values()},
        **{
            f"applications.{module}": {
                name: f"minicnn.applications.{module}:{name}"
                for name in (network, "decode_predictions", "preprocess_input")
            }
            for module, network in classes.items()
        },
    }


def _keras(rules: Rules) -> dict[str, Names]:
    layer_names, model_names = _layers(rules), arguments.model_names()
    load_model = files.load_model if rules.files_of_any_name else "minicnn.saving:load_model"
    convolutional = ("Conv", "Pool", "Padding", "Deconv")
    top = {"Input": layers.Input, **model_names, "__version__": rules.version}
    return {
        "": top,
        "activations": {**_named(layers.activations.registry), "get": layers.activations.get},
        **_applications(),
        "backend": backend.names(),
        "callbacks": {**_public(callbacks), **arguments.callback_names(rules)},
        "constraints": _constraints(),
        "datasets": {},
        "datasets.fashion_mnist": {"load_data": "minicnn.data.sets.fashion_mnist:load_data"},
        "datasets.mnist": {"load_data": "minicnn.data.sets.mnist:load_data"},
        "engine": {"Layer": layers.Layer, "InputLayer": layers.InputLayer, **model_names},
        "engine.topology": {"Layer": layers.Layer, "InputLayer": layers.InputLayer},
        "initializers": {**_public(initializers), **_named(initializers.registry)},
        "layers": layer_names,
        "layers.advanced_activations": {name: layer_names[name] for name in ("ELU", "LeakyReLU", "ReLU", "Softmax")},
        "layers.convolutional": {
            name: value for name, value in layer_names.items() if any(part in name for part in convolutional)
        },
        "layers.core": {
            name: layer_names[name] for name in ("Activation", "Dense", "Dropout", "Flatten", "Lambda", "Reshape")
        },
        "layers.merge": merging.names() | {name: layer_names[name] for name in merging.LAYERS},
        "layers.normalization": {"BatchNormalization": layer_names["BatchNormalization"]},
        "layers.pooling": {name: value for name, value in layer_names.items() if "Pool" in name},
        "losses": _losses(),
        "metrics": _public(metrics),
        "mixed_precision": precision.names(),
        "mixed_precision.experimental": precision.experimental_names(),
        "models": {**model_names, "load_model": load_model},
        "objectives": _losses(),
        "optimizers": {**_public(optimizers), **arguments.optimizer_names()},
        "optimizers.schedules": _public(schedules),
        "preprocessing": {"image_dataset_from_directory": "minicnn.preprocessing:image_dataset_from_directory"},
        "preprocessing.image": _pictures(rules),
        "regularizers": _regularizers(),
        "utils": _utils(),
        "utils.np_utils": {"to_categorical": _utils()["to_categorical"]},
        "utils.vis_utils": {"plot_model": "minicnn.plots:plot_model"},
        "utils.visualize_util": {"plot": "minicnn.plots:plot_model", "plot_model": "minicnn.plots:plot_model"},
    }


def _missing_packages() -> Mapping[str, Names]:
    """OpenCV and SciPy, where they are not installed."""
    found: dict[str, Names] = {}
    if importlib.util.find_spec("cv2") is None:
        constants = {name: value for name, value in vars(pictures).items() if name.isupper()}
        found["cv2"] = {**constants, "imread": pictures.imread, "cvtColor": pictures.cvtColor}
    if importlib.util.find_spec("scipy") is None:
        found["scipy"] = {}
        found["scipy.signal"] = {"convolve2d": pictures.convolve2d}
    return found
