"""Fused blocks: each implementation must say what its definition says, convolution, activation and pooling in turn.

Rounding may make cells of a window equal that are not, and another one wins. So values are compared for normal numbers,
and winners for small whole numbers, whose sums are exact in every order: there, ties are true ties. Gradients take the
same y and winners everywhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from minicnn.kernels import naive, output_sizes, reference
from minicnn.kernels.composition import ACTIVATIONS
from tests.kernels.implementations import COMPILED, NAMES, load
from tests.kernels.test_parity import (
    TOLERANCE,
    Array,
    assert_close,
    convolution,
    convolutions,
    doubled,
    dtypes,
    scattered,
    seeds,
)

ZERO = ((0, 0), (0, 0))


def block(
    activation="relu", pool_size=(2, 2), pool_strides=(2, 2), pool_padding=ZERO, pooling="max", **shape: Any
) -> dict[str, Any]:
    case = convolution(**shape)
    if pool_size is None:
        pool_strides = pool_padding = None
    case["geometry"] |= {
        # Winograd's algorithm rounds whole numbers too, so its winners have tests of their own.
        "algorithm": "direct",
        "activation": activation, "alpha": 0.3, "pool_size": pool_size, "pool_strides": pool_strides,
        "pool_padding": pool_padding, "pooling": pooling,
    }  # fmt: skip
    return case


SAME = ((1, 1), (1, 1))
BLOCKS = {
    "plain": block(),
    "no pooling": block("elu", pool_size=None),
    "an odd row and column left over": block(size=(7, 9), padding=SAME),
    "non-square windows": block("leaky_relu", (3, 2), (3, 2), size=(8, 9)),
    "overlapping windows": block("tanh", (3, 3), (2, 2), size=(9, 8), padding=SAME),
    "windows apart": block("linear", (1, 2), (3, 4), size=(9, 12)),
    "padded windows": block("sigmoid", (3, 3), (2, 2), ((1, 1), (1, 1)), size=(7, 6)),
    "padded overlapping windows": block("relu", (3, 4), (1, 2), ((2, 0), (1, 3)), size=(7, 6), padding=SAME),
    "window as large as the picture": block(pool_size=(3, 4), pool_strides=(1, 1)),
    "one cell to a window": block("elu", (1, 1), (1, 1)),
    "257 cells to a window": block(pool_size=(257, 1), pool_strides=(1, 1), size=(258, 1), kernel=(2, 1), N=1, F=2),
    "strides and dilation": block(size=(11, 12), strides=(2, 1), dilation=(1, 2), padding=((0, 2), (3, 1))),
    "groups": block(C=4, F=6, groups=2, padding=SAME),
    "depthwise": block(C=5, F=5, groups=5, padding=SAME),
    "1x1": block(kernel=(1, 1), C=3, F=4),
    "1x1 with stride 2": block(kernel=(1, 1), strides=(2, 2), size=(9, 9)),
    "many filters": block(N=1, size=(5, 5), kernel=(2, 2), C=3, F=37),
    "many channels": block("leaky_relu", N=1, size=(5, 4), kernel=(2, 2), C=35, F=5),
    "many pictures": block(N=19, size=(4, 4), kernel=(2, 2), C=1, F=1),
    "a wide picture": block(N=1, size=(4, 41), kernel=(2, 3), C=17, F=18),
    "averages": block("tanh", pooling="avg"),
    "averages with a row left over": block("relu", size=(7, 8), padding=SAME, pooling="avg"),
    "averages of overlapping windows": block("elu", (3, 3), (2, 2), size=(9, 8), padding=SAME, pooling="avg"),
    "averages of padded windows": block("sigmoid", (2, 2), (2, 2), ((1, 1), (1, 1)), size=(6, 6), pooling="avg"),
    "averages of windows side by side, but shifted": block(
        "elu", (2, 2), (2, 2), ((0, 0), (1, 0)), kernel=(1, 1), size=(6, 4), pooling="avg"),
    "averages of one picture as a whole": block("leaky_relu", (4, 6), (4, 6), size=(6, 8), pooling="avg"),
    "averages of many filters": block("elu", (3, 2), (3, 2), N=2, size=(8, 6), C=3, F=37, pooling="avg"),
    "averages of a few wide rows": block("linear", (1, 4), (1, 4), size=(4, 42), C=2, F=7, pooling="avg"),
    "empty batch of averages": block(N=0, pooling="avg"),
    "empty batch": block(N=0),
    "empty batch, no pooling": block(N=0, pool_size=None),
}


def output_size(case: dict[str, Any]) -> tuple[int, int]:
    g = case["geometry"]
    return output_sizes(case["size"], case["kernel"], g["strides"], g["padding"], g["dilation"])


def operands(case: dict[str, Any], dtype: str, seed: int, how: int, whole: bool) -> list[Array]:
    """x, w and b."""
    generator = np.random.default_rng(seed)
    shapes = ((case["N"], *case["size"], case["C"]),
              (*case["kernel"], case["C"] // case["geometry"]["groups"], case["F"]), (case["F"],))  # fmt: skip
    draw = (lambda shape: generator.integers(-2, 3, shape)) if whole else generator.standard_normal
    return [scattered(draw(shape).astype(dtype), how) for shape in shapes]


def check_block(name: str, case: dict[str, Any], dtype: str, seed: int = 0, how: int = 0, oracle: Any = naive) -> None:
    kernels, geometry = load(name), case["geometry"]
    for whole in (False, True):
        x, w, b = operands(case, dtype, seed, how, whole)
        before = [array.copy() for array in (x, w, b)]
        for bias in (b, None):
            expected, places = oracle.conv2d_block(*doubled(x, w, bias), **geometry)
            y, winners = kernels.conv2d_block(x, w, bias, **geometry)
            assert_close(y, expected, dtype, "y")
            if places is None:
                assert winners is None
            elif geometry["pooling"] == "avg":
                assert winners.dtype == dtype
                assert_close(winners, places, dtype, "the activation's output")
            else:
                assert (winners.dtype, winners.shape) == (places.dtype, places.shape)
            exact = whole and geometry["activation"] in ("linear", "relu", "leaky_relu")
            if places is not None and geometry["pooling"] == "max" and exact:
                # A dead window's winner is of no consequence.
                dead = (expected == 0) & (geometry["activation"] == "relu")
                np.testing.assert_array_equal(np.where(dead, 0, winners), np.where(dead, 0, places))
            alone, nothing = kernels.conv2d_block(x, w, bias, **geometry, keep=False)
            assert nothing is None and alone.tobytes() == y.tobytes()
        if geometry["pooling"] == "avg" and places is not None:
            places = places.astype(dtype)
        check_gradients(kernels, case, dtype, seed, how, expected.astype(dtype), places, x, w, oracle)
        for array, copy in zip((x, w, b), before, strict=True):
            np.testing.assert_array_equal(array, copy, err_msg="an input was changed")


def check_gradients(
    kernels: Any, case: dict[str, Any], dtype: str, seed: int, how: int, y: Array, winners: Array | None, x: Array,
    w: Array, oracle: Any,
) -> None:  # fmt: skip
    """All gradients at once, and each one alone, with a third of gy zero."""
    generator = np.random.default_rng(seed + 1)
    gy = (generator.standard_normal(y.shape) * (generator.random(y.shape) > 1 / 3)).astype(dtype)
    gy, y = scattered(gy, how), scattered(y, how)
    winners = None if winners is None else np.asfortranarray(winners) if how else winners
    GY, Y, X, W = doubled(gy, y, x, w)
    needs = [f"needs_{name}" for name in "xwb"]
    expected = oracle.conv2d_block_gradients(GY, Y, winners, X, W, **dict.fromkeys(needs, True), **case["geometry"])
    for wanted in ([True, True, True], [True, False, False], [False, True, False], [False, False, True],
                   [False, True, True], [False, False, False]):  # fmt: skip
        arguments = dict(zip(needs, wanted, strict=True)) | case["geometry"]
        results = kernels.conv2d_block_gradients(gy, y, winners, x, w, **arguments)
        for result, truth, asked, what in zip(results, expected, wanted, ("gx", "gw", "gb"), strict=True):
            if asked:
                assert_close(result, truth, dtype, f"{what} of {wanted}")
            else:
                assert result is None, f"{what} was not asked for"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", BLOCKS)
@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_their_gradients(name: str, case: str, dtype: str) -> None:
    check_block(name, BLOCKS[case], dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_activation_with_and_without_pooling(name: str, activation: str) -> None:
    for pool_size in ((2, 2), None):
        check_block(name, block(activation, pool_size, size=(6, 7), F=17), "float32")


@pytest.mark.parametrize("how", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_blocks_of_arrays_that_are_not_contiguous(name: str, how: int) -> None:
    check_block(name, BLOCKS["padded overlapping windows"], "float32", how=how)
    check_block(name, BLOCKS["no pooling"], "float32", how=how)


@st.composite
def generated(draw: st.DrawFn) -> dict[str, Any]:
    case = draw(convolutions())
    case["size"] = tuple(size + draw(st.integers(0, 5)) for size in case["size"])
    output = output_size(case)
    window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = tuple((draw(st.integers(0, w - 1)), draw(st.integers(0, w - 1))) for w in window)
    for o, w, p in zip(output, window, padding, strict=True):
        assume(o + sum(p) >= w)
    case["geometry"] |= {
        "activation": draw(st.sampled_from(list(ACTIVATIONS))), "alpha": 0.3, "pool_size": window,
        "pool_strides": (draw(st.integers(1, 4)), draw(st.integers(1, 4))), "pool_padding": padding,
        "pooling": draw(st.sampled_from(["max", "avg"])),
    }  # fmt: skip
    return case


@given(case=generated(), dtype=dtypes, seed=seeds, how=st.integers(0, 3))
@example(case=BLOCKS["padded overlapping windows"], dtype="float64", seed=3, how=0)
@pytest.mark.parametrize("name", COMPILED)
def test_blocks_of_generated_shapes(name: str, case: dict[str, Any], dtype: str, seed: int, how: int) -> None:
    """Against `reference` in float64, which the cases above measure."""
    check_block(name, case, dtype, seed, how, oracle=reference)


# Layers as networks have them: several bands, whole and ragged registers; pooling 2x2, and 3x3 in steps of 2.
LAYERS = {
    "first of eastmount": block(N=5, size=(28, 28), kernel=(5, 5), C=1, F=32, padding=((2, 2), (2, 2))),
    "second of eastmount": block(N=3, size=(14, 14), kernel=(5, 5), C=32, F=64, padding=((2, 2), (2, 2))),
    "second of lenet5": block("tanh", N=6, size=(14, 14), kernel=(5, 5), C=6, F=16),
    "first of besbes": block(N=2, size=(150, 150), kernel=(3, 3), C=3, F=32, padding=SAME),
    "second of besbes": block(N=2, size=(75, 75), kernel=(3, 3), C=32, F=32, padding=SAME),
    "third of besbes": block("leaky_relu", N=3, size=(37, 37), kernel=(3, 3), C=32, F=64, padding=SAME),
    "averages of lenet5": block("tanh", N=5, size=(32, 32), kernel=(5, 5), C=1, F=6, pooling="avg"),
    "averages of many": block("elu", N=3, size=(40, 38), C=20, F=40, padding=SAME, pooling="avg"),
    "few filters": block(N=3, size=(45, 39), C=7, F=3, padding=SAME, strides=(2, 1)),
    "few filters, no pooling": block("relu", None, N=3, size=(45, 39), C=9, F=11, padding=SAME),
    "3x3 windows": block("elu", (3, 3), (2, 2), N=2, size=(31, 29), C=33, F=47, padding=SAME),
    "padded windows": block("relu", (3, 3), (2, 2), SAME, N=2, size=(40, 37), C=24, F=40, strides=(2, 1)),
    "groups": block(N=2, size=(24, 20), C=24, F=36, groups=3, dilation=(2, 2)),
    "no pooling": block("sigmoid", None, N=3, size=(30, 31), C=16, F=40, padding=SAME),
}


# Fibers take their time: the smaller ones, which have all that the larger ones have.
ON_FIBERS = ("first of eastmount", "second of lenet5", "groups", "3x3 windows")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("name", "case"),
    [*[("cpu", case) for case in LAYERS], *[pytest.param("cuda", case, marks=pytest.mark.gpu) for case in ON_FIBERS]],
)
def test_layers_as_networks_have_them(name: str, case: str, dtype: str) -> None:
    check_block(name, LAYERS[case], dtype, oracle=reference)


@pytest.mark.parametrize("case", LAYERS)
def test_the_bits_do_not_depend_on_the_number_of_threads(case: str) -> None:
    kernels, geometry = load("cpu"), LAYERS[case]["geometry"]
    x, w, b = operands(LAYERS[case], "float32", 0, 0, whole=False)

    def results() -> list[Array]:
        y, winners = kernels.conv2d_block(x, w, b, **geometry)
        gy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        needs = {"needs_x": True, "needs_w": True, "needs_b": True}
        gradients = kernels.conv2d_block_gradients(gy, y, winners, x, w, **needs, **geometry)
        return [y, *([] if winners is None else [winners]), *gradients]

    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        alone = results()
        for count in (2, 3, 2):
            kernels.set_num_threads(count)
            for a, c in zip(results(), alone, strict=True):
                assert a.tobytes() == c.tobytes()
    finally:
        kernels.set_num_threads(before)


# --- ties, NaN, dead windows -----------------------------------------------------------------------------------------

PIXELS = {"strides": (1, 1), "padding": ZERO, "dilation": (1, 1), "groups": 1, "alpha": 0.3, "pool_size": (2, 2),
          "pool_strides": (2, 2), "pool_padding": ZERO}  # fmt: skip
NEEDS = {"needs_x": True, "needs_w": True, "needs_b": True}
ONE = np.ones((1, 1, 1, 1), np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_of_equal_cells_wins(name: str) -> None:
    x = np.float32([[1, 2, 5, 5], [2, 2, 5, 5]]).reshape(1, 2, 4, 1)
    y, winners = load(name).conv2d_block(x, ONE, None, activation="linear", **PIXELS)
    np.testing.assert_array_equal(y.reshape(-1), [2, 5])
    np.testing.assert_array_equal(winners.reshape(-1), [1, 0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_the_first_nan_wins(name: str, activation: str) -> None:
    x = np.float32([[9, np.nan, 1, 2], [np.nan, 5, 3, 4]]).reshape(1, 2, 4, 1)
    y, winners = load(name).conv2d_block(x, ONE, None, activation=activation, **PIXELS)
    assert np.isnan(y[0, 0, 0, 0]) and np.isfinite(y[0, 0, 1, 0])
    np.testing.assert_array_equal(winners.reshape(-1), [1, 3])


@pytest.mark.parametrize("name", NAMES)
def test_infinite_values_pass_the_activations(name: str) -> None:
    x = np.float32([-np.inf, np.inf] * 20).reshape(1, 1, 40, 1)
    expected = {"linear": (-np.inf, np.inf), "relu": (0, np.inf), "leaky_relu": (-np.inf, np.inf),
                "elu": (-0.3, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1)}  # fmt: skip
    for activation, values in expected.items():
        geometry = PIXELS | {"pool_size": (1, 1), "pool_strides": (1, 1)}
        y, _ = load(name).conv2d_block(x, ONE, None, activation=activation, **geometry)
        np.testing.assert_array_equal(y.reshape(-1), np.float32(values * 20), err_msg=activation)


@pytest.mark.parametrize("name", NAMES)
def test_a_dead_window_receives_nothing(name: str) -> None:
    x = -np.ones((1, 4, 4, 1), np.float32)
    y, winners = load(name).conv2d_block(x, ONE, None, activation="relu", **PIXELS)
    gy = np.full_like(y, 7)
    for gradient in load(name).conv2d_block_gradients(gy, y, winners, x, ONE, activation="relu", **NEEDS, **PIXELS):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_in_the_gradient_reaches_its_own_window_only(name: str) -> None:
    """Also where registers are wider than the window's row of channels: its neighbours must stay as they are."""
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((1, 6, 6, 3)).astype("float32"), np.ones((1, 1, 3, 2), "float32")
    y, winners = load(name).conv2d_block(x, w, None, activation="linear", **PIXELS)
    gy = np.ones_like(y)
    gy[0, 1, 1, 0] = np.nan
    gx, gw, gb = load(name).conv2d_block_gradients(gy, y, winners, x, w, activation="linear", **NEEDS, **PIXELS)
    p, q = divmod(int(winners[0, 1, 1, 0]), 2)
    nan = np.zeros(gx.shape, bool)
    nan[0, 2 + p, 2 + q] = True
    np.testing.assert_array_equal(np.isnan(gx), nan)
    assert np.isnan(gw[..., 0]).all() and np.isfinite(gw[..., 1]).all()
    np.testing.assert_array_equal(np.isnan(gb), [True, False])


# Outputs of each activation where its derivative is zero, and where it is not.
SLOPES = {
    "linear": ([], [-2, 0, 2]), "relu": ([-0.0, 0], [2]), "leaky_relu": ([], [-0.6, 0, 2]), "elu": ([-0.3], [-0.1, 2]),
    "sigmoid": ([0, 1], [0.5]), "tanh": ([-1, 1], [0, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("pool_size", [None, (1, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_where_the_slope_is_zero_not_even_infinity_passes(
    name: str, activation: str, pool_size: tuple[int, int] | None
) -> None:
    flat, steep = SLOPES[activation]
    gradients, values = (-np.inf, np.inf, np.nan, 3.0), np.float32([*flat, *steep])
    # Whatever the vector's width, some of them are in vectors and some behind the last one.
    y = np.tile(np.repeat(values, len(gradients)), 7).reshape(-1, 1, 1, 1)
    gy = np.tile(np.float32(gradients), 7 * len(values)).reshape(y.shape)
    passes = np.tile(np.repeat([False] * len(flat) + [True] * len(steep), len(gradients)), 7).reshape(y.shape)
    geometry = PIXELS | {"pool_size": pool_size, "pool_strides": pool_size, "pool_padding": ZERO}
    if pool_size is None:
        geometry |= {"pool_strides": None, "pool_padding": None}
    x = np.zeros((len(y), 1 if pool_size is None else pool_size[0], 1, 1), np.float32)
    winners = None if pool_size is None else np.zeros(y.shape, np.uint8)
    wanted = {"needs_x": True, "needs_w": False, "needs_b": False}
    with np.errstate(invalid="ignore"):
        gx, _, _ = load(name).conv2d_block_gradients(
            gy, y, winners, x, ONE, activation=activation, **wanted, **geometry
        )
        dense, _, _ = load(name).dense_block_gradients(
            gy.reshape(-1, 1), y.reshape(-1, 1), y.reshape(-1, 1), ONE[0, 0], activation=activation, alpha=0.3, **wanted
        )
    for result in (gx[:, :1], dense.reshape(y.shape)):
        assert not result[~passes].any()
        np.testing.assert_array_equal(np.isnan(result), passes & np.isnan(gy))
        np.testing.assert_array_equal(np.isinf(result), passes & np.isinf(gy))
    assert not gx[:, 1:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_window_of_minus_infinity_in_padding_loses_its_gradient_and_nothing_else(name: str) -> None:
    """Its winner may stand in the padding, where there is nothing to receive."""
    x = np.full((1, 3, 3, 1), -np.inf, np.float32)
    geometry = PIXELS | {"pool_size": (3, 3), "pool_padding": SAME}
    y, winners = load(name).conv2d_block(x, ONE, None, activation="linear", **geometry)
    np.testing.assert_array_equal(y, np.full_like(y, -np.inf))
    np.testing.assert_array_equal(winners, np.zeros_like(winners))
    gx, _, gb = load(name).conv2d_block_gradients(
        np.ones_like(y), y, winners, x, ONE, activation="linear", needs_x=True, needs_w=False, needs_b=True, **geometry
    )
    # Only the last of the four windows begins inside the picture.
    np.testing.assert_array_equal(gx.reshape(3, 3), [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert gb == y.size


@pytest.mark.parametrize("name", NAMES)
def test_the_sum_of_many_gradients_rounds_little(name: str) -> None:
    """gb of a large layer: added one after another in float32, tenths would be off by 1 in 1000."""
    if name == "naive":
        pytest.skip("the loops take too long; the others are measured against exact sums")
    x = np.ones((4, 300, 300, 1), np.float32)
    y, winners = load(name).conv2d_block(x, ONE, None, activation="relu", **PIXELS)
    gy = np.full_like(y, 0.1)
    for needs in (NEEDS, NEEDS | {"needs_x": False}, NEEDS | {"needs_x": False, "needs_w": False}):
        gb = load(name).conv2d_block_gradients(gy, y, winners, x, ONE, activation="relu", **needs, **PIXELS)[2]
        assert math.isclose(gb[0], y.size * float(np.float32(0.1)), rel_tol=2e-6)
