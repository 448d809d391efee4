"""Numbers in words and formulas."""

from __future__ import annotations


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


def unsigned_zero(value: float) -> float:
    """0 for -0, which says nothing to a reader."""
    return value + 0.0
