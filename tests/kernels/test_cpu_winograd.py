"""Winograd's algorithm on the processor: what the loops and the direct algorithm say, within a stated error."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from minicnn.kernels import composition, cpu, naive, reference
from minicnn.kernels.cpu import activations, algorithms, winograd, winograd_gradient
from minicnn.kernels.winograd import F23, F25, F43, F45, Variant
from tests.kernels.test_parity import assert_close, doubled, scattered

Array = np.ndarray
VARIANTS = (F23, F43, F25, F45)
ZERO = ((0, 0), (0, 0))
POOLINGS = {
    "none": (None, None, None, "max"),
    "2x2": ((2, 2), (2, 2), ZERO, "max"),
    "padded and overlapping": ((3, 2), (2, 1), ((1, 0), (0, 1)), "max"),
    "average": ((2, 2), (2, 2), ZERO, "avg"),
}


def geometry(padding: Any) -> dict[str, Any]:
    return {"strides": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}


def check(variant: Variant, N: int, size: tuple[int, int], C: int, F: int, padding: Any, dtype: str,
          oracle: Any = reference, seed: int = 0, how: int = 0) -> None:  # fmt: skip
    """All three passes of one shape, against an oracle in float64."""
    generator, r = np.random.default_rng(seed), variant.taps

    def draw(*shape: int) -> Array:
        return scattered(generator.standard_normal(shape).astype(dtype), how)

    x, w, b = draw(N, *size, C), draw(r, r, C, F), draw(F)
    X, W, B = doubled(x, w, b)
    expected = oracle.conv2d(X, W, B, **geometry(padding))
    y, winners = winograd.conv2d(x, w, b, padding=padding, variant=variant)
    assert winners is None
    assert_close(y, expected, dtype, "y")
    gy = draw(*expected.shape)
    gx = winograd.conv2d_input_gradient(gy, w, input_size=size, padding=padding, variant=variant)
    (GY,) = doubled(gy)
    assert_close(gx, oracle.conv2d_input_gradient(GY, W, input_size=size, **geometry(padding)), dtype, "gx")
    if gy.size:
        gw = winograd_gradient.conv2d_kernel_gradient(x, gy, padding=padding, variant=variant)
        wide = oracle.conv2d_kernel_gradient(X, GY, kernel_size=(r, r), **geometry(padding))
        assert_close(gw, wide, dtype, "gw")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_the_loops_say(variant: Variant, dtype: str) -> None:
    check(variant, 2, (5, 7), 3, 5, ((2, 0), (1, 3)), dtype, naive)


sides = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 11), st.integers(1, 11)), padding=st.tuples(sides, sides),
    N=st.integers(0, 3), C=st.sampled_from([1, 2, 3, 8, 17]), F=st.sampled_from([1, 5, 10, 24, 40]),
    dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 2**32 - 1), how=st.integers(0, 3),
)  # fmt: skip
@example(size=(1, 1), padding=((2, 2), (2, 2)), N=1, C=1, F=1, dtype="float32", seed=0, how=0)
@example(size=(3, 64), padding=((3, 3), (3, 0)), N=9, C=3, F=5, dtype="float32", seed=0, how=0)
@example(size=(14, 14), padding=((1, 1), (1, 1)), N=7, C=32, F=32, dtype="float32", seed=0, how=0)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_generated_shapes(variant, size, padding, N, C, F, dtype, seed, how) -> None:
    assume(all(s + sum(p) >= variant.taps for s, p in zip(size, padding, strict=True)))
    check(variant, N, size, C, F, padding, dtype, seed=seed, how=how)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 5)], ids=str)
@pytest.mark.parametrize("k", [3, 5])
def test_blocks(k: int, size: tuple[int, int], activation: str, pooling: str) -> None:
    """Against the direct block, with whole numbers, so that there are ties."""
    generator = np.random.default_rng(k)
    x = generator.integers(-3, 4, (3, *size, 3)).astype(np.float64)
    w = generator.integers(-2, 3, (k, k, 3, 21)).astype(np.float64)
    b = generator.integers(-2, 3, 21).astype(np.float64)
    pool_size, pool_strides, pool_padding, how = POOLINGS[pooling]
    options = geometry(((k // 2, k // 2), (k // 2, k // 2))) | {
        "activation": activation, "alpha": 0.25, "pool_size": pool_size, "pool_strides": pool_strides,
        "pool_padding": pool_padding, "pooling": how,
    }  # fmt: skip
    y, kept = cpu.conv2d_block(x, w, b, algorithm="winograd", **options)
    expected, wanted = cpu.conv2d_block(x, w, b, algorithm="direct", **options)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-11)
    again, nothing = cpu.conv2d_block(x, w, b, algorithm="winograd", keep=False, **options)
    np.testing.assert_array_equal(again, y)
    assert nothing is None
    if pooling == "none":
        assert kept is None
        return
    if how == "avg":
        np.testing.assert_allclose(kept, wanted, rtol=1e-11, atol=1e-11)
        return
    assert kept.dtype == np.uint8
    # Cells that are equal after the activation may take each other's place, so the winners need not be the same ones.
    z = reference.conv2d(x, w, b, **geometry(options["padding"]))
    won = reference.max_pool2d_gather(z, kept, pool_size=pool_size, strides=pool_strides, padding=pool_padding)
    np.testing.assert_allclose(composition.activate(won, activation, 0.25), expected, rtol=1e-11, atol=1e-11)


def test_nan_and_infinity_in_a_pooled_block_reach_the_output() -> None:
    x = np.zeros((1, 16, 16, 1), np.float32)
    x[0, 0, 0, 0], w = np.nan, np.ones((3, 3, 1, 8), np.float32)
    options = geometry(((1, 1), (1, 1))) | {"activation": "relu", "alpha": 1.0, "pool_size": (2, 2),
                                            "pool_strides": (2, 2), "pool_padding": ZERO}  # fmt: skip
    y, winners = cpu.conv2d_block(x, w, None, algorithm="winograd", **options)
    assert np.isnan(y[0, 0, 0]).all()
    assert (winners[0, 0, 0] == 0).all()
    assert not y[0, 4:].any()  # a NaN spoils its own tile and no other


# --- error -----------------------------------------------------------------------------------------------------------

# (N, H, W), C, F, taps: of the articles' networks, and one of VGG's.
SHAPES = {
    "khuyen 1": ((4, 28, 28), 1, 32, 5), "khuyen 2": ((4, 28, 28), 32, 32, 5), "khuyen 3": ((8, 14, 14), 32, 64, 3),
    "khuyen 4": ((8, 14, 14), 64, 64, 3), "eastmount 2": ((8, 14, 14), 32, 64, 5),
    "besbes 1": ((1, 150, 150), 3, 32, 3), "besbes 2": ((1, 75, 75), 32, 32, 3), "besbes 3": ((1, 37, 37), 32, 64, 3),
    "VGG": ((1, 56, 56), 128, 128, 3),
}  # fmt: skip
# Of the largest result, in float32. Found: 4e-7, 2.5e-6, 2e-6 and 7e-6; the documented bound is 1e-5.
BOUNDS = {F23: 1e-6, F43: 5e-6, F25: 4e-6, F45: 1e-5}


@pytest.mark.parametrize("name", SHAPES)
def test_the_error_of_each_variant_is_bounded(name: str) -> None:
    (N, H, W), C, F, k = SHAPES[name]
    generator = np.random.default_rng(1)
    x = np.maximum(generator.standard_normal((N, H, W, C)), 0).astype(np.float32)
    w = (generator.standard_normal((k, k, C, F)) / np.sqrt(k * k * C)).astype(np.float32)
    padding = ((k // 2, k // 2), (k // 2, k // 2))
    X, WIDE = doubled(x, w)
    expected = cpu.conv2d(X, WIDE, None, algorithm="direct", **geometry(padding))
    gy = generator.standard_normal(expected.shape).astype(np.float32)
    (GY,) = doubled(gy)
    options: Any = geometry(padding) | {"algorithm": "direct"}
    gx = cpu.conv2d_input_gradient(GY, WIDE, input_size=(H, W), **options)
    gw = cpu.conv2d_kernel_gradient(X, GY, kernel_size=(k, k), **options)
    for variant in (variant for variant in VARIANTS if variant.taps == k):
        found = [
            (winograd.conv2d(x, w, None, padding=padding, variant=variant)[0], expected),
            (winograd.conv2d_input_gradient(gy, w, input_size=(H, W), padding=padding, variant=variant), gx),
        ]
        found.append((winograd_gradient.conv2d_kernel_gradient(x, gy, padding=padding, variant=variant), gw))
        for actual, exact in found:
            error = np.abs(actual - exact).max() / np.abs(exact).max()
            assert error <= BOUNDS[variant], f"{variant}: {error:.2e}"


# --- the choice ------------------------------------------------------------------------------------------------------


def choice(algorithm: str = "auto", images: int = 32, output: tuple[int, int] = (28, 28), C: int = 32, F: int = 32,
           kernel: tuple[int, int] = (3, 3), strides: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1),
           groups: int = 1, dtype: str = "float32") -> Variant | None:  # fmt: skip
    return algorithms.choose_variant(
        algorithm, images, output, C, F, kernel, strides, dilation, groups, np.dtype(dtype)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, F43),
        ({"kernel": (5, 5)}, F45),
        ({"images": 128, "output": (14, 14), "C": 64, "F": 64}, F43),
        ({"algorithm": "direct"}, None),
        # It does not pay: few channels, few filters, little work; and float64 wants digits.
        ({"C": 1}, None),
        ({"F": 1}, None),
        ({"images": 1, "output": (7, 7)}, None),
        ({"images": 0}, None),
        ({"dtype": "float64"}, None),
        # It cannot be done.
        ({"kernel": (3, 5)}, None),
        ({"strides": (1, 2)}, None),
        ({"dilation": (2, 1)}, None),
        ({"groups": 2}, None),
        # Asked for: the fewest multiplications, and where they are equal, the smaller tile.
        ({"algorithm": "winograd", "C": 1, "dtype": "float64"}, F43),
        ({"algorithm": "winograd", "output": (2, 2)}, F23),
        ({"algorithm": "winograd", "output": (2, 2), "kernel": (5, 5)}, F25),
        ({"algorithm": "winograd", "output": (5, 5)}, F23),
        ({"algorithm": "winograd", "output": (8, 8), "kernel": (5, 5)}, F45),
    ],
    ids=str,
)
def test_the_choice_is_a_function_of_shape_and_dtype(arguments: dict[str, Any], expected: Variant | None) -> None:
    before = cpu.get_num_threads()
    try:
        for threads in (1, 3):
            cpu.set_num_threads(threads)
            assert choice(**arguments) == expected
    finally:
        cpu.set_num_threads(before)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd"])
def test_the_contract_goes_the_chosen_way(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward, gradients and blocks call Winograd's kernels where they were chosen, and nowhere else."""
    calls = []

    def count_calls(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: calls.append(name) or original(*a, **k))

    count_calls(winograd, "conv2d")
    count_calls(winograd, "conv2d_input_gradient")
    count_calls(winograd_gradient, "conv2d_kernel_gradient")
    x, w = np.ones((16, 28, 28, 32), np.float32), np.ones((3, 3, 32, 24), np.float32)
    options = geometry(((1, 1), (1, 1)))
    y = cpu.conv2d(x, w, None, algorithm=algorithm, **options)
    cpu.conv2d_input_gradient(y, w, input_size=(28, 28), algorithm=algorithm, **options)
    cpu.conv2d_kernel_gradient(x, y, kernel_size=(3, 3), algorithm=algorithm, **options)
    block = {"activation": "relu", "alpha": 1.0, "pool_size": None, "pool_strides": None, "pool_padding": None}
    y, winners = cpu.conv2d_block(x, w, None, algorithm=algorithm, **options, **block)
    cpu.conv2d_block_gradients(
        y, y, winners, x, w, needs_x=True, needs_w=True, needs_b=False, algorithm=algorithm, **options, **block
    )
    chosen = algorithm != "direct"
    assert (choice(algorithm, 16, (28, 28), 32, 24) is not None) == chosen
    assert (choice(algorithm, 16, (28, 28), 24, 32) is not None) == chosen
    passes = ("conv2d", "conv2d_input_gradient", "conv2d_kernel_gradient")
    assert Counter(calls) == (dict.fromkeys(passes, 2) if chosen else {})


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_error_of_the_kernel_gradient_does_not_grow_with_the_batch(variant: Variant) -> None:
    """It is a sum over all positions, which are 100,000 here."""
    k = variant.taps
    generator = np.random.default_rng(2)
    x = np.maximum(generator.standard_normal((128, 28, 28, 16)), 0).astype(np.float32)
    gy = generator.standard_normal(x.shape).astype(np.float32)
    padding = ((k // 2, k // 2), (k // 2, k // 2))
    options: Any = geometry(padding) | {"algorithm": "direct"}
    exact = cpu.conv2d_kernel_gradient(*doubled(x, gy), kernel_size=(k, k), **options)
    direct = cpu.conv2d_kernel_gradient(x, gy, kernel_size=(k, k), **options)
    transformed = winograd_gradient.conv2d_kernel_gradient(x, gy, padding=padding, variant=variant)
    for found, bound in ((direct, 1e-6), (transformed, BOUNDS[variant])):
        error = np.abs(found - exact).max() / np.abs(exact).max()
        assert error <= bound, f"{error:.2e}"


# --- bits and widths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads(dtype: str) -> None:
    generator = np.random.default_rng(3)
    x, w, b = (generator.standard_normal(shape).astype(dtype) for shape in ((11, 23, 21, 7), (5, 5, 7, 37), (37,)))
    padding = ((2, 2), (2, 2))
    before, found = cpu.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            cpu.set_num_threads(threads)
            results: list[Any] = []
            for variant in (F25, F45):
                y, _ = winograd.conv2d(x, w, b, padding=padding, variant=variant)
                gx = winograd.conv2d_input_gradient(y, w, input_size=(23, 21), padding=padding, variant=variant)
                gw = winograd_gradient.conv2d_kernel_gradient(x, y, padding=padding, variant=variant)
                block = winograd.conv2d(x, w, b, padding=padding, variant=variant, pooled=True, kind=activations.RELU)
                results += [y, gx, gw, *block]
            found.append([array.tobytes() for array in results])
    finally:
        cpu.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_nothing_large_is_allocated_in_the_steady_state() -> None:
    generator = np.random.default_rng(3)
    x, w, gy = (
        generator.standard_normal(shape, np.float32) for shape in ((8, 28, 28, 32), (3, 3, 32, 40), (8, 28, 28, 40))
    )
    padding = ((1, 1), (1, 1))

    def step() -> None:
        winograd.conv2d(x, w, None, padding=padding, variant=F43, pooled=True)
        winograd.conv2d_input_gradient(gy, w, input_size=(28, 28), padding=padding, variant=F43)
        winograd_gradient.conv2d_kernel_gradient(x, gy, padding=padding, variant=F43)

    step()
    step()
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


WIDTHS = """
import numpy as np
from minicnn.kernels import cpu, reference

rng = np.random.default_rng(0)
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
    for k, C, F in ((3, 3, 5), (3, 16, 40), (5, 24, 10)):
        x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((2, 9, 11, C), (k, k, C, F), (F,)))
        options = dict(strides=(1, 1), padding=((1, 2), (0, 3)), dilation=(1, 1), groups=1)
        y, wide = cpu.conv2d(x, w, b, algorithm="winograd", **options), reference.conv2d(x, w, b, **options)
        assert y.dtype == dtype and abs(y - wide).max() <= tolerance * abs(wide).max()
        gx = cpu.conv2d_input_gradient(y, w, input_size=(9, 11), algorithm="winograd", **options)
        wide = reference.conv2d_input_gradient(y, w, input_size=(9, 11), **options)
        assert gx.dtype == dtype and abs(gx - wide).max() <= tolerance * abs(wide).max()
        gw = cpu.conv2d_kernel_gradient(x, y, kernel_size=(k, k), algorithm="winograd", **options)
        wide = reference.conv2d_kernel_gradient(x, y, kernel_size=(k, k), **options)
        assert gw.dtype == dtype and abs(gw - wide).max() <= tolerance * abs(wide).max()
        none = ((0, 0), (0, 0))
        block = dict(activation="linear", alpha=1.0, pool_size=(2, 2), pool_strides=(2, 2), pool_padding=none)
        pooled, winners = cpu.conv2d_block(x, w, b, algorithm="winograd", **options, **block)
        assert (pooled == reference.max_pool2d(y, pool_size=(2, 2), strides=(2, 2), padding=none)[0]).all()
"""


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_every_vector_width(lanes: int) -> None:
    environment = {**os.environ, "MINICNN_VECTOR_WIDTH": str(lanes)}
    finished = subprocess.run(
        [sys.executable, "-c", WIDTHS], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
