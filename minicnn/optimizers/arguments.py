"""What arguments of optimizers may be."""

from __future__ import annotations

import math
from typing import Any

from minicnn.errors import unknown_name
from minicnn.registry import arguments_of


def check_number(operation: str, name: str, value: Any, *, allow_zero: bool = False) -> float:
    """Give a number as a float.

    Raises:
        TypeError: it is none.
        ValueError: it is not finite, or not above zero (or zero, where allowed).
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{operation}: expected {name} to be a number, got {value!r}") from None
    if not (math.isfinite(number) and (number > 0 or (allow_zero and number == 0))):
        raise ValueError(f"{operation}: expected {name} {'>=' if allow_zero else '>'} 0 and finite, got {number}")
    return number


def check_optional(operation: str, name: str, value: Any, *, allow_zero: bool = False) -> float | None:
    """Give a number as `check_number` does, and None as it is."""
    return None if value is None else check_number(operation, name, value, allow_zero=allow_zero)


def check_fraction(operation: str, name: str, value: Any, *, below_one: bool = True) -> float:
    """Give a number as a float.

    Raises:
        TypeError: it is none.
        ValueError: it does not lie in [0, 1), or [0, 1] unless `below_one`.
    """
    number = check_number(operation, name, value, allow_zero=True)
    if number > 1 or (below_one and number == 1):
        raise ValueError(f"{operation}: expected {name} in [0, 1{')' if below_one else ']'}, got {number}")
    return number


def unknown_argument(optimizer: type, name: str) -> str:
    """Say that an optimizer has no such argument, and which it has."""
    if name == "lr":
        return f"{optimizer.__name__}: unknown argument 'lr'; it is called 'learning_rate'"
    return f"{optimizer.__name__}: {unknown_name('argument', name, arguments_of(optimizer))}"
