"""The arguments that Keras 1 and 2 gave other names, class by class.

The names are those that Keras 2's own translation accepted (`keras/legacy/interfaces.py`, version 2.0.8).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from minicnn import callbacks, layers, models, optimizers

from .renaming import Renamed
from .versions import Rules

Changed = list[tuple[str, str]]

_WEIGHTS = {
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
}
_WINDOWS = {"border_mode": "padding", "dim_ordering": "data_format"}
_CONVOLUTION = {**_WEIGHTS, **_WINDOWS, "nb_filter": "filters", "subsample": "strides"}
_FORMATS = {"tf": "channels_last", "th": "channels_first", "default": None}
# Initialisers that were renamed when a longer name made their meaning plain.
_INITIALISERS = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones"}


def _values(data_format: Mapping[str, str], positional: list[Any], arguments: dict[str, Any]) -> Changed:
    """Old spellings of values, `input_dim=`, `batch_input_shape=`, and the data format set in the backend."""
    changed = []
    if arguments.get("dim_ordering") in _FORMATS:
        arguments["dim_ordering"] = _FORMATS[arguments["dim_ordering"]]
    for name in ("init", "beta_init", "gamma_init"):
        if arguments.get(name) in _INITIALISERS:
            arguments[name] = _INITIALISERS[arguments[name]]
    if "input_dim" in arguments:
        size = arguments.pop("input_dim")
        arguments.setdefault("input_shape", (size,))
        changed.append(("input_dim", "input_shape"))
    if "batch_input_shape" in arguments:
        arguments.setdefault("input_shape", tuple(arguments.pop("batch_input_shape")[1:]))
        changed.append(("batch_input_shape", "input_shape"))
    return changed


def _spatial(data_format: Mapping[str, str], positional: list[Any], arguments: dict[str, Any]) -> Changed:
    changed = _values(data_format, positional, arguments)
    if data_format["value"] != "channels_last" and not {"data_format", "dim_ordering"} & set(arguments):
        arguments["data_format"] = data_format["value"]
    return changed


def _convolution(
    rows_and_columns: bool, data_format: Mapping[str, str], positional: list[Any], arguments: dict[str, Any]
) -> Changed:
    """`(filters, rows, columns)` by place or as nb_row= and nb_col=, into kernel_size."""
    changed = _spatial(data_format, positional, arguments)
    if rows_and_columns and len(positional) == 3 and all(isinstance(size, int) for size in positional[1:]):
        positional[1:] = [(positional[1], positional[2])]
        changed.append(("filters, rows, columns", "Conv2D(filters, (rows, columns))"))
    if "nb_row" in arguments or "nb_col" in arguments:
        columns = arguments.pop("nb_col", None)
        rows = arguments.pop("nb_row", None)
        if rows is None and len(positional) == 2:
            rows = positional.pop()
        if rows is None or columns is None:
            raise TypeError("Conv2D: nb_row (the kernel's rows) and nb_col (its columns) belong together")
        arguments["kernel_size"] = (rows, columns)
        changed.append(("nb_row=, nb_col", "kernel_size"))
    return changed


def _zero_padding(data_format: Mapping[str, str], positional: list[Any], arguments: dict[str, Any]) -> Changed:
    """Four numbers, as Keras 1 took them, are top, bottom, left and right."""
    changed = _spatial(data_format, positional, arguments)
    padding = positional[0] if positional else arguments.get("padding")
    if isinstance(padding, (tuple, list)) and len(padding) == 4:
        pairs = ((padding[0], padding[1]), (padding[2], padding[3]))
        if positional:
            positional[0] = pairs
        else:
            arguments["padding"] = pairs
        changed.append(("top, bottom, left, right", "ZeroPadding2D(((top, bottom), (left, right)))"))
    return changed


def _batch_normalization(data_format: Mapping[str, str], positional: list[Any], arguments: dict[str, Any]) -> Changed:
    changed = _values(data_format, positional, arguments)
    if "mode" in arguments:
        if arguments.pop("mode") != 0:
            raise ValueError("BatchNormalization: of Keras 1's modes only 0, normalising each channel, is left")
        changed.append(("mode", "left out"))
    return changed


def _early_stopping(offset: int, positional: list[Any], arguments: dict[str, Any]) -> Changed:
    """Keras 2.0.8 waited one epoch more, see `versions`."""
    if offset:
        if len(positional) > 2:
            positional[2] += offset
        else:
            arguments["patience"] = arguments.get("patience", 0) + offset
    return []


def _checkpoint(positional: list[Any], arguments: dict[str, Any]) -> Changed:
    if "period" not in arguments:
        return []
    if arguments.pop("period") != 1:
        raise ValueError('ModelCheckpoint: period= above 1 is gone; use save_freq= with a number of steps, or "epoch"')
    return [("period", 'save_freq="epoch"')]


def _generator(rules: Rules, positional: list[Any], arguments: dict[str, Any]) -> Changed:
    """The shear of Keras before 2.1.3 was in radians, and until 2.2 the nearest pixel was taken."""
    if rules.shear_in_radians and arguments.get("shear_range"):
        arguments["shear_range"] = math.degrees(arguments["shear_range"])
    arguments.setdefault("interpolation_order", rules.interpolation_order)
    changed = []
    if arguments.get("dim_ordering") in _FORMATS:
        arguments["data_format"] = _FORMATS[arguments.pop("dim_ordering")]
        changed.append(("dim_ordering", "data_format"))
    return changed


def layer_names(rules: Rules, data_format: Mapping[str, str]) -> dict[str, Any]:
    """The layers whose arguments changed, under all of their names."""
    values, spatial = partial(_values, data_format), partial(_spatial, data_format)

    def convolution(rows_and_columns: bool) -> partial[Changed]:
        return partial(_convolution, rows_and_columns, data_format)

    pooling = {
        name: Renamed(getattr(layers, name), _WINDOWS, spatial)
        for name in ("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D")
    }
    transposed = Renamed(layers.Conv2DTranspose, _CONVOLUTION, convolution(False))
    return {
        "Conv2D": Renamed(layers.Conv2D, _CONVOLUTION, convolution(rules.rows_and_columns)),
        "Convolution2D": Renamed(layers.Conv2D, _CONVOLUTION, convolution(True), name="Convolution2D"),
        "Conv2DTranspose": transposed,
        "Convolution2DTranspose": transposed,
        "Deconvolution2D": transposed,
        "DepthwiseConv2D": Renamed(layers.DepthwiseConv2D, _WINDOWS, spatial),
        **pooling,
        "MaxPool2D": pooling["MaxPooling2D"],
        "AvgPool2D": pooling["AveragePooling2D"],
        "GlobalMaxPool2D": pooling["GlobalMaxPooling2D"],
        "GlobalAvgPool2D": pooling["GlobalAveragePooling2D"],
        "ZeroPadding2D": Renamed(layers.ZeroPadding2D, _WINDOWS, partial(_zero_padding, data_format)),
        "Dense": Renamed(layers.Dense, {**_WEIGHTS, "output_dim": "units"}, values),
        "Dropout": Renamed(layers.Dropout, {"p": "rate"}, values),
        "Activation": Renamed(layers.Activation, {}, values),
        "Flatten": Renamed(layers.Flatten, {"dim_ordering": "data_format"}, spatial),
        "Reshape": Renamed(layers.Reshape, {}, values),
        "BatchNormalization": Renamed(
            layers.BatchNormalization,
            {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"},
            partial(_batch_normalization, data_format),
        ),
    }


def optimizer_names() -> dict[str, Any]:
    """The optimisers, which called the learning rate `lr`."""
    names = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
    return {name: Renamed(getattr(optimizers, name), {"lr": "learning_rate"}) for name in names}


def model_names() -> dict[str, Any]:
    """The models; `Model` called its ends `input` and `output`."""
    return {
        "Model": Renamed(models.Model, {"input": "inputs", "output": "outputs"}),
        "Sequential": models.Sequential,
    }


def callback_names(rules: Rules) -> dict[str, Any]:
    """The callbacks whose arguments, or whose counting, changed."""
    return {
        "EarlyStopping": Renamed(callbacks.EarlyStopping, {}, partial(_early_stopping, rules.patience_offset)),
        "ModelCheckpoint": Renamed(callbacks.ModelCheckpoint, {}, _checkpoint),
    }


def picture_names(rules: Rules) -> dict[str, Any]:
    """`ImageDataGenerator` with the units of the version."""
    from minicnn.preprocessing.image import ImageDataGenerator

    return {"ImageDataGenerator": Renamed(ImageDataGenerator, {}, partial(_generator, rules))}
