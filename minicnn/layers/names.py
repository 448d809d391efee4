"""How layers are called: by a name of the user's, or by one made from the class and counted up."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from minicnn.registry import snake_case

_counts: Counter[str] = Counter()
_count_lock = threading.Lock()


def reset_names() -> None:
    """Start the numbering of automatic layer names (conv2d, conv2d_1, ...) anew."""
    _counts.clear()


def _automatic_name(class_name: str) -> str:
    base = snake_case(class_name)
    with _count_lock:
        number = _counts[base]
        _counts[base] += 1
    return f"{base}_{number}" if number else base


def name_for(class_name: str, name: Any) -> str:
    """Give the name that a layer of this class was given, or the next automatic one where that is None.

    Raises:
        ValueError: the name is no string, or empty.
    """
    if name is None:
        return _automatic_name(class_name)
    if not isinstance(name, str) or not name:
        raise ValueError(f"{class_name}: name must be a string of at least one character, but {name!r} came")
    return name
