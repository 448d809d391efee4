"""Running the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from minicnn.cli import cli
from tests.cli.running import QUICK


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call a command inside an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINICNN_DEBUG", raising=False)

    def invoke(*words: object) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return invoke


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a short training of lenet5 on drawn digits."""
    folder = tmp_path_factory.mktemp("trained")
    result = CliRunner().invoke(cli, [*QUICK, "--samples", "1500", "--epochs", "3", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder
