"""The arithmetic behind one number of a model's forward pass."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.device import to_host
from minicnn.layers import Layer

from .agreement import check_agreement
from .cell import Cell
from .field import Field, receptive_field
from .rules import RULES, rule_of
from .terms import Arithmetic, Line, Position, Terms
from .trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.models import Model


class Input(NamedTuple):
    """One of the numbers that an explained number is made of.

    Attributes:
        layer: the name of the layer (or of the model's input) that it comes from.
        position: where it stands in that layer's output; None where it is padding.
        value: the number; 0 in the padding.
        weight: what it is multiplied by, None where nothing is.
    """

    layer: str
    position: Position | None
    value: float
    weight: float | None


class Explanation:
    """How a model made one number; made by `pixel`. ``print`` shows it as text, `plot` as a picture.

    Attributes:
        layer, kind: the layer's name and class; "Input" where the number is one of the picture.
        position: where the number stands in the layer's output.
        value: what the model computed.
        computed: what the terms give in float64.
        arithmetic: the terms and the lines that follow them.
        trace, slot: all values on the sample's way, and which of them is the layer's output.
    """

    def __init__(self, trace: Trace, slot: int, position: Position) -> None:
        self.trace = trace
        self.slot = slot
        self.position = position
        step = trace.makers.get(slot)
        self.layer = trace.name(slot)
        self.kind = "Input" if step is None else type(step.layer).__name__
        self.value = float(trace.array(slot)[position])
        self.arithmetic = self._arithmetic()
        self.computed = self.arithmetic.result
        what = f"{trace.operation}: {self.kind} '{self.layer}' at {position}"
        # A layer may widen what it was given in 16 bits, and have rounded its weights to them.
        dtypes = [trace.tensors[other].dtype for other in (slot, *([] if step is None else step.inputs))]
        beside = to_host(trace.tensors[slot].data).astype(min(dtypes, key=lambda dtype: dtype.itemsize))
        check_agreement(what, self.value, self.computed, self.arithmetic.magnitude, beside)

    def _arithmetic(self) -> Arithmetic:
        step = self.trace.makers.get(self.slot)
        if step is None:
            nothing = Terms(np.empty(0), np.empty((0, 0), int), np.empty(0, bool), None, np.empty(0, int))
            return Arithmetic(nothing, self.value)
        self.trace.check_inference(step)
        rule = rule_of(step.layer, RULES, self.trace.operation)
        inputs = [self.trace.array(slot) for slot in step.inputs]
        return rule(Cell(step.layer, inputs, self.position, self.trace.shape(self.slot)))

    # --------------------------------------------------------------------- numbers

    @property
    def window(self) -> np.ndarray:
        """The values that go in, float64: (KH, KW, C) of a convolution, (PH, PW) of a pooling, (C,) of a dense one.

        Of a transposed convolution those whose stamps reach the number, with a row and a column for each tap that does;
        there are none where it lies between the stamps.
        """
        return self.arithmetic.terms.values

    @property
    def padding(self) -> np.ndarray:
        """Which values of `window` are padding."""
        return ~self.arithmetic.terms.inside

    @property
    def kernel(self) -> np.ndarray | None:
        """What the window is multiplied by, in its shape; None where nothing is."""
        return self.arithmetic.terms.weights

    @property
    def products(self) -> np.ndarray:
        """Window times kernel, term by term."""
        return self.arithmetic.terms.products

    @property
    def bias(self) -> float | None:
        """What is added to the sum of the products."""
        return self.arithmetic.bias

    @property
    def pre_activation(self) -> float | None:
        """What the activation is applied to, in layers that have one."""
        return self.arithmetic.pre_activation

    @property
    def winner(self) -> Position | None:
        """Where the value that a maximum or a minimum takes stands in the layer before; None in other layers."""
        number = self.arithmetic.winner
        return None if number is None else self.arithmetic.terms.position(number)

    @property
    def lines(self) -> list[Line]:
        """The steps from the terms to the result: (label, formula, value)."""
        return self.arithmetic.lines

    # --------------------------------------------------------------------- walking

    @property
    def inputs(self) -> list[Input]:
        """The numbers that this one is made of, in the order of `window`."""
        terms = self.arithmetic.terms
        weights = [None] * terms.count if terms.weights is None else terms.weights.reshape(-1).tolist()
        values, names = terms.values.reshape(-1).tolist(), [self.trace.name(slot) for slot in self.sources]
        return [
            Input(name, terms.position(number), value, weight)
            for number, (name, value, weight) in enumerate(zip(names, values, weights, strict=True))
        ]

    @property
    def sources(self) -> list[int]:
        """For each of the `inputs` the slot of `trace` that it stands in."""
        step = self.trace.makers.get(self.slot)
        return [] if step is None else [step.inputs[source] for source in self.arithmetic.terms.sources.reshape(-1)]

    def back(self, number: int | None = None) -> Explanation:
        """Explain one of the `inputs`, in the layer before.

        Args:
            number: which; None takes the one that counts most: a maximum's winner, the number at the same place that a
                softmax or a response normalisation scales, else the largest product.

        Raises:
            ValueError: there is none of this number, or it is padding.
        """
        terms = self.arithmetic.terms
        if self.kind == "Input":
            raise ValueError(f"explain: {self.layer!r} is where the model begins; there is nothing before it")
        if terms.count == 0:
            raise ValueError(f"explain: nothing of the layer before reaches {self.layer!r} at {self.position}")
        if number is None:
            number = self.arithmetic.winner if self.arithmetic.own is None else self.arithmetic.own
        if number is None:
            number = int(np.argmax(np.where(terms.inside, np.abs(terms.products), -1.0)))
        if not 0 <= number < terms.count:
            raise ValueError(f"explain: the inputs of {self.layer!r} are numbered 0 to {terms.count - 1}, not {number}")
        position = terms.position(number)
        if position is None:
            raise ValueError(f"explain: input {number} of {self.layer!r} is padding; there is nothing before it")
        return Explanation(self.trace, self.sources[number], position)

    def of(self, position: Any) -> Explanation:
        """Explain the input that stands at a position in the layer before.

        Raises:
            ValueError: none of the `inputs` stands there.
        """
        wanted = tuple(position) if isinstance(position, (tuple, list, np.ndarray)) else (position,)
        terms = self.arithmetic.terms
        for number in range(terms.count):
            if terms.position(number) == wanted:
                return self.back(number)
        raise ValueError(f"explain: {self.layer!r} at {self.position} is not made of anything at {position!r}")

    @property
    def receptive_field(self) -> Field | None:
        """Rows and columns of the picture that can change the number.

        None where the model's input has no such axes, or nothing of it reaches the number.
        """
        if self.kind != "Input" and not self.inputs:
            return None
        return receptive_field(self.trace, self.slot, self.position)

    # --------------------------------------------------------------------- showing

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw it: see `minicnn.plots.explanation`."""
        from minicnn.plots import explanation

        return explanation(self, path=path)

    def __str__(self) -> str:
        from .text import describe

        return describe(self)

    def __repr__(self) -> str:
        return f"<Explanation of {self.layer} {self.position}: {self.value:.7g}>"


def pixel(model: Model, x: Any, layer: Layer | str | int, position: Any) -> Explanation:
    """Explain one number of a model's forward pass: which numbers it is made of, and how.

    What is shown is what the model does in inference, on a GPU with float32 throughout. The number is computed again
    from its terms in float64 and compared with the one that the model computed.

    Args:
        model: built; Sequential or functional, with any weights.
        x: one sample as the model takes it, such as (H, W, C), with or without a batch axis of 1; for a model of
            several inputs a list of them.
        layer: of the model: itself, its name or its index; an input's name stands for the picture.
        position: of the number in the layer's output: (row, column, channel) of a map, (channel, row, column) with
            channels first, (unit,) or just the unit of a dense layer.

    Returns:
        The explanation: print it, `plot` it, walk `back` from it.

    Raises:
        ValueError: the model is not built or defines `call` itself; there is no such layer or position, or the layer's
            kind cannot be explained; x is a batch, or does not fit the model.
        RuntimeError: the model computed another number than its terms give.

    >>> import numpy as np
    >>> from minicnn import Sequential, explain, layers
    >>> picture = layers.Input((2, 2, 1), name="picture")
    >>> model = Sequential([picture, layers.Conv2D(1, 2, padding="same", name="conv")])
    >>> model.set_weights([np.array([[1, 2], [3, 4]]).reshape(2, 2, 1, 1), np.ones(1)])
    >>> print(explain.pixel(model, [[[5], [6]], [[7], [8]]], "conv", (0, 1, 0)))
    conv (Conv2D), row 0, column 1, channel 0: 31
    It depends on rows 0 to 1, column 1 of the picture.
    <BLANKLINE>
    picture, rows 0 to 1, columns 1 to 2, channel 0
      window x          kernel w          x * w
      6.0000     pad    1.0000  2.0000     6.0000      pad
      8.0000     pad    3.0000  4.0000    24.0000      pad
    <BLANKLINE>
    sum of 4 products  30
    bias b             1
    z = sum + b        30 + 1 = 31
    <BLANKLINE>
    from its terms, in float64: 31
    the model computed          31
    """
    trace = Trace(model, x, "explain.pixel")
    slot = trace.slot_of(layer)
    return Explanation(trace, slot, trace.position(slot, position))
