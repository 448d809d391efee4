"""What the GPU's kernels refuse, and which arithmetic a device gets."""

from __future__ import annotations

import doctest
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minicnn import kernels
from minicnn.kernels import dispatch
from tests.cuda_on_host import device
from tests.cuda_on_host.launching import Settings


@pytest.fixture
def cupy() -> Iterator[Any]:
    with device.present() as module:
        yield module


@pytest.mark.parametrize("name", ["arrays", "columns", "windows"])
def test_the_examples_in_docstrings(cupy: Any, name: str) -> None:
    dispatch.load("cuda")
    module = importlib.import_module(f"minicnn.kernels.cuda.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed


@pytest.mark.gpu
@pytest.mark.parametrize(("function", "dtype", "expected"), [
    ("erf", "float16", "float32 or float64"), ("erf", "int32", "float32 or float64"),
    ("relu", "int32", "bfloat16, float16, float32 or float64")])  # fmt: skip
def test_other_types_are_refused(cupy: Any, function: str, dtype: str, expected: str) -> None:
    with pytest.raises(TypeError, match=f"{function}: the cuda kernels compute in {expected}, got {dtype}"):
        getattr(dispatch.load("cuda"), function)(cupy.zeros(3, dtype))


def test_a_batch_beyond_32_bit_indices_is_refused_before_anything_is_allocated(cupy: Any) -> None:
    dispatch.load("cuda")
    from minicnn.kernels.cuda import arrays, windows

    shape = windows.Shape(70_000, (128, 128), 8, (1, 1), 8, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    with pytest.raises(ValueError, match=r"conv2d: an array of 9,175,040,000 numbers is too large .* smaller batch"):
        windows.windows(shape)
    # Only pictures that windows are read from are counted in 32 bits.
    assert int(windows.windows(shape._replace(images=8_000, filters=64))["windows"]) == 8_000 * 128 * 128
    with pytest.raises(ValueError, match=r"conv2d: an array of 1,115,136,000 numbers is too large"):
        windows.windows(shape._replace(images=8_000, padding=((2, 2), (2, 2))))
    with pytest.raises(ValueError, match=r"conv2d_input_gradient: an array of 8,388,608,000 numbers is too large"):
        windows.gradient_parts(shape._replace(images=8_000, filters=64))
    arrays.check_count("conv2d", arrays.MOST_ELEMENTS)


@pytest.mark.gpu
def test_arrays_of_both_kinds_are_refused(cupy: Any) -> None:
    with pytest.raises(TypeError, match="NumPy and CuPy are mixed"):
        kernels.array_module(cupy.zeros(3), np.zeros(3))


@pytest.mark.gpu
def test_nothing_is_copied_to_the_device_behind_the_users_back(cupy: Any) -> None:
    options: dict[str, Any] = {"padding": ((0, 0), (0, 0)), "strides": (1, 1), "dilation": (1, 1), "groups": 1}
    x, w = np.zeros((1, 4, 4, 8), np.float32), np.zeros((3, 3, 8, 8), np.float32)
    for call in (
        lambda: kernels.conv2d(cupy.asarray(x), w, None, **options),
        lambda: kernels.matmul(cupy.asarray(x[0, 0]), x[0, 0].T),
        lambda: kernels.batch_norm(cupy.asarray(x[0, 0]), *[cupy.zeros(8, "f4")] * 3, np.ones(8, "f4"), epsilon=0.1),
    ):
        with pytest.raises(TypeError, match=r"NumPy|numpy"):  # the second is CuPy's own
            call()


@pytest.mark.parametrize(("capability", "tf32", "arithmetic"), [
    ("75", True, "Exact"), ("80", True, "Tensor"), ("120", True, "Tensor"), ("90", False, "Exact")])  # fmt: skip
def test_tensor_cores_are_used_where_there_are_some_and_rounding_is_allowed(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, capability: str, tf32: bool, arithmetic: str
) -> None:
    if device.on_gpu:
        pytest.skip("a GPU has the capability that it has")
    from minicnn.kernels.cuda import matrices

    monkeypatch.setattr(cupy.Device, "compute_capability", capability)
    matrices.capability.cache_clear()
    try:
        Settings.launched.clear()
        x, w = cupy.zeros((1, 4, 4, 8), np.float32), cupy.zeros((3, 3, 8, 8), np.float32)
        options: dict[str, Any] = {"padding": ((0, 0), (0, 0)), "strides": (1, 1), "dilation": (1, 1), "groups": 1}
        with kernels.use_tf32(tf32):
            kernels.conv2d(x, w, None, **options)
        assert Settings.launched == {f"forward<float, 32, 32, 4, 4, {arithmetic}>"}
    finally:
        matrices.capability.cache_clear()


@pytest.mark.gpu
def test_an_unaligned_array_is_copied_number_by_number(cupy: Any) -> None:
    """A view may begin anywhere; 16 bytes at once may not."""
    values = np.arange(129, dtype=np.float32)
    buffer = cupy.asarray(values)
    y = kernels.matmul(buffer[1:].reshape(8, 16), buffer[1:].reshape(16, 8))
    np.testing.assert_allclose(y.get(), values[1:].reshape(8, 16) @ values[1:].reshape(16, 8), rtol=1e-6)


@pytest.mark.gpu
def test_a_view_that_begins_anywhere_gives_the_bits_of_an_array(cupy: Any) -> None:
    """Kernels that take four numbers at once, of arrays that begin one number after such a place."""
    there = cupy.asarray(np.random.default_rng(0).standard_normal(769).astype(np.float32))
    x, window = there[1:].reshape(3, 8, 8, 4), {"pool_size": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    size = {"input_size": (16, 16), **window}
    winners = cupy.asarray(np.arange(769, dtype=np.uint8) % 4)[1:].reshape(x.shape)
    calls: list[Callable[[Any], Any]] = [
        kernels.relu,
        lambda x: kernels.relu_gradient(x, x),
        lambda x: kernels.max_pool2d(x, **window)[0],
        lambda x: kernels.max_pool2d_gradient(x, winners, **size),
        lambda x: kernels.avg_pool2d(x, **window),
        lambda x: kernels.avg_pool2d_gradient(x, **size),
        lambda x: kernels.sum_rows(x.reshape(192, 4)),
        lambda x: kernels.batch_norm(x.reshape(192, 4), *[there[1:5]] * 3, abs(there[1:5]), epsilon=0.1),
    ]
    for number, call in enumerate(calls):
        assert call(x).get().tobytes() == call(x.copy()).get().tobytes(), number


@pytest.mark.gpu
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_views_that_begin_anywhere_give_the_bits_of_arrays(
    cupy: Any, tf32: bool, groups: int
) -> None:
    """Either operand, or both; in two groups they are thin ones."""
    generator = np.random.default_rng(0)
    whole = [cupy.asarray(generator.standard_normal(513).astype(np.float32)) for _ in range(2)]
    options: dict[str, Any] = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": groups}
    picture, weights = (2, 8, 4, 8), (3, 3, 4 // groups, 8)
    x = (2, 8, 4, 4)
    calls: list[tuple[tuple[int, ...], tuple[int, ...], Callable[[Any, Any], Any]]] = [
        (x, weights, lambda x, w: kernels.conv2d(x, w, None, **options)),
        (picture, weights, lambda gy, w: kernels.conv2d_input_gradient(gy, w, input_size=(8, 4), **options)),
        (x, picture, lambda x, gy: kernels.conv2d_kernel_gradient(x, gy, kernel_size=(3, 3), **options)),
    ]
    with kernels.use_tf32(tf32):
        for first, second, call in calls:
            shapes = zip(whole, (first, second), strict=True)
            views = [array[1 : 1 + math.prod(shape)].reshape(shape) for array, shape in shapes]
            expected = call(*[view.copy() for view in views]).get().tobytes()
            for one, other in ((True, False), (False, True), (True, True)):
                operands = [v if is_view else v.copy() for v, is_view in zip(views, (one, other), strict=True)]
                assert call(*operands).get().tobytes() == expected


@pytest.mark.gpu
@pytest.mark.parametrize("number", [1, 16, 17, 256, 257, 300])
def test_any_number_of_parts_is_added(cupy: Any, number: int) -> None:
    """By one thread to a result, by eight, or by a warp."""
    dispatch.load("cuda")
    from minicnn.kernels.cuda import matrices

    generator = np.random.default_rng(0)
    parts, bias = generator.standard_normal((number, 7, 5)), generator.standard_normal(5)
    added = matrices.add_parts(cupy.asarray(parts), cupy.empty((7, 5)), cupy.asarray(bias), np.int32(0))
    np.testing.assert_allclose(added.get(), parts.sum(axis=0) + bias, atol=1e-12)


def test_more_columns_than_a_grid_has_room_for_are_refused(cupy: Any) -> None:
    with pytest.raises(ValueError, match=r"matmul: 2,097,121 columns are too many .* when there are 1 rows"):
        kernels.matmul(cupy.empty((1, 1), np.float32), cupy.empty((1, 2_097_121), np.float32))


def test_a_grid_has_room_for_sums_over_rows_of_any_number_and_length(cupy: Any) -> None:
    """Along its second axis that is 65,535 blocks."""
    dispatch.load("cuda")
    from minicnn.kernels.cuda import arrays, columns

    for pieces in (1, 2, 3, 5, 9, 17, 33, 65, 2_097_121, arrays.MOST_ELEMENTS):
        for rows in (1, 2, 1000, arrays.MOST_ELEMENTS // pieces):
            (first, second), _, _ = columns._cut(rows, pieces)
            assert first < 2**31 and second <= 65_535, (rows, pieces)


@pytest.mark.gpu
def test_reference_serves_device_arrays_by_plain_array_code(cupy: Any) -> None:
    Settings.launched.clear()
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((2, 6, 6, 3)), generator.standard_normal((3, 3, 3, 4))
    options: dict[str, Any] = {"padding": ((1, 1), (1, 1)), "strides": (2, 1), "dilation": (1, 1), "groups": 1}
    with kernels.use_kernels("reference"):
        y = kernels.conv2d(cupy.asarray(x), cupy.asarray(w), None, **options)
    assert isinstance(y, cupy.ndarray) and not Settings.launched
    np.testing.assert_allclose(y.get(), dispatch.load("reference").conv2d(x, w, None, **options), rtol=1e-12)
