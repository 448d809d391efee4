"""Which layers of a model run together as one block, and as which.

A convolution, its activation and the pooling behind it, run one after the other, write a feature map to memory
three times and read it twice. As one block (`minicnn.functional.fused`) they work on tiles that stay in the cache,
and backward of a max pooling follows only the winners. This pass finds such blocks in the steps of a graph. It is no
second definition of a layer: what a block computes is what its layers compute, up to rounding, and every model can be
told not to use it (`model.fused = False`).

Layers are joined only where nobody could tell:

- their classes are exactly `Conv2D`, `Activation`, `ReLU`, `LeakyReLU`, `ELU`, `MaxPooling2D` and
  `AveragePooling2D`, no subclasses;
- what is left out between them is read by nobody else, and is no output of the model;
- the activation's derivative is a function of its output, so that backward can do without its input;
- a window of a max pooling has at most 256 cells, so that a byte can say where the winner stood.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional.fused import conv2d_block
from minicnn.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    activations,
)

if TYPE_CHECKING:
    from minicnn.models.graph import Step

# What an activation is called in the kernels, and its parameter there (1 where it has none).
_KNOWN: dict[Callable[[Any], Any], tuple[str, float]] = {
    activations.linear: ("linear", 1.0),
    F.relu: ("relu", 1.0),
    F.sigmoid: ("sigmoid", 1.0),
    F.tanh: ("tanh", 1.0),
    activations.leaky_relu: ("leaky_relu", 0.2),
    activations.elu: ("elu", 1.0),
}
# What a pooling is called in the kernels.
_POOLINGS: dict[type, str] = {MaxPooling2D: "max", AveragePooling2D: "avg"}


class Block:
    """Layers that run as one: a convolution, at most one activation layer, at most one pooling layer.

    Attributes:
        layers: in the order in which they would run.
        name: the layers' names, joined.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.name = " + ".join(layer.name for layer in layers)
        self._convolution: Any = layers[0]
        self._pooling: Any = layers[-1] if type(layers[-1]) in _POOLINGS else None
        middle = layers[1 : -1 if self._pooling is not None else None]
        self._activation, self._alpha = _known_activation(middle[0] if middle else layers[0]) or ("linear", 1.0)

    def __call__(self, x: Any, training: bool | None = None) -> Tensor:
        """Compute what the layers compute one after the other."""
        layer, pooling = self._convolution, self._pooling
        y = conv2d_block(
            layer.to_nhwc(layer.accept(x)),
            layer.kernel,
            layer.bias,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            groups=layer.groups,
            activation=self._activation,
            alpha=self._alpha,
            pool_size=None if pooling is None else pooling.pool_size,
            pool_strides=None if pooling is None else pooling.strides,
            pool_padding="valid" if pooling is None else pooling.padding,
            pooling=_POOLINGS.get(type(pooling), "max"),
        )
        return layer.from_nhwc(y)


def fuse(steps: Sequence[Step], outputs: Collection[int]) -> list[Step]:
    """The steps with blocks in the place of the layers they join.

    Args:
        steps: of a graph, in the order in which they run.
        outputs: slots that the graph gives out, which therefore must be filled.
    """
    readers = Counter(slot for step in steps for slot in step.inputs)
    reader = {step.inputs[0]: step for step in steps if len(step.inputs) == 1}
    fused: list[Step] = []
    joined: set[int] = set()
    for step in steps:
        if id(step) in joined:
            continue
        chain = _chain(step, reader, readers, outputs)
        if chain is None:
            fused.append(step)
            continue
        joined.update(map(id, chain))
        drops = tuple(slot for part in chain for slot in part.drops)
        block: Any = Block([part.layer for part in chain])
        fused.append(step._replace(layer=block, outputs=chain[-1].outputs, drops=drops))
    return fused


def _chain(step: Step, reader: dict[int, Step], readers: Counter[int], outputs: Collection[int]) -> list[Step] | None:
    """The steps of the block that begins with this one; None if none does."""
    if type(step.layer) is not Conv2D or step.training is not None or _known_activation(step.layer) is None:
        return None
    chain = [step]

    def following() -> Step | None:
        slot = chain[-1].outputs[0]
        return reader.get(slot) if readers[slot] == 1 and slot not in outputs else None

    behind = following()
    if behind is not None and step.layer.activation is activations.linear and _is_activation_layer(behind.layer):
        chain.append(behind)
        behind = following()
    if behind is not None and _can_pool(step.layer, behind.layer):
        chain.append(behind)
    elif chain[-1].outputs[0] in outputs:
        # The model may be asked for what stands before its last activation.
        return None
    return chain


def _is_activation_layer(layer: Layer) -> bool:
    return type(layer) in (Activation, ReLU, LeakyReLU, ELU) and _known_activation(layer) is not None


def _known_activation(layer: Any) -> tuple[str, float] | None:
    if type(layer) is LeakyReLU:
        return ("leaky_relu", layer.negative_slope) if layer.negative_slope > 0 else None
    if type(layer) is ELU:
        return ("elu", layer.alpha) if layer.alpha > 0 else None
    return _KNOWN.get(layer.activation)


def _can_pool(convolution: Conv2D, layer: Any) -> bool:
    return (
        type(layer) in _POOLINGS
        and layer.data_format == convolution.data_format
        and layer.dtype == convolution.dtype
        and (type(layer) is AveragePooling2D or math.prod(layer.pool_size) <= 256)
    )
