"""Data sets to train on, by name: ``mnist``, ``fashion_mnist``, ``drawn_digits``, each with ``load_data``."""

from __future__ import annotations

from minicnn.data import drawn_digits, fashion_mnist, mnist
from minicnn.data.catalogue import NAMES, class_names, find, load
from minicnn.data.errors import DataError, DownloadError
from minicnn.data.idx_dataset import Source

__all__ = [
    "NAMES",
    "DataError",
    "DownloadError",
    "Source",
    "class_names",
    "drawn_digits",
    "fashion_mnist",
    "find",
    "load",
    "mnist",
]
