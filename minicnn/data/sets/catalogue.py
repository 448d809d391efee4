"""The data sets by name, for the command line and for scripts that take the name as an argument."""

from __future__ import annotations

import os
from types import ModuleType

from minicnn.data.sets import dogs_vs_cats, drawn_digits, drawn_pets, fashion_mnist, mnist
from minicnn.data.sets.idx_dataset import Arrays, Source
from minicnn.errors import fold, unknown_name

_MODULES: dict[str, ModuleType] = {
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "dogs-vs-cats": dogs_vs_cats,
    "drawn-digits": drawn_digits,
    "drawn-pets": drawn_pets,
}
_DRAWN = (drawn_digits, drawn_pets)

NAMES = tuple(_MODULES)
"""Every data set's name."""


def load(name: str, folder: str | os.PathLike[str] | None = None) -> tuple[Arrays, Arrays]:
    """Load the data set `name` (case, hyphens and underscores do not matter).

    Args:
        name: one of `NAMES`.
        folder: a folder that must have it; see the data set's own ``load_data``. Drawn pictures need none.

    Returns:
        ((x_train, y_train), (x_test, y_test)), uint8.

    Raises:
        ValueError: no data set has that name.
        DataError: it cannot be had.
    """
    module = _module(name)
    if module in _DRAWN:
        return module.load_data()
    return module.load_data(folder)


def find(name: str, folder: str | os.PathLike[str] | None = None) -> Source:
    """Say where `load` would take the data set `name` from, without loading it.

    >>> print(find("drawn-digits"))
    drawn digits, drawn on the fly

    Raises:
        ValueError: no data set has that name.
        DataError: `folder` does not have it.
    """
    module = _module(name)
    if module in _DRAWN:
        return module.find()
    return module.find(folder)


def class_names(name: str) -> tuple[str, ...]:
    """What the labels 0, 1, ... of the data set `name` mean.

    >>> class_names("fashion-mnist")[9]
    'Ankle boot'
    """
    return _module(name).CLASS_NAMES


def _module(name: str) -> ModuleType:
    for known, module in _MODULES.items():
        if fold(known) == fold(name):
            return module
    raise ValueError(unknown_name("data set", name, NAMES))
