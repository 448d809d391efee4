"""What the tests of the networks share."""

from __future__ import annotations

import pytest


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A machine on which nothing is found but in the folder returned."""
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path
