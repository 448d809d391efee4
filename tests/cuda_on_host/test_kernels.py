"""Every kernel and every branch on the way to a launch is taken, and every barrier is needed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from minicnn.kernels import dispatch
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings
from tests.cuda_on_host.samples import Sample, samples

# What a thread waits at.
WAITS = re.compile(r"__syncthreads\(\);|wait_for_copies<STAGES - 2>\(\);")


@pytest.fixture(scope="module")
def kernels() -> Iterator[Any]:
    with device.present():
        yield dispatch.load("cuda")


@pytest.mark.gpu
def test_every_sample_agrees_with_the_reference(kernels: Any) -> None:
    for sample in samples():
        sample.check(kernels)


@pytest.mark.gpu
def test_the_same_call_gives_the_same_bits(kernels: Any) -> None:
    for sample in samples(large=False):
        if sample.function in ("conv2d_kernel_gradient", "matmul", "sum_rows", "conv2d_block_gradients"):
            once, twice = sample.run(kernels), sample.run(kernels)
            assert [a.tobytes() for a in once] == [a.tobytes() for a in twice], sample.function


def lines_of(code: CodeType) -> set[int]:
    """The lines of functions, theirs within included."""
    found = {line for _, _, line in code.co_lines() if line}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= lines_of(constant)
    return found


def functions_of(path: Path) -> Iterator[CodeType]:
    """What a module and its classes define."""
    waiting = [compile(path.read_text(encoding="utf-8"), str(path), "exec")]
    while waiting:
        for constant in waiting.pop().co_consts:
            if isinstance(constant, CodeType):
                if constant.co_flags & 0x2:  # has variables of its own: a function, not a class
                    # Those of the module itself ran when it was imported.
                    if constant.co_name not in ("<listcomp>", "<dictcomp>"):
                        yield constant
                else:
                    waiting.append(constant)




@pytest.mark.skipif(device.on_gpu, reason="needs to run the host's builds only once")
def test_every_kernel_is_launched_and_every_line_on_the_way_runs(kernels: Any, fresh_plans: None) -> None:
    from minicnn.kernels.cuda import loading

    folder, inside = loading.FOLDER, str(loading.FOLDER)
    seen: dict[str, set[int]] = {}

    def trace(frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(inside):
            return None
        seen.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        return trace

    Settings.launched.clear()
    before, Settings.thorough = sys.gettrace(), False
    sys.settrace(trace)
    try:
        for sample in samples():
            sample.run(kernels)
    finally:
        sys.settrace(before)
        Settings.thorough = True
    declared = {name for file in loading.files() for name in loading.declared(file)}
    assert declared - Settings.launched == set(), "declared and never launched"
    assert Settings.launched - declared == set(), "launched and not declared"
    for path in sorted(folder.glob("*.py")):
        if path.name in ("__init__.py", "loading.py"):
            continue
        text = path.read_text(encoding="utf-8").splitlines()
        missed = set().union(*map(lines_of, functions_of(path))) - seen.get(str(path), set())
        missed -= {code.co_firstlineno for code in functions_of(path)}
        left = [f"{path.name}:{line}: {text[line - 1]}" for line in sorted(missed)
                if "raise " not in text[line - 1] and not _in_raise(text, line)]  # fmt: skip
        assert not left, "\n".join(left)


def _in_raise(text: list[str], line: int) -> bool:
    """Whether a line belongs to a raise statement that began above it."""
    for above in range(line - 1, max(line - 5, 0), -1):
        if "raise " in text[above - 1]:
            return True
        if text[above - 1].endswith(":"):
            return False
    return False


@pytest.fixture
def fresh_plans() -> Iterator[None]:
    """Nothing is remembered from calls before, so that all of it is worked out again."""
    from minicnn.kernels.cuda import arrays, matrices, pooling, windows

    for function in (arrays.divider, matrices.cut, pooling._plan, windows.windows, windows.gradient_parts,
                     windows.direct, matrices.capability):  # fmt: skip
        function.cache_clear()
    yield


def waits() -> list[tuple[str, int]]:
    """Every place at which threads wait: file, and number in the text that is compiled of it."""
    if device.on_gpu:
        return []
    with device.standing_in():
        dispatch.load("cuda")
        from minicnn.kernels.cuda import loading

        return [(file, number) for file in loading.files()
                for number, _ in enumerate(WAITS.finditer(loading.source(file)))]  # fmt: skip


PLACES = waits()


def without(text: str, number: int) -> str:
    """The source without one of its waits."""
    place = list(WAITS.finditer(text))[number]
    return text[: place.start()] + text[place.end() :]


@pytest.mark.parametrize(("file", "number"), PLACES)
def test_without_any_one_of_its_barriers_a_kernel_fails(kernels: Any, file: str, number: int) -> None:
    from minicnn.kernels.cuda import loading

    text = loading.source(file)
    Settings.replaced[text] = without(text, number)
    try:
        assert any(fails(sample, kernels) for sample in launches_by_file()[file]), "it is of no use"
    finally:
        Settings.replaced.clear()


@pytest.mark.skipif(device.on_gpu, reason="a GPU need not fail")
def test_every_barrier_is_among_them() -> None:
    from minicnn.kernels.cuda import loading

    barriers = sum(path.read_text(encoding="utf-8").count("__syncthreads()") for path in loading.FOLDER.glob("*.cu*"))
    assert barriers >= 5
    # product.cuh stands in two sources.
    assert len(PLACES) > barriers


def launches_by_file() -> dict[str, list[Sample]]:
    """Small samples of float32 that between them launch whatever waits."""
    wanted = {
        "columns.cu": ("sum_rows",), "matrices.cu": ("matmul",), "direct.cu": ("conv2d_kernel_gradient",),
        "convolution.cu": ("conv2d_block",),
    }  # fmt: skip
    exact = [s for s in samples(large=False) if not s.tf32 and s.arguments[0].dtype == "float32"]
    return {file: [s for s in exact if s.function in functions] for file, functions in wanted.items()}


def fails(sample: Sample, kernels: Any) -> bool:
    try:
        sample.check(kernels)
    except AssertionError:
        return True
    return False
