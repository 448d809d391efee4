"""`minicnn bench`: a fair match, told with the rows we lose."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import articles, layers
from minicnn.cli import bench as command
from minicnn.cli.bench import Row
from minicnn.cli.contestant import Watch, describe_layers, device_of_keras, with_keras

MATCH = ["bench", "lenet5", "--against", "keras", "--dataset", "drawn-digits", "--samples", "96", "--batch-size", "20"]


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
@pytest.mark.parametrize("name", ["lenet5", "eastmount"])  # eastmount's pictures are channels-first
def test_both_train_on_the_same(run, tmp_path, monkeypatch, name):
    """Losses agree batch for batch, test figures too: the weights, the pictures and their order are the same."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    result = run("bench", name, *MATCH[2:], "--epochs", "2", "--seed", "4", "--threads", "1", "--out", "match")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "match" / "bench.json").read_text(encoding="utf-8"))
    ours, theirs = record["minicnn"], record["keras"]
    assert len(ours["losses"]) == len(theirs["losses"]) == 10  # 96 pictures in batches of 20, twice
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-3)
    for one, other in zip(ours["test"], theirs["test"], strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    assert len(ours["steps"]) == 10
    assert sum(ours["steps"]) <= sum(ours["epochs"])
    assert theirs["about"].startswith("Keras ")
    assert "on torch" in theirs["about"]
    assert "1 threads" in ours["about"]
    table = (tmp_path / "match" / "bench.md").read_text(encoding="utf-8")
    for wanted in ("milliseconds a step", "seconds an epoch", "peak memory", "test accuracy", theirs["about"]):
        assert wanted in table
    assert (tmp_path / "match" / "bench.png").stat().st_size > 10_000
    assert "milliseconds a step" in result.output


def test_what_is_missing_is_said_in_one_line(run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("keras", "jax") else find(name))
    result = run(*MATCH, "--backend", "jax")
    assert result.exit_code == 2
    assert result.stderr == (
        "minicnn: bench compares with Keras on jax, but these are not installed: keras, jax; "
        "python -m pip install keras jax\n"
    )


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_keras_computes_where_minicnn_does(backend) -> None:
    """With a stand-in for each backend: what it says of its GPU."""
    for has_gpu, device in ((True, "cuda"), (False, "cpu")):
        library = SimpleNamespace(
            __name__=backend,
            cuda=SimpleNamespace(is_available=lambda has_gpu=has_gpu: has_gpu),
            default_backend=lambda has_gpu=has_gpu: "gpu" if has_gpu else "cpu",
            config=SimpleNamespace(list_physical_devices=lambda kind, has_gpu=has_gpu: [kind] * has_gpu),
        )
        assert device_of_keras(library) == device


def test_a_match_on_different_devices_is_refused(tmp_path, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # as it is set anyway, but put back
    other = "cpu" if device_of_keras(torch) == "cuda" else "cuda"
    with pytest.raises(ValueError, match=r"Keras on torch \S+ would compute on \w+, minicnn on \w+"):
        with_keras(tmp_path, {"backend": "torch", "device": other, "threads": torch.get_num_threads()})


@pytest.mark.parametrize(("device", "hidden"), [("cpu", "-1"), ("cuda", "0")])
def test_gpus_are_hidden_from_keras_where_minicnn_has_none(tmp_path, monkeypatch, device, hidden) -> None:
    seen: dict[str, str] = {}

    def run(command: Any, *, env: dict[str, str], **options: Any) -> Any:
        seen.update(env)
        (tmp_path / "keras.json").write_text("{}", encoding="utf-8")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(command.subprocess, "run", run)
    match = object.__new__(command.Match)
    match.device, match.epochs, match.backend, match.threads = device, 1, "torch", 1
    match._train("keras", tmp_path)
    assert seen["CUDA_VISIBLE_DEVICES"] == hidden
    assert ("KERAS_TORCH_DEVICE" in seen) == (device == "cpu")


def test_a_gpu_that_is_not_there_ends_a_match_before_it_begins(run, monkeypatch):
    from minicnn import device

    monkeypatch.setattr(device, "why_no_gpu", lambda: "the driver finds no GPU")
    result = run(*MATCH, "--device", "cuda")
    assert result.exit_code == 2
    assert "the driver finds no GPU" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_failing_side_is_named(run, monkeypatch):
    monkeypatch.setattr(command, "_backend", lambda wanted: "no_such_backend")
    result = run(*MATCH, "--epochs", "1")
    assert result.exit_code == 2
    assert "the training with keras failed: ModuleNotFoundError: No module named 'no_such_backend'" in result.stderr


def test_the_library_to_compare_with_must_be_named(run):
    result = run("bench", "lenet5")
    assert result.exit_code == 2
    assert "--against" in result.stderr


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("s", 1.0, 2.5), "2.50 times, minicnn is ahead"),
        (Row("s", 3.0, 2.0), "1.50 times, minicnn loses"),
        (Row("s", 2.0, 2.001), "equal"),
        (Row("accuracy", 0.9, 0.8, less_is_better=False), "1.12 times, minicnn is ahead"),
        (Row("s", None, 2.0), ""),
    ],
)  # fmt: skip
def test_verdicts(row: Row, verdict: str) -> None:
    assert row.cells()[3] == verdict


def test_the_time_to_an_accuracy_counts_training_alone() -> None:
    side = {"epochs": [3.0, 1.0, 1.0], "test": [{"accuracy": a} for a in (0.5, 0.9, 0.95)]}
    assert command._seconds_to(side, 0.9) == 4.0
    assert command._seconds_to(side, 0.99) is None


def test_losses_of_batches_come_from_running_means() -> None:
    watch = Watch()
    watch.start()
    losses, sizes = [4.0, 1.0, 2.5], [2, 2, 1]
    for i in range(3):
        mean = np.average(losses[: i + 1], weights=sizes[: i + 1])
        watch.on_train_batch_end(i, {"loss": mean})
    assert watch.losses(sizes) == pytest.approx(losses)


def test_layers_are_described_in_keras_words() -> None:
    described = describe_layers(articles.get("lenet5").build())
    assert [kind for kind, _ in described[:3]] == ["ZeroPadding2D", "Conv2D", "AveragePooling2D"]
    assert described[1][1]["activation"] == "tanh"
    model: Any = minicnn.Sequential([minicnn.Input((4,)), layers.Lambda("relu", name="own")])
    with pytest.raises(ValueError, match=r"'own'.*bench cannot build this layer in Keras"):
        describe_layers(model)
    padded = minicnn.Sequential([minicnn.Input((8, 8, 1)), layers.Conv2D(2, 3, padding=1)])
    with pytest.raises(ValueError, match="bench cannot build this layer in Keras"):
        describe_layers(padded)
