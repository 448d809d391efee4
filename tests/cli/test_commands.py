"""The command line as a whole: help, lists, error lines, exit codes, start-up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import minicnn
from minicnn import articles
from tests.cli.running import ROOT, start

COMMANDS = ["articles", "summary", "train", "evaluate", "predict", "doctor"]


def line_of(result):
    """The one line that an error is."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("minicnn: ")
    return lines[0]


def test_without_a_command_it_helps(run):
    result = run()
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: minicnn {command}")


def test_version(run):
    assert run("--version").output == f"minicnn, version {minicnn.__version__}\n"


def test_articles_lists_names_recipes_and_figures(run):
    result = run("articles")
    assert result.exit_code == 0
    for name in articles.names():
        assert name in result.output
    assert "3,274,634 parameters" in result.output
    assert "recipes: corrected, reported, adam" in result.output
    assert "test accuracy 0.9265 after 1 epoch\n" in result.output
    assert "validation mean_squared_error 0.3688 after 5 epochs\n" in result.output
    assert "validation correlation 0.4200 after a number of epochs that is not given\n" in result.output
    assert "E3: A. Besbes, understanding convolutional networks (2017), after LeCun et al. (1998)\n" in result.output
    assert "0 = dog, 1 = cat\n" in result.output
    assert "precision at the threshold 0.9)\n" in result.output


@pytest.mark.parametrize("name", articles.names())
def test_summary_of_an_article(run, name):
    result = run("summary", name)
    assert result.exit_code == 0
    assert f"{articles.get(name).parameters:,}" in result.output


def test_summary_of_a_file(run, trained):
    result = run("summary", trained / "model.minicnn")
    assert result.exit_code == 0
    assert "61,706" in result.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian", "lenet5"], "no command 'trian'; did you mean 'train'?"),
        (["zzz"], "no command 'zzz'; there are: articles, summary, train, evaluate, predict, explain, study, "),
        (["train"], "Missing argument 'NAME'"),
        (["train", "lenet"], "unknown article 'lenet'; did you mean 'lenet5' or 'alexnet'?"),
        (["summary", "khuyn"], "unknown article 'khuyn'; did you mean 'khuyen'?"),
        (["train", "khuyen", "--recipe", "sgd"], "unknown recipe 'sgd'; expected one of: adam, corrected, reported"),
        (["train", "eastmount-pyramid"], "eastmount-pyramid is there to be looked at, not to be trained"),
        (["train", "khuyen", "--recipe", "adm"], "khuyen: unknown recipe 'adm'; did you mean 'adam'?"),
        (["train", "lenet5", "--dataset", "mnits"], "'mnits' is not one of 'mnist', 'fashion-mnist', 'drawn-digits'"),
        (["train", "lenet5", "--dataset", "mnits"], "did you mean 'mnist'?"),
        (["train", "lenet5", "--kernels", "referense"], "did you mean 'reference'?"),
        (["train", "lenet5", "--epochs", "0"], "0 is not in the range x>=1"),
        (["train", "lenet5", "--epochs", "many"], "'many' is not a valid integer"),
        (["train", "lenet5", "--epoch", "2"], "minicnn train has no option --epoch; did you mean --epochs?"),
        (["train", "lenet5", "--lr", "0.1"], "minicnn train has no option --lr; minicnn train --help lists those"),
        (["train", "lenet5", "--no-augmnt"], "minicnn train has no option --no-augmnt; did you mean --no-augment?"),
        (["--versoin"], "minicnn has no option --versoin; did you mean --version?"),
        (["train", "lenet5", "--resume"], "there is no training to resume in runs"),
        (["evaluate", "no.minicnn"], "there is no file no.minicnn"),
        (["evaluate", "."], ". is a folder: name the model file in it"),
        (["predict", "no.minicnn", "seven.png"], "there is no file no.minicnn"),
        (["predict", "no.minicnn"], "Missing argument 'IMAGE...|FOLDER|ZIP'"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, words, expected):
    assert expected in line_of(run(*words))


def test_a_file_that_is_no_model(run, tmp_path):
    (tmp_path / "model.minicnn").write_bytes(b"not a model")
    assert "model.minicnn" in line_of(run("summary", "model.minicnn"))


def test_explicit_data_that_is_not_there(run, tmp_path):
    line = line_of(run("train", "lenet5", "--dataset", "mnist", "--data", tmp_path))
    assert str(tmp_path) in line
    assert "MNIST is not there" in line


@pytest.mark.parametrize("value", ["", "0"])
def test_debug_can_be_switched_off(run, monkeypatch, value):
    monkeypatch.setenv("MINICNN_DEBUG", value)
    assert "unknown article 'khuyn'" in line_of(run("summary", "khuyn"))


def test_debug_shows_where(run, monkeypatch):
    monkeypatch.setenv("MINICNN_DEBUG", "1")
    result = run("summary", "khuyn")
    assert isinstance(result.exception, ValueError)


def test_python_m_minicnn(tmp_path):
    process = start("articles", folder=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "eastmount" in output


def test_help_imports_neither_layers_nor_numba():
    code = (
        "import sys, minicnn.cli as c\n"
        "try: c.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "late = {'numba', 'matplotlib', 'h5py', 'cupy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(str(late) if late else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("missing", ["click", "numpy"])
def test_without_dependencies_it_says_how_to_install(tmp_path, missing):
    """A checkout that was never installed, on a Python that lacks what minicnn stands on."""
    absent = f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')"
    (tmp_path / f"{missing}.py").write_text(absent)
    process = start("articles", folder=tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert "python -m pip install ." in errors


def test_doctor_reports(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    result = run("doctor")
    assert result.exit_code == 0
    for title in ("minicnn", "processor", "memory", "kernels", "threads", "BLAS", "GPU", "caches", "data"):
        assert f"\n{title:<11}" in f"\n{result.output}"
    assert str(tmp_path / "cache") in result.output
    assert "drawn digits" in result.output
    assert "unknown:" not in result.output
