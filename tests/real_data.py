"""Real data for tests: used where it is, never downloaded.

Without it a test is skipped; under MINICNN_REQUIRE_DATA=1 it fails instead.
"""

from __future__ import annotations

import os
from functools import lru_cache

import pytest

from minicnn.data.sets.idx_dataset import Arrays


def require(name: str) -> tuple[Arrays, Arrays]:
    """((x_train, y_train), (x_test, y_test)) of the data set `name`; shared between tests, so do not write into it."""
    from minicnn import datasets

    if datasets.find(name).kind == "download":
        missing(f"{name} is neither in $MINICNN_DATA nor in the cache")
    return _load(name, os.environ.get("MINICNN_DATA"))


def missing(reason: str) -> None:
    """Skip, or fail where real data is required."""
    if os.environ.get("MINICNN_REQUIRE_DATA") == "1":
        pytest.fail(f"real data is required (MINICNN_REQUIRE_DATA=1), but {reason}")
    pytest.skip(reason)


@lru_cache(maxsize=2)
def _load(name: str, environment: str | None) -> tuple[Arrays, Arrays]:
    from minicnn import datasets

    loaded = datasets.load(name)
    for arrays in loaded:
        for array in arrays:
            array.setflags(write=False)
    return loaded
