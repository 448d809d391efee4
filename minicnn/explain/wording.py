"""Numbers in words and formulas."""

from __future__ import annotations

import numpy as np


def number(value: float) -> str:
    """A number inside a formula: six digits.

    >>> number(0.1234567), number(-2.0)
    ('0.123457', '-2')
    """
    return f"{unsigned_zero(value):.6g}"


def signed(value: float) -> str:
    """A number behind an operator: in brackets if negative.

    >>> signed(-0.5), signed(0.5)
    ('(-0.5)', '0.5')
    """
    return f"({number(value)})" if value < 0 else number(value)


def counted(count: int, what: str) -> str:
    """A number and what it counts: "1 term", "2 terms"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def summands(values: np.ndarray, shown: int = 4) -> str:
    """A sum written out, the largest first.

    >>> summands(np.array([1.0, 9, 4, 16, 25]))
    '25 + 16 + 9 + 4 + ...'
    """
    largest = [number(value) for value in np.sort(values)[::-1][:shown]]
    return " + ".join([*largest, *(["..."] if len(values) > shown else [])])


def unsigned_zero(value: float) -> float:
    """0 for -0, which says nothing to a reader."""
    return value + 0.0
