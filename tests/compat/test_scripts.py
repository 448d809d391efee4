"""The command: scripts and notebooks as they are, their arguments, their errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from minicnn.compat import keras as compat
from minicnn.compat.keras.__main__ import main
from minicnn.compat.keras.published import DIFFERS, STOPS


def run(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_arguments_and_main(tmp_path):
    script = tmp_path / "with a blank é.py"
    script.write_text(
        "import sys, helper, keras\n"
        "assert __name__ == '__main__' and helper.VALUE == 3\n"
        "print(sys.argv[1:], keras.__version__, __file__ == sys.argv[0])\n",
        encoding="utf-8",
    )
    (tmp_path / "helper.py").write_text("VALUE = 3\n")
    result = run("--keras-version", "2.0.8", script, "a", "--epochs", "3")
    sys.modules.pop("helper", None)
    assert result.exit_code == 0, result.output
    assert result.output == "['a', '--epochs', '3'] 2.0.8 True\n"
    assert not compat.installed()


def test_a_failing_script_leaves_nothing_installed(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text("import keras\nraise RuntimeError('as written')\n")
    before = sys.argv, sys.modules["__main__"]
    result = run(script)
    assert isinstance(result.exception, RuntimeError)
    assert (sys.argv, sys.modules["__main__"]) == before
    assert not compat.installed()


def test_notebooks_run_without_their_magic(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Words"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install keras\n", "import keras\n"]},
        {"cell_type": "code", "source": "%%bash\nexit 1\n"},
        {"cell_type": "code", "source": ["if True:\n", "    %time 3\n", "print(keras.layers.Dense(2).units)"]},
    ]
    notebook = tmp_path / "lesson.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    result = run(notebook)
    assert result.exit_code == 0, result.output
    assert result.output == "2\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.ipynb", "{", "is no notebook of format 4"),
        ("other.ipynb", "[1]", "is no notebook of format 4"),
        ("missing.py", None, "there is no file"),
    ],
)
def test_files_that_cannot_run(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    result = run(tmp_path / name)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.startswith("Error: ") and result.output.count("\n") == 1


def test_old_names_are_noted_in_one_line_each(tmp_path):
    script = tmp_path / "old.py"
    script.write_text("from keras.layers import Dense\nfor _ in range(2):\n    Dense(output_dim=2)\n")
    command = [sys.executable, "-m", "minicnn.compat.keras", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == "old.py:3: Dense(output_dim=) is an old name; today it is units\n"


def test_the_help_lists_what_published_code_needs_corrected():
    text = " ".join(run("--help").output.split())
    for correction in (*STOPS, *DIFFERS):
        assert f"{correction.printed}: {correction.happens}. Instead: {correction.correction}" in text


@pytest.mark.parametrize(
    ("printed", "corrected", "error"),
    [
        ("np.ones((3, 3), np.Float32)", "np.ones((3, 3), np.float32)", AttributeError),
        ("shutil.rmtree('./data/')", "os.makedirs('./data/'); shutil.rmtree('./data/')", FileNotFoundError),
        ("fitted_model.history", "fitted_model = model.fit(x, y, verbose=0); fitted_model.history", NameError),
        ("TQDMNotebookCallback(leave_inners=True)", "TQDMNotebookCallback(leave_inner=True)", TypeError),
        ("model.save('./models/m.h5')", "os.makedirs('models'); model.save('./models/m.h5')", OSError),
        ("open('./features/f.npy', 'wb')", "os.makedirs('features'); open('./features/f.npy', 'wb').close()", OSError),
    ],
)
def test_published_code_stops_where_the_list_says_and_runs_as_corrected(
    install, tmp_path, monkeypatch, printed, corrected, error
):
    monkeypatch.chdir(tmp_path)
    install("2.0.8")
    begin = (
        "import os, shutil, numpy as np\nfrom keras.models import Sequential\nfrom keras.layers import Dense\n"
        "from keras_tqdm import TQDMNotebookCallback\nmodel = Sequential([Dense(1, input_dim=2)])\n"
        "model.compile('sgd', 'mse')\nx, y = np.ones((4, 2)), np.ones((4, 1))\n"
    )
    with pytest.raises(error):
        exec(begin + printed, {})
    exec(begin + corrected, {})
