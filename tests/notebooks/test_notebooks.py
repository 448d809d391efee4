"""The notebooks run from their first cell to their last, and keep only what may be kept."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from minicnn.articles.exercises import EXERCISES

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Runs every code cell in one namespace, as a kernel would; `%` lines speak to Jupyter and are left out.
RUN = """
import json, pathlib, re, sys
import matplotlib
matplotlib.use("Agg")
names = {"__name__": "__main__"}
notebook = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
for number, cell in enumerate(notebook["cells"]):
    if cell["cell_type"] == "code":
        source = re.sub(r"(?m)^(\\s*)%.*$", r"\\1pass", "".join(cell["source"]))
        exec(compile(source, f"cell {number}", "exec"), names)
"""


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def sources(path: Path, kind: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells(path, kind))


def test_there_is_one_for_each_article_and_one_to_begin_with():
    assert [path.name[:2] for path in NOTEBOOKS] == ["00", "01", "02", "03", "04", "05"]


@pytest.mark.network
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, tmp_path):
    environment = {**os.environ, "MINICNN_SHORT": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, str(path)],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "minicnn computes on: c" in result.stdout
    assert "no answer yet." in result.stdout
    assert not list(tmp_path.iterdir())


def test_the_first_cell_is_the_same_in_all():
    assert len({"".join(cells(path, "code")[0]["source"]) for path in NOTEBOOKS}) == 1


@pytest.mark.parametrize(
    ("named", "wheel", "expected"),
    [
        ("git+https://example.org/minicnn", True, "git+https://example.org/minicnn"),
        ("", True, "minicnn-0.1.0-py3-none-any.whl"),
        # Not the package of that name on PyPI, which is another one.
        ("", False, "minicnn/"),
    ],
)
def test_where_minicnn_is_missing_it_is_installed_from_what_lies_there(tmp_path, monkeypatch, named, wheel, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICNN_SOURCE", named)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if wheel:
        (tmp_path / "minicnn-0.1.0-py3-none-any.whl").touch()
    source, _, rest = "".join(cells(NOTEBOOKS[0], "code")[0]["source"]).partition("    %pip install --quiet {SOURCE}")
    assert rest
    names = {}
    exec(source, names)
    assert str(names["SOURCE"]) == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_network_that_is_trained_is_on_the_device(path):
    compiled = re.findall(r"(\S*)\.compile\(", sources(path, "code"))
    assert compiled and all(before.endswith(".to(device)") for before in compiled)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_kept_whole_and_in_order(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_are_drawn_never_those_of_a_data_set(path):
    code = sources(path, "code")
    assert not re.search(r"mnist\.load_data|dogs_vs_cats|datasets\.load\(", code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_has_an_exercise_and_links_that_lead_somewhere(path):
    asked = re.findall(r'^check\("([^"]+)"', sources(path, "code"), flags=re.MULTILINE)
    assert asked and set(asked) <= set(EXERCISES)
    text = sources(path, "markdown")
    assert "](glossary.md)" in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (FOLDER / target).exists(), target


def test_every_exercise_has_its_place():
    code = "\n".join(sources(path, "code") for path in NOTEBOOKS)
    assert set(re.findall(r'^check\("([^"]+)"', code, flags=re.MULTILINE)) == set(EXERCISES)


def test_the_glossary_is_sorted_and_has_both_languages():
    text = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", text, flags=re.MULTILINE)
    terms = [term for term, _ in rows[2:]]
    assert len(terms) > 50 and terms == sorted(terms, key=str.lower)
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for _, chinese in rows[2:])
