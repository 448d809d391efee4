"""One note for each old name that a script uses."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_HERE = str(Path(__file__).parent)
_noted: set[str] = set()


class OldName(FutureWarning):
    """A name or an argument of an earlier Keras was used, and understood."""


def note(old: str, new: str) -> None:
    """Say once that `old` is called `new` today."""
    if old not in _noted:
        _noted.add(old)
        warnings.warn(f"{old} is an old name; today it is {new}", OldName, stacklevel=_callers_level())


def _callers_level() -> int:
    """The stack level of the nearest caller outside this package: the line of the script."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    return level


def forget() -> None:
    """Let every note be given again."""
    _noted.clear()
