"""Explanations as text: tables of numbers, and formulas with the numbers put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .terms import Line, Position, Terms
from .wording import counted, number, unsigned_zero

if TYPE_CHECKING:
    from .explanation import Explanation
    from .gradients import GradientExplanation

# An explanation fits on a screen: terms of a list, channels of a window, cells of a table, characters of a line.
LISTED, CHANNELS, CELLS, WIDTH = 10, 3, 7, 110


def describe(explanation: Explanation) -> str:
    """All of an explanation as text."""
    title = f"{explanation.layer} ({explanation.kind}), {place(explanation)}: {explanation.value:.7g}"
    lines = [title, *_seen(explanation)]
    if explanation.kind != "Input":
        lines += ["", *_terms(explanation), "", *formulas(explanation.lines), ""]
        lines += [f"from its terms, in float64: {explanation.computed:.7g}"]
        lines += [f"the model computed          {explanation.value:.7g}"]
    return "\n".join(lines)


def place(explanation: Explanation) -> str:
    """Where the number stands, in words."""
    return explanation.trace.place(explanation.slot, explanation.position)


def short(position: Position | None) -> str:
    """A position in a list: 27, or (1, 1, 3)."""
    if position is None:
        return "padding"
    return str(position[0] if len(position) == 1 else position)


def _seen(explanation: Explanation) -> list[str]:
    field = explanation.receptive_field
    known = field is not None and explanation.kind != "Input"
    return [f"It depends on {field} of the picture."] if known else []


def formulas(lines: Sequence[Line]) -> list[str]:
    """Lines of arithmetic, their formulas below each other."""
    width = max((len(line.label) for line in lines), default=0)
    return [
        f"{line.label:<{width}}  {line.formula}{' = ' if line.formula else ''}{number(line.value)}" for line in lines
    ]


def aligned(values: Sequence[float]) -> list[str]:
    """Numbers of one width, with as many digits as their sizes need.

    >>> aligned([1.0, -0.25]), aligned([1e-7, 0.0])
    ([' 1.0000', '-0.2500'], ['1.000e-07', '0.000e+00'])
    """
    sizes = np.abs(np.asarray(values, float))
    largest = float(sizes[np.isfinite(sizes)].max(initial=0))
    plain = largest == 0 or 1e-2 <= largest < 1e4
    digits = 4 if largest < 100 else 2
    texts = [f"{value:.{digits}f}" if plain else f"{value:.3e}" for value in map(unsigned_zero, values)]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def _terms(explanation: Explanation) -> list[str]:
    terms = explanation.arithmetic.terms
    if terms.count == 0:
        return ["nothing of the layer before reaches it"]
    if terms.values.ndim < 2 or max(terms.values.shape[:2]) > CELLS:
        return _list(explanation, terms)
    return _window(explanation, terms) if terms.values.ndim == 2 else _windows(explanation, terms)


def _windows(explanation: Explanation, terms: Terms) -> list[str]:
    """Window, kernel and products side by side, for the channels that count most."""
    order = np.argsort(-np.abs(terms.products).sum(axis=(0, 1)), kind="stable")
    blocks = [_channel(explanation, terms, channel) for channel in order[:CHANNELS].tolist()]
    if max(len(line) for block in blocks for line in block) > WIDTH:
        blocks = [_channel(explanation, terms, int(order[0]), beside=False)]
    lines = [line for block in blocks for line in ["", *block]][1:]
    rest = order[len(blocks) :]
    if rest.size:
        lines += ["", _rest(rest.size, "channel", float(terms.products[..., rest].sum()))]
    return lines


def _channel(explanation: Explanation, terms: Terms, channel: int, beside: bool = True) -> list[str]:
    inside = terms.inside[..., channel]
    tables = {
        "window x": _table(terms.values[..., channel], inside),
        "kernel w": _table(np.asarray(terms.weights)[..., channel]),
        "x * w": _table(terms.products[..., channel], inside),
    }
    title = _where(explanation, terms.positions[0, 0, channel], terms.positions[-1, -1, channel])
    return [title, *(_beside(tables) if beside else _below(tables))]


def _where(explanation: Explanation, first: np.ndarray, last: np.ndarray) -> str:
    """From which cell to which the window reaches."""
    source = explanation.sources[0]
    spans = [
        f"{axis} {a}" if a == b else f"{axis}s {a} to {b}"
        for axis, a, b in zip(explanation.trace.axes(source), first.tolist(), last.tolist(), strict=True)
    ]
    return f"{explanation.trace.name(source)}, {', '.join(spans)}"


def _rest(count: int, what: str, total: float) -> str:
    return f"... and {counted(count, f'more {what}')}, together {number(total)}"


def _table(values: np.ndarray, inside: np.ndarray | None = None) -> list[str]:
    """Rows of numbers; padding is named."""
    texts = np.array(aligned(values.reshape(-1).tolist()), object)
    if inside is not None:
        width = len(texts[0])
        texts[~inside.reshape(-1)] = "pad".rjust(width)
    return ["  ".join(row) for row in texts.reshape(values.shape)]


def _beside(tables: dict[str, list[str]]) -> list[str]:
    """Tables in a row, each below its title."""
    columns = []
    for title, table in tables.items():
        width = max(len(title), *map(len, table))
        columns.append([f"{title:<{width}}", *(line.rjust(width) for line in table)])
    return ["  " + "    ".join(parts).rstrip() for parts in zip(*columns, strict=True)]


def _below(tables: dict[str, list[str]]) -> list[str]:
    """Tables one below the other, each with its title in front."""
    width = max(map(len, tables)) + 2
    return [
        "  " + (title if number == 0 else "").ljust(width) + line
        for title, table in tables.items()
        for number, line in enumerate(table)
    ]


def _window(explanation: Explanation, terms: Terms) -> list[str]:
    """The window of a pooling, and where the winner of a maximum stands."""
    rows = _table(terms.values, terms.inside)
    lines = [_where(explanation, terms.positions[0, 0], terms.positions[-1, -1]), *(f"  {row}" for row in rows)]
    winner = explanation.arithmetic.winner
    return lines if winner is None else [*lines, f"the winner stands at {terms.position(winner)}"]


def _list(explanation: Explanation, terms: Terms) -> list[str]:
    """The largest terms, one in a line."""
    order = np.argsort(-np.abs(terms.products.reshape(-1)), kind="stable")
    shown = order[:LISTED].tolist()
    inputs = explanation.inputs
    names = [f"{inputs[k].layer} {short(inputs[k].position)}" for k in shown]
    width = max(map(len, names), default=0)
    values = aligned([inputs[k].value for k in shown])
    lines = [f"  {name:<{width}}  {value}" for name, value in zip(names, values, strict=True)]
    if terms.weights is not None:
        weights = aligned([float(inputs[k].weight or 0) for k in shown])
        products = aligned(terms.products.reshape(-1)[shown].tolist())
        lines = [f"{a} * {b} = {c}" for a, b, c in zip(lines, weights, products, strict=True)]
    rest = order[LISTED:]
    if rest.size:
        lines.append("  " + _rest(rest.size, "term", float(terms.products.reshape(-1)[rest].sum())))
    winner = explanation.arithmetic.winner
    return lines if winner is None else [*lines, f"the winner is {inputs[winner].layer} at {inputs[winner].position}"]


def describe_gradient(gradient: GradientExplanation) -> str:
    """All of a gradient's explanation as text."""
    products = f"{counted(len(gradient.terms), 'product')} gz * {gradient.factor_name}"
    lines = [
        f"derivative of {gradient.tape.loss_name} by {gradient.what}: {gradient.value:.7g}",
        f"It is the sum of {products}; gz is the derivative by what the layer computes before its activation.",
        "",
        *_gradient_terms(gradient),
        "",
        f"from its terms, in float64: {gradient.computed:.7g}",
        f"autograd computed           {gradient.value:.7g}",
    ]
    return "\n".join(lines)


def _gradient_terms(gradient: GradientExplanation) -> list[str]:
    """The largest terms, one in a line."""
    order = sorted(gradient.terms, key=lambda term: -abs(term.product))
    shown, rest = order[:LISTED], order[LISTED:]
    names = [f"{term.layer} {short(term.position)}" if term.position else term.layer for term in shown]
    width = max(map(len, names), default=0)
    columns = [aligned([getattr(term, name) for term in shown]) for name in ("gradient", "factor", "product")]
    met = [f"  at {short(term.met)}" if term.met else "" for term in shown]
    lines = [
        f"  {name:<{width}}  {g} * {factor} = {product}{where}"
        for name, g, factor, product, where in zip(names, *columns, met, strict=True)
    ]
    if rest:
        lines.append("  " + _rest(len(rest), "term", sum(term.product for term in rest)))
    return lines
