"""Choosing an implementation: by switch, by environment, by the type of the array; and what is said when one fails."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import kernels
from minicnn.kernels import dispatch


@pytest.fixture(autouse=True)
def same_choice_afterwards() -> Iterator[None]:
    before = dispatch._chosen, dispatch._asked
    yield
    dispatch._chosen, dispatch._asked = before


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The implementations that served relu, in order."""
    calls: list[str] = []
    for name in dispatch.NAMES:
        module = dispatch.load(name)
        monkeypatch.setattr(module, "relu", lambda x, _name=name: calls.append(_name) or x)
    return calls


# --- the switch ------------------------------------------------------------------------------------------------------


def test_a_plain_call_switches_for_good(served: list[str]) -> None:
    for name in ("reference", "naive", "cpu"):
        kernels.use_kernels(name)
        assert kernels.current_kernels() == name
        F.relu(np.ones(2, np.float32))
    assert served == ["reference", "naive", "cpu"]


def test_as_a_context_manager_it_switches_back(served: list[str]) -> None:
    kernels.use_kernels("reference")
    with minicnn.use_kernels("naive") as switch:
        F.relu(np.ones(2, np.float32))
        with minicnn.use_kernels("cpu"):
            F.relu(np.ones(2, np.float32))
        F.relu(np.ones(2, np.float32))
    assert switch is not None
    F.relu(np.ones(2, np.float32))
    assert served == ["naive", "cpu", "naive", "reference"]


def test_it_switches_back_after_an_error() -> None:
    kernels.use_kernels("reference")
    with pytest.raises(KeyError), kernels.use_kernels("naive"):
        raise KeyError
    assert kernels.current_kernels() == "reference"


def test_none_takes_the_fastest_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINICNN_KERNELS", raising=False)
    kernels.use_kernels("naive")
    kernels.use_kernels(None)
    assert kernels.current_kernels() == "cpu"


@pytest.mark.parametrize("name", ["numba", "CPU", "", "cuda"])
def test_an_unknown_name_changes_nothing(name: str) -> None:
    kernels.use_kernels("naive")
    with pytest.raises(ValueError, match=f"use_kernels: expected one of 'cpu', 'reference', 'naive', got {name!r}"):
        kernels.use_kernels(name)
    assert kernels.current_kernels() == "naive"


def test_results_agree_whatever_the_switch() -> None:
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((2, 5, 5, 2)), generator.standard_normal((3, 3, 2, 4))
    results = []
    for name in dispatch.NAMES:
        with kernels.use_kernels(name):
            results.append(F.max_pool2d(F.conv2d(x, w, padding="same"), 2))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-12)


# --- threads ---------------------------------------------------------------------------------------------------------


def test_threads_of_kernels_that_have_none() -> None:
    with kernels.use_kernels("reference"):
        kernels.set_num_threads(2)
        assert kernels.get_num_threads() == 1


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None], ids=repr)
def test_a_number_of_threads_is_a_whole_number_of_at_least_one(count: object) -> None:
    with pytest.raises(ValueError, match="set_num_threads: expected a whole number of at least 1, got"):
        minicnn.set_num_threads(count)


# --- the environment, and a machine without Numba --------------------------------------------------------------------


def python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_the_environment_makes_the_first_choice() -> None:
    code = "from minicnn import kernels; print(kernels.current_kernels()); kernels.use_kernels('reference'); "
    result = python(code + "print(kernels.current_kernels())", MINICNN_KERNELS="naive")
    assert result.stdout.split() == ["naive", "reference"], result.stderr


def test_a_wrong_name_in_the_environment_is_refused_at_the_first_use() -> None:
    result = python("import minicnn; minicnn.functional.relu([1.0])", MINICNN_KERNELS="fast")
    assert result.returncode == 1
    assert "ValueError: MINICNN_KERNELS: expected one of 'cpu', 'reference', 'naive', got 'fast'" in result.stderr


WITHOUT_NUMBA = """
import sys, warnings
sys.modules["numba"] = None
import numpy as np, minicnn.functional as F
from minicnn import kernels
"""


def test_without_numba_the_reference_serves_and_says_so_once() -> None:
    code = WITHOUT_NUMBA + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        y = F.conv2d(np.ones((1, 3, 3, 1), "float32"), np.ones((2, 2, 1, 1), "float32"))
    y = F.relu(y)
assert y.tolist()[0][0][0] == [4.0]
assert kernels.current_kernels() == "reference"
(warning,) = caught
assert warning.category is kernels.FallbackWarning, warning
text = str(warning.message)
assert "numba" in text and "ModuleNotFoundError" in text, text
assert "python -m pip install --upgrade numba" in text, text
assert 'slower "reference" kernels' in text, text
"""
    result = python(code, MINICNN_KERNELS=None)
    assert result.returncode == 0, result.stderr


def test_without_numba_asking_for_cpu_raises_every_time() -> None:
    code = WITHOUT_NUMBA + """
for attempt in range(2):
    try:
        kernels.use_kernels("cpu")
    except kernels.KernelsUnavailable as error:
        assert "the 'cpu' kernels cannot run here: ModuleNotFoundError" in str(error), error
        assert 'use_kernels("reference")' in str(error)
    else:
        raise SystemExit("use_kernels('cpu') did not raise")
with kernels.use_kernels("reference"):
    pass
"""
    result = python(code, MINICNN_KERNELS=None)
    assert result.returncode == 0, result.stderr


def test_without_numba_cpu_in_the_environment_raises_too() -> None:
    result = python(WITHOUT_NUMBA + "F.relu([1.0])", MINICNN_KERNELS="cpu")
    assert result.returncode == 1
    assert "KernelsUnavailable: the 'cpu' kernels cannot run here" in result.stderr


def test_importing_and_the_reference_need_no_numba_at_all() -> None:
    code = """
import sys
import minicnn, minicnn.functional as F
minicnn.use_kernels("reference")
F.relu([1.0])
assert "numba" not in sys.modules and "cupy" not in sys.modules
"""
    result = python(code, MINICNN_KERNELS=None)
    assert result.returncode == 0, result.stderr


def test_a_reason_of_many_lines_is_said_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CuPy's is, where it cannot be imported."""

    def fail(name: str) -> None:
        raise ImportError("\n====\nFailed to import\n  something.\n====\n")

    monkeypatch.setattr(dispatch, "_modules", {})
    monkeypatch.setattr(dispatch, "_failures", {})
    monkeypatch.setattr(dispatch.importlib, "import_module", fail)
    with pytest.raises(kernels.KernelsUnavailable, match=r"ImportError: ==== Failed to import something\. ====\. Cure"):
        dispatch.load("cpu")


def test_a_failure_that_is_remembered_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time an exception of its own: one that is raised again gathers the frames of all who asked."""
    monkeypatch.setattr(dispatch, "_modules", {})
    monkeypatch.setattr(dispatch, "_failures", {})
    monkeypatch.setitem(sys.modules, "minicnn.kernels.cpu", None)
    failures = []
    for _ in range(3):
        with pytest.raises(kernels.KernelsUnavailable, match="the 'cpu' kernels cannot run here") as caught:
            dispatch.load("cpu")
        failures.append(caught.value)
    assert isinstance(failures[0].__cause__, ImportError)
    assert len({str(failure) for failure in failures}) == 1
    assert len({id(failure) for failure in failures}) == 3
    assert len(list(traceback.walk_tb(failures[1].__traceback__))) == len(
        list(traceback.walk_tb(failures[2].__traceback__))
    )


# --- the type of the array -------------------------------------------------------------------------------------------


class FakeCuPyArray:
    """Stands in for CuPy's array where there is no GPU."""

    __array_priority__ = 100


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("cupy")
    module.ndarray = FakeCuPyArray
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_the_array_module_is_that_of_the_arrays(cupy: types.ModuleType) -> None:
    assert kernels.array_module(np.ones(1)) is np
    assert kernels.array_module(np.ones(1), 2.0, None) is np
    assert kernels.array_module(FakeCuPyArray()) is cupy
    assert kernels.array_module(FakeCuPyArray(), 2.0) is cupy


def test_arrays_of_both_kinds_are_refused_with_the_cure(cupy: types.ModuleType) -> None:
    for arrays in ((np.ones(1), FakeCuPyArray()), (FakeCuPyArray(), FakeCuPyArray(), np.ones(1))):
        with pytest.raises(TypeError, match=r"NumPy and CuPy are mixed in one operation.*cupy\.asarray"):
            kernels.array_module(*arrays)


@pytest.mark.parametrize(("switch", "server"), [("cpu", "cuda"), ("naive", "cuda"), ("reference", "reference")])
def test_arrays_on_the_gpu_are_served_by_the_gpus_kernels_or_by_reference(
    cupy: types.ModuleType, monkeypatch: pytest.MonkeyPatch, switch: str, server: str
) -> None:
    monkeypatch.setitem(dispatch._modules, "cuda", types.ModuleType("cuda"))
    with kernels.use_kernels(switch):
        assert dispatch.choose(FakeCuPyArray()) is dispatch.load(server)
        assert dispatch.choose(np.ones(1)) is dispatch.load(switch)


def test_the_environment_chooses_reference_for_the_gpu_too(
    cupy: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not what the default of the processor fell back on for want of Numba."""
    monkeypatch.setitem(dispatch._modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setattr(dispatch, "_asked", None)
    monkeypatch.setattr(dispatch, "_chosen", "reference")
    monkeypatch.delenv("MINICNN_KERNELS", raising=False)
    assert dispatch.choose(FakeCuPyArray()) is dispatch.load("cuda")
    monkeypatch.setenv("MINICNN_KERNELS", "reference")
    assert dispatch.choose(FakeCuPyArray()) is dispatch.load("reference")


def test_numbers_of_numpy_take_the_device_of_the_arrays_beside_them(cupy: types.ModuleType) -> None:
    assert kernels.array_module(FakeCuPyArray(), np.float32(2), np.float64(3)) is cupy
    assert kernels.array_module(np.float32(2)) is np


def test_without_cupy_everything_is_numpys() -> None:
    assert kernels.array_module(object(), np.ones(1)) is np


def test_threads_asked_for_before_the_kernels_are_loaded_are_not_forgotten() -> None:
    code = (
        "import sys, minicnn; minicnn.use_kernels('reference'); minicnn.set_num_threads(1); "
        "early = 'numba' in sys.modules; minicnn.use_kernels('cpu'); print(early, minicnn.get_num_threads())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "1"]
