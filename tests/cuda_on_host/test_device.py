"""Choosing a device, and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import device
from minicnn.autograd import Tensor
from tests.cuda_on_host import device as harness


class Runtime:
    """The driver's answer."""

    def __init__(self, answer: Any, version: int = 13000) -> None:
        self.answer, self.version = answer, version

    def driverGetVersion(self) -> int:  # noqa: N802 - CUDA's name
        return self.version

    def runtimeGetVersion(self) -> int:  # noqa: N802 - CUDA's name
        return 13020

    def getDeviceCount(self) -> int:  # noqa: N802 - CUDA's name
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def no_compiler() -> Any:
    raise RuntimeError('Failure finding "libnvrtc.so.13":\n No such file')


def cupy_that_answers(answer: Any, version: int = 13000, compiler: Any = lambda: (13, 0)) -> types.ModuleType:
    module: Any = types.ModuleType("cupy")
    module.__version__ = "14.0"
    module.ndarray = type("ndarray", (), {})
    nvrtc = types.SimpleNamespace(getVersion=compiler)
    module.cuda = types.SimpleNamespace(runtime=Runtime(answer, version), nvrtc=nvrtc)
    return module


INSUFFICIENT = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
REASONS = {
    "no answer": ((RuntimeError("cudaErrorNoDevice:\n no CUDA-capable device"),),
                  "the NVIDIA driver does not answer: cudaErrorNoDevice: no CUDA-capable device"),
    "no driver": ((INSUFFICIENT, 0), r"there is no NVIDIA driver, or none that CuPy 14\.0 finds: cudaErrorInsuff"),
    "an old driver": ((INSUFFICIENT, 12020),
                      r"the NVIDIA driver is too old for CuPy 14\.0: .*update it, or install \[cuda12\]"),
    "no card": ((0,), "the driver finds no GPU"),
    "no compiler": ((1, 13000, no_compiler), r'CuPy finds no compiler for kernels: Failure finding "libnvrtc\.so\.13": '
                    r'No such file; python -m pip install "cupy-cuda13x\[ctk\]"'),
}  # fmt: skip


@pytest.fixture(params=REASONS)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine whose GPU cannot be used; the reason as it must be said."""
    answers, reason = REASONS[request.param]
    monkeypatch.setitem(sys.modules, "cupy", cupy_that_answers(*answers))
    return reason


def test_cuda_says_in_one_line_why_it_cannot_be_used(broken: str) -> None:
    with pytest.raises(device.DeviceError, match=broken) as caught:
        device.choose("cuda")
    assert "\n" not in str(caught.value)
    with pytest.raises(device.DeviceError, match=r"Tensor\.to: no GPU can be used: " + broken):
        Tensor([1.0]).to("cuda")


def test_auto_falls_back_in_one_line(broken: str) -> None:
    with pytest.warns(UserWarning, match="computing on the processor, since no GPU can be used: " + broken) as caught:
        assert device.choose("auto") == "cpu"
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


def test_a_cupy_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(device.DeviceError, match=r"CuPy cannot be imported: .*cupy"):
        device.choose("cuda")


def test_without_cupy_the_package_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(device.DeviceError, match=r"CuPy is not installed; python -m pip install .cupy-cuda13x\[ctk\]"):
        device.choose("cuda")


@pytest.fixture
def asked_again() -> Iterator[None]:
    device.why_no_bfloat16.cache_clear()
    yield
    device.why_no_bfloat16.cache_clear()


@pytest.mark.parametrize(("what", "cupy", "numpy", "reason"), [
    ("ml_dtypes", "14.0.0", "2.2.0", r"the package ml_dtypes is not installed; python -m pip install ml_dtypes"),
    ("", "9.6.0", "2.2.0", r"CuPy 9\.6\.0 does not have it; update it to 14\.0\.0 or later"),
    ("", "14.2.0", "2.1.1", r"NumPy 2\.1\.1 does not have it; update it to 2\.1\.2 or later"),
    ("", "14.0.0", "2.1.2", None), ("", "15.0.0rc1", "3.0.0", None)])  # fmt: skip
def test_what_bfloat16_needs_is_said(
    monkeypatch: pytest.MonkeyPatch, asked_again: None, what: str, cupy: str, numpy: str, reason: str | None
) -> None:
    module = cupy_that_answers(1)
    module.__version__ = cupy
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(np, "__version__", numpy)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == what else object())
    if reason is None:
        assert device.why_no_bfloat16() is None and device.bfloat16(lambda: "Dense 'd'").name == "bfloat16"
    else:
        with pytest.raises(device.DeviceError, match=f"^Dense 'd': there is no bfloat16 on this GPU: {reason}$"):
            device.bfloat16(lambda: "Dense 'd'")


def test_the_environment_says_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINICNN_DEVICE", raising=False)
    assert device.choose() == "cpu"
    monkeypatch.setitem(sys.modules, "cupy", cupy_that_answers(1))
    for text, expected in (("cuda", "cuda"), ("auto", "cuda"), ("cpu", "cpu"), ("", "cpu")):
        monkeypatch.setenv("MINICNN_DEVICE", text)
        assert device.choose() == expected
        assert device.choose("cpu") == "cpu"
    monkeypatch.setenv("MINICNN_DEVICE", "gpu")
    with pytest.raises(ValueError, match="MINICNN_DEVICE: expected 'cuda', 'cpu' or 'auto', got 'gpu'"):
        device.choose()
    with pytest.raises(ValueError, match="device: expected 'cuda', 'cpu' or 'auto', got 'tpu'"):
        device.choose("tpu")


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_stand_in() -> Iterator[None]:
    if harness.on_gpu:
        pytest.skip("runs the commands in this process, on the stand-in")
    from tests.cuda_on_host.launching import Settings

    Settings.thorough = False
    with harness.present():
        yield
    Settings.thorough = True


def test_the_commands_train_evaluate_and_predict_on_the_device(on_the_stand_in: None, tmp_path: Any) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from minicnn.cli import cli
    from tests.cuda_on_host.launching import Settings

    def run(*words: str) -> str:
        answer = CliRunner().invoke(cli, list(words))
        assert answer.exit_code == 0, answer.output
        return answer.output

    out = str(tmp_path / "run")
    train = ("train", "lenet5", "--dataset", "drawn-digits", "--samples", "8", "--epochs", "1", "--batch-size", "8")
    Settings.launched.clear()
    run(*train, "--device", "cuda", "--out", out)
    assert any(name.startswith(("adam", "sgd")) for name in Settings.launched)
    assert any(name.startswith("take_rows") for name in Settings.launched), "the pictures lie on the device"
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 12:16] = 255
    Image.fromarray(digit).save(tmp_path / "one.png")
    model = next(iter((tmp_path / "run").glob("model*")))
    Settings.launched.clear()
    run("predict", str(model), str(tmp_path / "one.png"), "--device", "auto")
    assert any(name.startswith("softmax") for name in Settings.launched)


@pytest.mark.parametrize("validate_on_test", [True, False])
def test_few_pictures_are_copied_to_the_device_once(
    on_the_stand_in: None, monkeypatch: pytest.MonkeyPatch, validate_on_test: bool
) -> None:
    """Whether they are few depends on its memory; it changes no result."""
    from minicnn import articles, layers
    from minicnn.cli.pictures import Pictures
    from minicnn.cli.training_data import SHARE_OF_GPU, ArrayData

    cupy, generator = sys.modules["cupy"], np.random.default_rng(0)
    x, y = generator.integers(0, 256, (24, 8, 8), np.uint8), generator.integers(0, 3, 24)
    pictures = Pictures("mnist", "here", x[:16], y[:16], x[16:], y[16:], ("a", "b", "c"))
    article = articles.get("lenet5")
    recipe = replace(
        article.recipe(article.default_recipe), loss="sparse_categorical_crossentropy",
        validate_on_test=validate_on_test, validation_split=0.0 if validate_on_test else 0.25,
    )  # fmt: skip
    needed = int((x.size * 4 + y.nbytes) / SHARE_OF_GPU)
    found = []
    for free, where in ((needed, "cuda"), (needed - 1, "cpu")):
        monkeypatch.setattr(cupy.Device, "mem_info", (free, 2**20))
        minicnn.set_seed(0)
        model = minicnn.Sequential([minicnn.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
        model.compile("sgd", recipe.loss, metrics=["accuracy"])
        model.to("cuda")
        data = ArrayData(pictures, model, recipe, 4)
        data.settle("cuda")
        assert {device.device_of(a) for a in (data.x_train, data.y_train, data.x_test, data.y_test)} == {where}
        before = cupy.transfers.to_device
        history = model.fit(epochs=2, verbose=0, **data.arguments(model)).history
        copies = cupy.transfers.to_device - before
        assert all(type(part) is np.ndarray for part in data.predictions(model))
        found.append((history, data.measure(model), data.predictions(model)[1].tolist(), copies))
    assert found[0][:3] == found[1][:3]
    whole, uploaded = found[0][3], found[1][3]
    # The steps' numbers, and the order of the pictures once an epoch, in place of the batches.
    assert whole < uploaded, (whole, uploaded)


def test_a_command_that_is_told_cuda_never_falls_back() -> None:
    code = "import sys; sys.modules['cupy'] = None; from minicnn.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "lenet5", "--dataset", "drawn-digits", "--device", "cuda"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("minicnn: device: no GPU can be used: CuPy cannot be imported")
    assert answer.stderr.count("\n") == 1
