"""Texts for what goes wrong inside a model: the shapes on the way to the layer that failed, and what may help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.device import DeviceMemoryError, total_memory
from minicnn.layers import Layer

Shape = tuple[int | None, ...]


def explain_failure(error: Exception, owner: str, trace: Sequence[tuple[str, Any]], layer: Layer) -> Exception:
    """Make the error to raise in place of what `layer` raised.

    Args:
        error: what the layer raised. Subclasses, and errors that carry a list of shapes already, come back as they are.
        owner: the model, as messages call it.
        trace: name and output shape of everything before the layer.
        layer: the one that failed.
    """
    if type(error) not in (ValueError, TypeError) or getattr(error, "lists_shapes", False):
        return error
    width = max([len(name) for name, _ in trace] + [len(layer.name)])
    lines = [f"{owner}: {error}", "The shapes up to there:"]
    lines += [f"  {name:{width}s}  {shape}" for name, shape in trace]
    lines.append(f"  {layer.name:{width}s}  fails")
    hint = suggest(layer, trace[-1][1] if trace else None, str(error))
    if hint:
        lines.append(hint)
    explained = type(error)("\n".join(lines))
    explained.lists_shapes = True  # type: ignore[attr-defined]
    return explained


# What a training step keeps of each activation: itself, its gradient, and what kernels work in.
COPIES = 3
# Of the GPU's memory: the rest is the driver's, and lost between blocks.
SHARE = 0.9


def full_memory(
    owner: str, where: str, batch: int, layers: Sequence[Layer], shapes: Sequence[Any]
) -> DeviceMemoryError:
    """Make the error for a GPU whose memory is full.

    Args:
        owner: the model, as messages call it.
        where: the layer, or the part of a step, at which it was full.
        batch: samples that were tried.
        layers: the model's; a weight is there with its gradient and two numbers of an optimizer.
        shapes: of all outputs of layers, each one or a list, batch axis included.
    """
    total = total_memory()
    weights = 4 * sum(p.size * p.dtype.itemsize for layer in layers for p in layer.weights)
    listed = [shape for entry in shapes for shape in (entry if isinstance(entry, list) else [entry])]
    each = COPIES * 4 * sum(math.prod(size or 1 for size in shape[1:]) for shape in listed)
    fitting = int((SHARE * total - weights) // max(each, 1))
    text = f"{owner}: the GPU's memory ({total / 2**30:.1f} GiB) is full at {where}, with a batch of {batch}"
    if fitting < 1:
        return DeviceMemoryError(f"{text}: no batch size fits beside the weights")
    smaller = min(2 ** int(math.log2(fitting)), max(batch // 2, 1))
    return DeviceMemoryError(f"{text}; batch_size={smaller} should fit")


def suggest(layer: Layer, input_shape: Any, text: str) -> str:
    """Guess from the layer and its input's shape what its author forgot; "" where nothing comes to mind."""
    if not isinstance(input_shape, tuple):
        return ""
    kind = type(layer).__name__
    wanted = layer.input_rank
    rank = len(input_shape)
    if wanted == 4 and rank == 3:
        return "Perhaps the channel axis is missing: pictures are (height, width, channels), grey ones (28, 28, 1)."
    if wanted == 4 and rank == 2:
        return f"{kind} needs pictures: a Reshape((height, width, channels)) before it makes them of flat values."
    if (wanted == 2 and rank > 2) or (kind == "Dense" and rank == 4):
        return "A Flatten() or a GlobalAveragePooling2D() before it makes flat values of pictures."
    if rank == 4 and getattr(layer, "data_format", None) is not None and _looks_swapped(layer, input_shape):
        other = "channels_first" if layer.data_format == "channels_last" else "channels_last"  # type: ignore[attr-defined]
        return f"The pictures look like {other}: give the layers data_format='{other}', or move the channel axis."
    if rank == 4 and any(word in text.lower() for word in ("kernel", "window", "pool")):
        return "Padding ('same'), a smaller kernel or fewer poolings before it keep the pictures large enough."
    return ""


def _looks_swapped(layer: Any, shape: Shape) -> bool:
    first, last = shape[1], shape[-1]
    if first is None or last is None:
        return False
    channels_last = layer.data_format == "channels_last"
    return (first in (1, 3) and last > 4) if channels_last else (last in (1, 3) and first > 4)


def explain_input(owner: str, name: str, expected: Shape, came: Shape) -> str:
    """Say that an input of shape `came` does not fit, and what would make it fit."""
    text = f"{owner}: input '{name}' must have shape {describe_shape(expected)}, but {describe_shape(came)} came"
    sample, given = tuple(expected[1:]), tuple(came[1:])
    if len(sample) == 3 and len(given) == 3 and given == (sample[2], sample[0], sample[1]):
        return f"{text}: the channels come first; np.moveaxis(x, 1, -1) puts them last"
    if len(sample) == 3 and len(given) == 3 and given == (sample[1], sample[2], sample[0]):
        return f"{text}: the channels come last; np.moveaxis(x, -1, 1) puts them first"
    if len(given) + 1 == len(sample) and given == sample[:-1]:
        return f"{text}: the last axis is missing; x[..., np.newaxis] adds it"
    if len(given) + 1 == len(sample) and given == sample[1:]:
        # Either the first axis of every sample is missing, or x is a single sample.
        index, axis = ("[:, np.newaxis]", "channel") if sample[0] == 1 else ("[np.newaxis]", "batch")
        return f"{text}: the {axis} axis is missing; x{index} adds it"
    if None not in sample and None not in given and _product(sample) == _product(given):
        return f"{text}: x.reshape({(-1, *sample)}) fits, if the order of the values is the same"
    return text


def fits(expected: Shape, came: Shape) -> bool:
    """Say whether a shape fits one in which None stands for any size."""
    return len(expected) == len(came) and all(
        wanted is None or size is None or wanted == size for wanted, size in zip(expected, came, strict=True)
    )


def describe_shape(shape: Shape) -> str:
    """Give a shape as messages have it: N for a batch axis of any size.

    >>> describe_shape((None, 28, 28, 1)), describe_shape((None, None, None, 3))
    ('(N, 28, 28, 1)', '(N, None, None, 3)')
    """
    return "(" + ", ".join("N" if i == 0 and size is None else str(size) for i, size in enumerate(shape)) + ")"


def _product(sizes: Sequence[int | None]) -> int:
    product = 1
    for size in sizes:
        product *= size or 0
    return product
