"""README.md keeps its promises: its Python runs, its commands exist, its pictures and links are there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import goals, gpu_report, report, reproduction
from minicnn.cli import cli
from minicnn.cli import reproduction as rows_of
from minicnn.cli.reproduction_table import table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = sorted(
    {
        line.strip().removeprefix("$ ").split("#")[0].strip()
        for language, text in BLOCKS
        if language in ("sh", "console", "bash")
        for line in text.splitlines()
        if line.strip().removeprefix("$ ").startswith(("minicnn ", "make "))
    }
)


def test_there_is_something_to_check():
    assert PYTHON
    assert {"make train", "make test"} <= set(COMMANDS)


@pytest.mark.network
@pytest.mark.parametrize("code", PYTHON, ids=[f"block{number}" for number in range(1, len(PYTHON) + 1)])
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("minicnn")])
def test_commands_and_their_options_exist(command):
    words = shlex.split(command)[1:]
    subcommand = cli.get_command(None, words[0])
    assert subcommand is not None, f"README mentions {command!r}"
    known = {option for parameter in subcommand.params for option in parameter.opts}
    for word in words[1:]:
        if word.startswith("--"):
            assert word in known, f"README mentions {word!r} in {command!r}"
    assert CliRunner().invoke(cli, [words[0], "--help"]).exit_code == 0


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_make_targets_exist(command):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert command.split()[1] in targets


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_to_files_lead_somewhere(target):
    if not re.match(r"[a-z]+:", target):
        assert (ROOT / target).exists(), f"README links to {target}"


def test_the_benchmark_table_is_the_one_of_the_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "networks.json").read_text(encoding="utf-8"))
    table = README.split(report.BEGIN)[1].split(report.END)[0]
    assert table.strip() == report.summary(results)


@pytest.mark.skipif(report.GOALS[0] not in README, reason="the README shows no table of goals")
def test_the_table_of_goals_is_the_one_of_the_results():
    table = README.split(report.GOALS[0])[1].split(report.GOALS[1])[0]
    assert table.strip() == goals.table(ROOT / "benchmarks" / "results")


@pytest.mark.skipif(gpu_report.MARKS[0] not in README, reason="the README shows no table of a GPU")
def test_the_gpu_table_is_the_one_of_the_results():
    results = json.loads((ROOT / "benchmarks" / "results" / "gpu.json").read_text(encoding="utf-8"))
    table = README.split(gpu_report.MARKS[0])[1].split(gpu_report.MARKS[1])[0]
    assert table.strip() == gpu_report.summary(results)


def test_the_reproduction_table_is_the_one_of_the_rows():
    found = README.split(reproduction.MARKS[0])[1].split(reproduction.MARKS[1])[0]
    assert found.strip() == table(rows_of.load(reproduction.RESULTS))
