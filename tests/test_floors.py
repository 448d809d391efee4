"""The floors of the house: each imports only from floors below it, and the gate that checks this works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GATE = "from importlinter.cli import lint_imports_command as run; run()"
# On no floor of their own: the package itself, and the wording of error messages that every floor uses.
EVERYWHERE = {"__init__", "errors"}


def gate(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", GATE, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources that a test may spoil."""
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "minicnn", tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__", "kernels"))
    shutil.copytree(ROOT / "kernels", tmp_path / "minicnn" / "kernels", ignore=hidden)
    return tmp_path


def test_each_floor_imports_only_from_below(checkout):
    result = gate(checkout)
    assert result.returncode == 0, result.stdout
    assert "1 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("kernels", "autograd"),
        ("autograd", "functional"),
        ("functional", "layers"),
        ("layers", "models"),
        ("fusion", "models"),
        ("models", "saving"),
        ("saving", "callbacks"),
        ("callbacks", "training"),
        ("models", "plots"),
        ("models", "explain"),
        ("models", "applications"),
        ("applications", "articles"),
        ("plots", "articles"),
        ("explain", "articles"),
        ("articles", "cli"),
    ],
)
def test_an_upward_import_fails_the_gate(checkout, lower, upper):
    folder = checkout / "minicnn" / lower
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    source.write_text(f"{source.read_text(encoding='utf-8')}\nimport minicnn.{upper}\n", encoding="utf-8")
    result = gate(checkout)
    assert result.returncode != 0
    assert re.search(rf"minicnn\.{lower} -> minicnn\.{upper}", result.stdout), result.stdout


def test_every_module_stands_on_a_floor():
    floors = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("layers = [", 1)[1]
    listed = set(re.findall(r"minicnn\.(\w+)", floors))
    modules = {path.stem for path in (ROOT / "minicnn").iterdir() if path.suffix == ".py" or path.is_dir()}
    modules -= {"__pycache__", *EVERYWHERE}
    assert modules <= listed, f"on no floor: {sorted(modules - listed)}"
