"""One suite for all implementations of the contract: each must say what the Python loops say.

What is expected comes from `naive` in float64, also for float32 arrays, so that every implementation's own rounding
is measured (that of `naive` in float32 too).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from minicnn.kernels import naive, output_sizes, reference
from tests.kernels.implementations import FAST, NAMES, load

Array = np.ndarray
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64"])


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def kernels(name: str) -> ModuleType:
    """One implementation after the other; one that cannot be loaded fails its tests, it is not skipped."""
    return load(name)


def assert_close(actual: Array, expected: Array, dtype: str, what: str = "") -> None:
    """max|a - b| <= tolerance * max|b|; where all sums cancel, against the size of their terms, which are about 1."""
    assert isinstance(actual, np.ndarray), what
    assert actual.dtype == dtype, f"{what}: {actual.dtype} from {dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if expected.size:
        error, scale = np.abs(actual - expected).max(), max(np.abs(expected).max(), 1.0)
        assert error <= TOLERANCE[dtype] * scale, f"{what}: off by {error} of {scale}"


def doubled(*arrays: Array | None) -> list[Array | None]:
    return [None if array is None else array.astype(np.float64) for array in arrays]


def scattered(array: Array, how: int) -> Array:
    """The same values in memory of another order: as they are, transposed, every second element, or backwards."""
    if how == 1:
        return np.asfortranarray(array)
    if how == 2:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, dtype=array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return np.ascontiguousarray(array[::-1])[::-1] if how == 3 else array


# --- convolution -----------------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes and geometry of a convolution whose kernel fits; also depthwise, empty batches, kernel = picture."""
    size = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    side = st.integers(0, 3)
    padding = ((draw(side), draw(side)), (draw(side), draw(side)))
    for s, k, d, p in zip(size, kernel, dilation, padding, strict=True):
        assume(s + sum(p) >= d * (k - 1) + 1)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    return {
        "N": draw(st.integers(0, 3)),
        "size": size,
        "kernel": kernel,
        "C": groups * draw(st.integers(1, 3)),
        "F": groups * draw(st.integers(1, 3)),
        "geometry": {
            "strides": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        },
    }


def convolution(N=2, size=(5, 6), kernel=(3, 3), C=2, F=3, strides=(1, 1), padding=((0, 0), (0, 0)),
                dilation=(1, 1), groups=1) -> dict[str, Any]:  # fmt: skip
    geometry = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return {"N": N, "size": size, "kernel": kernel, "C": C, "F": F, "geometry": geometry}


CONVOLUTIONS = {
    "plain": convolution(),
    "non-square": convolution(size=(4, 9), kernel=(2, 5)),
    "strides": convolution(size=(7, 8), strides=(2, 3)),
    "asymmetric padding": convolution(padding=((0, 2), (3, 1))),
    "padding larger than the kernel": convolution(size=(3, 3), kernel=(2, 2), padding=((3, 4), (4, 3))),
    "dilation with strides": convolution(size=(9, 9), dilation=(2, 3), strides=(2, 1)),
    "groups": convolution(C=4, F=6, groups=2),
    "depthwise": convolution(C=5, F=5, groups=5),
    "depthwise with a multiplier": convolution(C=3, F=6, groups=3, padding=((1, 1), (1, 1))),
    "1x1": convolution(kernel=(1, 1), C=3, F=4),
    "1x1 with stride 2": convolution(kernel=(1, 1), strides=(2, 2), C=3, F=4),
    "1x1 with padding": convolution(kernel=(1, 1), padding=((1, 1), (1, 1)), C=3, F=4),
    "1x1 with padding and stride 2": convolution(kernel=(1, 1), padding=((1, 0), (0, 1)), strides=(2, 2)),
    "kernel as large as the picture": convolution(size=(5, 4), kernel=(5, 4)),
    "kernel larger than the picture": convolution(size=(2, 2), kernel=(4, 3), padding=((1, 1), (1, 0))),
    "stride larger than the kernel": convolution(size=(8, 8), kernel=(2, 2), strides=(3, 4)),
    "one pixel": convolution(N=1, size=(1, 1), kernel=(1, 1), C=1, F=1),
    "empty batch": convolution(N=0),
    # More filters, channels and columns than a vector register or a register block holds, and none a multiple of it.
    "many filters": convolution(N=1, size=(4, 5), kernel=(2, 2), C=3, F=37),
    "many channels": convolution(N=1, size=(3, 4), kernel=(2, 2), C=35, F=5),
    "many columns": convolution(N=1, size=(2, 41), kernel=(2, 3), C=1, F=2),
    "many pictures": convolution(N=19, size=(3, 3), kernel=(2, 2), C=1, F=1),
    "blocks of filters": convolution(N=2, size=(6, 6), kernel=(3, 3), C=1, F=32, padding=((1, 1), (1, 1))),
}


def check_convolution(kernels: ModuleType, case: dict[str, Any], dtype: str, seed: int = 0, how: int = 0) -> None:
    """All three passes of one case."""
    generator, geometry = np.random.default_rng(seed), case["geometry"]
    size, (KH, KW), F = case["size"], case["kernel"], case["F"]
    output = output_sizes(size, (KH, KW), geometry["strides"], geometry["padding"], geometry["dilation"])

    def draw(*shape: int) -> Array:
        return scattered(generator.standard_normal(shape).astype(dtype), how)

    x, b = draw(case["N"], *size, case["C"]), draw(F)
    w, gy = draw(KH, KW, case["C"] // geometry["groups"], F), draw(case["N"], *output, F)
    X, W, B, GY = doubled(x, w, b, gy)
    before = [array.copy() for array in (x, w, b, gy)]
    for bias, wide in ((b, B), (None, None)):
        assert_close(kernels.conv2d(x, w, bias, **geometry), naive.conv2d(X, W, wide, **geometry), dtype, "y")
    gx = kernels.conv2d_input_gradient(gy, w, input_size=size, **geometry)
    assert_close(gx, naive.conv2d_input_gradient(GY, W, input_size=size, **geometry), dtype, "gx")
    gw = kernels.conv2d_kernel_gradient(x, gy, kernel_size=(KH, KW), **geometry)
    assert_close(gw, naive.conv2d_kernel_gradient(X, GY, kernel_size=(KH, KW), **geometry), dtype, "gw")
    for array, copy in zip((x, w, b, gy), before, strict=True):
        np.testing.assert_array_equal(array, copy, err_msg="an input was changed")


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_convolution_and_both_gradients(kernels: ModuleType, case: str, dtype: str) -> None:
    check_convolution(kernels, CONVOLUTIONS[case], dtype)


@pytest.mark.parametrize("how", [1, 2, 3])
@pytest.mark.parametrize("case", ["plain", "groups", "1x1", "1x1 with stride 2", "blocks of filters"])
def test_convolution_of_arrays_that_are_not_contiguous(kernels: ModuleType, case: str, how: int) -> None:
    check_convolution(kernels, CONVOLUTIONS[case], "float32", how=how)


@given(case=convolutions(), dtype=dtypes, seed=seeds, how=st.integers(0, 3))
@pytest.mark.parametrize("name", FAST)
def test_convolutions_of_generated_shapes(name: str, case: dict[str, Any], dtype: str, seed: int, how: int) -> None:
    check_convolution(load(name), case, dtype, seed, how)


@given(case=convolutions(), seed=seeds)
def test_the_three_passes_are_one_trilinear_form(case: dict[str, Any], seed: int) -> None:
    """<gy, conv2d(x, w)> = <x, input gradient> = <w, kernel gradient>: needs no oracle, not even the loops."""
    generator, geometry = np.random.default_rng(seed), case["geometry"]
    size, kernel = case["size"], case["kernel"]
    x = generator.standard_normal((case["N"], *size, case["C"]))
    w = generator.standard_normal((*kernel, case["C"] // geometry["groups"], case["F"]))
    y = reference.conv2d(x, w, None, **geometry)
    gy = generator.standard_normal(y.shape)
    gx = reference.conv2d_input_gradient(gy, w, input_size=size, **geometry)
    gw = reference.conv2d_kernel_gradient(x, gy, kernel_size=kernel, **geometry)
    assert np.sum(gy * y) == pytest.approx(np.sum(x * gx), rel=1e-9, abs=1e-9)
    assert np.sum(gy * y) == pytest.approx(np.sum(w * gw), rel=1e-9, abs=1e-9)


def test_reference_gives_the_same_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CONVOLUTIONS["many pictures"]
    geometry, generator = case["geometry"], np.random.default_rng(0)
    x, w = generator.standard_normal((19, 3, 3, 1)), generator.standard_normal((2, 2, 1, 4))
    gy = generator.standard_normal((19, 2, 2, 4))

    def results() -> list[Array]:
        return [
            reference.conv2d(x, w, None, **geometry),
            reference.conv2d_input_gradient(gy, w, input_size=(3, 3), **geometry),
            reference.conv2d_kernel_gradient(x, gy, kernel_size=(2, 2), **geometry),
        ]

    whole = results()
    taken: list[int] = []
    im2col = reference.im2col
    monkeypatch.setattr(reference, "im2col", lambda x, *rest: taken.append(im2col(x, *rest).nbytes) or im2col(x, *rest))
    monkeypatch.setattr(reference, "TILE_BYTES", 300)
    for a, b in zip(results(), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert len(taken) > 10 and max(taken) <= 300


# Layers as networks have them: full register blocks, several tiles, all vector widths, and ragged ends of each.
LAYERS = {
    "first of eastmount": convolution(N=5, size=(28, 28), kernel=(5, 5), C=1, F=32, padding=((2, 2), (2, 2))),
    "second of eastmount": convolution(N=3, size=(14, 14), kernel=(5, 5), C=32, F=64, padding=((2, 2), (2, 2))),
    "3x3": convolution(N=2, size=(31, 29), kernel=(3, 3), C=33, F=47, padding=((1, 1), (1, 1))),
    "stride 2": convolution(N=2, size=(33, 32), kernel=(3, 3), C=16, F=24, strides=(2, 2), padding=((0, 1), (0, 1))),
    "pointwise": convolution(N=4, size=(9, 9), kernel=(1, 1), C=65, F=129),
    "depthwise": convolution(N=2, size=(20, 21), kernel=(3, 3), C=40, F=40, groups=40, padding=((1, 1), (1, 1))),
    "dilated groups": convolution(N=2, size=(24, 20), kernel=(3, 3), C=24, F=36, groups=3, dilation=(2, 2)),
    "last batch of one": convolution(N=1, size=(12, 12), kernel=(5, 5), C=20, F=50),
}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FAST)
def test_layers_as_networks_have_them(name: str, case: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many terms for the loops: measured against `reference` in float64, which the cases above measured."""
    for function in ("conv2d", "conv2d_input_gradient", "conv2d_kernel_gradient"):
        monkeypatch.setattr(naive, function, getattr(reference, function))
    check_convolution(load(name), LAYERS[case], dtype)


@pytest.mark.parametrize("case", LAYERS)
def test_the_bits_do_not_depend_on_the_number_of_threads(case: str) -> None:
    kernels, generator = load("cpu"), np.random.default_rng(0)
    geometry, size, kernel = (LAYERS[case][key] for key in ("geometry", "size", "kernel"))
    x = generator.standard_normal((LAYERS[case]["N"], *size, LAYERS[case]["C"])).astype(np.float32)
    w = generator.standard_normal((*kernel, x.shape[3] // geometry["groups"], LAYERS[case]["F"])).astype(np.float32)

    def results() -> list[Array]:
        y = kernels.conv2d(x, w, None, **geometry)
        rows = y.reshape(-1, y.shape[3])
        return [y, kernels.conv2d_input_gradient(y, w, input_size=size, **geometry),
                kernels.conv2d_kernel_gradient(x, y, kernel_size=kernel, **geometry),
                kernels.sum_rows(rows), kernels.matmul(rows.T, rows), kernels.softmax(rows)]  # fmt: skip

    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        alone = results()
        for _ in range(3):
            kernels.set_num_threads(before)
            for a, b in zip(results(), alone, strict=True):
                assert a.tobytes() == b.tobytes()
    finally:
        kernels.set_num_threads(before)


# --- pooling ---------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """Windows that fit and never hold padding alone; they overlap or leave gaps."""
    size = (draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    rows, columns = (st.integers(0, w - 1) for w in window)
    padding = ((draw(rows), draw(rows)), (draw(columns), draw(columns)))
    for s, w, p in zip(size, window, padding, strict=True):
        assume(s + sum(p) >= w)
    return {
        "shape": (draw(st.integers(0, 3)), *size, draw(st.integers(1, 4))),
        "pool_size": window,
        "strides": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "padding": padding,
    }


def pool(shape=(2, 6, 7, 3), pool_size=(2, 2), strides=(2, 2), padding=((0, 0), (0, 0))) -> dict[str, Any]:
    return {"shape": shape, "pool_size": pool_size, "strides": strides, "padding": padding}


POOLS = {
    "plain": pool(),
    "overlap": pool(pool_size=(3, 3), strides=(1, 2)),
    "gaps": pool(pool_size=(2, 1), strides=(3, 3)),
    "padding": pool(pool_size=(3, 4), strides=(2, 2), padding=((1, 2), (3, 0))),
    "window = picture": pool(pool_size=(6, 7), strides=(6, 7)),
    "window of one cell": pool(pool_size=(1, 1), strides=(1, 1)),
    "256 cells": pool((1, 17, 17, 2), (16, 16), (1, 1)),
    "257 cells": pool((1, 257, 2, 2), (257, 1), (1, 1)),
    "many cells, far winners": pool((1, 20, 20, 1), (20, 20), (20, 20)),
    "empty batch": pool((0, 4, 4, 2)),
    "many channels": pool((2, 4, 4, 37)),
    "one channel": pool((3, 5, 9, 1), (2, 3), (2, 3)),
}
FILLINGS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda g, shape: g.standard_normal(shape),
    "all negative": lambda g, shape: -1.0 - g.random(shape),
    "ties": lambda g, shape: g.integers(0, 2, shape).astype(float),
    "all equal": lambda g, shape: np.full(shape, -3.0),
    "NaN here and there": lambda g, shape: np.where(g.random(shape) < 0.2, np.nan, g.standard_normal(shape)),
    "infinite": lambda g, shape: g.choice([-np.inf, 0.0, np.inf], shape),
}


def split(case: dict[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
    return case["shape"], {key: value for key, value in case.items() if key != "shape"}


def check_max_pool(kernels: ModuleType, case: dict[str, Any], filling: str, dtype: str, seed: int, how: int) -> None:
    (shape, windows), generator = split(case), np.random.default_rng(seed)
    x = scattered(FILLINGS[filling](generator, shape).astype(dtype), how)
    y, winners = kernels.max_pool2d(x, **windows)
    expected, positions = naive.max_pool2d(x, **windows)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    assert winners.dtype == (np.uint8 if math.prod(windows["pool_size"]) <= 256 else np.int32)
    np.testing.assert_array_equal(winners, positions)
    gy = scattered(generator.standard_normal(y.shape).astype(dtype), how)
    gx = kernels.max_pool2d_gradient(gy, winners, input_size=shape[1:3], **windows)
    expected = naive.max_pool2d_gradient(gy.astype(np.float64), winners, input_size=shape[1:3], **windows)
    assert_close(gx, expected, dtype, "gx")
    other = scattered(generator.standard_normal(shape).astype(dtype), how)
    gathered = kernels.max_pool2d_gather(other, winners, **windows)
    assert gathered.dtype == dtype
    np.testing.assert_array_equal(gathered, naive.max_pool2d_gather(other, winners, **windows))


def check_avg_pool(kernels: ModuleType, case: dict[str, Any], dtype: str, seed: int, how: int) -> None:
    (shape, windows), generator = split(case), np.random.default_rng(seed)
    x = scattered(generator.standard_normal(shape).astype(dtype), how)
    y = kernels.avg_pool2d(x, **windows)
    assert_close(y, naive.avg_pool2d(x.astype(np.float64), **windows), dtype, "y")
    gy = scattered(generator.standard_normal(y.shape).astype(dtype), how)
    gx = kernels.avg_pool2d_gradient(gy, input_size=shape[1:3], **windows)
    expected = naive.avg_pool2d_gradient(gy.astype(np.float64), input_size=shape[1:3], **windows)
    assert_close(gx, expected, dtype, "gx")


@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize("case", POOLS)
def test_max_pooling(kernels: ModuleType, case: str, filling: str) -> None:
    check_max_pool(kernels, POOLS[case], filling, "float32", seed=1, how=0)


@pytest.mark.parametrize("case", POOLS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_avg_pooling(kernels: ModuleType, case: str, dtype: str) -> None:
    check_avg_pool(kernels, POOLS[case], dtype, seed=1, how=0)


@given(case=pools(), filling=st.sampled_from(sorted(FILLINGS)), dtype=dtypes, seed=seeds, how=st.integers(0, 3))
@pytest.mark.parametrize("name", FAST)
def test_max_pooling_of_generated_shapes(
    name: str, case: dict[str, Any], filling: str, dtype: str, seed: int, how: int
) -> None:
    check_max_pool(load(name), case, filling, dtype, seed, how)


@given(case=pools(), dtype=dtypes, seed=seeds, how=st.integers(0, 3))
@pytest.mark.parametrize("name", FAST)
def test_avg_pooling_of_generated_shapes(name: str, case: dict[str, Any], dtype: str, seed: int, how: int) -> None:
    check_avg_pool(load(name), case, dtype, seed, how)


def test_max_pooling_pads_with_minus_infinity(kernels: ModuleType) -> None:
    """Padding with zeros would win over a picture that is negative throughout."""
    x = np.full((1, 3, 3, 1), -5.0, dtype=np.float32)
    y, _ = kernels.max_pool2d(x, pool_size=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 1), -5.0))


def test_the_first_of_equal_cells_wins(kernels: ModuleType) -> None:
    x = np.zeros((1, 3, 3, 1), dtype=np.float32)
    windows = {"pool_size": (2, 2), "strides": (1, 1), "padding": ((0, 0), (0, 0))}
    _, winners = kernels.max_pool2d(x, **windows)
    np.testing.assert_array_equal(winners[0, :, :, 0], [[0, 0], [0, 0]])
    gx = kernels.max_pool2d_gradient(np.ones((1, 2, 2, 1), np.float32), winners, input_size=(3, 3), **windows)
    np.testing.assert_array_equal(gx[0, :, :, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_minus_zero_and_zero_are_equal_in_max_pooling(kernels: ModuleType) -> None:
    x = np.float32([-0.0, 0.0]).reshape(1, 1, 2, 1)
    y, winners = kernels.max_pool2d(x, pool_size=(1, 2), strides=(1, 2), padding=((0, 0), (0, 0)))
    assert (y.item(), winners.item()) == (0, 0)


def test_the_first_nan_wins_its_window(kernels: ModuleType) -> None:
    x = np.float32([1, np.nan, 5, np.nan]).reshape(1, 1, 4, 1)
    y, winners = kernels.max_pool2d(x, pool_size=(1, 4), strides=(1, 4), padding=((0, 0), (0, 0)))
    assert np.isnan(y.item())
    assert winners.item() == 1


# --- matrices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 7), (17, 33, 19), (64, 64, 64), (5, 0, 4), (0, 3, 4), (3, 4, 0),
                                   (1, 300, 1), (2, 7, 101), (101, 7, 2)], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_matmul(name: str, sizes: tuple[int, int, int], dtype: str) -> None:
    if name == "naive" and math.prod(sizes) > 20_000:
        pytest.skip("the loops take too long for matrices of this size; the others are measured against float64 BLAS")
    (M, K, N), generator, kernels = sizes, np.random.default_rng(0), load(name)
    a, b, bias = (generator.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (N,)))
    A, B, BIAS = doubled(a, b, bias)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert_close(kernels.matmul(left, right), A @ B, dtype, "a @ b")
            assert_close(kernels.matmul(left, right, bias), A @ B + BIAS, dtype, "a @ b + bias")


@given(
    sizes=st.tuples(*[st.integers(0, 12)] * 3), layouts=st.tuples(*[st.integers(0, 3)] * 2), dtype=dtypes,
    seed=seeds, with_bias=st.booleans(),
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_matmul_of_generated_shapes(
    name: str, sizes: tuple[int, int, int], layouts: tuple[int, int], dtype: str, seed: int, with_bias: bool
) -> None:
    (M, K, N), generator = sizes, np.random.default_rng(seed)
    a = scattered(generator.standard_normal((M, K)).astype(dtype), layouts[0])
    b = scattered(generator.standard_normal((K, N)).astype(dtype), layouts[1])
    bias = generator.standard_normal(N).astype(dtype) if with_bias else None
    expected = a.astype(np.float64) @ b.astype(np.float64) + (0 if bias is None else bias.astype(np.float64))
    assert_close(load(name).matmul(a, b, bias), expected, dtype)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (0, 3), (3, 0), (255, 2), (256, 2), (257, 2), (1000, 7)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_sum_rows(kernels: ModuleType, shape: tuple[int, int], dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for how in range(4):
        assert_close(kernels.sum_rows(scattered(x, how)), x.astype(np.float64).sum(axis=0), dtype)


@pytest.mark.parametrize("name", FAST)
def test_sum_rows_rounds_little_with_many_rows(name: str) -> None:
    """Added one after another, a million tenths in float32 are off by 1 %."""
    x = np.full((1_000_000, 2), 0.1, dtype=np.float32)
    np.testing.assert_allclose(load(name).sum_rows(x), 1e6 * np.float64(np.float32(0.1)), rtol=1e-5)


# --- elementwise -----------------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (7,), (0,), (3, 5), (2, 3, 4, 5), (1, 67)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_relu_and_its_gradient(kernels: ModuleType, shape: tuple[int, ...], dtype: str) -> None:
    generator = np.random.default_rng(0)
    for how in range(4) if shape else (0,):
        x, gy = (scattered(np.asarray(generator.standard_normal(shape), dtype=dtype), how) for _ in range(2))
        y = kernels.relu(x)
        assert_close(np.asarray(y), np.maximum(x.astype(np.float64), 0), dtype, "y")
        gx = kernels.relu_gradient(gy, np.asarray(y))
        assert_close(np.asarray(gx), np.where(x > 0, gy, 0).astype(np.float64), dtype, "gx")


def test_relu_keeps_nan_and_has_slope_zero_at_zero(kernels: ModuleType) -> None:
    x = np.float32([np.nan, -np.inf, np.inf, 0.0, -0.0, -1.0, 2.0] * 5)
    y = kernels.relu(x)
    np.testing.assert_array_equal(y, np.float32([np.nan, 0, np.inf, 0, 0, 0, 2] * 5))
    gx = kernels.relu_gradient(np.ones_like(x), y)
    np.testing.assert_array_equal(gx, np.float32([0, 0, 1, 0, 0, 0, 1] * 5))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_erf(kernels: ModuleType, shape: tuple[int, ...], dtype: str) -> None:
    from scipy import special

    x = np.asarray(2 * np.random.default_rng(0).standard_normal(shape), dtype=dtype)
    expected = np.asarray(special.erf(x.astype(np.float64)))
    assert_close(np.asarray(kernels.erf(x)), expected, dtype)


def test_erf_at_the_ends(kernels: ModuleType) -> None:
    x = np.array([0.0, -np.inf, np.inf, 30.0, -30.0, np.nan])
    np.testing.assert_array_equal(kernels.erf(x), [0, -1, 1, 1, -1, np.nan])
    # Relative, not only absolute: erf(x) is about 2x/sqrt(pi) near 0.
    np.testing.assert_allclose(kernels.erf(np.array([1e-20, 1e-5])), [1.1283791670955126e-20, 1.1283791670579e-5])


@given(
    shape=st.tuples(st.integers(0, 6), st.integers(1, 20)), dtype=dtypes, seed=seeds, how=st.integers(0, 3),
    spread=st.sampled_from([1.0, 50.0]), shift=st.sampled_from([0.0, 1000.0, -1000.0]),
)  # fmt: skip
@example(shape=(2, 10), dtype="float32", seed=0, how=0, spread=1e4, shift=0.0)
@pytest.mark.parametrize("name", NAMES)
def test_softmax_and_cross_entropy(
    name: str, shape: tuple[int, int], dtype: str, seed: int, how: int, spread: float, shift: float
) -> None:
    kernels, generator = load(name), np.random.default_rng(seed)
    x = scattered((spread * generator.standard_normal(shape) + shift).astype(dtype), how)
    targets = scattered(generator.random(shape).astype(dtype), how)
    X, T = doubled(x, targets)
    probabilities = naive.softmax(X)
    assert_close(kernels.softmax(x), probabilities, dtype, "softmax")
    losses, p = kernels.softmax_cross_entropy(x, targets)
    assert_close(p, probabilities, dtype, "probabilities")
    assert_close(losses, naive.softmax_cross_entropy(X, T)[0], dtype, "losses")


def test_cross_entropy_of_a_hopeless_prediction_is_finite(kernels: ModuleType) -> None:
    losses, p = kernels.softmax_cross_entropy(np.float32([[0, 500], [-3e38, 0]]), np.float32([[1, 0], [0, 1]]))
    np.testing.assert_array_equal(losses, [500, 0])
    np.testing.assert_array_equal(p, [[0, 1], [0, 1]])


@pytest.mark.parametrize("columns", [3, 200])
def test_classes_that_are_ruled_out_add_nothing_to_the_cross_entropy(kernels: ModuleType, columns: int) -> None:
    x, targets = np.full((3, columns), -np.inf, np.float32), np.zeros((3, columns), np.float32)
    x[:, [0, -2]] = [0, 1]
    # Certain, divided between two, and asking for what is ruled out.
    targets[0, 0] = targets[2, -1] = 1
    targets[1, [0, -2]] = 0.25, 0.75
    losses, p = kernels.softmax_cross_entropy(x, targets)
    log_total = np.log1p(np.e)
    np.testing.assert_allclose(losses, [log_total, log_total - 0.75, np.inf], rtol=1e-6)
    np.testing.assert_allclose(p[:, [0, -2]], [[1 / (1 + np.e), np.e / (1 + np.e)]] * 3, rtol=1e-6)
    assert not p[:, 1:-2].any() and not p[:, -1].any()


@pytest.mark.parametrize("function", ["softmax", "softmax_cross_entropy"])
def test_a_nan_shows_in_its_own_row_only(kernels: ModuleType, function: str) -> None:
    x = np.float32([[0, np.nan, 1], [1, 2, 3]])
    arguments = (x,) if function == "softmax" else (x, np.full_like(x, 1 / 3))
    with np.errstate(invalid="ignore"):
        result = getattr(kernels, function)(*arguments)
    first = result if isinstance(result, np.ndarray) else result[0]
    assert np.isnan(first[0]).all()
    assert np.isfinite(first[1]).all()


# --- dropout ---------------------------------------------------------------------------------------------------------

# Random123's known answers for Philox 4x32-10 (Salmon et al. 2011): counter, key, result.
PHILOX = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "result"), PHILOX)
def test_philox_gives_the_published_answers(counter: str, key: str, result: str) -> None:
    assert naive._philox(words(counter), words(key)) == words(result)
    blocks = [np.uint64([word, word]) for word in words(counter)]
    for word, column in zip(words(result), reference.philox(blocks, words(key)), strict=True):
        np.testing.assert_array_equal(column, np.uint64([word, word]))


@pytest.mark.parametrize("element", range(4))
def test_dropout_draws_the_published_words(kernels: ModuleType, element: int) -> None:
    """At a rate of exactly word / 2**32 the element is kept, one step above it is dropped."""
    word, like = words(PHILOX[0][2])[element], np.zeros(4)
    kept = kernels.dropout_mask(like, word / 2**32, key=0, step=0)
    assert kept[element] == 1 / (1 - word / 2**32)
    assert kernels.dropout_mask(like, (word + 1) / 2**32, key=0, step=0)[element] == 0


@pytest.mark.parametrize("shape", [(), (1,), (5,), (0,), (3, 7), (2, 3, 4, 5), (1030,)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("key", "step"), [(0, 0), (12345, 7), (2**64 - 1, 2**40 + 3), (0xA4093822299F31D0, 2**63)])
def test_every_implementation_draws_the_same_mask(
    kernels: ModuleType, shape: tuple[int, ...], dtype: str, key: int, step: int
) -> None:
    like = np.zeros(shape, dtype=dtype)
    mask = kernels.dropout_mask(like, 0.3, key=key, step=step)
    assert mask.dtype == dtype and mask.shape == shape
    assert np.array_equal(mask, naive.dropout_mask(like, 0.3, key=key, step=step))


@pytest.mark.parametrize("rate", [0.04, 0.5, 0.97])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_what_is_kept_is_scaled_in_the_dtype(kernels: ModuleType, dtype: str, rate: float) -> None:
    """Rounding 1 / (1 - rate) of float64 would give float32's neighbour at the first and the last of these rates."""
    kind = np.dtype(dtype).type
    mask = kernels.dropout_mask(np.zeros(200, dtype), rate, key=1, step=0)
    assert mask.dtype == dtype and set(np.unique(mask)) == {0, kind(1) / kind(1 - rate)}


def test_the_mask_follows_the_shape_not_the_memory_of_its_model(kernels: ModuleType) -> None:
    like = np.zeros((4, 6), dtype=np.float32)
    plain = kernels.dropout_mask(like, 0.5, key=3, step=1)
    np.testing.assert_array_equal(kernels.dropout_mask(np.asfortranarray(like), 0.5, key=3, step=1), plain)


@pytest.mark.parametrize("name", FAST)
def test_dropout_drops_its_share_independently(name: str) -> None:
    like = np.zeros(200_000, dtype=np.float32)
    masks = [load(name).dropout_mask(like, 0.3, key=9, step=step) for step in (0, 1)]
    assert set(np.unique(masks[0])) == {0, np.float32(1 / 0.7)}
    dropped = [mask == 0 for mask in masks]
    # Five standard deviations of 200,000 draws are 0.5 %.
    assert dropped[0].mean() == pytest.approx(0.3, abs=0.005)
    assert (dropped[0] & dropped[1]).mean() == pytest.approx(0.09, abs=0.004)
    assert (dropped[0][1:] & dropped[0][:-1]).mean() == pytest.approx(0.09, abs=0.004)


# --- optimiser steps -------------------------------------------------------------------------------------------------

STEPS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sgd": ("sgd_step", 0, {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False}),
    "sgd with momentum": ("sgd_step", 1, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": False}),
    "sgd with nesterov": ("sgd_step", 1, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": ("adam_step", 2, {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7,
                              "weight_decay": 0.0}),
    "adam with decay": ("adam_step", 2, {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3,
                                         "weight_decay": 0.1}),
    "rmsprop": ("rmsprop_step", 1, {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}),
    "rmsprop with momentum": ("rmsprop_step", 2, {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.5,
                                                  "epsilon": 1e-7}),
    "centred rmsprop": ("rmsprop_step", 3, {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.5, "epsilon": 1e-7}),
    "adagrad": ("adagrad_step", 1, {"learning_rate": 0.1, "epsilon": 1e-7}),
}  # fmt: skip


@pytest.mark.parametrize("length", [1, 5, 0, 67])
@pytest.mark.parametrize("case", STEPS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_optimiser_steps(kernels: ModuleType, case: str, length: int, dtype: str) -> None:
    function, states, arguments = STEPS[case]
    generator = np.random.default_rng(0)
    p = generator.standard_normal(length).astype(dtype)
    buffers = [np.zeros(length, dtype=dtype) for _ in range(states)]
    P, *BUFFERS = doubled(p, *buffers)
    missing = {"sgd_step": 1, "rmsprop_step": 3}.get(function, states) - states
    for step in range(1, 6):
        g = generator.standard_normal(length).astype(dtype)
        extra = {"step": step} if function == "adam_step" else {}
        getattr(kernels, function)(p, g, *buffers, *[None] * missing, **arguments, **extra)
        getattr(naive, function)(P, g.astype(np.float64), *BUFFERS, *[None] * missing, **arguments, **extra)
        for ours, expected in zip((p, *buffers), (P, *BUFFERS), strict=True):
            assert_close(ours, expected, dtype, f"{case}, step {step}")


def test_optimiser_steps_write_into_parts_of_a_larger_buffer(kernels: ModuleType) -> None:
    """The optimiser keeps all parameters in one buffer and steps through segments of it."""
    buffer = np.arange(10, dtype=np.float32)
    kernels.sgd_step(buffer[3:7], np.ones(4, np.float32), None, learning_rate=1.0, momentum=0.0, nesterov=False)
    np.testing.assert_array_equal(buffer, [0, 1, 2, 2, 3, 4, 5, 7, 8, 9])


# --- the contract itself ---------------------------------------------------------------------------------------------


def test_every_implementation_has_every_function_with_its_parameters(kernels: ModuleType) -> None:
    import inspect

    from minicnn import kernels as contract

    managing = {"array_module", "current_kernels", "get_num_threads", "output_sizes", "room_for", "set_num_threads"}
    functions = [f for f in contract.__all__ if inspect.isfunction(getattr(contract, f)) and f not in managing]
    assert len(functions) > 15
    for function in functions:
        expected = inspect.signature(getattr(contract, function)).parameters
        actual = inspect.signature(getattr(kernels, function)).parameters
        assert list(actual) == list(expected), function
        assert [p.kind for p in actual.values()] == [p.kind for p in expected.values()], function
