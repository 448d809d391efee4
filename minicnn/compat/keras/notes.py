"""One note for each old name that a script uses."""

from __future__ import annotations

import warnings

_noted: set[str] = set()


class OldName(FutureWarning):
    """A name or an argument of an earlier Keras was used, and understood."""


def note(old: str, new: str) -> None:
    """Say once that `old` is called `new` today."""
    if old not in _noted:
        _noted.add(old)
        warnings.warn(f"{old} is an old name; today it is {new}", OldName, stacklevel=4)


def forget() -> None:
    """Let every note be given again."""
    _noted.clear()
