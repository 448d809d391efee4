"""A machine without Numba trains all the same, says once why it is slow, and refuses what was asked for by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TRAIN = """
import minicnn, numpy as np
from minicnn import datasets, layers
(x, y), _ = datasets.drawn_digits.load_data(300, 0, seed=0)
minicnn.set_seed(0)
model = minicnn.Sequential([
    layers.Conv2D(8, 3, activation="relu", input_shape=(28, 28, 1)), layers.MaxPooling2D(),
    layers.Flatten(), layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x[..., None].astype("float32") / 255, y, epochs=6, verbose=0).history
assert history["accuracy"][-1] > 0.8, history
assert minicnn.kernels.current_kernels() == "reference"
print("trained")
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where importing Numba fails."""
    path = os.pathsep.join([str(ROOT / "tests" / "no_numba"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    env.pop("MINICNN_KERNELS", None) if "MINICNN_KERNELS" not in environment else None
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_training_goes_on_and_says_once_why_it_is_slow():
    result = python(TRAIN)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "trained\n"
    assert result.stderr.count("FallbackWarning: ") == 1, result.stderr
    assert "No module named 'numba'" in result.stderr
    assert "python -m pip install --upgrade numba" in result.stderr


def test_asking_for_the_fast_kernels_by_name_is_refused():
    result = python("import minicnn; minicnn.use_kernels('cpu')")
    assert result.returncode == 1
    assert "KernelsUnavailable: the 'cpu' kernels cannot run here" in result.stderr


def test_the_command_line_says_it_in_one_line():
    result = python("from minicnn.cli import main; main()", MINICNN_KERNELS="cpu")
    assert result.returncode == 0, result.stderr
    train = "import sys; sys.argv = ['minicnn', 'doctor']; from minicnn.cli import main; main()"
    doctor = python(train)
    assert doctor.returncode == 0, doctor.stderr
    assert "kernels    reference" in doctor.stdout
    assert "Traceback" not in doctor.stderr
