"""The articles' paths, as scripts: run by minicnn, and by Keras itself where it still has the names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import real_data

SCRIPTS = Path(__file__).parent / "scripts"
TRAIN, TEST = 400, 100


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A folder with the first of the digits that minicnn reads, for Keras."""
    root = tmp_path_factory.mktemp("keras")
    (x, y), (x_test, y_test) = real_data.require("mnist")
    real_data.require("fashion-mnist")
    parts = {"x_train": x[:TRAIN], "y_train": y[:TRAIN], "x_test": x_test[:TEST], "y_test": y_test[:TEST]}
    np.savez(root / "mnist.npz", **parts)
    return root


# Keras compares its file with a checksum, so the digits are put into its hands.
KERAS = """
import runpy, sys
import numpy as np
import keras

def load_data():
    parts = np.load(DIGITS)
    return (parts["x_train"], parts["y_train"]), (parts["x_test"], parts["y_test"])

DIGITS = sys.argv.pop()
keras.datasets.mnist.load_data = load_data
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def facts(command: list[str], digits: Path) -> list[str]:
    environment = {**os.environ, "KERAS_HOME": str(digits), "KERAS_BACKEND": "torch"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *command], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return re.findall(r"^FACT (.*)$", result.stdout, flags=re.MULTILINE)


def by_minicnn(digits: Path, script: str, *arguments: object, version: str = "3") -> list[str]:
    start = ["-m", "minicnn.compat.keras", "--keras-version", version, str(SCRIPTS / script)]
    return facts([*start, *map(str, arguments)], digits)


def by_keras(digits: Path, script: str, *arguments: object) -> list[str]:
    return facts(["-c", KERAS, str(SCRIPTS / script), *map(str, arguments), str(digits / "mnist.npz")], digits)


def test_seed_002_in_the_names_of_keras_1(digits):
    assert by_minicnn(digits, "digits_keras1.py", TRAIN, TEST, version="2.0.8") == [
        "parameters 543722",
        "output (None, 10)",
        "accuracy is a share True True",
        "both names True",
    ]


def test_all_old_arguments(digits):
    found = by_minicnn(digits, "digits_keras1_arguments.py", version="2.0.8")
    assert found[0] == "ordering th channels_first"
    assert found[1].startswith("shapes [(None, 1, 14, 14), (None, 6, 12, 12), (None, 6, 12, 12), (None, 6, 6, 6), ")
    assert found[3:] == [
        "keys ['accuracy', 'loss', 'val_accuracy', 'val_loss'] 2",
        "predictions (16, 3) True",
        "classes (2,)",
    ]


def test_seed_003_on_both(digits):
    found = by_minicnn(digits, "digits.py", TRAIN, TEST)
    assert found[0] == "parameters 484714"
    assert found[3:] == ["accuracy True True", "last True"]
    assert found == by_keras(digits, "digits.py", TRAIN, TEST)


def test_seed_001(digits, tmp_path):
    assert by_minicnn(digits, "fashion.py", TRAIN, TEST, tmp_path, version="2.3") == [
        "parameters 9770",
        "errors True (100, 10)",
        "history 2 2 2",
        "kernels (3, 3, 1, 10) True",
        "activations [(1, 28, 28, 10), (1, 28, 28, 20), (1, 28, 28, 1), (1, 784), (1, 10)]",
    ]
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")


def test_seed_000_on_both(digits, tmp_path):
    (tmp_path / "minicnn").mkdir()
    (tmp_path / "keras").mkdir()
    found = by_minicnn(digits, "pets.py", tmp_path / "minicnn")
    assert found[2:4] == ["loaded predicts the same True", "steps go on True"]
    assert found == by_keras(digits, "pets.py", tmp_path / "keras")


def test_seed_000_as_its_year_wrote_it(digits, tmp_path):
    assert by_minicnn(digits, "pets_tf1.py", tmp_path, version="2.3") == [
        "shapes (16, 12, 3) 295937 12281",
        "correlation (2, 2) 9",
        "keys ['binary_crossentropy', 'loss', 'mean_squared_error', 'val_binary_crossentropy', 'val_loss', "
        "'val_mean_squared_error']",
        "file True 6",
    ]


def test_the_example_of_the_progress_bar(digits):
    assert by_minicnn(digits, "progress.py", TRAIN, TEST, version="2.0.8") == ["parameters 538890", "logs True True"]


@pytest.mark.parametrize(("version", "patience"), [("2.0.8", 3), ("2.3", 2)])
def test_seed_004(digits, tmp_path, version, patience):
    found = by_minicnn(digits, "besbes.py", tmp_path, 24, 2, version=version)
    # Of SciPy's full convolution, 3x3 adds two rows and columns, 8x8 seven.
    assert found[:2] == ["filters (40, 40) (42, 42) (47, 47) 255", "upright edges True"]
    assert found[2] == "classes {'cats': 0, 'dogs': 1} 32 8"
    assert found[4:6] == ["history True", "loaded True"]
    assert found[6].endswith(f" {patience}")
    assert found[7] == "features (32, 1, 1, 512) 14714688 2"
