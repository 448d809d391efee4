"""Wording shared by error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Give the `count` names of `known` that are spelled most like `name`, best first.

    Case, underscores, hyphens and blanks are ignored, so ``"Leaky ReLU"`` finds ``"leaky_relu"``.

    >>> nearest_names("adm", ["sgd", "adam", "rmsprop"])
    ['adam']
    """
    spelled: dict[str, list[str]] = {}
    for candidate in known:
        spelled.setdefault(fold(candidate), []).append(candidate)
    matches = difflib.get_close_matches(fold(name), list(spelled), n=count, cutoff=0.6)
    return [candidate for match in matches for candidate in spelled[match]][:count]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` is no `kind`, and which name was probably meant.

    >>> print(unknown_name("optimizer", "adm", ["sgd", "adam"]))
    unknown optimizer 'adm'; did you mean 'adam'?
    >>> print(unknown_name("optimizer", "zzz", ["sgd", "adam"]))
    unknown optimizer 'zzz'; expected one of: adam, sgd
    """
    known = sorted(known)
    nearest = nearest_names(name, known)
    if nearest:
        return f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, nearest))}?"
    return f"unknown {kind} {name!r}; expected one of: {', '.join(known)}"


def fold(name: str) -> str:
    """Reduce a name to what makes it different: ``"Mean_Squared-Error"`` -> ``"meansquarederror"``."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
