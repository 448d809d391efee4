"""Convolution and what it is made of, against PyTorch, SciPy and figures that were worked out by hand."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicnn.functional as F
from minicnn.autograd import Tensor
from tests.functional.agreement import assert_close, compare, dtypes, seeds
from tests.oracles import torch as load_torch

# Seed 003's worked example.
PICTURE = np.float32([[0, 1, 2, 4], [3, 0, -1, 5], [-2, 0, 1, 3], [1, 0, 9, 0]])
KERNEL = np.float32([[0, 2, 1], [1, 3, 2], [2, 0, -1]])


def nchw(x: Any) -> Any:
    return x.permute(0, 3, 1, 2).contiguous()


def nhwc(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)


small = st.integers(1, 3)
pairs = st.tuples(small, small)
sides = st.integers(0, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    size, kernel = (draw(st.integers(1, 8)), draw(st.integers(1, 8))), draw(st.tuples(*[st.integers(1, 4)] * 2))
    dilation = draw(pairs)
    padding = draw(
        st.one_of(
            st.sampled_from(["valid", "same", 1, (1, 2)]), st.tuples(st.tuples(sides, sides), st.tuples(sides, sides))
        )
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    case = {
        "shape": (draw(st.integers(0, 3)), *size, groups * draw(small)),
        "kernel": kernel,
        "filters": groups * draw(small),
        "options": {"strides": draw(pairs), "padding": padding, "dilation_rate": dilation, "groups": groups},
    }
    for s, k, d, (before, after) in zip(size, kernel, dilation, explicit(case), strict=True):
        assume(s + before + after >= d * (k - 1) + 1)
    return case


def explicit(case: dict[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding as ((top, bottom), (left, right)); "same" worked out independently, from its definition."""
    padding, strides = case["options"]["padding"], case["options"]["strides"]
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if isinstance(padding, tuple):
        return tuple(p if isinstance(p, tuple) else (p, p) for p in padding)
    if padding == "valid":
        return (0, 0), (0, 0)
    both = []
    dilation = case["options"]["dilation_rate"]
    for size, k, s, d in zip(case["shape"][1:3], case["kernel"], strides, dilation, strict=True):
        rest = size % s or s
        total = max(d * (k - 1) + 1 - rest, 0)
        both.append((total // 2, total - total // 2))
    return both[0], both[1]


@given(case=convolutions(), dtype=dtypes, seed=seeds, with_bias=st.booleans())
def test_conv2d_against_pytorch(case: dict[str, Any], dtype: str, seed: int, with_bias: bool) -> None:
    torch, options = load_torch(), case["options"]
    (top, bottom), (left, right) = explicit(case)

    def oracle(x: Any, w: Any, b: Any = None) -> Any:
        padded = torch.nn.functional.pad(nchw(x), (left, right, top, bottom))
        y = torch.nn.functional.conv2d(padded, w.permute(3, 2, 0, 1).contiguous(), b, stride=options["strides"],
                                       dilation=options["dilation_rate"], groups=options["groups"])  # fmt: skip
        return nhwc(y)

    groups, filters = options["groups"], case["filters"]
    shapes = [case["shape"], (*case["kernel"], case["shape"][3] // groups, filters), (filters,)]
    compare(functools.partial(F.conv2d, **options), oracle, shapes if with_bias else shapes[:2], dtype, seed)


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(1, 5), small),
    kernel=st.tuples(*[st.integers(1, 4)] * 2), filters=small, strides=pairs, dilation=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_conv2d_transpose_against_pytorch(
    shape: Any, kernel: Any, filters: int, strides: Any, dilation: Any, padding: Any, extra: Any, dtype: str, seed: int
) -> None:
    torch = load_torch()
    assume(all(e < s for e, s in zip(extra, strides, strict=True)))
    axes = zip(shape[1:3], strides, dilation, kernel, extra, padding, strict=True)
    sizes = [(n - 1) * s + d * (k - 1) + 1 + e - 2 * p for n, s, d, k, e, p in axes]
    assume(min(sizes) >= 1)
    options = {"output_padding": extra, "padding": padding}

    def ours(x: Any, w: Any, b: Any) -> Any:
        return F.conv2d_transpose(x, w, b, strides=strides, dilation_rate=dilation, **options)

    def oracle(x: Any, w: Any, b: Any) -> Any:
        turned = w.permute(3, 2, 0, 1).contiguous()
        y = torch.nn.functional.conv_transpose2d(nchw(x), turned, b, stride=strides, dilation=dilation, **options)
        return nhwc(y)

    compare(ours, oracle, [shape, (*kernel, filters, shape[3]), (filters,)], dtype, seed)


@pytest.mark.parametrize("padding", ["valid", "same", "VALID", "SAME"])
@pytest.mark.parametrize("strides", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (2, 5)])
def test_conv2d_transpose_is_the_adjoint_of_the_convolution_that_leads_back(
    kernel: tuple[int, int], strides: Any, padding: str
) -> None:
    """<conv2d_transpose(x), y> = <x, conv2d(y)>, and "same" multiplies the size by the stride."""
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((2, 4, 3, 2)), generator.standard_normal((*kernel, 5, 2))
    stamped = F.conv2d_transpose(x, w, strides=strides, padding=padding)
    SH, SW = (strides, strides) if isinstance(strides, int) else strides
    if padding.lower() == "same":
        assert stamped.shape == (2, 4 * SH, 3 * SW, 5)
    else:
        assert stamped.shape == (2, 4 * SH + max(kernel[0] - SH, 0), 3 * SW + max(kernel[1] - SW, 0), 5)
    y = generator.standard_normal(stamped.shape)
    back = F.conv2d(y, w, strides=strides, padding=padding)
    assert back.shape == x.shape
    assert np.sum(stamped * y) == pytest.approx(np.sum(x * back), rel=1e-10)


# --- "same" ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "expected"),
    [
        (5, 3, 1, [3, 6, 9, 12, 9]),  # an even total: one on each side
        (5, 2, 1, [3, 5, 7, 9, 5]),  # an odd total: the one cell goes to the end
        (6, 3, 2, [6, 12, 11]),  # an even size: total 1, at the end (PyTorch's padding=1 would give 3, 9, 15)
        (5, 3, 2, [3, 9, 9]),  # an odd size: total 2, one on each side
        (6, 2, 2, [3, 7, 11]),  # nothing needed
        (7, 2, 3, [3, 9, 7]),  # 3 windows end beyond the picture
        (4, 1, 2, [1, 3]),  # a window smaller than the stride: no negative padding
        (7, 5, 2, [6, 15, 25, 18]),
        (8, 5, 2, [10, 20, 30, 21]),
        (5, 4, 3, [6, 12]),
    ],
)
def test_same_padding_is_tensorflows(length: int, kernel: int, stride: int, expected: list[int]) -> None:
    """Sums of neighbours in 1, 2, 3, ...: the values, for a padding on the wrong side leaves the shape as it is."""
    line = np.arange(1, length + 1, dtype=np.float64)
    lying = F.conv2d(line.reshape(1, 1, -1, 1), np.ones((1, kernel, 1, 1)), strides=(1, stride), padding="same")
    standing = F.conv2d(line.reshape(1, -1, 1, 1), np.ones((kernel, 1, 1, 1)), strides=(stride, 1), padding="same")
    np.testing.assert_array_equal(lying.ravel(), expected)
    np.testing.assert_array_equal(standing.ravel(), expected)


def test_same_padding_with_dilation() -> None:
    x = np.arange(1.0, 6).reshape(1, 1, 5, 1)
    y = F.conv2d(x, np.ones((1, 2, 1, 1)), padding="same", dilation_rate=(1, 3))
    np.testing.assert_array_equal(y.ravel(), [3, 5, 7, 3, 4])


# --- seed 003's example ----------------------------------------------------------------------------------------------


def example(**options: Any) -> np.ndarray:
    return F.conv2d(PICTURE.reshape(1, 4, 4, 1), KERNEL.reshape(3, 3, 1, 1), **options)[0, :, :, 0]


def test_seed_003s_worked_example() -> None:
    np.testing.assert_array_equal(example(), [[0, 12], [-8, 12]])
    padded = [[2, 14, 10, 12], [10, 0, 12, 24], [0, -8, 12, 38], [-1, 20, 32, 15]]
    np.testing.assert_array_equal(example(padding="same"), padded)
    np.testing.assert_array_equal(example(padding=1), padded)
    np.testing.assert_array_equal(example(padding=1, strides=3), [[2, 12], [-1, 15]])
    np.testing.assert_array_equal(F.convolve2d(PICTURE, KERNEL, "valid"), [[7, 11], [-7, 34]])


def test_im2col_lays_the_windows_out_in_order() -> None:
    columns = F.im2col(PICTURE.reshape(1, 4, 4, 1), 3)
    expected = [
        [0, 1, 2, 3, 0, -1, -2, 0, 1],
        [1, 2, 4, 0, -1, 5, 0, 1, 3],
        [3, 0, -1, -2, 0, 1, 1, 0, 9],
        [0, -1, 5, 0, 1, 3, 0, 9, 0],
    ]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal((columns @ KERNEL.ravel()).reshape(2, 2), [[0, 12], [-8, 12]])


# --- im2col and col2im -----------------------------------------------------------------------------------------------


@given(case=convolutions(), seed=seeds)
def test_im2col_and_a_matrix_product_are_a_convolution(case: dict[str, Any], seed: int) -> None:
    options = {key: value for key, value in case["options"].items() if key != "groups"}
    generator = np.random.default_rng(seed)
    x = generator.standard_normal(case["shape"])
    w = generator.standard_normal((*case["kernel"], case["shape"][3], case["filters"]))
    columns = F.im2col(x, case["kernel"], **options)
    y = F.conv2d(x, w, **options)
    assert columns.nbytes == F.im2col_bytes(x.shape, case["kernel"], **options, dtype="float64")
    assert_close(np.reshape(columns @ w.reshape(-1, case["filters"]), y.shape), y, "float64")


@given(case=convolutions(), seed=seeds)
def test_col2im_is_the_adjoint_of_im2col(case: dict[str, Any], seed: int) -> None:
    options = {key: value for key, value in case["options"].items() if key != "groups"}
    generator = np.random.default_rng(seed)
    x = generator.standard_normal(case["shape"])
    columns = F.im2col(x, case["kernel"], **options)
    c = generator.standard_normal(columns.shape)
    back = F.col2im(c, x.shape, case["kernel"], **options)
    assert np.sum(columns * c) == pytest.approx(np.sum(x * back), rel=1e-9, abs=1e-9)


# --- convolve2d ------------------------------------------------------------------------------------------------------


@given(
    picture=st.tuples(*[st.integers(1, 7)] * 2), kernel=st.tuples(*[st.integers(1, 5)] * 2),
    mode=st.sampled_from(["full", "same", "valid"]), dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_convolve2d_against_scipy(picture: Any, kernel: Any, mode: str, dtype: str, seed: int) -> None:
    from scipy import signal

    # SciPy swaps picture and kernel where the kernel is the larger one; here that is an error.
    assume(mode != "valid" or all(k <= p for k, p in zip(kernel, picture, strict=True)))
    generator = np.random.default_rng(seed)
    a, k = (generator.standard_normal(shape).astype(dtype) for shape in (picture, kernel))
    expected = signal.convolve2d(a.astype(np.float64), k.astype(np.float64), mode)
    assert_close(F.convolve2d(a, k, mode), expected, dtype)
    coloured = np.stack([a, 2 * a], axis=2)
    assert_close(F.convolve2d(coloured, k, mode), np.stack([expected, 2 * expected], axis=2), dtype)


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "int64", "bool", "float16"])
def test_pictures_of_other_types_are_computed_in_floats(kind: str) -> None:
    """Not in the picture's own type, where half a grey value is none."""
    x = np.random.default_rng(0).integers(0, 2, (1, 4, 4, 2)).astype(kind)
    w = np.full((2, 2, 2, 1), 0.5, dtype=np.float32)
    y = F.conv2d(x, w)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, F.conv2d(x.astype("float32"), w))
    assert F.conv2d(x, w.astype("float64")).dtype == "float64"
    assert F.conv2d(x, np.ones((2, 2, 2, 1), kind)).dtype == "float32"
    back = F.conv2d_transpose(x, np.full((2, 2, 3, 2), 0.5, dtype=np.float32))
    assert back.dtype == "float32"
    np.testing.assert_array_equal(back.sum(), x.astype("float32").sum() * 2 * 3)
    assert F.convolve2d(x[0, :, :, 0], [[1, -1]]).dtype == "float32"


def test_float32_and_float64_mixed_give_float64_and_each_its_own_gradient() -> None:
    x = Tensor(np.ones((1, 3, 3, 1), np.float32), requires_grad=True)
    w = Tensor(np.full((2, 2, 1, 1), 0.1), requires_grad=True)
    y = F.conv2d(x, w, np.zeros(1, np.float32))
    assert y.dtype == "float64"
    F.sum(y).backward()
    assert x.grad.dtype == "float32" and w.grad.dtype == "float64"
    np.testing.assert_allclose(x.grad.data[0, :, :, 0], np.float32([[0.1, 0.2, 0.1], [0.2, 0.4, 0.2], [0.1, 0.2, 0.1]]))
    np.testing.assert_array_equal(w.grad.data, np.full((2, 2, 1, 1), 4.0))
