"""Data sets to train on, by name, each with ``load_data``.

``mnist``, ``fashion_mnist``, ``dogs_vs_cats``; ``drawn_digits`` and ``drawn_pets`` where none of these can be had.
"""

from __future__ import annotations

from minicnn.data.errors import DataError, DownloadError
from minicnn.data.sets import dogs_vs_cats, drawn_digits, drawn_pets, fashion_mnist, mnist
from minicnn.data.sets.catalogue import NAMES, class_names, find, load
from minicnn.data.sets.idx_dataset import Source

__all__ = [
    "NAMES",
    "DataError",
    "DownloadError",
    "Source",
    "class_names",
    "dogs_vs_cats",
    "drawn_digits",
    "drawn_pets",
    "fashion_mnist",
    "find",
    "load",
    "mnist",
]
