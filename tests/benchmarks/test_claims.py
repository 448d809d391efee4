"""Each claim of the articles has its experiment, its figures and its place in a notebook."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import claims, experiments
from minicnn import articles
from minicnn.articles.variations import vary
from minicnn.layers import reset_names

ROOT = Path(__file__).resolve().parent.parent.parent
# A piece of code of the notebook that tries the claim on drawn pictures.
IN_NOTEBOOKS = {
    "wider-dense": "for units in (32, 64):",
    "trees": "boosted_trees(",
    "neighbours": "neighbour_correlation(x, distances)",
    "shuffled": '("shuffled", shuffled_pixels)',
    "plain": "plain.to(device).compile(",
    "strides": "strided(",
    "one-matrix": "as_one_matrix(chain",
    "gradients": "gradient_norm_by_layer(deep",
    "shifts": "shift_response(features",
    "parts": "plots.exciting_patches(inside, inside.layers[4]",
    "scales": "validation_data=(raw, held_y)",
    "grid": 'vary(articles.get("fashion-conv1x3").build()',
    "sizes": "survey(picture_source(",
    "leaderboard": 'print("id,label")',
}


# What the notebook says of figures that it does not quote as they are.
IN_WORDS = {
    "gradients": "1/40,000",
    "parts": "see 3, 8 and 18 pixels",
    "sizes": "its 25,000 pictures had been made 150 x 150",
}


def text_of(name: str, kind: str) -> str:
    (path,) = (ROOT / "notebooks").glob(f"{claims.CLAIMS[name].notebook}-*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_each_claim_is_tried_in_its_notebook(name: str) -> None:
    assert IN_NOTEBOOKS[name] in text_of(name, "code")


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_each_notebook_says_what_was_measured_on_real_data(name: str) -> None:
    text = " ".join(text_of(name, "markdown").split())
    if name in IN_WORDS:
        assert IN_WORDS[name] in text
        return
    forms = ("{0:.2f}", "{0:.3f}", "{0:.4f}", "{0:.6f}", "{0:,}", "{1:.1f} %")
    figures = claims.load()[name]["figures"]
    numbers = set(re.findall(r"\d[\d.,]*\d(?: %)?", text))
    said = [what for what, value in figures.items() if numbers & {form.format(value, 100 * value) for form in forms}]
    assert len(said) >= 2, (said, figures)


def test_what_is_measured_is_committed_and_answered() -> None:
    results = claims.load()
    assert {name for name, claim in claims.CLAIMS.items() if not claim.long} <= set(results) <= set(claims.CLAIMS)
    assert all(claim.answer for claim in claims.CLAIMS.values())
    text = claims.RESULTS.with_suffix(".md").read_text(encoding="utf-8")
    assert text.strip() == claims.table(results)


def test_one_claim_alone_leaves_the_others_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "results" / "claims.json"
    out.parent.mkdir()
    before: dict[str, Any] = {"trees": {"processor": "an abacus", "date": "2026-01-31", "figures": {"trees": 0.5}}}
    out.write_text(json.dumps(before), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["claims", "--only", "parts", "--out", str(out)])
    assert claims.main() == 0
    results = claims.load(out)
    assert results["trees"] == before["trees"]
    # Windows of 3, each convolution after one more pooling: 3, then 3 + 1 + 2 * 2, then 8 + 2 + 4 * 2.
    assert list(results["parts"]["figures"].values()) == [3, 8, 18]
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "an abacus (2026-01-31)" in text and "trees: 0.5000" in text


def test_the_study_of_the_last_network_reaches_the_one_before() -> None:
    """Its four combinations lead from strika-conv128 to strika-final, one change at a time."""
    reset_names()
    before = vary(articles.get("strika-final").build(), {"conv2d.filters": 128, "units": 256})
    assert before.count_params() == articles.get("strika-conv128").parameters


def test_long_ones_are_measured_only_where_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "claims.json"
    quick = {name: dataclasses.replace(claim, measure=lambda: {"one": 1}) for name, claim in claims.CLAIMS.items()}
    monkeypatch.setattr(claims, "CLAIMS", quick)
    monkeypatch.setattr(sys, "argv", ["claims", "--out", str(out)])
    assert claims.main() == 0
    assert set(quick) - set(claims.load(out)) == {"wider-dense"}
    assert out.with_suffix(".md").read_text(encoding="utf-8").count("not yet measured") == 1
    monkeypatch.setattr(sys, "argv", ["claims", "--only", "wider-dense", "--out", str(out)])
    assert claims.main() == 0
    assert set(claims.load(out)) == set(quick)


def test_four_networks_tell_two_changes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def trained(make: Any, data: Any, seed: int, epochs: int, rate: float) -> dict[str, float]:
        reset_names()
        built = {layer.name: layer for layer in make().layers}
        seen.append((built["conv2d"].filters, built["dense"].units, built["dense_1"].units, seed, epochs, rate))
        assert built["conv2d_1"].filters == 128
        return {"accuracy": float(seed)}

    monkeypatch.setattr(experiments, "trained", trained)
    found = experiments.wider_dense(seeds=(0, 1, 2), epochs=6, data=((np.zeros(1), np.zeros(1)),) * 2)
    assert found == {f"first convolution {f}, dense {u}": 1.0 for f in (64, 128) for u in (256, 512)}
    assert len(seen) == 12 and len({row[:4] for row in seen}) == 12
    assert all(row[1] == row[2] and row[4:] == (6, 1e-4) for row in seen)


def test_experiments_measure_on_what_they_did_not_train_on() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, 60)
    x = np.zeros((60, 28, 28, 1), np.float32)
    x[np.arange(60), labels] = 1
    found = experiments.trained(
        lambda: experiments.dense((28, 28, 1)), ((x[:40], labels[:40]), (x[40:], labels[40:])), epochs=30, rate=1e-2
    )
    assert found["accuracy"] > 0.8
    wrong = experiments.trained(
        lambda: experiments.dense((28, 28, 1)), ((x[:40], labels[:40]), (x[40:], (labels[40:] + 1) % 10)), epochs=30
    )
    assert wrong["accuracy"] < 0.2
