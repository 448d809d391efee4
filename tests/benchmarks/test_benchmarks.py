"""The benchmarks measure what they say, and the tables say what was measured; speed itself is never tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import driver, engines, goals, growth, layers, networks, overhead, pictures, process, report, worker
from benchmarks.cases import ARTICLES, CASES, PRODUCT, ConvCase, DenseCase
from benchmarks.engines import ENGINES, load
from benchmarks.workloads import WORKLOADS, Conv, Dense

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = [
    ConvCase(2, 7, 6, 3, 4, (3, 1)), ConvCase(2, 7, 6, 3, 4, (2, 3), "valid", "tanh", pool=False), DenseCase(3, 5, 4),
]  # fmt: skip


def test_the_cases_are_the_articles_layers() -> None:
    weighted = [layer for work in WORKLOADS.values() for layer in work.layers if isinstance(layer, (Conv, Dense))]
    assert len(ARTICLES) == len(weighted)
    assert "32 x 37x37x32, 64 of 3x3 same" in CASES  # besbes' third, after two poolings of 150 pixels
    assert CASES["64 x 3136 @ 3136 x 1024"].operations("forward") == 2 * 64 * 3136 * 1024
    shapes = [shape.shape for work in WORKLOADS.values() for shape in work.weights()][::2]
    ours = [(*case.kernel, case.C, case.F) if isinstance(case, ConvCase) else (case.K, case.N) for case in ARTICLES]
    assert ours == shapes


@pytest.mark.parametrize("case", SMALL, ids=str)
@pytest.mark.parametrize("variant", ["eager", "channels-last"])
def test_both_engines_compute_passes_of_the_same_shape(case: Any, variant: str) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    import minicnn
    from benchmarks.engines.minicnn_engine import Engine as Ours
    from benchmarks.engines.torch_engine import Engine as Theirs

    kernels, own = minicnn.kernels.current_kernels(), minicnn.get_num_threads()
    try:
        ours, theirs = Ours(1, "cpu"), Theirs(1, variant)
        for what in case.passes:
            run, other = ours.layer(case, what), theirs.layer(case, what)
            if other is None:
                assert (variant, type(case)) == ("channels-last", DenseCase)
                continue
            assert run is not None
            assert sizes(run()) == sizes(other()), what
    finally:
        torch.set_num_threads(threads)
        minicnn.use_kernels(kernels)
        minicnn.set_num_threads(own)


def sizes(result: Any) -> list[int]:
    """Elements of each array, winners left out."""
    several = result if isinstance(result, tuple) else (result,)
    return [int(np.prod(each.shape)) for each in several if each is not None and str(each.dtype).endswith("float32")]


def test_blas_is_asked_for_its_product_alone() -> None:
    engine = load("numpy", 1)
    assert engine.layer(PRODUCT, "forward")().shape == (2048, 2048)
    assert engine.layer(SMALL[0], "forward") is None


def test_growth_changes_one_thing_at_a_time() -> None:
    for name, series in growth.GROWTH.items():
        assert len(series) >= 4
        for value, work in series.items():
            conv: Any = work.layers[0]
            told = {"batch": work.batch_size, "picture size": work.input_shape[0], "channels": conv.filters}
            assert told == {"batch": 32, "picture size": 32, "channels": 16, name: value}
            assert work.samples >= work.batch_size


def measured(train: float, keras: float, memory: float = 100.0) -> dict[str, Any]:
    ours = {"train": [train] * 3, "predict 1": [5.0], "predict 32": [5.0], "predict 256": [5.0], "peak MiB": [memory]}
    other = {"train": [keras], "predict 1": [10.0], "predict 32": [5.0], "predict 256": [4.0], "peak MiB": [300.0]}
    torch = {**other, "train": [2.0]}
    return {"rounds": {"minicnn": ours, "torch": torch, "keras-tensorflow": other}}


def about() -> dict[str, Any]:
    return {**report.about(2), "versions": {"torch": {}}, "missing": {"keras-jax": "no jax"}}


def test_goals_are_read_off_the_results(tmp_path: Path) -> None:
    parts = {
        "networks": {"eastmount": measured(4.0, 1.0), "besbes": measured(2.0, 8.0)},
        "process": {"lenet5, one epoch": {"rounds": {
            "minicnn": {"start to end, s": [3.0]}, "keras-tensorflow": {"start to end, s": [10.0]},
        }}},
        "growth": {"threads": {"rounds": {
            "minicnn, 1 thread": {"besbes": [10.0]}, "minicnn, 2 threads": {"besbes": [17.0]},
            "NumPy's BLAS, 1 thread": {growth.BLAS: [80.0]}, "NumPy's BLAS, 2 threads": {growth.BLAS: [140.0]},
        }}},
        "layers": {"articles": {"rounds": {
            "minicnn": {
                "128 x 28x28x32, 32 of 5x5 same: forward": [90.0], "64 x 28x28x1, 32 of 5x5 same: forward": [1.0],
            },
            "numpy": {f"{PRODUCT}: forward": [100.0]},
        }}, "sweep": {"rounds": {
            "minicnn": {"16 x 28x28x32, 32 of 1x1 same: forward": [96.0]}, "numpy": {f"{PRODUCT}: forward": [120.0]},
        }}},
        "pictures": {"besbes": {"rounds": {"minicnn": {pictures.SPEED: [200.0], pictures.WAITS: [0.02, 0.3, 0.04]}}}},
    }  # fmt: skip
    for part, workloads in parts.items():
        results = {"part": part, "unit": "pictures a second", "about": about(), "rounds": 1, "workloads": workloads}
        report.write(results, tmp_path / f"{part}.json")
        assert part == "pictures" or (tmp_path / f"{part}.png").stat().st_size > 1000
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in goals.write(tmp_path).splitlines()}
    assert rows["`eastmount`: training over the fastest other engine (torch)"] == ["at least 2", "**2.00**", "yes |"]
    assert rows["`besbes`: training over the fastest other engine (keras-tensorflow)"][1:] == ["**0.25**", "no |"]
    assert rows["training over Keras on TensorFlow, geometric mean"][1] == "**1.00**"  # 4 and 1/4
    assert rows["`besbes`: prediction over the fastest other, batch 256 (torch)"][1:] == ["**1.25**", "yes |"]
    assert rows["`besbes`: peak memory over PyTorch's"] == ["at most 0.5", "**0.33**", "yes |"]
    assert rows["whole process over Keras on TensorFlow (lenet5, one epoch)"][1:] == ["**0.30**", "yes |"]
    assert rows["`besbes`: 2 threads over 1 (BLAS' product in the same run: 1.75)"][1:] == ["**1.70**", "no |"]
    assert rows["besbes: share of its time that fit waits for pictures"] == ["at most 0.1", "**0.04**", "yes |"]
    (wide,) = (cells for name, cells in rows.items() if name.startswith("forward convolutions"))
    assert wide[1:] == ["**0.80**", "yes |"]  # over the product in the same rounds
    assert "Not installed here: keras-jax." in (tmp_path / "networks.md").read_text(encoding="utf-8")


def test_the_table_of_layers_compares_with_the_faster_pytorch() -> None:
    case = "64 x 1024 @ 1024 x 10"
    figures = {
        "minicnn": {f"{case}: forward": 30.0}, "torch": {f"{case}: forward": 20.0},
        "torch-channels-last": {f"{case}: forward": 60.0}, "numpy": {f"{PRODUCT}: forward": 120.0},
    }  # fmt: skip
    assert layers.table(figures)[-1] == f"| {case} | 30 (0.50) |  |  |  |  | 0.25 |"


def test_less_memory_and_less_time_are_better() -> None:
    figures = {"minicnn": {"peak MiB": 50.0}, "torch": {"peak MiB": 200.0}, "keras-torch": {"peak MiB": 100.0}}
    assert report.best_other(figures, "peak MiB") == ("keras-torch", 100.0)


def test_spans_of_two_threads_count_once() -> None:
    spans = [(0.0, 2.0, "a"), (1.0, 3.0, "b"), (5.0, 6.0, "a"), (5.5, 5.7, "c")]
    assert overhead.covered(spans) == 4.0


class Answering:
    """Stands for an engine: gives the same answer to whatever it is asked."""

    def __init__(self, predictions: list[list[float]], losses: list[float]) -> None:
        self.name = "answering"
        self.answer = {"predictions": predictions, "losses": losses}

    def ask(self, do: str, **arguments: Any) -> Any:
        return self.answer


def test_slow_engines_must_agree_as_far_as_they_answer() -> None:
    fast: Any = Answering([[0.2, 0.8], [0.6, 0.4]], [0.7, 0.5])
    slow: Any = Answering([[0.20005, 0.8]], [])
    assert networks.check_agreement("lenet5", [fast, fast, slow])["predictions"] == pytest.approx(0.00005)
    wrong: Any = Answering([[0.25, 0.75]], [])
    with pytest.raises(SystemExit, match=r"answering differs from the others by 0.05 in its predictions"):
        networks.check_agreement("lenet5", [fast, fast, wrong])


class OnePicture:
    """Stands for an engine that cannot do more."""

    most_pictures = 1

    def build(self, work: Any, dropout: bool) -> None:
        self.classes = work.classes

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        return np.full((len(x), self.classes), 0.1)

    def epoch(self, x: np.ndarray, y: np.ndarray) -> None:
        assert len(x) == len(y) == 1


def test_loops_are_given_what_they_can_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    assert networks.LOOPS in ENGINES
    assert set(networks.LOOPS_END) < set(WORKLOADS)
    monkeypatch.setattr(engines, "load", lambda *arguments: OnePicture())
    loops = worker.Worker(networks.LOOPS, 1)
    assert loops.agree("lenet5") == {"predictions": [[0.1] * 10], "losses": []}
    loops.prepare("lenet5")
    assert loops.train() > 0
    assert loops.predict(32, 512) > 0


def test_a_process_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LIMIT", 0.01)
    with pytest.raises(driver.EngineFailed, match=r"minicnn: has not come to its end within 0.01 seconds"):
        process._run("minicnn", 128, 1)


def test_as_many_cats_as_dogs_are_written(tmp_path: Path) -> None:
    pictures.write(tmp_path, 6)
    assert [len(list((tmp_path / animal).glob("*.jpg"))) for animal in ("cat", "dog")] == [3, 3]


def test_a_whole_run_of_one_engine(tmp_path: Path) -> None:
    """The driver, a worker and the report together, on the smallest network."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--parts", "networks", "--only", "fashion-conv1x3", "--quick",
         "--engines", "minicnn", "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    results = json.loads((tmp_path / "networks.json").read_text(encoding="utf-8"))
    (rounds,) = results["workloads"].values()
    assert rounds["rounds"]["minicnn"]["train"][0] > 0
    assert results["about"]["versions"]["minicnn"]["kernels"] == "cpu"
    assert "fashion-conv1x3" in finished.stdout
