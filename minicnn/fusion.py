"""Which layers of a model run together as one block, and as which.

A convolution, its activation and the pooling behind it, run one after the other, write a feature map to memory
three times and read it twice. As one block (`minicnn.functional.fused`) they work on tiles that stay in the cache,
and backward of a max pooling follows only the winners. A border of zeros before the convolution becomes its padding,
and a dense layer applies its activation to each part of its product as it is made. This pass finds such blocks in the
steps of a graph. It is no second definition of a layer: what a block computes is what its layers compute, up to
rounding, and every model can be told not to use it (`model.fused = False`).

Layers are joined only where nobody could tell:

- their classes are exactly `ZeroPadding2D`, `Conv2D`, `Dense`, `Activation`, `ReLU`, `LeakyReLU`, `ELU`, `MaxPooling2D`
  and `AveragePooling2D`, no subclasses;
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
from minicnn.functional.fused import conv2d_block, dense_block
from minicnn.kernels.geometry import MOST_CELLS
from minicnn.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    ZeroPadding2D,
    activations,
)
from minicnn.layers.spatial import border_of

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
    """Layers that run as one.

    Attributes:
        layers: in the order in which they would run.
        name: the layers' names, joined.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.name = " + ".join(layer.name for layer in layers)
        self._weighted: Any = next(layer for layer in layers if isinstance(layer, (Conv2D, Dense)))
        self._active: Any = next((layer for layer in layers if _is_activation_layer(layer)), self._weighted)

    def __call__(self, x: Any, training: bool | None = None) -> Tensor:
        """Compute what the layers compute one after the other."""
        known = _known_activation(self._active)
        if known is None or not self._still_joins():
            for layer in self.layers:
                x = layer(x)
            return x
        return self._compute(x, *known)

    def _still_joins(self) -> bool:
        """Whether the layers, which may have been changed since they were joined, would be joined today."""
        return all([layer is self._weighted or _can_join(self._weighted, layer) for layer in self.layers])

    def _compute(self, x: Any, activation: str, alpha: float) -> Tensor:
        raise NotImplementedError


class DenseBlock(Block):
    """A dense layer and its activation, its own or the layer behind it."""

    def _compute(self, x: Any, activation: str, alpha: float) -> Tensor:
        layer = self._weighted
        return dense_block(layer.accept(x), layer.kernel, layer.bias, activation=activation, alpha=alpha)


class ConvBlock(Block):
    """A convolution, at most one padding before it, at most one activation layer and one pooling layer behind it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._pooling: Any = layers[-1] if type(layers[-1]) in _POOLINGS else None

    def _padding(self) -> Any:
        """The convolution's own, and the border before it."""
        own, border = self._weighted.padding, self.layers[0]
        if not isinstance(border, ZeroPadding2D):
            return own
        own = ((0, 0), (0, 0)) if own == "valid" else border_of(own, self._weighted)
        return tuple((a[0] + b[0], a[1] + b[1]) for a, b in zip(border.padding, own, strict=True))

    def _compute(self, x: Any, activation: str, alpha: float) -> Tensor:
        layer, pooling = self._weighted, self._pooling
        y = conv2d_block(
            layer.to_nhwc(self.layers[0].accept(x)),
            layer.kernel,
            layer.bias,
            strides=layer.strides,
            padding=self._padding(),
            dilation_rate=layer.dilation_rate,
            groups=layer.groups,
            algorithm=layer.algorithm,
            activation=activation,
            alpha=alpha,
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
        layers = [part.layer for part in chain]
        block: Any = DenseBlock(layers) if isinstance(layers[0], Dense) else ConvBlock(layers)
        fused.append(step._replace(layer=block, outputs=chain[-1].outputs, drops=drops))
    return fused


def _chain(step: Step, reader: dict[int, Step], readers: Counter[int], outputs: Collection[int]) -> list[Step] | None:
    """The steps of the block that begins with this one; None if none does."""
    chain = [step]

    def following() -> Step | None:
        slot = chain[-1].outputs[0]
        return reader.get(slot) if readers[slot] == 1 and slot not in outputs else None

    behind = following()
    if behind is not None and _can_pad(step.layer, behind.layer):
        chain.append(behind)
        behind = following()
    weighted: Any = chain[-1]
    if type(weighted.layer) not in (Conv2D, Dense) or weighted.training is not None:
        return None
    if _known_activation(weighted.layer) is None:
        return None
    if behind is not None and _can_activate(weighted.layer, behind.layer):
        chain.append(behind)
        behind = following()
    if behind is not None and _can_pool(weighted.layer, behind.layer):
        chain.append(behind)
    elif chain[-1].outputs[0] in outputs:
        # The model may be asked for what stands before its last activation.
        return None
    # A dense layer alone has nothing to join.
    return None if isinstance(weighted.layer, Dense) and _is_linear(chain[-1].layer) else chain


def _can_join(weighted: Any, layer: Layer) -> bool:
    return _can_pad(layer, weighted) or _can_activate(weighted, layer) or _can_pool(weighted, layer)


def _can_activate(weighted: Any, layer: Layer) -> bool:
    return (
        weighted.activation is activations.linear
        and _is_activation_layer(layer)
        and layer.dtype_policy == weighted.dtype_policy
    )


def _is_activation_layer(layer: Layer) -> bool:
    return type(layer) in (Activation, ReLU, LeakyReLU, ELU) and _known_activation(layer) is not None


def _known_activation(layer: Any) -> tuple[str, float] | None:
    if type(layer) is LeakyReLU:
        return ("leaky_relu", layer.negative_slope) if layer.negative_slope > 0 else None
    if type(layer) is ELU:
        return ("elu", layer.alpha) if layer.alpha > 0 else None
    activation: Any = getattr(layer, "activation", None)
    return _KNOWN.get(activation)


def _is_linear(layer: Any) -> bool:
    return (_known_activation(layer) or ("linear",))[0] == "linear"


def _can_pad(layer: Layer, convolution: Layer) -> bool:
    return (
        type(layer) is ZeroPadding2D
        and type(convolution) is Conv2D
        and convolution.padding != "same"
        and layer.data_format == convolution.data_format
        and layer.dtype_policy == convolution.dtype_policy
    )


def _can_pool(convolution: Layer, layer: Any) -> bool:
    return (
        type(convolution) is Conv2D
        and type(layer) in _POOLINGS
        and layer.data_format == convolution.data_format
        and layer.dtype_policy == convolution.dtype_policy
        and (type(layer) is AveragePooling2D or math.prod(layer.pool_size) <= MOST_CELLS)
    )
