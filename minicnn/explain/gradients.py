"""The arithmetic behind one number of a model's backward pass: of a weight, or of a pixel.

The letters: gy the loss' derivative by what a layer gives, gz by what it computes before its own activation.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import layers as L
from minicnn.device import to_host
from minicnn.layers import Layer

from .agreement import check_agreement
from .reach import REACHED, Reader
from .rules import rule_of
from .tape import Tape
from .terms import Position, checked, gathered
from .weighted import first_channel
from .windows import Windows, as_hwc, cells_at, is_channels_first

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.models import Model
    from minicnn.models.graph import Step


#: What the axes of a kernel are called.
_KERNEL_AXES = {
    L.Conv2D: ("row", "column", "channel", "filter"),
    L.DepthwiseConv2D: ("row", "column", "channel", "multiple"),
    L.Conv2DTranspose: ("row", "column", "filter", "channel"),
    L.Dense: ("input", "unit"),
}


class GradientTerm(NamedTuple):
    """One of the products that a gradient is the sum of.

    Attributes:
        layer: what the derivative comes from: a layer's name, or "loss".
        slot: of the tape, that this layer fills; None of the loss.
        position: where in that layer's output; None of the loss.
        gradient: the loss' derivative there, before the layer's own activation.
        factor: the weight on the way, or for a weight's gradient the number that the weight meets.
        met: where that number stands in the layer before; None where the factor is a weight.
    """

    layer: str
    slot: int | None
    position: Position | None
    gradient: float
    factor: float
    met: Position | None = None

    @property
    def product(self) -> float:
        """Gradient times factor."""
        return self.gradient * self.factor


class GradientExplanation:
    """How the derivative of the loss by one number comes about; ``print`` shows it as text, `plot` as a picture.

    Attributes:
        what: of which number: "conv's kernel at (0, 1, 0, 2)".
        owner: the number's layer with what of it: "conv", "conv's kernel".
        position: where the number stands in that.
        gradients: the derivatives by all numbers of the owner, in its shape, float64.
        value: what autograd computed.
        computed: the sum of the terms in float64.
        terms: the products, in the order of the layers and positions they come from.
        tape: the loss and all values and derivatives on the sample's way.
        slot: of the tape, that the number stands in; None of a weight.
    """

    def __init__(
        self,
        tape: Tape,
        owner: str,
        position: Position,
        terms: list[GradientTerm],
        gradients: np.ndarray,
        slot: int | None = None,
    ) -> None:
        self.tape = tape
        self.owner = owner
        self.position = position
        self.what = f"{owner} at {position}"
        self.terms = terms
        self.gradients = gradients
        self.slot = slot
        self.value = float(gradients[position])
        self.computed = math.fsum(term.product for term in terms)
        magnitude = math.fsum(abs(term.product) for term in terms)
        numbers = gradients.astype(tape.dtype)
        check_agreement(f"{tape.operation}: {self.what}", self.value, self.computed, magnitude, numbers)

    @property
    def factor_name(self) -> str:
        """What the terms' factors are: "w", weights, or "x", the numbers that a weight meets."""
        return "x" if self.slot is None else "w"

    def ahead(self, number: int | None = None) -> GradientExplanation:
        """Explain the derivative that one of the terms comes from, a layer nearer to the loss.

        Args:
            number: which term; None takes the largest.

        Raises:
            ValueError: there is no such term, or it comes from the loss itself.
        """
        if number is None and self.terms:
            number = max(range(len(self.terms)), key=lambda k: abs(self.terms[k].product))
        if number is None or not 0 <= number < len(self.terms):
            raise ValueError(f"explain: {self.what} has {len(self.terms)} terms, numbered from 0; {number} is none")
        term = self.terms[number]
        if term.slot is None or term.position is None:
            raise ValueError(f"explain: term {number} of {self.what} is the derivative of the loss itself")
        return _of_pixel(self.tape, term.slot, term.position)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw it: see `minicnn.plots.gradient_explanation`."""
        from minicnn.plots import gradient_explanation

        return gradient_explanation(self, path=path)

    def __str__(self) -> str:
        from .text import describe_gradient

        return describe_gradient(self)

    def __repr__(self) -> str:
        return f"<GradientExplanation of {self.what}: {self.value:.7g}>"


def pixel_gradient(
    model: Model, x: Any, y: Any, layer: Layer | str | int, position: Any, *, loss: Any = None
) -> GradientExplanation:
    """Explain the derivative of the loss by one number that a layer gives, or by one pixel of the picture.

    It is the sum, over everything that reads the number, of gz times the weight in between: of a convolution over all
    windows that hold the number and all their maps, of a dense layer over its units, of a pooling over the windows that
    the number won. The sum is compared with what autograd computes. Layers work as in inference, and the loss is that
    of the model's outputs: `fit` may join it with the last activation, which only differs where a probability is
    clipped.

    Args:
        model, x, layer, position: as for `pixel`; the name of an input stands for the picture.
        y: the sample's target as the loss takes it, with or without a batch axis of 1.
        loss: name or function; None takes the one that the model was compiled with.

    Raises:
        ValueError, RuntimeError: as for `pixel`; and there is no loss, or the model has several outputs.
    """
    tape = Tape(model, x, y, loss, "explain.pixel_gradient")
    slot = tape.slot_of(layer)
    return _of_pixel(tape, slot, tape.position(slot, position))


def _of_pixel(tape: Tape, slot: int, position: Position) -> GradientExplanation:
    terms = []
    if slot in tape.own:
        terms.append(GradientTerm("loss", None, None, float(tape.own[slot].numpy()[0][position]), 1.0))
    for step in tape.steps:
        for source, taken in enumerate(step.inputs):
            if taken == slot:
                terms += _through(tape, step, source, position)
    return GradientExplanation(tape, tape.name(slot), position, terms, tape.gradient(slot), slot)


def _through(tape: Tape, step: Step, source: int, position: Position) -> list[GradientTerm]:
    """What comes back through one layer that reads a number."""
    tape.check_inference(step)
    rule = rule_of(step.layer, REACHED, tape.operation)
    inputs = [tape.array(slot) for slot in step.inputs]
    (output,) = step.outputs
    reached = rule(Reader(step.layer, inputs, source, position, tape.shape(output)))
    gz = tape.before_activation(step)
    return [GradientTerm(step.layer.name, output, place, float(gz[place]), factor) for place, factor in reached]


def weight_gradient(
    model: Model,
    x: Any,
    y: Any,
    layer: Layer | str | int,
    position: Any,
    *,
    weight: str = "kernel",
    loss: Any = None,
) -> GradientExplanation:
    """Explain the derivative of the loss by one weight of a convolution or a dense layer.

    It is the sum, over all places where the weight is used, of gz there times the number x that the weight meets:
    ``gw[p, q, c, f] = sum over i, j of gz[i, j, f] x[i SH + p DH - top, j SW + q DW - left, c]``, in a transposed
    convolution ``gw[p, q, f, c]`` with the places of gz and x exchanged; a bias meets 1 everywhere. The sum is compared
    with what autograd computes. Regularisers are not part of the loss here.

    Args:
        model, x, y, loss: as for `pixel_gradient`.
        layer: `Conv2D`, `DepthwiseConv2D`, `Conv2DTranspose` or `Dense`: itself, its name or its index.
        position: of the weight: (row, column, channel, filter) of a convolution's kernel, (row, column, filter,
            channel) of a transposed one's, (input, unit) of a dense layer's, just the filter or the unit of a bias.
        weight: "kernel" or "bias".

    Raises:
        ValueError, RuntimeError: as for `pixel_gradient`; and there is no such weight, or it is frozen.
    """
    tape = Tape(model, x, y, loss, "explain.weight_gradient")
    step = tape.makers.get(tape.slot_of(layer))
    owner = None if step is None else step.layer
    axes = rule_of(owner, _KERNEL_AXES, tape.operation)
    parameter = getattr(owner, weight, None) if weight in ("kernel", "bias") else None
    if step is None or parameter is None:
        raise ValueError(f"{tape.operation}: weight must be 'kernel' or 'bias', one that {layer!r} has, not {weight!r}")
    if not parameter.requires_grad:
        raise ValueError(f"{tape.operation}: {step.layer.describe()} is frozen, so its weights have no gradient")
    what = f"{step.layer.name}'s {weight}"
    if weight == "bias":
        axes = ("unit" if isinstance(owner, L.Dense) else "filter",)
    index = checked(position, parameter.shape, f"{tape.operation}: position in {what}", axes)
    gradients = to_host(tape.by_weight(parameter).data).astype(np.float64)
    return GradientExplanation(tape, what, index, _uses(tape, step, weight, index), gradients)


def _uses(tape: Tape, step: Step, weight: str, index: Position) -> list[GradientTerm]:
    """One term for each place where a weight is used; where it meets padding, or is cut off, nothing is added."""
    (source,), (output,) = step.inputs, step.outputs
    gz, name = tape.before_activation(step), step.layer.name
    if weight == "bias":
        cells = np.ndindex(*gz.shape)
        axis = 0 if is_channels_first(step.layer) else -1
        return [GradientTerm(name, output, cell, float(gz[cell]), 1.0) for cell in cells if cell[axis] == index[0]]
    places = _dense_places if isinstance(step.layer, L.Dense) else _map_places
    outputs, met = places(step.layer, index, tape.shape(source), tape.shape(output))
    g, x = gathered(gz, outputs), gathered(tape.array(source), met)
    return [
        GradientTerm(name, output, g.position(k), float(g.values[k]), float(x.values[k]), x.position(k))
        for k in np.flatnonzero(g.inside & x.inside).tolist()
    ]


def _dense_places(
    layer: Any, index: Position, taken: tuple[int, ...], given: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Where a dense layer's weight is used: outputs (T, axes), and what it meets there (T, axes)."""
    before = np.array(list(np.ndindex(*given[:-1])), int)
    outputs, met = (np.column_stack([before, np.full(len(before), last, int)]) for last in (index[1], index[0]))
    return outputs, met


def _map_places(
    layer: Any, index: Position, taken: tuple[int, ...], given: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same of a convolution's: all windows of one map, and the cell of each that the tap touches."""
    first, transposed = is_channels_first(layer), isinstance(layer, L.Conv2DTranspose)
    p, q, touched, own = index
    if isinstance(layer, L.DepthwiseConv2D):
        own += touched * layer.depth_multiplier
    elif not transposed:
        touched += first_channel(layer, own)
    windows = Windows.of(layer, taken)
    # The windows of a transposed convolution belong to what it takes, and touch what it gives.
    OH, OW, _ = as_hwc(first, taken if transposed else given)
    cells = cells_at(first, np.arange(OH), np.arange(OW), np.array([own])).reshape(-1, 3)
    rows, columns = windows.along(p, 0, OH), windows.along(q, 1, OW)
    under = cells_at(first, rows, columns, np.array([touched])).reshape(-1, 3)
    return (under, cells) if transposed else (cells, under)
