"""Models and weights in files: the ending of the name chooses the format.

===================  ===================================================================================
ending               what the file holds
===================  ===================================================================================
``.minicnn``         the whole model: layers, weights, how it was compiled, the state of training
``.keras``           the same, as Keras 3 has it
``.h5``              the same, or the weights alone, as Keras 1 and 2 have it, and `keras.applications`
``.weights.h5``      the weights alone, as Keras 3 has them
``.safetensors``     the weights alone
``.npz``             the weights alone, for NumPy
``.onnx``            what `predict` computes, for other programs (`Model.export`; it is not read here)
===================  ===================================================================================

Files are written beside their place and moved there when they are complete, so an interrupted save leaves the old file
as it was. Reading runs no code of the file: it names registered classes and functions, and nothing else is made. A file
that is damaged, or claims more than it can hold, is refused with a `ModelFileError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.models.serialization import serialize_layer
from minicnn.saving import h5_models, h5_weights, keras_archive, keras_weights, native, weights
from minicnn.saving.errors import ModelFileError
from minicnn.saving.keras_graph import describe_layer
from minicnn.saving.making import to_json

if TYPE_CHECKING:
    from minicnn.models import Model

__all__ = [
    "ModelFileError",
    "check_filepath",
    "check_savable",
    "export_model",
    "load_model",
    "load_weights",
    "save_model",
    "save_weights",
]

# How a model is written, read, and described within the file.
_MODEL_FORMATS: dict[str, tuple[Callable[..., None], Callable[..., Any], Callable[..., Any]]] = {
    ".minicnn": (native.save, native.load, serialize_layer),
    ".keras": (keras_archive.save, keras_archive.load, describe_layer),
    ".h5": (h5_models.save, h5_models.load, describe_layer),
}
_WEIGHT_FORMATS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    # Either ending may hold either layout of Keras', which is told by looking.
    ".weights.h5": (keras_weights.save, h5_weights.load),
    ".h5": (h5_weights.save, h5_weights.load),
    ".safetensors": (weights.save_safetensors, weights.load_safetensors),
    ".npz": (weights.save_npz, weights.load_npz),
}
# Weights can be taken out of whole models, too.
_WEIGHT_SOURCES: dict[str, tuple[Any, Callable[..., None]]] = {
    **_WEIGHT_FORMATS,
    ".keras": (None, keras_archive.load_weights),
    ".minicnn": (None, native.load_weights),
}


def save_model(model: Model, filepath: str | Path) -> None:
    """Write a whole model; raises ValueError for an unknown ending."""
    path = Path(filepath)
    save, _, _ = _format_of(path, _MODEL_FORMATS, "save_model")
    save(model, path)


def load_model(
    filepath: str | Path,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a whole model.

    Args:
        filepath: a `.minicnn`, `.keras` or `.h5` file.
        custom_objects: your own classes and functions by the names the file calls them. In place of code in the file,
            the function of a Lambda is found by its own name or by the layer's.
        compile: False leaves out optimizer, loss and metrics.
        safe_mode: for scripts written for Keras. Code in a file is never run, whatever it says.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFileError: a file that is truncated, damaged or none of the format; a class that is neither registered nor
            among `custom_objects`; weights that are missing, left over or of the wrong shape; what minicnn's layers
            and optimizers do not have.
        ValueError: an unknown ending.
    """
    path = Path(filepath)
    _, load, _ = _format_of(path, _MODEL_FORMATS, "load_model")
    return load(path, custom_objects, compile)


def save_weights(model: Model, filepath: str | Path) -> None:
    """Write a model's weights; raises ValueError for an unknown ending."""
    path = Path(filepath)
    save, _ = _format_of(path, _WEIGHT_FORMATS, "save_weights")
    save(model, path)


def load_weights(model: Model, filepath: str | Path, by_name: bool = False, skip_mismatch: bool = False) -> None:
    """Read weights into a model.

    Args:
        model: built, so that its weights have shapes.
        filepath: a file of weights, or of a whole model.
        by_name: take the layers that have the same name in the file and in the model, and leave all others alone;
            otherwise layers are paired in their order, and all must be there. Only for `.h5` files.
        skip_mismatch: leave a layer alone, with a warning, where its weights differ from the file's in number or shape.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFileError: a damaged file, or weights that are missing, left over or of the wrong shape; the model is then
            as it was.
        ValueError: an unknown ending, a model without weights, or `by_name` for a file that has no names.
    """
    path = Path(filepath)
    _, load = _format_of(path, _WEIGHT_SOURCES, "load_weights")
    if not model.built:
        raise ValueError(f"load_weights: {model.describe()} has no weights yet: build(input_shape) or fit it first")
    if not by_name:
        load(model, path, skip_mismatch=skip_mismatch)
    elif load is h5_weights.load:
        load(model, path, by_name=True, skip_mismatch=skip_mismatch)
    else:
        raise ValueError(
            f"load_weights: by_name needs the names of layers, which {path.name!r} does not have; .h5 does"
        )


def export_model(model: Model, filepath: str | Path) -> None:
    """Write a model for other programs, as ONNX.

    Raises:
        ImportError: the package `onnx` is not installed.
        ValueError: an unknown ending, a model that is not built, or something in it that ONNX has no word for.
    """
    from minicnn.saving import onnx

    path = Path(filepath)
    _format_of(path, {".onnx": onnx}, "export").export(model, path)


def check_filepath(filepath: str | Path, operation: str, weights_only: bool = False) -> None:
    """Raise ValueError, in the name of `operation`, for an ending that no model (or no weights) can be written with."""
    _format_of(Path(filepath), _WEIGHT_FORMATS if weights_only else _MODEL_FORMATS, operation)


def check_savable(model: Model, filepath: str | Path) -> None:
    """Raise what `save_model` would where a built model has something that the file cannot hold; write nothing."""
    _, _, describe = _format_of(Path(filepath), _MODEL_FORMATS, "save_model")
    to_json(describe(model), model)


def _format_of(path: Path, formats: Mapping[str, Any], operation: str) -> Any:
    if formats is _MODEL_FORMATS and path.name.lower().endswith(".weights.h5"):
        raise ValueError(f"{operation}: the ending of {path.name!r} is that of weights alone; save_weights writes it")
    for ending, functions in formats.items():
        # The longer ending stands first.
        if path.name.lower().endswith(ending):
            return functions
    raise ValueError(
        f"{operation}: the ending of {path.name!r} must be one of {', '.join(formats)}, got {path.suffix or 'none'!r}"
    )
