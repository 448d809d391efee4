"""Keras, answered by minicnn for one test."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest

from minicnn.compat import keras as compat

# Written for Keras, to be run by the tests.
collect_ignore = ["scripts"]


@pytest.fixture
def install() -> Iterator[Callable[..., None]]:
    """`minicnn.compat.keras.install`, undone after the test; old names pass without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", compat.OldName)
        try:
            yield compat.install
        finally:
            compat.uninstall()
