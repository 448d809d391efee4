"""Weights by name: which name each one has in a file, and files of weights alone.

A weight is called after its place, not after its layer's name, which counts all layers ever made: the kernel of the
second layer, a Dense, is ``01_dense/kernel``; layers within layers nest, ``03_sequential/00_dense/kernel``.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers import InputLayer, Layer
from minicnn.parameter import Parameter
from minicnn.registry import snake_case
from minicnn.saving.containers import open_zip, read_member
from minicnn.saving.errors import ModelFileError, refusing
from minicnn.saving.files import replacing

if TYPE_CHECKING:
    from minicnn.models import Model

# What a safetensors header may take for each array, and at least.
_HEADER_PER_ARRAY = 1024
_HEADER_LEAST = 65536


def walk_layers(layer: Layer, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Give every layer below `layer` with the name of its place; a layer used twice comes once."""
    seen: set[int] = set()
    waiting: list[tuple[str, Layer]] = [(prefix, layer)]
    while waiting:
        path, current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield path, current
        inner = _children(current)
        named = [(f"{path}{place:02d}_{snake_case(type(child).__name__)}/", child) for place, child in enumerate(inner)]
        waiting.extend(reversed(named))


def _children(layer: Layer) -> list[Layer]:
    inner = getattr(layer, "layers", None) or layer.sublayers
    # Inputs are not counted: a chain, which hides its input, and the same layers in a graph have the same names.
    return [child for child in inner if not isinstance(child, InputLayer)]


def named_weights(model: Layer) -> dict[str, Parameter]:
    """Give every weight of a model by its name in files."""
    named: dict[str, Parameter] = {}
    known: set[int] = set()
    for path, layer in walk_layers(model):
        inner = {id(weight) for child in _children(layer) for weight in child.weights}
        for weight in layer.weights:
            if id(weight) in inner or id(weight) in known:
                continue
            known.add(id(weight))
            named[_free_name(path + weight.name.rpartition("/")[2], named)] = weight
    return named


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    count = 1
    free = name
    while free in taken:
        free = f"{name}_{count}"
        count += 1
    return free


def collect(model: Layer) -> dict[str, np.ndarray]:
    """Give every weight's array by its name in files."""
    return {name: np.ascontiguousarray(weight.numpy()) for name, weight in named_weights(model).items()}


def assign(model: Layer, arrays: Mapping[str, np.ndarray], source: str, skip_mismatch: bool = False) -> None:
    """Give every weight its array.

    Args:
        model: whose weights.
        arrays: by their names in files.
        source: what messages begin with.
        skip_mismatch: leave layers that do not fit alone, with a warning.

    Raises:
        ModelFileError: an array is missing, left over, of the wrong shape or no floats; nothing is changed then.
    """
    weights = named_weights(model)
    problems = {name: f"missing: {name} {weight.shape}" for name, weight in weights.items() if name not in arrays}
    problems |= {name: f"not in the model: {name} {arrays[name].shape}" for name in arrays if name not in weights}
    problems |= {
        name: f"{name} has shape {arrays[name].shape} in the file, {weight.shape} in the model"
        for name, weight in weights.items()
        if name in arrays and arrays[name].shape != weight.shape
    }
    if problems:
        listed = list(problems.values())
        shown = "; ".join(listed[:8]) + (f"; and {len(listed) - 8} more" if len(listed) > 8 else "")
        if not skip_mismatch:
            raise ModelFileError(f"{source}: the weights do not fit the model: {shown}")
        warnings.warn(f"{source}: layers are skipped: {shown}", stacklevel=5)
    for name in arrays:
        if arrays[name].dtype.kind != "f":
            raise ModelFileError(f"{source}: {name} must hold floats, but has dtype {arrays[name].dtype}")
    skipped = {name.rpartition("/")[0] for name in problems}
    for name, weight in weights.items():
        if name.rpartition("/")[0] not in skipped:
            weight.data = arrays[name].astype(weight.dtype, copy=False)


def most_bytes(model: Layer, copies: int = 1) -> int:
    """Give how large a safetensors file of a model's weights, or of `copies` arrays for each of them, can be."""
    weights = model.weights
    # A weight is at most stored in double precision.
    size = sum(weight.size for weight in weights) * 8
    return copies * (size + _HEADER_PER_ARRAY * len(weights)) + _HEADER_LEAST


def to_safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pack arrays as the bytes of a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def from_safetensors(data: bytes, source: str) -> dict[str, np.ndarray]:
    """Unpack the bytes of a safetensors file; ValueError where they are damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{source}: not a safetensors file, or damaged ({error})") from error


def save_safetensors(model: Model, path: Path) -> None:
    """Write the weights as safetensors."""
    data = to_safetensors(collect(model))
    with replacing(path) as file:
        file.write(data)


def load_safetensors(model: Model, path: Path, skip_mismatch: bool = False) -> None:
    """Read the weights from safetensors."""
    source = f"load_weights: {path}"
    with refusing(source):
        _check_size(path, most_bytes(model))
    assign(model, from_safetensors(path.read_bytes(), source), source, skip_mismatch)


def save_npz(model: Model, path: Path) -> None:
    """Write the weights as NumPy's archive."""
    with replacing(path) as file:
        np.savez(file, **collect(model))  # type: ignore[arg-type]


def load_npz(model: Model, path: Path, skip_mismatch: bool = False) -> None:
    """Read the weights from NumPy's archive."""
    source = f"load_weights: {path}"
    assign(model, read_npz(path, most_bytes(model), source), source, skip_mismatch)


def read_npz(path: Path, limit: int, source: str) -> dict[str, np.ndarray]:
    """Read the arrays of NumPy's archive.

    Raises:
        ModelFileError: it is none, is damaged, or is larger than `limit` bytes, as it lies there or unpacked.
    """
    with refusing(source):
        _check_size(path, limit)
        return _unpack_npz(path.read_bytes(), limit)


def _unpack_npz(data: bytes, limit: int) -> dict[str, np.ndarray]:
    with open_zip(io.BytesIO(data), ".npz") as archive:
        # A few bytes of an archive can claim to unpack to any size.
        if sum(info.file_size for info in archive.infolist()) > limit:
            raise ModelFileError("unpacks to more bytes than the model has weights")
        return {name.removesuffix(".npy"): _read_npy(read_member(archive, name), name) for name in archive.namelist()}


def _read_npy(data: bytes, name: str) -> np.ndarray:
    """Read NumPy's format, without its pickled objects, which could run code, and no larger than it is.

    `numpy.load` makes an array of whatever size the header claims before it looks for the data.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ModelFileError(f"{name} has version {version} of the .npy format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(stream)
    except (SyntaxError, TokenError) as error:
        raise ModelFileError(f"the header of {name} is damaged ({error})") from error
    if dtype.hasobject:
        raise ModelFileError(f"{name} holds pickled objects, which are not read")
    rest = data[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(rest) or any(size < 0 for size in shape) or not dtype.itemsize:
        raise ModelFileError(f"{name} has {len(rest):,} bytes for an array of shape {shape} and dtype {dtype}")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def _check_size(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if size > limit:
        raise ModelFileError(f"has {size:,} bytes, more than the weights of this model can take")
