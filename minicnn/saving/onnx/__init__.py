"""Models as ONNX files, operator set 17 (github.com/onnx/onnx), for other programs: onnxruntime, browsers, phones.

What is written is the model as `predict` runs it. Inputs and outputs keep their layout; inside, pictures lie channels
first, as ONNX has them, and are turned only where a layer asks for it. All numbers are float32, those of float64
layers too: runtimes have no double-precision convolutions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minicnn.saving.files import replacing

if TYPE_CHECKING:
    from minicnn.models import Model

# What the format's container can hold.
_LARGEST = 2**31 - 1


def export(model: Model, path: Path) -> None:
    """Write a model as ONNX.

    Raises:
        ImportError: the package `onnx` is not installed.
        ValueError: the model is not built, is too large for one file, or does something that ONNX has no word for: a
            Lambda or an activation with a function of your own, layers and models with a `call` of their own.
    """
    try:
        import onnx  # noqa: F401 - whether it is there
    except ImportError as error:
        raise ImportError(
            "export: writing ONNX files needs the package onnx: python -m pip install onnx", name="onnx"
        ) from error
    if not model.built:
        raise ValueError(f"export: {model.describe()} has no weights yet: build(input_shape) or fit it first")
    if 4 * model.count_params() > _LARGEST:
        raise ValueError(
            f"export: {model.describe()} has {model.count_params():,} weights, and one ONNX file holds at most 2 GiB"
        )
    from minicnn.saving.onnx.walk import convert_model

    data = convert_model(model).SerializeToString()
    with replacing(path) as file:
        file.write(data)
