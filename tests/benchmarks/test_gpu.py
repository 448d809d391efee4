"""The benchmark on a GPU: what can be known without one. Its figures in these tests are made up."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import driver, engines, gpu, gpu_networks, gpu_parity, gpu_report, worker
from benchmarks.cases import CASES, ConvCase, DenseCase
from benchmarks.flat_cases import _COST, COPY, FLAT, GPU_CASES, LARGE_PRODUCT, FlatCase, traffic
from benchmarks.workloads import WORKLOADS, Conv, Dense, Dropout, Pool, Workload
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings

CONVOLUTION = "16 x 28x28x64, 64 of 3x3 same"


@pytest.fixture
def cupy() -> Iterator[Any]:
    Settings.thorough = False
    with device.present() as module:
        yield module
    Settings.thorough = True


@pytest.fixture
def ours(cupy: Any) -> Any:
    import minicnn

    kernels, threads = minicnn.kernels.current_kernels(), minicnn.get_num_threads()
    yield engines.load("minicnn", 1, "cuda")
    minicnn.use_kernels(kernels)
    minicnn.set_num_threads(threads)


def about() -> dict[str, Any]:
    return {
        "chip": "NVIDIA Imaginary", "capability": "9.0", "memory, GiB": 80.0, "driver": "580.1", "runtime": 13000,
        "date": "2026-01-01", "versions": {"minicnn": {"minicnn": "1.0", "kernels": "cuda"}, "torch": {"torch": "2.9"}},
        "missing": {"keras-jax": "no jax"}, "failed": {"torch, relu, 16 Mi": "out of memory"},
    }  # fmt: skip


def test_the_tables_compare_with_pytorch_and_with_the_limits_of_the_same_run() -> None:
    count = COPY.count
    kernels = {
        # Eight bytes a number: 2 TB/s, of the better of the two.
        f"{COPY}: forward": {"minicnn": [1.0], "torch": [2e12 / 8 / 1e9]},
        f"{LARGE_PRODUCT}: forward": {"minicnn": [5e4], "torch": [3e5, 4e5, 5e5]},
        "relu, 16 Mi: forward": {"minicnn": [count / 100e-6 / 1e9], "torch": [count / 50e-6 / 1e9]},
        f"{CONVOLUTION}: forward": {"minicnn": [2e5], "torch": [1e5], "torch-channels-last": [4e5]},
        f"{CONVOLUTION}: block": {"minicnn": [1e5]},
    }
    lines = gpu_report.kernel_table(kernels)
    assert lines[0].startswith("Copies on the device: 2,000 GB/s.") and "400.0 TFLOP/s, by torch" in lines[0]
    cells = [line.strip("| ").split(" | ") for line in lines if "| " in line]
    rows = {tuple(row[:2]): row[2:] for row in cells}
    # 8 * 2**24 bytes at 2 TB/s take 67.1 microseconds.
    assert rows["relu, 16 Mi", "forward"] == ["100.0", "0.50", "67.1 (memory)", "0.67"]
    operations = CASES[CONVOLUTION].operations("forward")
    assert operations == 2 * 16 * 28 * 28 * 64 * 64 * 9
    # 924.8 million operations at 400 TFLOP/s take 2.3 microseconds; 6.6 MB at 2 TB/s take 3.3.
    bytes_ = 4 * (2 * 16 * 28 * 28 * 64 + 64 * 64 * 9)
    least, seconds = bytes_ / 2e12, operations / 2e14
    assert rows[CONVOLUTION, "forward"] == [
        f"{seconds * 1e6:.1f}", "0.50", f"{least * 1e6:.1f} (memory)", f"{least / seconds:.2f}"]  # fmt: skip
    assert rows[CONVOLUTION, "block"][1] == ""
    (goal,) = gpu_report.goals({"kernels": kernels})
    assert goal.value == pytest.approx(least / seconds) and goal.reached
    assert goal.measure.endswith(f"the least ({CONVOLUTION}, forward; 1 of 1 reach it)")


def test_a_pass_with_many_operations_to_a_byte_waits_for_arithmetic() -> None:
    limits = gpu_report.Limits(bandwidth=1e12, rate=1e12, by="torch")
    case = CASES[CONVOLUTION]
    assert limits.seconds(case, "forward") == (case.operations("forward") / 1e12, "arithmetic")
    assert limits.seconds(FLAT["relu, 16 Mi"], "forward") == (2 * 4 * 2**24 / 1e12, "memory")


def figures(train: float) -> dict[str, list[float]]:
    return {"train": [train] * 3, "device MiB": [100.0], "kernels a step": [30.0]}


ROUNDS = {
    "lenet5": {
        "minicnn": figures(9e5), "torch": figures(2e5), "torch-reduce-overhead": figures(6e5),
        "keras-jax": {"train": [3e5], "device MiB": [200.0]},
    },
    "besbes": {"minicnn": figures(4e4), "torch": figures(6e4)},
    "khuyen": {"torch": figures(1e5)},
}  # fmt: skip
NETWORKS = {name: {"rounds": rounds} for name, rounds in ROUNDS.items()}


def test_networks_show_each_engine_and_how_we_compare() -> None:
    lines = gpu_report.network_table(NETWORKS)
    assert "| lenet5 | minicnn | 900,000 | 30 | 100 |" in lines
    assert "| lenet5 | keras-jax | 300,000 |  | 200 |" in lines
    assert gpu_report.ratio_table(NETWORKS)[2:] == [
        "| `lenet5` | 900,000 | 600,000 (torch-reduce-overhead) | **1.50** | 67% | 4.50 | 3.00 |",
        "| `besbes` | 40,000 | 60,000 (torch) | **0.67** | 150% | 0.67 |  |",
        "| geometric mean | | | **1.00** | | 1.73 | 3.00 |",
    ]


def test_the_readme_shows_the_ratios_and_every_goal() -> None:
    run = {"s": 7.25, "accuracy": 0.9901}
    process = {"cold": {"s": 30.0, "accuracy": 0.99}, "warm": run, "strict float32": {"s": 9.0, "accuracy": 0.9971}}
    text = gpu_report.summary({"rounds": gpu.ROUNDS, "about": about(), "networks": NETWORKS, "process": process})
    for expected in (
        "| `lenet5`: training over PyTorch's fastest (torch-reduce-overhead) | at least 1 | **1.50** | yes |",
        "| `lenet5`: training over PyTorch eager | at least 3 | **4.50** | yes |",
        "| `besbes`: training over PyTorch's fastest (torch) | at least 1 | **0.67** | no |",
        "| `minicnn train eastmount --device cuda`: seconds, kernels compiled before | at most 10 | **7.25** | yes |",
        "| `minicnn train eastmount --device cuda`: points between its accuracy with TF32 and in strict float32 | "
        "at most 0.5 | **0.70** | no |",
        "medians of 3 epochs in turns on an NVIDIA Imaginary with driver 580.1, 2026-01-01",
    ):  # fmt: skip
        assert expected in text
    assert "`besbes`: training over PyTorch eager" not in text  # its kernels take longer than asking for them


def test_the_whole_report_names_chip_driver_versions_and_what_is_missing(tmp_path: Path) -> None:
    process = {"cold": {"s": 30.0, "accuracy": 0.99}, "warm": {"failed": "minicnn: MNIST is not there"}}
    results = {"rounds": gpu.ROUNDS, "about": about(), "networks": NETWORKS, "process": process}
    gpu.write(results, tmp_path)
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    for expected in (
        "NVIDIA Imaginary (capability 9.0, 80.0 GiB), driver 580.1, CUDA runtime 13000, 2026-01-01; minicnn minicnn 1",
        "Medians of 3 rounds (networks) in turns", "- cold: 30.0 s, test accuracy 0.9900",
        "- warm: minicnn: MNIST is not there", "Failed: torch, relu, 16 Mi: out of memory",
        "Not here: keras-jax (no jax).",
    ):  # fmt: skip
        assert expected in text
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8")) == results


def test_the_command_is_run_cold_warm_and_in_strict_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], str, str]] = []
    answers = iter([(0, "Test loss 0.0301\nTest accuracy 0.9912   (the article: 0.99)\n"), (1, ""), (0, "Done\n")])

    def run(command: list[str], env: dict[str, str], **options: Any) -> Any:
        seen.append((command, env["CUPY_CACHE_DIR"], env["MINICNN_TF32"]))
        status, said = next(answers)
        return subprocess.CompletedProcess(command, status, said, "Traceback\nMemoryError\n" if status else "")

    monkeypatch.setattr(subprocess, "run", run)
    found: dict[str, Any] = {}
    for _ in gpu.measure_process(argparse.Namespace(patience=5.0), {}, found):
        pass
    assert found["cold"]["accuracy"] == 0.9912 and 0 <= found["cold"]["s"] < 5
    assert found["warm"] == {"failed": "MemoryError"} and found["strict float32"] == {"failed": "Done"}
    command, cache, _ = seen[0]
    assert command[1:8] == ["-m", "minicnn", "train", "eastmount", "--device", "cuda", "--epochs"]
    assert {folder for _, folder, _ in seen} == {cache} and [strict for *_, strict in seen] == ["1", "1", "0"]
    assert not Path(cache).exists()


def test_a_training_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_report, "COMMAND", "this")  # says the Zen of Python, and takes longer
    assert gpu._train(dict(os.environ), 0.001) == {"failed": "had not ended after 0.001 s"}


def test_without_a_gpu_it_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "why_no_gpu", lambda: "CuPy is not installed")
    assert gpu.main(["--quick"]) == 1
    assert capsys.readouterr().err == "benchmarks.gpu: there is no GPU to measure: CuPy is not installed\n"
    monkeypatch.setattr("benchmarks.engines.minicnn_engine.why_no_gpu", lambda: "CuPy is not installed")
    with pytest.raises(ImportError, match="CuPy is not installed"):
        engines.load("minicnn", 1, "cuda")


def test_every_engine_of_the_gpu_is_left_out_where_it_sees_none() -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    with pytest.raises(ImportError, match="this PyTorch sees no GPU"):
        engines.load("torch-channels-last", threads, "cuda")


class FakeEngine:
    """Answers as a worker would, at once; one whose name begins with what it is asked for fails, or never answers."""

    def __init__(self, name: str) -> None:
        self.name, self.versions = name, {name: "1"}
        self.closed = threading.Event()

    def ask(self, do: str, **arguments: Any) -> Any:
        if self.name.startswith(do) or str(arguments.get("case")).startswith(f"adam for {self.name}"):
            raise driver.EngineFailed(f"{self.name}: out of memory\nin detail")
        if do == "prepare" and self.name == "endless":
            self.closed.wait(30)
            raise driver.EngineFailed("endless: the process ended with status -9")
        answers: dict[str, Any] = {
            "agree": {"predictions": [[0.5 if self.name == "wrong" else 1.0]], "losses": [1.0]}, "train": 5.0,
            "layer": {"forward": 1.0}, "device_memory": 7.0, "kernels": None if self.name == "keras-jax" else 12.0,
        }  # fmt: skip
        return answers.get(do)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The benchmark, with engines that answer at once; which were started where."""
    asked: list[Any] = []

    @contextlib.contextmanager
    def running(names: Any, threads: int, facts: Any, where: str) -> Iterator[Any]:
        asked.append((list(names), where))
        yield [FakeEngine(name) for name in names]

    monkeypatch.setattr(gpu, "why_no_gpu", lambda: None)
    monkeypatch.setattr(gpu, "chip", lambda: {key: about()[key] for key in about() if key not in ("versions",)})
    monkeypatch.setattr(driver, "running", running)
    return asked


def test_a_run_asks_every_engine_in_turns(
    fakes: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu.FLAT, "adam for torch", FlatCase("adam"))
    monkeypatch.setitem(GPU_CASES, "adam for torch", FlatCase("adam"))
    arguments = ["--parts", "kernels", "networks", "--quick", "--out", str(tmp_path), "--engines", "minicnn", "torch"]
    assert gpu.main([*arguments, "--only", "lenet5", "relu, 16 Mi", "adam for torch"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert fakes == [(["minicnn", "torch"], "cuda")] * 2
    assert list(found["kernels"]) == [
        f"{COPY}: forward", f"{LARGE_PRODUCT}: forward", "relu, 16 Mi: forward", "adam for torch: forward"]  # fmt: skip
    assert found["kernels"]["adam for torch: forward"] == {"minicnn": [1.0]}
    assert found["about"]["failed"]["torch, adam for torch"] == "torch: out of memory\nin detail"
    assert found["rounds"] == {"kernels": 1, "networks": 1}
    network = found["networks"]["lenet5"]
    assert network["pictures"] == 468 * 128 and network["agreement"] == {"predictions": 0.0, "losses": 0.0}
    assert network["rounds"]["torch"] == {"train": [5.0], "device MiB": [7.0], "kernels a step": [12.0]}
    shown = capsys.readouterr().out
    assert "| lenet5 | torch | 5 | 12 | 7 |" in shown
    assert "Failed: torch, adam for torch: torch: out of memory\n" in shown


def test_engines_that_fail_are_left_out_of_the_network_and_named(fakes: list[Any]) -> None:
    names = ["minicnn", "torch", "keras-jax", "agree", "prepare", "train", "kernels", "wrong", "endless"]
    options = argparse.Namespace(
        engines=names, threads=1, only=["fashion-conv1x3"], rounds={"networks": 2}, patience=0.5
    )  # fmt: skip
    facts: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for _ in gpu_networks.measure(options, facts, found):
        pass
    rounds = found["fashion-conv1x3"]["rounds"]
    assert rounds["minicnn"] == {"train": [5.0, 5.0], "device MiB": [7.0], "kernels a step": [12.0]}
    assert rounds["keras-jax"] == {"train": [5.0, 5.0], "device MiB": [7.0]}
    assert rounds["kernels"] == {"train": [5.0, 5.0]} and len(rounds) == 4
    why = {name: f"{name}: out of memory\nin detail" for name in names}
    assert facts["failed"] == {
        "agree, fashion-conv1x3": why["agree"], "prepare, fashion-conv1x3": why["prepare"],
        "train, fashion-conv1x3": why["train"], "counting, kernels, fashion-conv1x3": why["kernels"],
        "wrong, fashion-conv1x3": "differs from the others by 0.5 in its predictions",
        "endless, fashion-conv1x3": "was not ready within 0.5 s",
    }  # fmt: skip


def test_an_epoch_is_whole_batches_of_about_as_many_pictures_as_the_data_has() -> None:
    assert {name: gpu_networks.epoch_of(name) for name in WORKLOADS} == {
        "eastmount": 59_968, "khuyen": 59_904, "lenet5": 59_904, "fashion-conv1x3": 59_904,
        "besbes": 3_200}  # fmt: skip


def test_a_process_that_has_ended_is_an_engine_that_failed() -> None:
    engine = driver.Engine("numpy", 1)
    engine.process.kill()
    with pytest.raises(driver.EngineFailed, match="numpy: the process ended with status"):
        engine.ask("versions")
    engine.close()


# --- what the engines do ---------------------------------------------------------------------------------------------

TINY = [*(FlatCase(what, 2**18) for what in _COST), ConvCase(2, 6, 6, 3, 4, (3, 3)), DenseCase(3, 5, 4)]


@pytest.mark.gpu
@pytest.mark.parametrize("case", TINY, ids=str)
def test_both_engines_have_every_pass(ours: Any, case: Any) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.engines.torch_engine import Engine

    theirs = Engine(torch.get_num_threads(), "eager", "cuda" if device.on_gpu else "cpu")
    for what in case.passes:
        run, other = ours.layer(case, what), theirs.layer(case, what)
        result = run()
        other()
        assert traffic(case, what) > 0
        for array in result if isinstance(result, tuple) else [result]:
            assert array is None or np.isfinite(array.get()).all()


@pytest.mark.gpu
def test_a_repeated_step_reads_the_numbers_of_one_step(ours: Any, cupy: Any) -> None:
    from minicnn import kernels
    from minicnn.kernels import reference

    arrays = [np.linspace(0.1, 1.0, 64, dtype=np.float32) + shift for shift in range(4)]
    there = [cupy.asarray(array) for array in arrays]
    options: Any = {
        "learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.1, "step": 3,
    }  # fmt: skip
    step = ours.repeated(lambda: kernels.adam_step(*there, **options), 2)
    assert np.array_equal(there[0].get(), arrays[0])
    step()
    for _ in range(2):
        reference.adam_step(*arrays, **options)
    np.testing.assert_allclose(there[0].get(), arrays[0], rtol=1e-5)


def test_the_traffic_of_a_pass_is_every_array_once() -> None:
    case = ConvCase(2, 6, 6, 3, 4, (3, 3))
    assert traffic(case, "forward") == 4 * (2 * 36 * 3 + 9 * 3 * 4 + 2 * 36 * 4)
    assert traffic(case, "block") == 4 * (2 * 36 * 3 + 9 * 3 * 4 + 2 * 9 * 4) + 2 * 9 * 4
    assert traffic(DenseCase(3, 5, 4), "forward") == 4 * (15 + 20 + 12)
    assert traffic(LARGE_PRODUCT, "forward") == 12 * 8192**2
    assert GPU_CASES["adam, 16 Mi"].traffic("forward") == 7 * 4 * 2**24


@pytest.mark.gpu
@pytest.mark.parametrize("what", ["relu", "adam", "dropout"])
def test_a_pass_is_timed_as_one_graph_of_many(ours: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    calls: list[int] = []
    repeated = ours.repeated
    monkeypatch.setattr(ours, "repeated", lambda run, times: calls.append(times) or repeated(run, times))
    monkeypatch.setattr(worker.engines, "load", lambda *arguments: ours)
    monkeypatch.setitem(GPU_CASES, "small", FlatCase(what, 2**12))
    speeds = worker.Worker("minicnn", 1, "cuda").layer("small", 0.0)
    assert calls == [worker.CALLS] and speeds["forward"] > 0


@pytest.mark.gpu
def test_our_engine_trains_on_the_device(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Workload(
        "small", (8, 8, 1), (Conv(2, (3, 3)), Pool(), Dropout(0.5), Dense(3, None)), batch_size=4, optimizer="adam",
        learning_rate=1e-3, samples=12,
    )  # fmt: skip
    monkeypatch.setitem(WORKLOADS, "small", small)
    monkeypatch.setattr(worker.engines, "load", lambda *arguments: ours)
    asked = worker.Worker("minicnn", 1, "cuda")
    assert len(asked.agree("small")["losses"]) == 5
    asked.prepare("small", 16)
    assert len(asked.x) == 16 and asked.train() > 0 and asked.device_memory() > 0
    assert asked.versions()["kernels"] == "cuda"
    if not device.on_gpu:
        assert asked.kernels() is None  # nobody can count them


@pytest.mark.gpu
def test_the_chip_is_told_by_the_runtime(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if not device.on_gpu:
        properties = {"name": b"NVIDIA Imaginary", "major": 9, "minor": 0, "totalGlobalMem": 80 * 2**30}
        for name, answer in {"getDevice": 0, "getDeviceProperties": properties, "driverGetVersion": 13000,
                             "runtimeGetVersion": 13000}.items():  # fmt: skip
            monkeypatch.setattr(cupy.cuda.runtime, name, lambda *_, answer=answer: answer, raising=False)
        monkeypatch.setattr(gpu, "_driver", lambda: "")
    found = gpu.chip()
    assert set(found) == {"chip", "capability", "memory, GiB", "driver", "runtime"}
    if not device.on_gpu:
        assert found["chip"] == "NVIDIA Imaginary" and found["capability"] == "9.0" and found["driver"] == "CUDA 13000"


TINY_NETWORK = Workload(
    "tiny", (8, 8, 3), (Conv(4, (3, 3)), Pool(), Dense(8), Dense(3, None)), batch_size=4, optimizer="adam",
    learning_rate=1e-3, samples=12,
)  # fmt: skip
# The articles' take a GPU.
TRAINED = {"tiny": TINY_NETWORK} | (WORKLOADS if device.on_gpu else {})


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINED)
def test_a_training_on_the_device_stays_with_the_processors(ours: Any, name: str) -> None:
    """As near as sums in another order are, and as TF32's ten bits are; with ReLU and maxima only the losses are."""
    steps = gpu_parity.STEPS if device.on_gpu else 2
    assert gpu_parity.deviations(TRAINED[name], False, steps)["losses"] < 1e-3
    twin = gpu_parity.smooth(TRAINED[name])
    strict, rounded = (gpu_parity.deviations(twin, tf32, steps) for tf32 in (False, True))
    assert 0 < strict["losses"] < 1e-4 and 0 < strict["gradients"] < 1e-5
    # Where few numbers are added, as here, TF32's errors do not even out.
    assert strict["gradients"] < rounded["gradients"] < 1e-2


def test_a_smooth_twin_is_the_network_without_what_makes_gradients_jump() -> None:
    assert gpu_parity.smooth(WORKLOADS["lenet5"]) is WORKLOADS["lenet5"]
    twin = gpu_parity.smooth(WORKLOADS["besbes"])
    assert twin.name == "besbes, smooth" and len(twin.layers) == len(WORKLOADS["besbes"].layers)
    assert {layer.kind for layer in twin.layers if isinstance(layer, Pool)} == {"avg"}
    assert [layer.activation for layer in twin.layers if isinstance(layer, (Conv, Dense))] == ["tanh"] * 4 + [None]
    assert [layer for layer in twin.layers if isinstance(layer, Dropout)] == [Dropout(0.25), Dropout(0.5)]


def test_half_a_bit_moves_the_processors_losses_a_little() -> None:
    moved = gpu_parity.sensitivity(TINY_NETWORK, steps=3, trainings=2)
    assert 0 < moved < 1e-4
    assert gpu_parity.sensitivity(TINY_NETWORK, steps=3, trainings=2) == moved


def test_parity_is_told_of_each_network_and_aimed_at_for_the_furthest() -> None:
    strict, rounded = {"losses": 2e-5, "gradients": 3e-5}, {"losses": 1e-3, "gradients": 1e-3}
    near = {"strict float32": strict, "TF32": rounded, "smooth": True}
    kinked = {"strict float32": {**strict, "losses": 3e-4}, "TF32": {**rounded, "gradients": 0.01}, "smooth": False}
    kinked[gpu_parity.ALONE] = {"losses": 4e-4}
    results = {"about": {**about(), "versions": {}}, "rounds": gpu.ROUNDS, "parity": {"near": near, "kinked": kinked}}
    text = gpu_report.markdown(results)
    assert gpu_report.markdown({**results, "note": "Of two runs."}) == f"Of two runs.\n\n{text}"
    assert "CUDA runtime 13000, 2026-01-01.\n" in text and "Medians" not in text  # no engines, no turns
    assert "| kinked | TF32 | 1.0e-03 | 1.0e-02 |" in text and "| near | strict float32 | 2.0e-05 | 3.0e-05 |" in text
    assert "the furthest of 2 networks (`kinked`; half a bit takes the processor's own 4.0e-04 apart) | at most" in text
    assert "| kinked | the processor, half a bit aside | 4.0e-04 | |" in text and "| near | the proc" not in text
    for found in ("at most 1e-05 | **3.0e-05** | no |", "at most 0.002 | **1.0e-03** | yes |"):
        assert f"the furthest of 1 without ReLU and maxima (`near`) | {found}" in text
